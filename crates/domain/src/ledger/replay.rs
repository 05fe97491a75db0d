//! The books' proof for one wallet: its entries, applied again from the first, must give the chain,
//! the balance, the lots and the holds that are stored (product promise 7).

use super::account::{Account, Hold};
use super::chain;
use super::entry::{Activity, Announce, Entry, Kind, LedgerAccount, Status};
use super::lot::Lot;
use crate::amount::Amount;
use crate::place::{Place, Placed};

/// The first thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("entry {0}: its hash does not cover its content and its predecessor")]
    Hash(Place),
    #[error("entry {0}: its predecessor is not the wallet's entry before it")]
    Predecessor(Place),
    #[error("entry {place}: balance before is {stored}, the entries so far give {replayed}")]
    Before { place: Place, stored: Amount, replayed: Amount },
    #[error("entry {0}: balance after is not before and effect")]
    After(Place),
    #[error("entry {0}: its two ledger accounts are the same, so it is no transfer")]
    NoTransfer(Place),
    #[error("entry {0}: it takes from a lot what is not there, or gives back what was not taken")]
    Lot(Place),
    #[error("entry {0}: it names a hold that is not open")]
    Hold(Place),
    #[error("entry {0}: its event number does not follow the wallet's last one")]
    Sequence(Place),
    #[error("{what} is stored as {stored}, the entries give {replayed}")]
    Stored { what: &'static str, stored: String, replayed: String },
    #[error("the rule {0} does not hold")]
    Invariant(&'static str),
    #[error("entry {place}: it left {available} to spend, and no debit may leave less than 0")]
    Floor { place: Place, available: Amount },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.env().get(), self.position())
    }
}

/// A wallet's state as its entries tell it.
pub struct Replay {
    state: Account,
    /// Whether it began at the first entry, so that it knows lots and holds.
    whole: bool,
}

/// What a charge or a hold left to spend, where that is less than it may: below an overdraft limit
/// of `overdraft` only debits of the billing API and payments that were taken back lead.
pub fn below_floor(entry: &Entry, overdraft: Amount) -> Result<(), Fault> {
    let spends = match entry.kind {
        Kind::Hold => true,
        Kind::Debit => entry.activity == Activity::Charge && entry.from != LedgerAccount::Held,
        _ => false,
    };
    let available = entry.standing.credits - entry.standing.held + overdraft;
    let moved = entry.status == Status::Completed && entry.credits.is_positive();
    if spends && moved && available.is_negative() {
        return Err(Fault::Floor { place: entry.place, available });
    }
    Ok(())
}

impl Replay {
    /// Begins before the first entry of `stored`'s wallet.
    pub fn of(stored: &Account) -> Replay {
        let versions = (stored.wallet_version, stored.customer_version);
        let (wallet, customer) = (stored.wallet.clone(), stored.customer.clone());
        let state = Account::open(stored.no, wallet, customer, versions);
        Replay { state, whole: true }
    }

    /// Begins after `entry`, one of the newest of `stored`'s wallet, with `newer` entries after it.
    /// What it does not know, lots and holds, it does not compare.
    pub fn after(stored: &Account, entry: &Entry, newer: u64) -> Replay {
        let Replay { mut state, .. } = Replay::of(stored);
        state.credits = entry.after;
        state.last = Some(entry.place);
        state.head = entry.hash;
        state.entries = stored.entries.saturating_sub(newer);
        state.sequence = if entry.announce.tells_wallet() { entry.sequence } else { 0 };
        Replay { state, whole: false }
    }

    /// The account as the entries tell it, with what they do not tell as it is stored.
    pub fn rebuilt(self, stored: &Account) -> Account {
        let told = self.state;
        Account {
            credits: told.credits,
            held: told.held,
            lots: told.lots,
            holds: told.holds,
            entries: told.entries,
            last: told.last,
            head: told.head,
            sequence: stored.sequence.max(told.sequence),
            ..stored.clone()
        }
    }

    /// What comes free beside the next entry: the rest of the hold that it captures.
    pub fn freed_by(&self, entry: &Entry) -> Amount {
        if entry.kind != Kind::Debit || entry.from != LedgerAccount::Held {
            return Amount::ZERO;
        }
        let named = entry.details.hold_id.map(Placed::place);
        let hold = self.state.holds.iter().find(|hold| Some(hold.place) == named);
        hold.map_or(Amount::ZERO, |hold| hold.amount - entry.credits)
    }

    /// Applies the next entry of the wallet. A refund may bring back lots that were used up:
    /// `origins` are those that it names, as credits of this wallet made them.
    pub fn apply(&mut self, entry: &Entry, origins: &[Lot]) -> Result<(), Fault> {
        self.check_chain(entry)?;
        self.check_figures(entry)?;
        if !self.whole {
            self.state.credits = entry.after;
            return Ok(());
        }
        match (entry.status, entry.kind) {
            (Status::Completed, Kind::Credit) => self.credit(entry, origins)?,
            (Status::Completed, Kind::Debit) => self.debit(entry)?,
            (Status::Completed, Kind::Hold) => self.hold(entry)?,
            (Status::Completed, Kind::Release) => self.release(entry, Amount::ZERO)?,
            _ => {}
        }
        self.state.credits = entry.after;
        let gives_back = entry.activity == Activity::Refund;
        if entry.kind == Kind::Release || entry.from == LedgerAccount::Held || gives_back {
            self.state.settle_debt();
        }
        Ok(())
    }

    fn check_chain(&mut self, entry: &Entry) -> Result<(), Fault> {
        if entry.previous != self.state.last {
            return Err(Fault::Predecessor(entry.place));
        }
        if entry.hash != chain::hash(entry, &self.state.head) {
            return Err(Fault::Hash(entry.place));
        }
        self.state.last = Some(entry.place);
        self.state.head = entry.hash;
        self.state.entries += 1;
        Ok(())
    }

    fn check_figures(&mut self, entry: &Entry) -> Result<(), Fault> {
        let replayed = self.state.credits;
        if entry.before != replayed {
            return Err(Fault::Before { place: entry.place, stored: entry.before, replayed });
        }
        if entry.after != entry.before + entry.effect() {
            return Err(Fault::After(entry.place));
        }
        if entry.from == entry.to {
            return Err(Fault::NoTransfer(entry.place));
        }
        if entry.announce.tells_wallet() {
            if entry.sequence <= self.state.sequence {
                return Err(Fault::Sequence(entry.place));
            }
            self.state.sequence = entry.sequence;
        }
        Ok(())
    }

    /// What it gives back goes to its lots; the rest is a lot of its own. A row that closes a debt
    /// for good makes none: the debt takes all of it.
    fn credit(&mut self, entry: &Entry, origins: &[Lot]) -> Result<(), Fault> {
        let debt = self.state.debt();
        for taken in &entry.taken {
            let is_meant = |lot: &&Lot| lot.place == taken.lot && !lot.is_expired(entry.at);
            let origin = origins.iter().find(is_meant).ok_or(Fault::Lot(entry.place))?;
            self.state.put_back(origin, taken.credits);
            let whole = self.state.lot_mut(taken.lot).map(|lot| lot.remaining <= lot.original);
            if whole != Some(true) {
                return Err(Fault::Lot(entry.place));
            }
        }
        let lot = Lot::of(entry);
        if lot.original.is_negative() {
            return Err(Fault::Lot(entry.place));
        }
        if lot.original.is_positive() {
            self.state.add_lot(lot, debt);
        }
        Ok(())
    }

    fn debit(&mut self, entry: &Entry) -> Result<(), Fault> {
        if entry.from == LedgerAccount::Held {
            self.release(entry, entry.credits)?;
        }
        for taken in &entry.taken {
            let lot = self.state.lot_mut(taken.lot).ok_or(Fault::Lot(entry.place))?;
            if lot.free() < taken.credits {
                return Err(Fault::Lot(entry.place));
            }
            lot.remaining -= taken.credits;
        }
        self.state.sweep();
        Ok(())
    }

    fn hold(&mut self, entry: &Entry) -> Result<(), Fault> {
        for taken in &entry.taken {
            let lot = self.state.lot_mut(taken.lot).ok_or(Fault::Lot(entry.place))?;
            lot.held += taken.credits;
            if lot.held > lot.remaining {
                return Err(Fault::Lot(entry.place));
            }
        }
        self.state.held += entry.credits;
        self.state.holds.push(Hold {
            place: entry.place,
            amount: entry.credits,
            deadline: entry.details.expires_at.unwrap_or_default(),
            created_at: entry.at,
            taken: entry.taken.clone(),
            quiet: entry.announce == Announce::Quiet,
        });
        Ok(())
    }

    /// Ends the hold that a release or a capture names.
    fn release(&mut self, entry: &Entry, captured: Amount) -> Result<(), Fault> {
        let named = entry.details.hold_id.map(Placed::place);
        let index = self.state.holds.iter().position(|hold| Some(hold.place) == named);
        let hold = self.state.holds.remove(index.ok_or(Fault::Hold(entry.place))?);
        if captured > hold.amount {
            return Err(Fault::Hold(entry.place));
        }
        self.state.held -= hold.amount;
        for taken in &hold.taken {
            if let Some(lot) = self.state.lot_mut(taken.lot) {
                lot.held -= taken.credits;
            }
        }
        Ok(())
    }

    /// Compares what the entries gave with what is stored.
    pub fn compare(&self, stored: &Account) -> Result<(), Fault> {
        let replayed = &self.state;
        same("credit_balance", &stored.credits, &replayed.credits)?;
        same("number of entries", &stored.entries, &replayed.entries)?;
        if stored.head != replayed.head || stored.last != replayed.last {
            return Err(Fault::Stored {
                what: "head of the chain",
                stored: format!("{:?}", stored.last),
                replayed: format!("{:?}", replayed.last),
            });
        }
        // Events beside the entries count too, so the stored one may be higher.
        if stored.sequence < replayed.sequence {
            same("last event number", &stored.sequence, &replayed.sequence)?;
        }
        if self.whole {
            same("held_credit_balance", &stored.held, &replayed.held)?;
            same("the rest of the lots", &rests(stored), &rests(replayed))?;
        }
        match stored.broken_invariant() {
            Some(rule) => Err(Fault::Invariant(rule)),
            None => Ok(()),
        }
    }
}

/// Lots with what is left and held of each.
fn rests(account: &Account) -> String {
    let lots = account.lots.iter();
    let rests: Vec<String> =
        lots.map(|lot| format!("{}: {}/{}", lot.place.raw(), lot.remaining, lot.held)).collect();
    format!("{rests:?}")
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    stored: &T,
    replayed: &T,
) -> Result<(), Fault> {
    if stored == replayed {
        return Ok(());
    }
    Err(Fault::Stored { what, stored: stored.to_string(), replayed: replayed.to_string() })
}
