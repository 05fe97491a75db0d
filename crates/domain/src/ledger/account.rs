//! The state of one wallet that money moves: balance, lots, holds, alert machines, chain head.
//!
//! `credits` always equals the lots' rest less `debt()`, the part that debits took below zero.
//! A debt exists only while no lot has a free rest.

use std::sync::Arc;

use super::entry::Taken;
use super::lot::Lot;
use super::refusal::Refusal;
use crate::alert::machine::Machine;
use crate::amount::{Amount, Rounding};
use crate::customer::Customer;
use crate::place::Place;
use crate::time::Timestamp;
use crate::wallet::{Wallet, WalletStatus};

/// An open reservation. It names the lots that it keeps; what they did not cover is overdraft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Place of the hold entry that made it.
    pub place: Place,
    pub amount: Amount,
    pub deadline: Timestamp,
    pub created_at: Timestamp,
    pub taken: Vec<Taken>,
    /// Of a proxied request: its own events tell what becomes of it.
    pub quiet: bool,
}

/// What auto top-up must remember (billing 4.14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopupHistory {
    /// Attempts of the last 24 hours with their credits, oldest first.
    pub attempts: Vec<(Timestamp, Amount)>,
    pub suspended_told_at: Option<Timestamp>,
}

/// What an operation changed, for the store to write. Drained after every batch.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub balance: bool,
    pub lots: Vec<Place>,
    pub holds: Vec<Place>,
}

#[derive(Clone, Debug)]
pub struct Account {
    /// Number of the wallet inside the database.
    pub no: i64,
    pub wallet: Arc<Wallet>,
    pub wallet_version: u32,
    pub customer: Arc<Customer>,
    pub customer_version: u32,
    /// Settled credits, held ones included.
    pub credits: Amount,
    pub held: Amount,
    /// Open lots, in spending order.
    pub lots: Vec<Lot>,
    pub holds: Vec<Hold>,
    /// Last event sequence of the wallet.
    pub sequence: u64,
    /// Number of entries so far.
    pub entries: u64,
    pub last: Option<Place>,
    pub last_at: Timestamp,
    pub head: [u8; 32],
    pub credit_machine: Machine,
    pub ongoing_machine: Machine,
    /// Credits of the newest purchase or grant: what a threshold in percent is a part of.
    pub percent_base: Option<Amount>,
    pub topups: TopupHistory,
    /// Set when an invariant of this wallet broke: nothing moves until someone looked.
    pub stopped: bool,
    /// What the store had of it broke an invariant when it was loaded: as `stopped`, but not told
    /// yet. Never stored.
    pub suspect: bool,
    /// Whether the store keeps the lots beside the wallet's row, because there are many.
    pub spilled: bool,
    pub changes: Changes,
}

impl Account {
    /// A wallet that nothing has happened to yet.
    pub fn open(
        no: i64,
        wallet: Arc<Wallet>,
        customer: Arc<Customer>,
        versions: (u32, u32),
    ) -> Self {
        Account {
            no,
            last_at: wallet.created_at,
            wallet,
            wallet_version: versions.0,
            customer,
            customer_version: versions.1,
            credits: Amount::ZERO,
            held: Amount::ZERO,
            lots: Vec::new(),
            holds: Vec::new(),
            sequence: 0,
            entries: 0,
            last: None,
            head: [0; 32],
            credit_machine: Machine::default(),
            ongoing_machine: Machine::default(),
            percent_base: None,
            topups: TopupHistory::default(),
            stopped: false,
            suspect: false,
            spilled: false,
            changes: Changes::default(),
        }
    }

    /// What may be spent now; below zero after a payment was taken back.
    pub fn available(&self) -> Amount {
        self.credits - self.held + self.wallet.overdraft_limit
    }

    /// Credits that debits took although no lot was left.
    pub fn debt(&self) -> Amount {
        self.lots.iter().map(|lot| lot.remaining).sum::<Amount>() - self.credits
    }

    /// The open lots by group: (bought, given).
    pub fn breakdown(&self) -> (Amount, Amount) {
        self.lots.iter().fold((Amount::ZERO, Amount::ZERO), |(bought, given), lot| {
            if lot.reason.is_purchased() {
                (bought + lot.remaining, given)
            } else {
                (bought, given + lot.remaining)
            }
        })
    }

    /// Worth of `credits` of this wallet in its currency.
    pub fn worth(&self, credits: Amount) -> Amount {
        credits.times(self.wallet.conversion_rate, Rounding::HalfAwayFromZero)
    }

    /// Whether nothing may move, not even what falls due by itself, because the books are wrong.
    pub fn is_stopped(&self) -> bool {
        self.stopped || self.suspect
    }

    pub fn must_move(&self) -> Result<(), Refusal> {
        if self.is_stopped() {
            return Err(Refusal::WalletStopped);
        }
        match self.wallet.status {
            WalletStatus::Closed => Err(Refusal::WalletClosed),
            _ => Ok(()),
        }
    }

    pub fn must_spend(&self) -> Result<(), Refusal> {
        self.must_move()?;
        match self.wallet.status {
            WalletStatus::Frozen => Err(Refusal::WalletFrozen),
            _ => Ok(()),
        }
    }

    pub(super) fn must_stay_in_range(&self, change: Amount) -> Result<(), Refusal> {
        if (self.credits + change).in_range() && change.in_range() {
            Ok(())
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// Lowers free lots by `credits` in spending order; what they lack becomes debt.
    pub(super) fn draw(&mut self, credits: Amount) -> Vec<Taken> {
        let taken =
            super::lot::allocate(&mut self.lots, credits, |lot, part| lot.remaining -= part);
        self.touch(&taken);
        taken
    }

    /// Reserves up to `credits` of free lots, in spending order.
    pub(super) fn reserve(&mut self, credits: Amount) -> Vec<Taken> {
        let taken = super::lot::allocate(&mut self.lots, credits, |lot, part| lot.held += part);
        self.touch(&taken);
        taken
    }

    fn touch(&mut self, taken: &[Taken]) {
        self.changes.lots.extend(taken.iter().map(|taken| taken.lot));
        self.sweep();
    }

    /// Drops lots that are used up.
    pub(super) fn sweep(&mut self) {
        self.lots.retain(|lot| !lot.remaining.is_zero());
    }

    /// Adds a lot of `lot.remaining`, less what first fills a debt.
    pub(super) fn add_lot(&mut self, mut lot: Lot, debt: Amount) {
        lot.remaining = (lot.remaining - debt).or_zero();
        self.changes.lots.push(lot.place);
        if lot.remaining.is_zero() {
            return;
        }
        self.insert_lot(lot);
    }

    fn insert_lot(&mut self, lot: Lot) {
        let index = self.lots.partition_point(|other| other.spending_order(&lot).is_lt());
        self.lots.insert(index, lot);
    }

    /// Gives credits back to the lot that they were taken from, as it was made. One that was used
    /// up is there again.
    pub(super) fn put_back(&mut self, origin: &Lot, credits: Amount) {
        self.changes.lots.push(origin.place);
        if let Some(lot) = self.lot_mut(origin.place) {
            lot.remaining += credits;
        } else {
            let lot = Lot { remaining: credits, held: Amount::ZERO, ..origin.clone() };
            self.insert_lot(lot);
        }
    }

    /// Credits that became free while a debt is open fill it first.
    pub(super) fn settle_debt(&mut self) {
        let debt = self.debt();
        if debt.is_positive() {
            self.draw(debt);
        }
    }

    pub(super) fn lot_mut(&mut self, place: Place) -> Option<&mut Lot> {
        self.lots.iter_mut().find(|lot| lot.place == place)
    }

    /// The invariants of one account; the name of the first that does not hold (billing 4.3).
    pub fn broken_invariant(&self) -> Option<&'static str> {
        let held_by_holds: Amount = self.holds.iter().map(|hold| hold.amount).sum();
        let free: Amount = self.lots.iter().map(Lot::free).sum();
        let debt = self.debt();
        let lot_is_sane = |lot: &Lot| {
            lot.remaining.is_positive()
                && !lot.held.is_negative()
                && lot.held <= lot.remaining
                && lot.remaining <= lot.original
        };
        if self.held != held_by_holds {
            Some("held_equals_open_holds")
        } else if !self.lots.iter().all(lot_is_sane) {
            Some("lot_within_bounds")
        } else if debt.is_negative() || (debt.is_positive() && free.is_positive()) {
            Some("balance_equals_lots")
        } else {
            None
        }
    }
}
