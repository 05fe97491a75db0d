//! Stopping a wallet whose books are wrong, and the way back: after the repair its books are proven
//! again, and it moves (billing 4.3). It stays frozen until someone unfreezes it.

use domain::id::WalletId;
use domain::ledger::Account;
use domain::scope::{Actor, Cause, Scope};
use domain::wallet::WalletStatus;
use serde::Serialize;
use serde_json::json;
use store::{Read, Tx};

use super::change;
use crate::audit;
use crate::books::{Books, Broken, Verdict, unreadable};
use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::run::Engine;

/// Actions of the audit log.
pub(crate) const STOPPED: &str = "wallet.stopped";
const RESUMED: &str = "wallet.resumed";
const REBUILT: &str = "wallet.rebuilt";

/// Stops the wallet, freezes it if it was active, and says why. False: it was stopped before.
pub(crate) fn stop(tx: &mut Tx<'_>, no: i64, broken: &Broken) -> Result<bool, Error> {
    // What is stored decides: the writer's memory may know more of the wallet, or less.
    let stored = store::accounts::load(tx.read()?, no)?;
    let stored = stored.ok_or_else(|| Error::not_found("wallet"))?;
    if stored.stopped {
        return Ok(false);
    }
    tx.set_stopped(no, true)?;
    let cause = Cause { actor: Actor::system(), ..Cause::schedule() };
    let id = stored.wallet.id;
    if stored.wallet.status == WalletStatus::Active {
        change::freeze(tx, &cause, id)?;
    }
    let why = json!({ "rule": broken.rule, "id": broken.id, "message": broken.message });
    audit::record(tx, &cause, STOPPED, ("wallet", id.to_string()), (None, Some(why)))?;
    Ok(true)
}

/// What a check of one wallet came to.
#[derive(Clone, Debug, Serialize)]
pub struct Rechecked {
    pub wallet_id: WalletId,
    pub balanced: bool,
    /// Whether nothing moves on the wallet.
    pub stopped: bool,
    /// Whether what is stored of it was written again from its entries.
    pub rebuilt: bool,
    pub finding: Option<Found>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub rule: &'static str,
    pub id: Option<String>,
    pub message: String,
}

/// What is asked of a check.
#[derive(Clone, Debug)]
pub struct Recheck {
    pub wallet: WalletId,
    /// Write what is stored again where only that is wrong, and not the entries.
    pub rebuild: bool,
    pub cause: Cause,
    pub key: Option<domain::ledger::entry::KeyUse>,
}

/// The books of one wallet as one snapshot has them.
#[derive(Clone)]
struct Proven {
    no: i64,
    entries: u64,
    broken: Option<Broken>,
    /// The account as its entries tell it, where they are whole and what is stored is not.
    rebuilt: Option<Box<Account>>,
}

impl Engine {
    /// Proves the books of one wallet from its first entry on. Right ones let a stopped wallet move
    /// again, wrong ones stop it.
    pub async fn recheck_wallet(
        &self,
        scope: Scope,
        ask: Recheck,
        render: impl Fn(&Rechecked) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let id = ask.wallet;
        let proven = self.read(move |read| prove(read, scope, id)).await?;
        if let Some(broken) = &proven.broken {
            self.stop_wallet(scope, proven.no, broken.clone()).await?;
        }
        let key = ask.key.clone();
        let work = move |tx: &mut Tx<'_>| conclude(tx, &ask, &proven);
        self.once(scope, key, work, render).await
    }
}

fn prove(read: Read<'_>, scope: Scope, id: WalletId) -> Result<Proven, Error> {
    let missing = || Error::not_found("wallet");
    let no = store::wallets::find_no(read, &scope, id)?.ok_or_else(missing)?;
    let mut books = match Books::open(read, scope, (no, usize::MAX)) {
        Ok(books) => books.ok_or_else(missing)?,
        Err(Error::Store(error)) if error.is_unreadable() => {
            let broken = Some(unreadable(&error));
            return Ok(Proven { no, entries: 0, broken, rebuilt: None });
        }
        Err(error) => return Err(error),
    };
    let broken = loop {
        match books.go_on(read, &mut { u32::MAX })? {
            Some(Verdict::Balanced) => break None,
            Some(Verdict::Broken(broken)) => break Some(broken),
            None => {}
        }
    };
    let entries = books.stored().entries;
    let is_whole = broken.as_ref().is_some_and(|broken| broken.rule == "balance");
    // Another number of entries means that the chain was not followed from its real end.
    let rebuilt = Some(books.rebuilt()).filter(|account| is_whole && account.entries == entries);
    let rebuilt = rebuilt.map(Box::new);
    Ok(Proven { no, entries, broken, rebuilt })
}

fn conclude(tx: &mut Tx<'_>, ask: &Recheck, proven: &Proven) -> Result<Rechecked, Error> {
    let mut done = Rechecked {
        wallet_id: ask.wallet,
        balanced: proven.broken.is_none(),
        stopped: true,
        rebuilt: false,
        finding: proven.broken.as_ref().map(Found::of),
    };
    match (&proven.broken, &proven.rebuilt) {
        (None, _) => done.stopped = resume(tx, ask, proven)?,
        (Some(_), Some(account)) if ask.rebuild => {
            rebuild(tx, ask, proven, account)?;
            done.rebuilt = true;
        }
        (Some(_), _) => {}
    }
    Ok(done)
}

impl Found {
    fn of(broken: &Broken) -> Found {
        let Broken { rule, id, message } = broken.clone();
        Found { rule, id, message }
    }
}

/// Lets a stopped wallet move. What was proven is what is stored now: nothing moved meanwhile.
/// Returns whether the wallet is stopped.
fn resume(tx: &mut Tx<'_>, ask: &Recheck, proven: &Proven) -> Result<bool, Error> {
    let stored = store::accounts::load(tx.read()?, proven.no)?;
    let stored = stored.ok_or_else(|| Error::not_found("wallet"))?;
    if !stored.stopped {
        return Ok(false);
    }
    if stored.entries != proven.entries {
        return Err(moved());
    }
    // The writer's memory may be of before the repair.
    tx.reload_account(proven.no)?;
    tx.set_stopped(proven.no, false)?;
    let entity = ("wallet", ask.wallet.to_string());
    audit::record(tx, &ask.cause, RESUMED, entity, (None, None))?;
    Ok(false)
}

/// Writes the account as its entries tell it. It stays stopped: the next check lets it move.
fn rebuild(
    tx: &mut Tx<'_>,
    ask: &Recheck,
    proven: &Proven,
    account: &Account,
) -> Result<(), Error> {
    let stored = store::accounts::load(tx.read()?, proven.no)?;
    if stored.is_none_or(|stored| stored.entries != proven.entries || !stored.stopped) {
        return Err(moved());
    }
    tx.rebuild_account(account.clone())?;
    let entity = ("wallet", ask.wallet.to_string());
    let before = proven.broken.as_ref().map(|broken| json!({ "problem": broken.message }));
    audit::record(tx, &ask.cause, REBUILT, entity, (before, None))?;
    Ok(())
}

fn moved() -> Error {
    let message = "the wallet is not stopped, or it moved while it was checked; check it again";
    Error::conflict("wallet_moved", message)
}
