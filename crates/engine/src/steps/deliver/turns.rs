//! Who gets the next free slot of the node: tenants in turn, then the receivers of each. It starts
//! nothing itself.

use std::collections::{BTreeMap, VecDeque};

use domain::id::TenantId;
use domain::place::ReceiverNo;
use tokio::time::Instant;

use store::deliveries::Handover;

use super::lane::{ByClass, CLASSES, Lane, index, share};

/// Slow receivers may have one slot in so many together, and one at least.
const SLOW_SHARE: u32 = 10;
/// Receivers without a recent success may have one slot in so many together.
const UNPROVEN_SHARE: u32 = 4;
/// Requests that are prepared in one read.
const PICKED_MAX: usize = 64;
/// Tenants whose last turn is remembered.
const TENANTS_MAX: usize = 4_096;

/// Whose turn was last, and what is on the wire.
pub struct Turns {
    slots: u32,
    in_flight: ByClass<u32>,
    last_tenant: TenantId,
    last: BTreeMap<TenantId, ReceiverNo>,
    /// When the first receiver that waits for its rate may go on.
    pub rate_at: Option<Instant>,
}

type Lanes = BTreeMap<ReceiverNo, Lane>;

/// Slots that kinds of receivers may still take together.
struct Rooms {
    slow: u32,
    unproven: u32,
}

impl Turns {
    pub fn new(slots: u32) -> Turns {
        Turns {
            slots,
            in_flight: [0; CLASSES],
            last_tenant: TenantId::default(),
            last: BTreeMap::new(),
            rate_at: None,
        }
    }

    fn is_full(&self) -> bool {
        self.in_flight.iter().sum::<u32>() >= self.slots
    }

    /// A request ended, or did not start after all.
    pub fn free(&mut self, handover: &Handover) {
        let count = &mut self.in_flight[index(handover.class)];
        *count = count.saturating_sub(1);
    }

    /// What starts now. Classes have their shares first; what one does not use the others may.
    pub fn pick(&mut self, lanes: &mut Lanes, now: Instant) -> Vec<Handover> {
        let (mut picked, mut rooms) = (Vec::new(), self.rooms(lanes));
        self.rate_at = None;
        let contend = contend(lanes);
        for contended in [contend, false] {
            let mut rotation = self.rotation(lanes);
            while let Some((tenant, mut receivers)) = rotation.pop_front() {
                if picked.len() >= PICKED_MAX || self.is_full() {
                    return picked;
                }
                let Some(no) = receivers.pop_front() else { continue };
                let allowed = self.allowed(contended);
                if let Some(handover) = self.start((lanes, no), &mut rooms, (allowed, now)) {
                    picked.push(handover);
                    receivers.push_back(no);
                    self.remember(tenant, no);
                }
                rotation.push_back((tenant, receivers));
            }
        }
        picked
    }

    fn rooms(&self, lanes: &Lanes) -> Rooms {
        let used = |kind: fn(&Lane) -> bool| -> u32 {
            lanes.values().filter(|lane| kind(lane)).map(Lane::in_flight).sum()
        };
        let room = |share: u32, used: u32| (self.slots / share).max(1).saturating_sub(used);
        Rooms {
            slow: room(SLOW_SHARE, used(Lane::is_slow)),
            unproven: room(UNPROVEN_SHARE, used(|lane| !lane.bounds().proven)),
        }
    }

    /// Receivers that may start, by tenant, each after the one whose turn was last.
    fn rotation(&self, lanes: &Lanes) -> VecDeque<(TenantId, VecDeque<ReceiverNo>)> {
        let mut ready: BTreeMap<TenantId, VecDeque<ReceiverNo>> = BTreeMap::new();
        for (no, _) in lanes.iter().filter(|(_, lane)| lane.may_start()) {
            ready.entry(lanes[no].bounds().tenant).or_default().push_back(*no);
        }
        for (tenant, receivers) in &mut ready {
            let last = self.last.get(tenant).copied().unwrap_or_default();
            let before = receivers.iter().take_while(|no| **no <= last).count();
            receivers.rotate_left(before);
        }
        let before = ready.range(..=self.last_tenant).count();
        let mut rotation: VecDeque<_> = ready.into_iter().collect();
        rotation.rotate_left(before);
        rotation
    }

    /// Classes below their share of the node; all, where they do not contend.
    fn allowed(&self, contended: bool) -> ByClass<bool> {
        std::array::from_fn(|class| !contended || self.in_flight[class] < share(self.slots, class))
    }

    fn start(
        &mut self,
        (lanes, no): (&mut Lanes, ReceiverNo),
        rooms: &mut Rooms,
        (allowed, now): (ByClass<bool>, Instant),
    ) -> Option<Handover> {
        let lane = lanes.get_mut(&no)?;
        let (slow, unproven) = (lane.is_slow(), !lane.bounds().proven);
        if slow && rooms.slow == 0 || unproven && rooms.unproven == 0 {
            return None;
        }
        let started = lane.start(allowed, now);
        let Some(handover) = started else {
            self.rate_at = [self.rate_at, lane.rate_at].into_iter().flatten().min();
            return None;
        };
        rooms.slow -= u32::from(slow);
        rooms.unproven -= u32::from(unproven);
        self.in_flight[index(handover.class)] += 1;
        Some(handover)
    }

    fn remember(&mut self, tenant: TenantId, no: ReceiverNo) {
        if self.last.len() >= TENANTS_MAX {
            self.last.clear();
        }
        self.last.insert(tenant, no);
        self.last_tenant = tenant;
    }
}

/// Whether more than one class waits.
fn contend(lanes: &Lanes) -> bool {
    let mut waits = [false; CLASSES];
    for lane in lanes.values() {
        let own = lane.waits();
        (0..CLASSES).for_each(|class| waits[class] |= own[class]);
    }
    waits.iter().filter(|waits| **waits).count() > 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::id::Ulid;
    use domain::place::EnvNo;
    use domain::webhook::receiver::Class;

    use super::*;
    use crate::clock::in_a_while;
    use crate::steps::deliver::bounds::Bounds;

    fn now() -> Instant {
        in_a_while(Duration::ZERO)
    }

    /// Receivers with 100 deliveries each, of these tenants.
    fn lanes(tenants: &[u128], (class, proven): (Class, bool)) -> Lanes {
        let mut lanes = Lanes::new();
        for (no, tenant) in (1..).zip(tenants) {
            let lane = lanes.entry(ReceiverNo(no)).or_default();
            let tenant = TenantId(Ulid(*tenant));
            lane.bound(Bounds { tenant, in_flight: 64, rps: None, proven }, now());
            for position in 0..100 {
                let place = EnvNo::new(1).place(position);
                let receiver = ReceiverNo(no);
                assert!(
                    lane.take(
                        Handover { receiver, place, class, fresh: false, probe: false },
                        true
                    )
                );
            }
        }
        lanes
    }

    fn of(picked: &[Handover], no: u32) -> usize {
        picked.iter().filter(|one| one.receiver == ReceiverNo(no)).count()
    }

    #[test]
    fn tenants_share_the_slots_whatever_number_of_receivers_they_have() {
        let mut lanes = lanes(&[1, 1, 1, 2], (Class::Live, true));
        let picked = Turns::new(30).pick(&mut lanes, now());
        assert_eq!([1, 2, 3, 4].map(|no| of(&picked, no)), [5, 5, 5, 15]);
    }

    #[test]
    fn receivers_without_a_recent_success_have_a_quarter_together() {
        let mut all = lanes(&[1; 40], (Class::Live, false));
        let mut turns = Turns::new(40);
        assert_eq!(turns.pick(&mut all, now()).len(), 10);
        let mut proven = lanes(&[1; 2], (Class::Live, true));
        assert_eq!(turns.pick(&mut proven, now()).len(), 30, "the rest is for others");
    }

    #[test]
    fn a_replay_leaves_live_events_their_share_of_the_node() {
        let mut all = lanes(&[1], (Class::Replay, true));
        let (place, fresh) = (EnvNo::new(1).place(500), false);
        let mut turns = Turns::new(20);
        for at in 0..50 {
            let live = Handover {
                receiver: ReceiverNo(9),
                place,
                class: Class::Live,
                fresh,
                probe: false,
            };
            let lane = all.entry(ReceiverNo(9)).or_default();
            if at == 0 {
                lane.bound(Bounds { in_flight: 64, proven: true, ..Bounds::default() }, now());
            }
            assert!(lane.take(live, true));
        }
        let picked = turns.pick(&mut all, now());
        assert_eq!((of(&picked, 1), of(&picked, 9)), (4, 16));
        let mut alone = lanes(&[1], (Class::Replay, true));
        assert_eq!(Turns::new(20).pick(&mut alone, now()).len(), 20);
    }
}
