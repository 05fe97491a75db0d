//! The oracle: what each command must answer, and what the world must be like after it.
//!
//! A deliberately simple model of the product, written from its specification: plain maps, whole
//! numbers of 10⁻⁹, nothing of `domain::ledger`. It knows no ids; things have the names that lines
//! give them, and what a command makes is named after the command's number.

pub mod alerts;
mod billing;
pub mod book;
mod paywalls;
pub mod purse;
pub mod receivers;
mod time;

use std::collections::BTreeMap;

use super::line::{Line, money};
use book::Book;
use purse::Purse;
use receivers::Receiver;

/// How much of a command has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only that users were seen: the first step of a paywall's commands.
    Sight,
    Whole,
    /// As `Whole`, in a process that still remembers a user's closed wallet.
    Lazy,
}

/// The answer to a command. Names of things stand in it as words: `E7`, `H3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    /// The first answer of the key, again.
    pub replayed: bool,
}

#[derive(Clone, Debug)]
struct Paywall {
    overdraft: i128,
    /// Credits, lifetime in days, budget.
    trial: (i128, Option<i64>, Option<i128>),
    granted: i128,
    archived: bool,
}

#[derive(Clone, Debug)]
struct User {
    purse: String,
    /// Wallets that this user had before.
    closed: u32,
    suspended: bool,
    /// End of the newest link to top up.
    link_until: Option<i64>,
}

/// A row that may be refunded.
#[derive(Clone, Debug)]
struct Charge {
    purse: String,
    credits: i128,
    refunded: i128,
    /// The lots that paid, as they were made, with their parts.
    paid: Vec<(purse::Lot, i128)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HoldState {
    Held,
    Closed,
    Expired,
}

/// What the user knows of a hold after it has left the wallet.
#[derive(Clone, Debug)]
struct HoldFacts {
    purse: String,
    amount: i128,
    ended: bool,
    deadline: i64,
}

/// What a key did.
#[derive(Clone, Debug)]
struct Kept {
    body: String,
    text: String,
}

#[derive(Clone, Debug)]
pub struct Oracle {
    pub book: Book,
    pub purses: BTreeMap<String, Purse>,
    pub receivers: BTreeMap<String, Receiver>,
    paywalls: BTreeMap<String, Paywall>,
    users: BTreeMap<String, User>,
    customers: Vec<String>,
    /// How customers are called, where it was said.
    called: BTreeMap<String, String>,
    charges: BTreeMap<String, Charge>,
    holds: BTreeMap<String, HoldFacts>,
    /// By (verb, key).
    keys: BTreeMap<(String, String), Kept>,
    /// Every lot ever made, as it was made.
    origins: BTreeMap<u64, purse::Lot>,
    /// Purchases from the first figure on bring the second.
    bonus: Option<(i128, i128)>,
    /// When credits that end are announced: (instant, lot, wallet).
    notices: Vec<(i64, u64, String)>,
}

/// Why a command is refused: the words of the answer.
type Answer = Result<String, String>;

fn refuse<T>(words: impl Into<String>) -> Result<T, String> {
    Err(words.into())
}

impl Oracle {
    pub fn new(now: i64) -> Oracle {
        let book = Book { now, by: None, told: Vec::new(), serial: 0, ladder: None };
        Oracle {
            book,
            purses: BTreeMap::new(),
            receivers: BTreeMap::new(),
            paywalls: BTreeMap::new(),
            users: BTreeMap::new(),
            customers: Vec::new(),
            called: BTreeMap::new(),
            charges: BTreeMap::new(),
            holds: BTreeMap::new(),
            keys: BTreeMap::new(),
            origins: BTreeMap::new(),
            bonus: None,
            notices: Vec::new(),
        }
    }

    /// Does what the line says and tells what must be answered.
    pub fn apply(&mut self, line: &Line, extent: Extent) -> Said {
        self.book.by = Some(line.n);
        let done = match line.verb.as_str() {
            "charge" | "hold" | "deposit" | "batch" | "see" | "link" => {
                self.paywall_call(line, extent)
            }
            _ if extent == Extent::Sight => return Said { text: String::new(), replayed: false },
            "advance" => self.advance(line),
            "receiver" | "pause" | "resume" | "disable" | "enable" | "delete" => self.turn(line),
            "deliver" | "crash" => Ok("done".to_owned()),
            _ => self.once(line),
        };
        match done {
            Ok(text) => match text.strip_prefix("again ") {
                Some(text) => Said { text: text.to_owned(), replayed: true },
                None => Said { text, replayed: false },
            },
            Err(text) => Said { text, replayed: false },
        }
    }

    /// A command whose first answer is kept for its key; refusals are not.
    fn once(&mut self, line: &Line) -> Answer {
        if let Some(again) = self.again(line)? {
            return Ok(again);
        }
        let text = self.command(line)?;
        self.keep(line, &text);
        Ok(text)
    }

    /// What the key did before; another body is refused.
    fn again(&self, line: &Line) -> Result<Option<String>, String> {
        let Some(key) = &line.key else { return Ok(None) };
        match self.keys.get(&(line.verb.clone(), key.clone())) {
            Some(kept) if kept.body != line.body() => refuse("idempotency_key_reused"),
            Some(kept) => Ok(Some(format!("again {}", kept.text))),
            None => Ok(None),
        }
    }

    fn keep(&mut self, line: &Line, text: &str) {
        if let Some(key) = &line.key {
            let kept = Kept { body: line.body(), text: text.to_owned() };
            self.keys.insert((line.verb.clone(), key.clone()), kept);
        }
    }

    fn command(&mut self, line: &Line) -> Answer {
        match line.verb.as_str() {
            "customer" => self.customer(line),
            "call" => self.call(line),
            "remove" => self.remove(line),
            "wallet" => self.wallet(line),
            "topup" => self.topup(line),
            "debit" => self.debit(line),
            "freeze" | "unfreeze" => self.freeze(line),
            "terminate" => self.terminate(line),
            "postpaid" => self.postpaid(line),
            "floor" | "alerts" | "auto" => self.edit(line),
            "default" => self.default_alerts(line),
            "bonus" => {
                self.set_bonus(line);
                Ok("done".to_owned())
            }
            "paywall" => {
                self.paywall(line);
                Ok("done".to_owned())
            }
            "overdraft" => self.overdraft(line),
            "archive" | "unarchive" => self.archive(line),
            "suspend" | "unsuspend" => self.suspend(line),
            "capture" => self.capture(line),
            "release" => self.release(line),
            "refund" => self.refund(line),
            other => panic!("no such command: {other}"),
        }
    }

    /// Runs an operation on a wallet as every operation is: what is due is posted first, and
    /// automatic top-up comes after it.
    fn on<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Purse, &mut Book) -> Result<T, String>,
    ) -> Result<T, String> {
        self.note_origins();
        let purse = self.purses.get_mut(name).ok_or("not_found")?;
        purse.post_due(&mut self.book);
        let done = work(purse, &mut self.book);
        purse.top_up_by_itself(&mut self.book);
        done
    }

    /// Remembers new lots as they were made, and when their end is announced.
    fn note_origins(&mut self) {
        for purse in self.purses.values() {
            for lot in &purse.lots {
                if let std::collections::btree_map::Entry::Vacant(slot) =
                    self.origins.entry(lot.serial)
                {
                    let origin = purse::Lot { left: lot.original, held: 0, ..lot.clone() };
                    slot.insert(origin);
                }
            }
        }
    }

    /// Credits that end are announced seven days and one day before.
    fn announce(&mut self, purse: &str, serial: u64, expires: Option<i64>) {
        let Some(expires) = expires else { return };
        for days in [7, 1] {
            let at = expires - days * 86_400_000;
            if at > self.book.now {
                self.notices.push((at, serial, purse.to_owned()));
            }
        }
    }

    /// Names of holds that are open, of charges, of users.
    pub fn open_holds(&self) -> Vec<String> {
        let open = self.holds.iter().filter(|(_, hold)| !hold.ended);
        open.map(|(name, _)| name.clone()).collect()
    }

    pub fn holds(&self) -> Vec<String> {
        self.holds.keys().cloned().collect()
    }

    pub fn charges(&self) -> Vec<String> {
        self.charges.keys().cloned().collect()
    }

    pub fn paywall_of_hold(&self, name: &str) -> String {
        self.holds.get(name).map(|hold| paywall_of(&hold.purse)).unwrap_or_default()
    }

    pub fn amount_of_hold(&self, name: &str) -> Option<i128> {
        self.holds.get(name).map(|hold| hold.amount)
    }

    /// What may still be refunded.
    pub fn left_of_charge(&self, name: &str) -> Option<i128> {
        self.charges.get(name).map(|charge| charge.credits - charge.refunded)
    }

    pub fn paywall_of_charge(&self, name: &str) -> String {
        self.charges.get(name).map(|charge| paywall_of(&charge.purse)).unwrap_or_default()
    }

    pub fn customers(&self) -> &[String] {
        &self.customers
    }

    pub fn paywalls(&self) -> Vec<String> {
        self.paywalls.keys().cloned().collect()
    }

    pub fn is_archived(&self, paywall: &str) -> bool {
        self.paywalls.get(paywall).is_some_and(|paywall| paywall.archived)
    }

    pub fn is_suspended(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.suspended)
    }

    /// The wallet that a user's money is in now.
    pub fn purse_of(&self, user: &str) -> Option<&Purse> {
        self.users.get(user).and_then(|user| self.purses.get(&user.purse))
    }
}

/// The paywall of `P1/ann#1`.
fn paywall_of(purse: &str) -> String {
    purse.split('/').next().unwrap_or_default().to_owned()
}

/// `entry E7 balance 30`.
fn entry(label: &str, balance: i128) -> String {
    format!("entry {label} balance {}", money(balance))
}
