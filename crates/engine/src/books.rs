//! The books of one wallet, proven in parts of a bounded size while the server works: the same
//! rules as `verify`, for one chain. Reads only; what it finds is acted on by others.
//!
//! A proof takes the account as one snapshot has it, walks its chain back to where it begins, and
//! applies the entries forward again. Entries never change, so later parts may read in later
//! snapshots while the wallet moves on.

use domain::amount::Amount;
use domain::ledger::Account;
use domain::ledger::entry::{Activity, Entry};
use domain::ledger::replay::{Fault, Replay, below_floor};
use domain::place::Place;
use domain::scope::Scope;
use store::Read;
use store::events::Versions;

use crate::error::Error;

/// Places that a walk back may keep; a longer chain is proven for its newest part.
pub(crate) const CHAIN_MAX: usize = 1 << 20;

/// The rules that can break, as `verify` names them.
pub const RULES: [&str; 5] = ["balance", "chain", "floor", "gap", "unreadable"];

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// One of `RULES`.
    pub rule: &'static str,
    /// The entry, if it is one.
    pub id: Option<String>,
    pub message: String,
}

/// The end of a proof.
pub(crate) enum Verdict {
    Balanced,
    Broken(Broken),
}

/// A proof under way.
pub(crate) struct Books {
    scope: Scope,
    stored: Account,
    replay: Replay,
    /// The next entry of the walk back.
    back: Option<Place>,
    /// Entries to apply, the next one last.
    ahead: Vec<Place>,
    /// So many entries are gone back at most.
    most: usize,
    versions: Versions,
}

/// The rule that an entry or a stored state breaks.
pub(crate) fn rule(fault: &Fault) -> &'static str {
    match fault {
        Fault::Floor { .. } => "floor",
        Fault::Stored { .. } | Fault::Invariant(_) => "balance",
        _ => "chain",
    }
}

/// Refuses a charge or a hold that took the wallet below its floor, as its settings were then.
pub(crate) fn check_floor(
    read: Read<'_>,
    versions: &mut Versions,
    entry: &Entry,
) -> Result<Result<(), Fault>, Error> {
    if below_floor(entry, Amount::ZERO).is_ok() {
        return Ok(Ok(()));
    }
    let (wallet, _) = versions.of_entry(read, entry)?;
    Ok(below_floor(entry, wallet.overdraft_limit))
}

impl Books {
    /// Begins with the account as `read` has it. `None`: there is no such wallet.
    pub(crate) fn open(
        read: Read<'_>,
        scope: Scope,
        (wallet, most): (i64, usize),
    ) -> Result<Option<Books>, Error> {
        let Some(stored) = store::accounts::load(read, wallet)? else { return Ok(None) };
        let (replay, back) = (Replay::of(&stored), stored.last);
        let (ahead, versions) = (Vec::new(), Versions::default());
        Ok(Some(Books { scope, stored, replay, back, ahead, most, versions }))
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    pub(crate) fn stored(&self) -> &Account {
        &self.stored
    }

    /// The account as its entries tell it; of a proof that is through with them.
    pub(crate) fn rebuilt(self) -> Account {
        self.replay.rebuilt(&self.stored)
    }

    /// Goes on for as many rows as are left. `None`: there is more to do.
    pub(crate) fn go_on(
        &mut self,
        read: Read<'_>,
        rows: &mut u32,
    ) -> Result<Option<Verdict>, Error> {
        match self.check(read, rows) {
            Ok(Ok(true)) => Ok(Some(Verdict::Balanced)),
            Ok(Ok(false)) => Ok(None),
            Ok(Err(broken)) => Ok(Some(Verdict::Broken(broken))),
            Err(Error::Store(error)) if error.is_unreadable() => {
                Ok(Some(Verdict::Broken(unreadable(&error))))
            }
            Err(error) => Err(error),
        }
    }

    fn check(&mut self, read: Read<'_>, rows: &mut u32) -> Result<Result<bool, Broken>, Error> {
        if let Err(broken) = self.walk_back(read, rows)? {
            return Ok(Err(broken));
        }
        if self.back.is_some() {
            return Ok(Ok(false));
        }
        while let Some(&place) = self.ahead.last() {
            if *rows == 0 {
                return Ok(Ok(false));
            }
            *rows -= 1;
            if let Err(broken) = self.apply(read, place)? {
                return Ok(Err(broken));
            }
            self.ahead.pop();
        }
        let end = self.replay.compare(&self.stored);
        Ok(end.map(|()| true).map_err(|fault| self.broken(&fault, None)))
    }

    fn walk_back(&mut self, read: Read<'_>, rows: &mut u32) -> Result<Result<(), Broken>, Error> {
        while let Some(place) = self.back.filter(|_| *rows > 0) {
            *rows -= 1;
            if self.ahead.len() >= self.most {
                return self.begin_after(read, place);
            }
            let found = store::books::link(read, &self.scope, place)?;
            let Some(link) = found else { return Ok(Err(self.missing(place))) };
            if link.previous.is_some_and(|previous| previous >= place) {
                return Ok(Err(self.broken(&Fault::Predecessor(place), None)));
            }
            self.ahead.push(place);
            self.back = link.previous;
        }
        Ok(Ok(()))
    }

    /// Goes back no further: what was before this entry is taken as it says.
    fn begin_after(&mut self, read: Read<'_>, place: Place) -> Result<Result<(), Broken>, Error> {
        let found = store::entries::find(read, &self.scope, place)?;
        let Some(entry) = found else { return Ok(Err(self.missing(place))) };
        self.replay = Replay::after(&self.stored, &entry, self.ahead.len() as u64);
        self.back = None;
        Ok(Ok(()))
    }

    fn apply(&mut self, read: Read<'_>, place: Place) -> Result<Result<(), Broken>, Error> {
        let found = store::entries::find(read, &self.scope, place)?;
        let is_own = |entry: &Entry| entry.wallet_no == self.stored.no;
        let Some(entry) = found.filter(is_own) else { return Ok(Err(self.missing(place))) };
        let origins = match entry.activity {
            Activity::Refund => crate::refunds::origins(read, &self.scope, &entry)?,
            _ => Vec::new(),
        };
        let mut kept = check_floor(read, &mut self.versions, &entry)?;
        kept = self.replay.apply(&entry, &origins).and(kept);
        Ok(kept.map_err(|fault| self.broken(&fault, Some(entry.id().to_string()))))
    }

    fn broken(&self, fault: &Fault, id: Option<String>) -> Broken {
        let message = format!("wallet {}: {fault}", self.stored.wallet.id);
        Broken { rule: rule(fault), id, message }
    }

    fn missing(&self, place: Place) -> Broken {
        let wallet = self.stored.wallet.id;
        let message = format!("wallet {wallet}: entry {place} is not there");
        Broken { rule: "chain", id: None, message }
    }
}

pub(crate) fn unreadable(error: &store::Error) -> Broken {
    Broken { rule: "unreadable", id: None, message: error.to_string() }
}
