//! The oracle's wallet: plain numbers, and lots chosen by looking at all of them each time.

use std::cmp::Reverse;

use super::alerts::{LEVELS, Ladder, Machine, Sent};
use super::book::Book;
use crate::world::line::money;

const DAY_MS: i64 = 86_400_000;

/// Credit of one source. It has a serial number instead of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    pub serial: u64,
    pub reason: &'static str,
    pub original: i128,
    pub left: i128,
    pub held: i128,
    pub priority: Option<i64>,
    pub expires: Option<i64>,
    pub made: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub name: String,
    pub amount: i128,
    pub deadline: i64,
    /// (lot, credits) that it keeps.
    pub kept: Vec<(u64, i128)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Frozen,
    Closed,
}

/// Automatic top-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub threshold: i128,
    pub credits: i128,
    pub per_day: usize,
    pub on: bool,
}

#[derive(Clone, Debug)]
pub struct Purse {
    pub name: String,
    /// `paywall P1 ann`, where the wallet is a paywall user's.
    pub user: Option<String>,
    pub customer: String,
    pub postpaid: bool,
    pub status: Status,
    pub overdraft: i128,
    pub credits: i128,
    /// What debits took although no lot was left.
    pub debt: i128,
    pub lots: Vec<Lot>,
    pub holds: Vec<Hold>,
    pub ladder: Option<Ladder>,
    /// Of the credit balance, and of the ongoing balance.
    pub machines: [Machine; 2],
    /// Credits of the last purchase or grant.
    pub base: Option<i128>,
    pub plan: Option<Plan>,
    /// When automatic top-up ran.
    pub topups: Vec<i64>,
    pub suspended_told: Option<i64>,
}

/// A row of the ledger.
pub struct Row<'r> {
    pub credit: bool,
    pub credits: i128,
    pub reason: &'r str,
    /// Types of its paywall events, before `wallet.transaction.created`.
    pub kinds: &'r [&'r str],
}

pub const ADJUSTED: &[&str] = &["paywall.balance.adjustment.created"];

impl Lot {
    pub fn free(&self) -> i128 {
        self.left - self.held
    }

    /// Bought, or money that was given back; everything else was given.
    pub fn is_bought(&self) -> bool {
        matches!(self.reason, "PURCHASED_CREDIT_DIRECT" | "CREDIT_ADJUSTMENT")
    }

    fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Purse {
    pub fn new(name: &str, customer: &str, user: Option<String>, overdraft: i128) -> Purse {
        Purse {
            name: name.to_owned(),
            user,
            customer: customer.to_owned(),
            postpaid: false,
            status: Status::Active,
            overdraft,
            credits: 0,
            debt: 0,
            lots: Vec::new(),
            holds: Vec::new(),
            ladder: None,
            machines: [Machine::default(); 2],
            base: None,
            plan: None,
            topups: Vec::new(),
            suspended_told: None,
        }
    }

    pub fn stream(&self) -> String {
        format!("wallet {}", self.name)
    }

    pub fn held(&self) -> i128 {
        self.holds.iter().map(|hold| hold.amount).sum()
    }

    pub fn available(&self) -> i128 {
        self.credits - self.held() + self.overdraft
    }

    fn bought(&self) -> i128 {
        self.lots.iter().filter(|lot| lot.is_bought()).map(|lot| lot.left).sum()
    }

    /// Lots as they are spent: by priority, by end, the larger first, the older first.
    pub fn in_order(&self) -> Vec<&Lot> {
        let mut lots: Vec<&Lot> = self.lots.iter().collect();
        lots.sort_by_key(|lot| {
            let priority = lot.priority.unwrap_or(i64::MAX);
            let expires = lot.expires.unwrap_or(i64::MAX);
            (priority, expires, Reverse(lot.original), lot.made, lot.serial)
        });
        lots
    }

    pub fn lot(&mut self, serial: u64) -> Option<&mut Lot> {
        self.lots.iter_mut().find(|lot| lot.serial == serial)
    }

    /// Takes up to `want` from free parts of lots: for good, or as held.
    pub fn take(&mut self, want: i128, hold: bool) -> Vec<(u64, i128)> {
        let order: Vec<(u64, i128)> =
            self.in_order().into_iter().map(|lot| (lot.serial, lot.free())).collect();
        let (mut left, mut taken) = (want, Vec::new());
        for (serial, free) in order {
            let part = free.min(left);
            if part <= 0 {
                continue;
            }
            let lot = self.lot(serial).unwrap();
            if hold {
                lot.held += part;
            } else {
                lot.left -= part;
            }
            taken.push((serial, part));
            left -= part;
        }
        self.sweep();
        taken
    }

    pub fn sweep(&mut self) {
        self.lots.retain(|lot| lot.left != 0);
    }

    /// Spends from lots; what they lack is owed.
    pub fn spend(&mut self, credits: i128) -> Vec<(u64, i128)> {
        let taken = self.take(credits, false);
        self.debt += credits - taken.iter().map(|(_, part)| part).sum::<i128>();
        self.credits -= credits;
        taken
    }

    /// What came free pays what is owed.
    pub fn settle(&mut self) {
        if self.debt > 0 {
            self.debt -= self.take(self.debt, false).iter().map(|(_, part)| part).sum::<i128>();
        }
    }

    /// Adds a lot, less what is owed. Its serial counts even where all of it is.
    pub fn add(&mut self, book: &mut Book, mut lot: Lot) {
        book.serial += 1;
        lot.serial = book.serial;
        let filled = lot.left.min(self.debt);
        self.debt -= filled;
        lot.left -= filled;
        if lot.left > 0 {
            self.lots.push(lot);
        }
    }

    /// A fresh lot.
    pub fn made(
        book: &Book,
        credits: i128,
        reason: &'static str,
        (priority, expires): (Option<i64>, Option<i64>),
    ) -> Lot {
        let (original, left, made) = (credits, credits, book.now);
        Lot { serial: 0, reason, original, left, held: 0, priority, expires, made }
    }

    /// Tells a row after its effect on the balance.
    pub fn row(&self, book: &mut Book, by: Option<u32>, row: &Row<'_>) {
        if let Some(user) = &self.user {
            for kind in row.kinds {
                book.tell_by(by, user, kind, money(row.credits).to_string());
            }
        }
        let side = if row.credit { "credit" } else { "debit" };
        let (credits, after) = (money(row.credits), money(self.credits));
        let facts = format!("{side} {credits} after {after} {}", row.reason);
        book.tell_by(by, &self.stream(), "wallet.transaction.created", facts);
    }

    pub fn seal(&self, book: &mut Book, begun: usize) {
        let stands = (self.credits, self.held(), self.bought());
        book.seal(begun, &self.stream(), stands);
    }

    /// The end of an operation that moved money: its rows are sealed, then alerts are told.
    pub fn finish(&mut self, book: &mut Book, begun: usize, by: Option<u32>) {
        self.look(book, by, false, |purse, book| purse.seal(book, begun));
    }

    fn look(
        &mut self,
        book: &mut Book,
        by: Option<u32>,
        edit: bool,
        before_telling: impl FnOnce(&Purse, &mut Book),
    ) {
        let ladder = self.ladder.clone().or_else(|| book.ladder.clone());
        let ladder = ladder.and_then(|ladder| ladder.resolved(self.base));
        let mut sent = Vec::new();
        for (which, machine) in ["credit", "ongoing"].iter().zip(&mut self.machines) {
            match &ladder {
                Some(ladder) => {
                    let (from, what) = machine.step(ladder, self.credits, edit);
                    sent.push((which, what, from, machine.level));
                }
                None if edit => machine.silence(),
                None => machine.awake = true,
            }
        }
        before_telling(self, book);
        for (which, what, from, to) in sent {
            let kind = match what {
                Sent::Nothing => continue,
                Sent::Dropped => format!("wallet.{which}_balance.dropped"),
                Sent::Recovered => format!("wallet.{which}_balance.recovered"),
                Sent::Changed => "wallet.alert_level.changed".to_owned(),
            };
            let (from, to) = (LEVELS[usize::from(from)], LEVELS[usize::from(to)]);
            book.tell_by(by, &self.stream(), &kind, format!("{which} {from} {to}"));
        }
    }

    /// The settings in force were edited.
    pub fn edited(&mut self, book: &mut Book) {
        self.look(book, book.by, true, |_, _| ());
    }

    pub fn silence(&mut self) {
        self.machines.iter_mut().for_each(Machine::silence);
    }

    /// The next instant at which something ends by itself.
    pub fn next_due(&self) -> Option<i64> {
        let lots = self.lots.iter().filter(|lot| lot.free() > 0).filter_map(|lot| lot.expires);
        lots.chain(self.holds.iter().map(|hold| hold.deadline)).min()
    }

    /// Ends what is due: holds first, then credit, the oldest first.
    pub fn post_due(&mut self, book: &mut Book) {
        let now = book.now;
        while let Some(index) = self.first_due_hold(now) {
            self.end_hold(book, None, index, "expired");
        }
        loop {
            let due = self.lots.iter().filter(|lot| lot.is_over(now) && lot.free() > 0);
            let first = due.min_by_key(|lot| (lot.expires, lot.serial)).map(|lot| lot.serial);
            let Some(serial) = first else { return };
            self.expire(book, serial);
        }
    }

    fn first_due_hold(&self, now: i64) -> Option<usize> {
        let due = (0..self.holds.len()).filter(|index| self.holds[*index].deadline <= now);
        due.min_by_key(|index| self.holds[*index].deadline)
    }

    fn expire(&mut self, book: &mut Book, serial: u64) {
        let begun = book.told.len();
        let lot = self.lot(serial).unwrap();
        let credits = lot.free();
        lot.left -= credits;
        self.credits -= credits;
        self.sweep();
        let row = Row { credit: false, credits, reason: "CREDIT_EXPIRED", kinds: ADJUSTED };
        self.row(book, None, &row);
        let facts = money(credits).to_string();
        book.tell_by(None, &self.stream(), "wallet.credits.expired", facts);
        self.finish(book, begun, None);
    }

    /// Releases a hold, and tells it. Its credits are free again.
    pub fn end_hold(&mut self, book: &mut Book, by: Option<u32>, index: usize, why: &str) {
        let hold = self.holds.remove(index);
        for (serial, part) in &hold.kept {
            if let Some(lot) = self.lot(*serial) {
                lot.held -= part;
            }
        }
        let user = self.user.clone().unwrap();
        let facts = format!("{} {why}", money(hold.amount));
        book.tell_by(by, &user, "paywall.balance.hold.released", facts);
        self.settle();
    }

    /// Automatic top-up runs after each operation on the wallet.
    pub fn top_up_by_itself(&mut self, book: &mut Book) {
        loop {
            let Some(plan) = self.plan.clone().filter(|plan| plan.on) else { return };
            if self.status != Status::Active || self.credits > plan.threshold {
                return;
            }
            self.topups.retain(|at| book.now - at < DAY_MS);
            if self.topups.len() >= plan.per_day {
                let silent = self.suspended_told.is_none_or(|told| book.now - told >= DAY_MS);
                if silent {
                    self.suspended_told = Some(book.now);
                    book.tell_by(None, &self.stream(), "wallet.auto_topup.suspended", "");
                }
                return;
            }
            self.topups.push(book.now);
            let lot = Purse::made(book, plan.credits, "PURCHASED_CREDIT_DIRECT", (None, None));
            self.receive(book, None, (&[lot], &[]));
        }
    }

    /// Adds lots in one operation, with a row each.
    pub fn receive(&mut self, book: &mut Book, by: Option<u32>, (lots, kinds): (&[Lot], &[&str])) {
        let begun = book.told.len();
        for lot in lots {
            let credits = lot.left;
            self.add(book, lot.clone());
            self.credits += credits;
            self.row(book, by, &Row { credit: true, credits, reason: lot.reason, kinds });
        }
        self.base = Some(lots.iter().map(|lot| lot.original).sum());
        self.finish(book, begun, by);
    }
}
