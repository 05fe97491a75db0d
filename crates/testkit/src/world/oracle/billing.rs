//! Wallets of the billing API: made, filled, debited, edited, closed.

use super::alerts::Ladder;
use super::purse::{ADJUSTED, Lot, Plan, Purse, Row, Status};
use super::{Answer, Oracle, entry, refuse};
use crate::world::line::{Line, money};

/// What a wallet shows after a change.
pub(super) fn shown(purse: &Purse) -> String {
    let status = match purse.status {
        Status::Active => "active",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    };
    format!("wallet {} held {} {status}", money(purse.credits), money(purse.held()))
}

impl Oracle {
    pub(super) fn customer(&mut self, line: &Line) -> Answer {
        if self.customers.contains(&line.subject) {
            return refuse("already_exists");
        }
        self.make_customer(&line.subject);
        Ok("done".to_owned())
    }

    pub(super) fn call(&mut self, line: &Line) -> Answer {
        if !self.customers.contains(&line.subject) {
            return refuse("not_found");
        }
        let name = line.option("as").unwrap_or_default().to_owned();
        if self.called.insert(line.subject.clone(), name.clone()) != Some(name) {
            self.book.tell(&format!("customer {}", line.subject), "customer.updated", "");
        }
        Ok("done".to_owned())
    }

    /// A customer goes when no wallet is open; the name is free again.
    pub(super) fn remove(&mut self, line: &Line) -> Answer {
        if !self.customers.contains(&line.subject) {
            return refuse("not_found");
        }
        let is_open =
            |purse: &Purse| purse.customer == line.subject && purse.status != Status::Closed;
        if self.purses.values().any(is_open) {
            return refuse("invalid_operation");
        }
        self.customers.retain(|name| *name != line.subject);
        self.called.remove(&line.subject);
        self.book.tell(&format!("customer {}", line.subject), "customer.deleted", "");
        Ok("done".to_owned())
    }

    pub(super) fn make_customer(&mut self, name: &str) {
        self.customers.push(name.to_owned());
        self.book.tell(&format!("customer {name}"), "customer.created", "");
    }

    pub(super) fn wallet(&mut self, line: &Line) -> Answer {
        let customer = line.option("of").unwrap_or_default().to_owned();
        if !self.customers.contains(&customer) {
            return refuse("not_found");
        }
        self.must_be_only(&customer, false)?;
        let overdraft = line.amount("overdraft").unwrap_or_default();
        let purse = Purse::new(&line.subject, &customer, None, overdraft);
        self.open(purse);
        if let Some(credits) = line.amount("start") {
            let lot = Purse::made(&self.book, credits, "FREE_CREDIT_GRANT", (None, None));
            self.on(&line.subject, |purse, book| {
                purse.receive(book, book.by, (&[lot], &[]));
                Ok(())
            })?;
        }
        Ok(shown(&self.purses[&line.subject]))
    }

    pub(super) fn open(&mut self, purse: Purse) {
        self.book.tell(&purse.stream(), "wallet.created", "");
        self.purses.insert(purse.name.clone(), purse);
    }

    /// A customer has one open wallet of a kind.
    fn must_be_only(&self, customer: &str, postpaid: bool) -> Result<(), String> {
        let open = self.purses.values().any(|purse| {
            purse.customer == customer
                && purse.user.is_none()
                && purse.postpaid == postpaid
                && purse.status != Status::Closed
        });
        if open { refuse("already_exists") } else { Ok(()) }
    }

    pub(super) fn topup(&mut self, line: &Line) -> Answer {
        let now = self.book.now;
        let expires = line.time_ms("expires").map(|ms| now + ms);
        if expires.is_some_and(|expires| expires <= now) {
            return refuse("validation_error");
        }
        let credits = line.figure.unwrap_or_default();
        let free = line.option("as") == Some("free");
        let priority = line.option("priority").map(|text| text.parse().unwrap());
        let bonus = self.bonus_of(line, credits, free);
        let label = format!("E{}", line.n);
        let (balance, rest, serials) = self.on(&line.subject, |purse, book| {
            must_be_open(purse)?;
            let before = book.serial;
            let reason = if free { "FREE_CREDIT_GRANT" } else { "PURCHASED_CREDIT_DIRECT" };
            let mut lots = vec![Purse::made(book, credits, reason, (priority, expires))];
            if let Some(bonus) = bonus {
                lots.push(Purse::made(book, bonus, "PURCHASED_CREDIT_BONUS", (priority, None)));
            }
            let kinds = ["paywall.balance.deposit.created"];
            purse.receive(book, book.by, (&lots, &kinds));
            let rest = purse.lot(before + 1).map_or(0, |lot| lot.left);
            let after = purse.credits - bonus.unwrap_or_default();
            Ok((after, rest, before + 1))
        })?;
        self.announce(&line.subject.clone(), serials, expires);
        Ok(format!("{} rest {}", entry(&label, balance), money(rest)))
    }

    /// An explicit bonus beats the setting, and only a purchase has one by it.
    fn bonus_of(&self, line: &Line, credits: i128, free: bool) -> Option<i128> {
        let set = self.bonus.filter(|(from, _)| !free && credits >= *from);
        line.amount("bonus").or(set.map(|(_, bonus)| bonus)).filter(|bonus| *bonus > 0)
    }

    pub(super) fn debit(&mut self, line: &Line) -> Answer {
        let credits = line.figure.unwrap_or_default();
        let balance = self.on(&line.subject, |purse, book| {
            must_spend(purse)?;
            if purse.user.is_some() && credits > purse.available() {
                return refuse(short(credits, purse.available()));
            }
            let begun = book.told.len();
            purse.spend(credits);
            let reason = "MANUAL_BALANCE_DEBIT";
            purse.row(book, book.by, &Row { credit: false, credits, reason, kinds: ADJUSTED });
            let balance = purse.credits;
            purse.finish(book, begun, book.by);
            Ok(balance)
        })?;
        Ok(entry(&format!("E{}", line.n), balance))
    }

    pub(super) fn freeze(&mut self, line: &Line) -> Answer {
        let purse = self.purses.get(&line.subject).ok_or("not_found")?;
        let (from, to) = match line.verb.as_str() {
            "freeze" => (Status::Active, Status::Frozen),
            _ => (Status::Frozen, Status::Active),
        };
        if purse.status != from {
            return refuse("invalid_operation");
        }
        self.updated(&line.subject, |purse| purse.status = to)
    }

    /// A change of a wallet's settings that was found to be one.
    fn updated(&mut self, name: &str, change: impl FnOnce(&mut Purse)) -> Answer {
        self.on(name, |purse, book| {
            let before = purse.ladder.clone();
            change(purse);
            book.tell(&purse.stream(), "wallet.updated", "");
            let in_force = |own: &Option<Ladder>| own.clone().or_else(|| book.ladder.clone());
            if in_force(&before) != in_force(&purse.ladder) {
                purse.edited(book);
            }
            Ok(())
        })?;
        Ok(shown(&self.purses[name]))
    }

    pub(super) fn edit(&mut self, line: &Line) -> Answer {
        let purse = self.purses.get(&line.subject).ok_or("not_found")?;
        if purse.status == Status::Closed {
            return refuse("invalid_operation");
        }
        let mut next = purse.clone();
        match line.verb.as_str() {
            "floor" => next.overdraft = line.figure.unwrap_or_default(),
            "alerts" => next.ladder = Ladder::of(line),
            _ => next.plan = Some(plan(line)),
        }
        let same = next.overdraft == purse.overdraft
            && next.ladder == purse.ladder
            && next.plan == purse.plan;
        if same {
            return Ok(shown(purse));
        }
        let replanned = next.plan != purse.plan;
        self.updated(&line.subject.clone(), |purse| {
            purse.overdraft = next.overdraft;
            purse.ladder = next.ladder;
            purse.plan = next.plan;
            if replanned {
                purse.suspended_told = None;
            }
        })
    }

    /// The environment's alert settings: all open wallets without their own are looked at.
    pub(super) fn default_alerts(&mut self, line: &Line) -> Answer {
        let ladder = Ladder::of(line);
        if ladder == self.book.ladder {
            return Ok("done".to_owned());
        }
        self.book.ladder = ladder;
        let open = self.purses.values().filter(|purse| purse.status != Status::Closed);
        let open: Vec<String> = open.map(|purse| purse.name.clone()).collect();
        for name in open {
            self.on(&name, |purse, book| {
                if purse.ladder.is_none() {
                    purse.edited(book);
                }
                Ok(())
            })?;
        }
        Ok("done".to_owned())
    }

    pub(super) fn set_bonus(&mut self, line: &Line) {
        self.bonus = line.amount("from").zip(line.amount("credits"));
    }

    pub(super) fn terminate(&mut self, line: &Line) -> Answer {
        self.on(&line.subject, |purse, book| {
            must_close(purse)?;
            let begun = book.told.len();
            let (credit, credits) = (purse.credits < 0, purse.credits.abs());
            if credits > 0 {
                if credit {
                    (purse.credits, purse.debt) = (0, 0);
                } else {
                    purse.spend(credits);
                }
                let reason = "WALLET_TERMINATION";
                purse.row(book, book.by, &Row { credit, credits, reason, kinds: ADJUSTED });
            }
            purse.seal(book, begun);
            purse.silence();
            purse.status = Status::Closed;
            Ok(())
        })?;
        let purse = &self.purses[&line.subject];
        self.book.tell(&purse.stream(), "wallet.terminated", "");
        Ok(shown(purse))
    }

    /// Closes a prepaid wallet and opens a postpaid one with its lots.
    pub(super) fn postpaid(&mut self, line: &Line) -> Answer {
        let old = self.purses.get(&line.subject).ok_or("not_found")?;
        if old.user.is_some() || old.status == Status::Closed || old.postpaid {
            return refuse("invalid_operation");
        }
        self.must_be_only(&old.customer.clone(), true)?;
        let mut old = self.purses.remove(&line.subject).unwrap();
        let mut new = Purse::new(&format!("{}+", line.subject), &old.customer, None, old.overdraft);
        new.postpaid = true;
        new.ladder.clone_from(&old.ladder);
        new.plan.clone_from(&old.plan);
        self.book.tell(&new.stream(), "wallet.created", "");
        old.post_due(&mut self.book);
        self.move_lots(&mut old, &mut new);
        old.silence();
        old.status = Status::Closed;
        self.book.tell(&old.stream(), "wallet.terminated", "");
        let text = shown(&new);
        self.purses.insert(old.name.clone(), old);
        self.purses.insert(new.name.clone(), new);
        Ok(text)
    }

    fn move_lots(&mut self, old: &mut Purse, new: &mut Purse) {
        let reason = "WALLET_TERMINATION";
        let lots: Vec<Lot> = old.in_order().into_iter().cloned().collect();
        for lot in lots {
            let (begun, by, credits) = (self.book.told.len(), self.book.by, lot.left);
            old.spend(credits);
            old.row(&mut self.book, by, &Row { credit: false, credits, reason, kinds: &[] });
            old.seal(&mut self.book, begun);
            let begun = self.book.told.len();
            let terms = (lot.priority, lot.expires);
            let moved = Purse::made(&self.book, credits, lot.reason, terms);
            new.add(&mut self.book, moved);
            new.credits += credits;
            self.announce(&new.name, self.book.serial, lot.expires);
            let row = Row { credit: true, credits, reason: lot.reason, kinds: &[] };
            new.row(&mut self.book, by, &row);
            new.finish(&mut self.book, begun, by);
        }
        if old.credits < 0 {
            let (begun, by, credits) = (self.book.told.len(), self.book.by, -old.credits);
            (old.credits, old.debt) = (0, 0);
            old.row(&mut self.book, by, &Row { credit: true, credits, reason, kinds: &[] });
            old.seal(&mut self.book, begun);
        }
    }
}

fn plan(line: &Line) -> Plan {
    Plan {
        threshold: line.amount("at").unwrap_or_default(),
        credits: line.amount("add").unwrap_or_default(),
        per_day: line.option("day").map_or(10, |text| text.parse().unwrap()),
        on: line.option("on") != Some("no"),
    }
}

pub(super) fn must_be_open(purse: &Purse) -> Result<(), String> {
    if purse.status == Status::Closed { refuse("wallet_closed") } else { Ok(()) }
}

pub(super) fn must_spend(purse: &Purse) -> Result<(), String> {
    must_be_open(purse)?;
    if purse.status == Status::Frozen { refuse("wallet_frozen") } else { Ok(()) }
}

fn must_close(purse: &Purse) -> Result<(), String> {
    must_be_open(purse)?;
    match purse.holds.len() {
        0 => Ok(()),
        open => refuse(format!("holds_open {open}")),
    }
}

/// Why a charge does not go: what it needs, and what there is.
pub(super) fn short(required: i128, available: i128) -> String {
    format!("insufficient {} {}", money(required), money(available))
}
