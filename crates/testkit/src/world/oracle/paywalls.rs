//! Paywalls and their users: first sight, deposits, charges, holds, refunds.

use super::billing::{must_be_open, must_spend, short, shown};
use super::purse::{Hold, Lot, Purse, Row, Status};
use super::{Answer, Charge, Extent, HoldFacts, HoldState, Oracle, Paywall, User, entry, refuse};
use crate::world::line::{Line, money};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const CHARGED: &[&str] = &["paywall.balance.charge.created", "paywall.balance.charge.completed"];

/// One user's part of a call: `P1/ann`, credits, and the name of what it makes.
struct Item {
    user: String,
    credits: i128,
    label: String,
}

impl Oracle {
    pub(super) fn paywall(&mut self, line: &Line) {
        let trial = (
            line.amount("trial").unwrap_or_default(),
            line.time_ms("lasts").map(|ms| ms / DAY_MS),
            line.amount("budget"),
        );
        let overdraft = line.amount("overdraft").unwrap_or_default();
        let paywall = Paywall { overdraft, trial, granted: 0, archived: false };
        self.paywalls.insert(line.subject.clone(), paywall);
        self.book.tell(&format!("paywall {}", line.subject), "paywall.created", "");
    }

    /// How far below zero users may go: carried by every open wallet.
    pub(super) fn overdraft(&mut self, line: &Line) -> Answer {
        let limit = line.figure.unwrap_or_default();
        let paywall = self.paywalls.get_mut(&line.subject).ok_or("not_found")?;
        if paywall.overdraft == limit {
            return Ok("done".to_owned());
        }
        paywall.overdraft = limit;
        let stream = format!("paywall {}", line.subject);
        self.book.tell(&stream, "paywall.updated", "");
        let is_its = |purse: &&Purse| {
            let of =
                purse.user.as_ref().is_some_and(|user| user.starts_with(&format!("{stream} ")));
            of && purse.status != Status::Closed
        };
        let open = self.purses.values().filter(is_its).map(|purse| purse.name.clone());
        for name in open.collect::<Vec<_>>() {
            self.on(&name, |purse, book| {
                purse.overdraft = limit;
                book.tell(&purse.stream(), "wallet.updated", "");
                Ok(())
            })?;
        }
        Ok("done".to_owned())
    }

    pub(super) fn archive(&mut self, line: &Line) -> Answer {
        let archived = line.verb == "archive";
        let paywall = self.paywalls.get_mut(&line.subject).ok_or("not_found")?;
        if paywall.archived != archived {
            paywall.archived = archived;
            let kind = if archived { "paywall.archived" } else { "paywall.unarchived" };
            self.book.tell(&format!("paywall {}", line.subject), kind, "");
        }
        Ok("done".to_owned())
    }

    pub(super) fn suspend(&mut self, line: &Line) -> Answer {
        let suspended = line.verb == "suspend";
        let user = self.users.get_mut(&line.subject).ok_or("not_found")?;
        if user.suspended != suspended {
            user.suspended = suspended;
            let kind = if suspended { "paywall.user.suspended" } else { "paywall.user.resumed" };
            self.book.tell(&stream(&line.subject), kind, "");
        }
        Ok("done".to_owned())
    }

    /// A call of a paywall: its users are seen first, in a step of their own.
    pub(super) fn paywall_call(&mut self, line: &Line, extent: Extent) -> Answer {
        let items = items(line);
        for item in &items {
            // A closed wallet that is remembered is replaced only when money would move.
            if extent != Extent::Lazy || !self.users.contains_key(&item.user) {
                self.see(&item.user);
            }
        }
        match line.verb.as_str() {
            _ if extent == Extent::Sight => Ok("seen".to_owned()),
            "see" => {
                self.see(&line.subject);
                Ok(shown(self.purse_of(&line.subject).unwrap()))
            }
            "batch" => self.batch(line, &items),
            "link" => self.link(&items[0].user),
            _ => self.single(line, &items[0]),
        }
    }

    fn single(&mut self, line: &Line, item: &Item) -> Answer {
        if let Some(again) = self.again(line)? {
            return Ok(again);
        }
        self.must_pass(&item.user)?;
        let text = match line.verb.as_str() {
            "charge" => self.charge(item)?,
            "deposit" => self.deposit(line, item)?,
            _ => self.hold(line, item)?,
        };
        self.keep(line, &text);
        Ok(text)
    }

    /// Makes customer, wallet and user where they are missing. A new user may get a trial.
    fn see(&mut self, name: &str) {
        let known = self.users.get(name);
        let is_open = |user: &User| self.purses[&user.purse].status != Status::Closed;
        if known.is_some_and(is_open) {
            return;
        }
        let before = known.cloned();
        let (paywall, customer) = name.split_once('/').unwrap();
        if !self.customers.iter().any(|known| known == customer) {
            self.make_customer(customer);
        }
        let closed = before.as_ref().map_or(0, |user| user.closed + 1);
        let purse = if closed == 0 { name.to_owned() } else { format!("{name}#{closed}") };
        let overdraft = self.paywalls[paywall].overdraft;
        self.open(Purse::new(&purse, customer, Some(stream(name)), overdraft));
        let is_new = before.is_none();
        let (suspended, link_until) =
            before.map_or((false, None), |user| (user.suspended, user.link_until));
        let user = User { purse: purse.clone(), closed, suspended, link_until };
        self.users.insert(name.to_owned(), user);
        if is_new {
            self.give_trial(paywall, &purse);
        }
    }

    fn give_trial(&mut self, paywall: &str, purse: &str) {
        let paywall = self.paywalls.get_mut(paywall).unwrap();
        let (credits, days, budget) = paywall.trial;
        if credits == 0 || budget.is_some_and(|budget| paywall.granted + credits > budget) {
            return;
        }
        paywall.granted += credits;
        let expires = days.map(|days| self.book.now + days * DAY_MS);
        let terms = (Some(10), expires);
        let lot = Purse::made(&self.book, credits, "FREE_CREDIT_GRANT", terms);
        let given = self.on(purse, |purse, book| {
            let kinds = ["paywall.balance.trial.granted"];
            purse.receive(book, book.by, (&[lot], &kinds));
            Ok(book.serial)
        });
        self.announce(purse, given.unwrap(), expires);
    }

    /// The gate: an archived paywall lets nobody through, and nobody who is suspended passes.
    fn must_pass(&mut self, name: &str) -> Result<(), String> {
        let (paywall, _) = name.split_once('/').unwrap();
        let reason = if self.paywalls[paywall].archived {
            "paywall_archived"
        } else if self.users[name].suspended {
            "user_suspended"
        } else {
            return Ok(());
        };
        self.book.tell(&stream(name), "paywall.request.blocked", reason);
        refuse(reason)
    }

    fn purse_name(&mut self, user: &str) -> String {
        self.see(user);
        self.users[user].purse.clone()
    }

    fn deposit(&mut self, line: &Line, item: &Item) -> Answer {
        let now = self.book.now;
        let expires = line.time_ms("expires").map(|ms| now + ms);
        let (priority, reason) = match line.option("as") {
            Some("trial") => (10, "FREE_CREDIT_GRANT"),
            Some("promo") => (20, "FREE_CREDIT_GRANT"),
            _ => (50, "PURCHASED_CREDIT_DIRECT"),
        };
        let name = self.purse_name(&item.user);
        let (balance, serial) = self.on(&name, |purse, book| {
            must_be_open(purse)?;
            if expires.is_some_and(|expires| expires <= now) {
                return refuse("expiry_in_past");
            }
            let lot = Purse::made(book, item.credits, reason, (Some(priority), expires));
            purse.receive(book, book.by, (&[lot], &["paywall.balance.deposit.created"]));
            Ok((purse.credits, book.serial))
        })?;
        self.announce(&name, serial, expires);
        Ok(entry(&item.label, balance))
    }

    /// Takes all or nothing; what finds too little is recorded, and a link is handed out.
    fn charge(&mut self, item: &Item) -> Answer {
        let name = self.purse_name(&item.user);
        let paid = self.on(&name, |purse, book| {
            must_spend(purse)?;
            if item.credits > purse.available() {
                return Ok(None);
            }
            let (begun, credits) = (book.told.len(), item.credits);
            let before = purse.lots.clone();
            let taken = purse.spend(credits);
            let reason = "MANUAL_BALANCE_DEBIT";
            purse.row(book, book.by, &Row { credit: false, credits, reason, kinds: CHARGED });
            let balance = purse.credits;
            purse.finish(book, begun, book.by);
            Ok(Some((balance, paid_by(&before, &taken))))
        })?;
        let Some((balance, paid)) = paid else {
            let text = self.fall_short(item);
            let amount = money(item.credits).to_string();
            self.book.tell(&stream(&item.user), "paywall.balance.charge.failed", amount);
            return refuse(format!("{text} failed {}", item.label));
        };
        self.remember_charge((&item.label, &name), item.credits, paid);
        Ok(entry(&item.label, balance))
    }

    fn remember_charge(
        &mut self,
        (label, purse): (&str, &str),
        credits: i128,
        paid: Vec<(u64, i128)>,
    ) {
        let paid = paid.into_iter().map(|(serial, part)| (self.origins[&serial].clone(), part));
        let paid = paid.collect();
        let charge = Charge { purse: purse.to_owned(), credits, refunded: 0, paid };
        self.charges.insert(label.to_owned(), charge);
    }

    /// Tells that the balance does not cover it, and hands out a link: a new one where none lives
    /// for another hour.
    fn fall_short(&mut self, item: &Item) -> String {
        let purse = self.purse_of(&item.user).unwrap();
        let available = purse.credits - purse.held();
        let facts = format!("{} {}", money(item.credits), money(available));
        let stream = stream(&item.user);
        self.book.tell(&stream, "paywall.balance.depleted", facts);
        self.hand_out_link(&item.user);
        short(item.credits, available)
    }

    /// A link to top up, for everyone but users of an archived paywall.
    fn link(&mut self, name: &str) -> Answer {
        let (paywall, _) = name.split_once('/').unwrap();
        if self.paywalls[paywall].archived {
            let reason = "paywall_archived";
            self.book.tell(&stream(name), "paywall.request.blocked", reason);
            return refuse(reason);
        }
        self.hand_out_link(name);
        Ok("done".to_owned())
    }

    /// The link that lives for another hour at least, or a new one.
    fn hand_out_link(&mut self, name: &str) {
        let now = self.book.now;
        let user = self.users.get_mut(name).unwrap();
        if user.link_until.is_none_or(|until| until <= now + HOUR_MS) {
            user.link_until = Some(now + DAY_MS);
            self.book.tell(&stream(name), "paywall.balance.topup.link.created", "");
        }
    }

    fn hold(&mut self, line: &Line, item: &Item) -> Answer {
        let deadline = self.book.now + line.time_ms("for").unwrap();
        let name = self.purse_name(&item.user);
        let (label, credits) = (format!("H{}", line.n), item.credits);
        let balance = self.on(&name, |purse, book| {
            must_spend(purse)?;
            if credits > purse.available() {
                return Ok(None);
            }
            let kept = purse.take(credits, true);
            let hold = Hold { name: label.clone(), amount: credits, deadline, kept };
            purse.holds.push(hold);
            let facts = money(credits).to_string();
            let user = purse.user.clone().unwrap();
            book.tell(&user, "paywall.balance.hold.created", facts);
            Ok(Some(purse.credits))
        })?;
        let Some(balance) = balance else { return refuse(self.fall_short(item)) };
        let facts = HoldFacts { purse: name, amount: credits, ended: false, deadline };
        self.holds.insert(label.clone(), facts);
        Ok(format!("hold {label} balance {}", money(balance)))
    }

    fn open_hold(&self, name: &str) -> Result<HoldFacts, String> {
        let hold = self.holds.get(name).ok_or("not_found")?;
        let state = match hold {
            hold if hold.ended => HoldState::Closed,
            hold if hold.deadline <= self.book.now => HoldState::Expired,
            _ => HoldState::Held,
        };
        match state {
            HoldState::Held => Ok(hold.clone()),
            HoldState::Closed => refuse("hold_closed"),
            HoldState::Expired => refuse("hold_expired"),
        }
    }

    /// Takes all of a hold or a part of it, once; the rest is free again.
    pub(super) fn capture(&mut self, line: &Line) -> Answer {
        let hold = self.open_hold(&line.subject)?;
        let credits = line.figure.unwrap_or(hold.amount);
        let label = format!("E{}", line.n);
        let (balance, paid) = self.on(&hold.purse, |purse, book| {
            must_be_open(purse)?;
            if credits > hold.amount {
                return refuse("capture_exceeds_hold");
            }
            let begun = book.told.len();
            let index = purse.holds.iter().position(|open| open.name == line.subject).unwrap();
            let taken = capture(purse, index, credits);
            let reason = "MANUAL_BALANCE_DEBIT";
            purse.row(book, book.by, &Row { credit: false, credits, reason, kinds: CHARGED });
            let balance = purse.credits;
            purse.settle();
            purse.finish(book, begun, book.by);
            purse.post_due(book);
            Ok((balance, taken))
        })?;
        self.remember_charge((&label, &hold.purse), credits, paid);
        self.holds.get_mut(&line.subject).unwrap().ended = true;
        Ok(entry(&label, balance))
    }

    pub(super) fn release(&mut self, line: &Line) -> Answer {
        let hold = self.open_hold(&line.subject)?;
        self.on(&hold.purse, |purse, book| {
            let index = purse.holds.iter().position(|open| open.name == line.subject).unwrap();
            purse.end_hold(book, book.by, index, "released");
            purse.post_due(book);
            Ok(())
        })?;
        self.holds.get_mut(&line.subject).unwrap().ended = true;
        Ok("released".to_owned())
    }

    /// Gives back all of a charge or a part of it: what was taken last comes back first.
    pub(super) fn refund(&mut self, line: &Line) -> Answer {
        let charge = self.charges.get(&line.subject).ok_or("not_found")?.clone();
        let left = charge.credits - charge.refunded;
        if left == 0 {
            return refuse("already_refunded");
        }
        let credits = line.figure.unwrap_or(left);
        if credits > left {
            return refuse(format!("refund_exceeds {}", money(left)));
        }
        let shares = shares(&charge, credits);
        let balance = self.on(&charge.purse, |purse, book| {
            must_be_open(purse)?;
            let begun = book.told.len();
            give_back(purse, book, shares);
            let balance = purse.credits;
            purse.finish(book, begun, book.by);
            Ok(balance)
        })?;
        self.charges.get_mut(&line.subject).unwrap().refunded += credits;
        let text = entry(&format!("E{}", line.n), balance);
        Ok(format!("{text} left {}", money(left - credits)))
    }

    /// Items are charged one after another; without a key for the call, those that fit come first.
    fn batch(&mut self, line: &Line, items: &[Item]) -> Answer {
        if let Some(again) = self.again(line)? {
            return Ok(again);
        }
        let mut results: Vec<Option<Answer>> = vec![None; items.len()];
        if line.key.is_none() {
            for (item, result) in items.iter().zip(&mut results) {
                if self.fits(item) {
                    *result = Some(self.charge(item));
                }
            }
        }
        for (item, result) in items.iter().zip(&mut results) {
            if result.is_none() {
                let passed = self.must_pass(&item.user);
                *result = Some(passed.and_then(|()| self.charge(item)));
            }
        }
        let paid = results.iter().any(|result| matches!(result, Some(Ok(_))));
        let words = results.into_iter().map(|result| match result {
            Some(Ok(text) | Err(text)) => text,
            None => String::new(),
        });
        let text = words.collect::<Vec<_>>().join(" ; ");
        if paid {
            self.keep(line, &text);
        }
        Ok(text)
    }

    fn fits(&self, item: &Item) -> bool {
        let (paywall, _) = item.user.split_once('/').unwrap();
        let purse = self.purse_of(&item.user).unwrap();
        let barred = self.paywalls[paywall].archived || self.users[&item.user].suspended;
        let spends = purse.status == Status::Active && item.credits <= purse.available();
        !barred && (spends || purse.status == Status::Frozen)
    }
}

fn stream(user: &str) -> String {
    let (paywall, name) = user.split_once('/').unwrap();
    format!("paywall {paywall} {name}")
}

fn items(line: &Line) -> Vec<Item> {
    if line.verb == "batch" {
        let item = |(index, (name, text)): (usize, &(String, String))| Item {
            user: format!("{}/{name}", line.subject),
            credits: line.amount(name).filter(|_| !text.is_empty()).unwrap(),
            label: format!("E{}.{index}", line.n),
        };
        return line.options.iter().enumerate().map(item).collect();
    }
    let credits = line.figure.unwrap_or_default();
    vec![Item { user: line.subject.clone(), credits, label: format!("E{}", line.n) }]
}

/// Which lots paid, in the order in which they did.
fn paid_by(before: &[Lot], taken: &[(u64, i128)]) -> Vec<(u64, i128)> {
    let known = |serial: &u64| before.iter().any(|lot| lot.serial == *serial);
    taken.iter().filter(|(serial, _)| known(serial)).copied().collect()
}

/// Ends a hold: `credits` of it are gone for good. What no lot of the hold covers is owed.
fn capture(purse: &mut Purse, index: usize, credits: i128) -> Vec<(u64, i128)> {
    let hold = purse.holds.remove(index);
    let (mut missing, mut taken) = (credits, Vec::new());
    for (serial, kept) in hold.kept {
        let used = kept.min(missing);
        if let Some(lot) = purse.lot(serial) {
            lot.held -= kept;
            lot.left -= used;
        }
        if used > 0 {
            taken.push((serial, used));
            missing -= used;
        }
    }
    purse.debt += missing;
    purse.credits -= credits;
    purse.sweep();
    taken
}

/// The parts of a charge that come back, with the lot that paid; none where no lot had.
fn shares(charge: &Charge, credits: i128) -> Vec<(Option<Lot>, i128)> {
    let until = charge.credits - charge.refunded;
    let from = until - credits;
    let mut at = 0;
    let mut shares = Vec::new();
    let by_lots: i128 = charge.paid.iter().map(|(_, part)| part).sum();
    let owed = (None, charge.credits - by_lots);
    let parts = charge.paid.iter().map(|(lot, part)| (Some(lot.clone()), *part));
    for (lot, part) in parts.chain([owed]) {
        let share = (at + part).min(until) - at.max(from);
        if share > 0 {
            shares.push((lot, share));
        }
        at += part;
    }
    shares
}

/// Puts credits back where they came from. Lots that have ended, and debts, make new lots, which
/// are told in rows of their own; the first row has everything that went back too.
fn give_back(purse: &mut Purse, book: &mut super::Book, shares: Vec<(Option<Lot>, i128)>) {
    let now = book.now;
    let mut back: Vec<(Lot, i128)> = Vec::new();
    let mut fresh: Vec<(&'static str, Option<i64>, i128)> = Vec::new();
    let mut make = |reason, priority, credits| match fresh
        .iter_mut()
        .find(|(r, p, _)| (*r, *p) == (reason, priority))
    {
        Some((.., sum)) => *sum += credits,
        None => fresh.push((reason, priority, credits)),
    };
    for (_, credits) in shares.iter().filter(|(lot, _)| lot.is_none()) {
        make("CREDIT_ADJUSTMENT", Some(50), *credits);
    }
    for (lot, credits) in shares {
        match lot {
            Some(lot) if lot.expires.is_some_and(|end| end <= now) => {
                make(lot.reason, lot.priority, credits);
            }
            Some(lot) => back.push((lot, credits)),
            None => {}
        }
    }
    let mut fresh = fresh.into_iter();
    loop {
        let anew = fresh.next();
        if anew.is_none() && back.is_empty() {
            return;
        }
        let mut credits = anew.map_or(0, |(.., credits)| credits);
        if let Some((reason, priority, credits)) = anew {
            let lot = Purse::made(book, credits, reason, (priority, None));
            purse.add(book, lot);
        } else {
            book.serial += 1;
        }
        for (origin, part) in back.drain(..) {
            credits += part;
            match purse.lot(origin.serial) {
                Some(lot) => lot.left += part,
                None => purse.lots.push(Lot { left: part, held: 0, ..origin }),
            }
        }
        purse.credits += credits;
        let kinds = &["paywall.balance.refund.created"];
        let row = Row { credit: true, credits, reason: "CREDIT_ADJUSTMENT", kinds };
        purse.row(book, book.by, &row);
        purse.settle();
    }
}
