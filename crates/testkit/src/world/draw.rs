//! What happens next: a random line that makes some sense where the world stands, and now and then
//! one that makes none.

use super::chance::Chance;
use super::line::Line;
use super::names::Names;
use super::oracle::Oracle;
use super::oracle::purse::{Purse, Status};
use super::oracle::receivers::State;

const NANO: i128 = 1_000_000_000;
const USERS: [&str; 4] = ["ann", "bob", "cy", "dee"];
const TIMES: [&str; 8] = ["1s", "30s", "90s", "20m", "2h", "20h", "3d", "9d"];
const PAYWALLS_MAX: usize = 2;
const WALLETS_MAX: usize = 4;
const RECEIVERS_MAX: usize = 4;

/// Draws lines for one run.
pub struct Draw<'d> {
    pub chance: &'d mut Chance,
    pub oracle: &'d Oracle,
    /// What nobody was told the id of cannot be named.
    pub names: &'d Names,
    /// Lines that had a key, for repeats.
    pub keyed: &'d [Line],
}

/// The kind of line that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Any,
    /// A command that moves money, or wants to.
    Money,
    Time,
    Paywall,
    Wallet,
}

impl Draw<'_> {
    pub fn line(&mut self, n: u32, wanted: Wanted) -> Line {
        match wanted {
            Wanted::Any => self.any(n),
            Wanted::Money => self.money(n),
            Wanted::Time => self.time(n),
            Wanted::Paywall => self.new_paywall(n),
            Wanted::Wallet => self.new_wallet(n),
        }
    }

    fn any(&mut self, n: u32) -> Line {
        let archived = self.oracle.paywalls().iter().any(|name| self.oracle.is_archived(name));
        if archived && self.chance.percent(20) {
            return self.archived(n);
        }
        match self.chance.below(100) {
            0..70 => self.money(n),
            70..78 => self.time(n),
            78..90 => self.settings(n),
            _ => self.receivers(n),
        }
    }

    fn money(&mut self, n: u32) -> Line {
        if self.chance.percent(12)
            && let Some(line) = self.again(n)
        {
            return line;
        }
        let line = match self.chance.below(100) {
            0..28 => {
                let line = self.user(n, "charge");
                self.near(line, None)
            }
            28..42 => self.deposit(n),
            42..52 => self.hold(n),
            52..64 => self.of_hold(n),
            64..72 => self.refund(n),
            72..78 => self.batch(n),
            78..79 => self.user(n, "see"),
            79..81 => self.user(n, "link"),
            81..90 => self.topup(n),
            90..98 => self.wallet_verb(n, "debit").figure(self.figure()),
            _ => self.wallet_verb(n, "terminate"),
        };
        let must = line.verb == "debit";
        let may = !matches!(line.verb.as_str(), "see" | "link");
        let key = (must || may && self.chance.percent(60)).then(|| self.key(n));
        line.keyed(key)
    }

    /// A key of its own, or sometimes one of few, so that they meet.
    fn key(&mut self, n: u32) -> String {
        if self.chance.percent(85) { format!("k{n}") } else { format!("s{}", self.chance.below(4)) }
    }

    /// A line that was played before, again: as it was, or under its key with another figure.
    fn again(&mut self, n: u32) -> Option<Line> {
        let mut line = Line { n, ..self.chance.pick(self.keyed)?.clone() };
        if self.chance.percent(25) && line.figure.is_some() {
            line.figure = Some(self.figure());
        }
        Some(line)
    }

    fn figure(&mut self) -> i128 {
        match self.chance.below(10) {
            0 => NANO * i128::from(self.chance.within(20, 200)),
            1 => i128::from(self.chance.within(1, 3 * 1_000_000_000)),
            2 => NANO / 2,
            3..6 => NANO * i128::from(self.chance.within(1, 5)),
            _ => NANO * i128::from(self.chance.within(1, 20)),
        }
    }

    /// The line with a figure; often the most that goes, or a nano more. Without a `most` it is
    /// what the line's user may spend.
    fn near(&mut self, line: Line, most: Option<i128>) -> Line {
        let spendable = || self.oracle.purse_of(&line.subject).map(Purse::available);
        let most = most.or_else(spendable).filter(|most| *most > 0);
        match most.filter(|_| self.chance.percent(30)) {
            Some(most) => line.figure(most + i128::from(self.chance.below(2))),
            None => line.figure(self.figure()),
        }
    }

    fn user(&mut self, n: u32, verb: &str) -> Line {
        let paywall = self.chance.pick(&self.oracle.paywalls()).cloned().unwrap();
        // Two users do most, so that things meet.
        let few = if self.chance.percent(75) { 2 } else { USERS.len() };
        let user = USERS[self.chance.index(few)];
        Line::new(n, verb, &format!("{paywall}/{user}"))
    }

    fn deposit(&mut self, n: u32) -> Line {
        let mut line = self.user(n, "deposit").figure(self.figure());
        if self.chance.percent(40) {
            line = line.with("as", ["trial", "promo"][self.chance.index(2)]);
        }
        self.ending(line)
    }

    fn ending(&mut self, line: Line) -> Line {
        if self.chance.percent(35) {
            let end = TIMES[self.chance.index(TIMES.len())];
            return line.with("expires", end);
        }
        line
    }

    fn hold(&mut self, n: u32) -> Line {
        let time = ["30s", "90s", "20m", "2h"][self.chance.index(4)];
        let line = self.user(n, "hold");
        self.near(line, None).with("for", time)
    }

    fn of_hold(&mut self, n: u32) -> Line {
        let open = self.oracle.open_holds();
        let mut some = if self.chance.percent(85) { open } else { self.oracle.holds() };
        some.retain(|name| self.names.id(name).is_some());
        let Some(hold) = self.chance.pick(&some).cloned() else { return self.hold(n) };
        let paywall = self.oracle.paywall_of_hold(&hold);
        if self.chance.percent(60) {
            let line = Line::new(n, "capture", &hold);
            let most = self.oracle.amount_of_hold(&hold);
            let line = if self.chance.percent(70) { self.near(line, most) } else { line };
            line.with("of", paywall)
        } else {
            Line::new(n, "release", &hold).with("of", paywall)
        }
    }

    fn refund(&mut self, n: u32) -> Line {
        let mut charges = self.oracle.charges();
        charges.retain(|name| self.names.id(name).is_some());
        let Some(charge) = self.chance.pick(&charges).cloned() else {
            return self.deposit(n);
        };
        let line = Line::new(n, "refund", &charge);
        let left = self.oracle.left_of_charge(&charge);
        let line = if self.chance.percent(60) { self.near(line, left) } else { line };
        line.with("of", self.oracle.paywall_of_charge(&charge))
    }

    fn batch(&mut self, n: u32) -> Line {
        let paywall = self.chance.pick(&self.oracle.paywalls()).cloned().unwrap();
        let mut line = Line::new(n, "batch", &paywall);
        for user in &USERS[..self.chance.index(USERS.len() - 1) + 2] {
            line = line.money(user, self.figure());
        }
        line
    }

    /// A wallet of the billing API, and sometimes a paywall's.
    fn wallet_name(&mut self) -> String {
        let of_paywalls = self.chance.percent(15);
        let closed = self.chance.percent(10);
        let fits = |purse: &&Purse| {
            let open = closed || purse.status != Status::Closed;
            open && (of_paywalls || purse.user.is_none())
        };
        let all = self.oracle.purses.values().filter(fits);
        let names: Vec<String> = all.map(|purse| purse.name.clone()).collect();
        self.chance.pick(&names).cloned().unwrap_or_else(|| "W0".to_owned())
    }

    fn wallet_verb(&mut self, n: u32, verb: &str) -> Line {
        Line::new(n, verb, &self.wallet_name())
    }

    fn topup(&mut self, n: u32) -> Line {
        let mut line = self.wallet_verb(n, "topup").figure(self.figure());
        if self.chance.percent(40) {
            line = line.with("priority", self.chance.below(4));
        }
        // What tops itself up has no credit that ends: when it would look is nobody's promise.
        let purse = self.oracle.purses.get(&line.subject);
        if purse.is_none_or(|purse| purse.plan.is_none()) {
            line = self.ending(line);
        }
        if self.chance.percent(25) {
            return line.with("as", "free");
        }
        if self.chance.percent(20) { line.money("bonus", self.figure()) } else { line }
    }

    fn time(&mut self, n: u32) -> Line {
        if self.chance.percent(30) {
            return Line::new(n, "deliver", "");
        }
        Line::new(n, "advance", TIMES[self.chance.index(TIMES.len())])
    }

    fn settings(&mut self, n: u32) -> Line {
        match self.chance.below(100) {
            0..10 => self.new_paywall(n),
            10..25 => self.new_wallet(n),
            25..35 => self.alerts(n),
            35..45 => self.auto(n),
            45..52 => self.wallet_verb(n, "floor").figure(self.small()),
            52..60 => self.frozen(n),
            60..64 => self.wallet_verb(n, "postpaid"),
            64..72 => self.default(n),
            72..78 => self.bonus(n),
            78..84 => self.overdraft(n),
            84..87 => self.archived(n),
            87..92 => self.person(n),
            _ => self.suspended(n),
        }
    }

    fn small(&mut self) -> i128 {
        NANO * i128::from(self.chance.below(10))
    }

    fn new_paywall(&mut self, n: u32) -> Line {
        let count = self.oracle.paywalls().len();
        if count >= PAYWALLS_MAX {
            return self.overdraft(n);
        }
        let mut line = Line::new(n, "paywall", &format!("P{}", count + 1));
        if self.chance.percent(50) {
            line = line.money("trial", NANO * 5);
            if self.chance.percent(60) {
                line = line.with("lasts", ["1d", "8d"][self.chance.index(2)]);
            }
            if self.chance.percent(40) {
                line = line.money("budget", NANO * [10, 12][self.chance.index(2)]);
            }
        }
        if self.chance.percent(40) { line.money("overdraft", NANO * 3) } else { line }
    }

    fn new_wallet(&mut self, n: u32) -> Line {
        let of_billing = self.oracle.purses.values().filter(|purse| purse.user.is_none());
        let count = of_billing.count();
        let owners = self.oracle.customers();
        if count >= WALLETS_MAX || owners.is_empty() || self.chance.percent(20) {
            let name = format!("C{}", self.chance.below(4));
            return Line::new(n, "customer", &name);
        }
        let owner = self.chance.pick(owners).cloned().unwrap_or_default();
        let mut line = Line::new(n, "wallet", &format!("W{n}")).with("of", owner);
        if self.chance.percent(60) {
            line = line.money("start", self.figure());
        }
        let key = self.chance.percent(50).then(|| self.key(n));
        line.keyed(key)
    }

    fn ladder(&mut self, line: Line) -> Line {
        if self.chance.percent(25) {
            return line;
        }
        let at = self.chance.within(0, 5);
        let mut line = line.with("critical", at);
        if self.chance.percent(60) {
            line = line.with("warning", at + self.chance.within(1, 9));
        }
        if self.chance.percent(30) {
            line = line.with("info", at + self.chance.within(9, 30));
        }
        if self.chance.percent(40) {
            line = line.with("margin", self.chance.within(1, 4));
        }
        if self.chance.percent(20) { line.with("unit", "percent") } else { line }
    }

    fn alerts(&mut self, n: u32) -> Line {
        let line = self.wallet_verb(n, "alerts");
        self.ladder(line)
    }

    fn default(&mut self, n: u32) -> Line {
        self.ladder(Line::new(n, "default", "alerts"))
    }

    fn auto(&mut self, n: u32) -> Line {
        let ends = |purse: &Purse| purse.lots.iter().any(|lot| lot.expires.is_some());
        let all = self.oracle.purses.values().filter(|purse| purse.user.is_none() && !ends(purse));
        let names: Vec<String> = all.map(|purse| purse.name.clone()).collect();
        let Some(name) = self.chance.pick(&names) else { return self.new_wallet(n) };
        let line = Line::new(n, "auto", name).money("at", self.small());
        let line = line.money("add", NANO * i128::from(self.chance.within(5, 30)));
        let line = line.with("day", self.chance.within(1, 4));
        if self.chance.percent(20) { line.with("on", "no") } else { line }
    }

    fn frozen(&mut self, n: u32) -> Line {
        let name = self.wallet_name();
        let frozen =
            self.oracle.purses.get(&name).is_some_and(|purse| purse.status == Status::Frozen);
        let verb = if frozen == self.chance.percent(90) { "unfreeze" } else { "freeze" };
        Line::new(n, verb, &name)
    }

    fn bonus(&mut self, n: u32) -> Line {
        let line = Line::new(n, "bonus", "topups");
        if self.chance.percent(30) {
            return line;
        }
        line.with("from", self.chance.within(5, 15)).with("credits", self.chance.within(1, 5))
    }

    fn overdraft(&mut self, n: u32) -> Line {
        let open: Vec<String> = self
            .oracle
            .paywalls()
            .into_iter()
            .filter(|name| !self.oracle.is_archived(name))
            .collect();
        match self.chance.pick(&open) {
            Some(name) => Line::new(n, "overdraft", name).figure(self.small()),
            None => self.archived(n),
        }
    }

    fn archived(&mut self, n: u32) -> Line {
        let name = self.chance.pick(&self.oracle.paywalls()).cloned().unwrap();
        let back = self.oracle.is_archived(&name) || self.chance.percent(40);
        Line::new(n, if back { "unarchive" } else { "archive" }, &name)
    }

    /// A customer of the billing API gets another name, or is deleted.
    fn person(&mut self, n: u32) -> Line {
        let billing = |name: &&String| name.starts_with('C');
        let all: Vec<&String> = self.oracle.customers().iter().filter(billing).collect();
        let Some(name) = self.chance.pick(&all) else { return self.new_wallet(n) };
        if self.chance.percent(30) {
            return Line::new(n, "remove", name);
        }
        Line::new(n, "call", name).with("as", ["x", "y"][self.chance.index(2)])
    }

    fn suspended(&mut self, n: u32) -> Line {
        let line = self.user(n, "suspend");
        let back = self.oracle.is_suspended(&line.subject) || self.chance.percent(40);
        if back { Line { verb: "unsuspend".to_owned(), ..line } } else { line }
    }

    fn receivers(&mut self, n: u32) -> Line {
        let live = self.oracle.receivers.iter().filter(|(_, one)| one.state != State::Deleted);
        let live: Vec<(String, Option<String>)> =
            live.map(|(name, one)| (name.clone(), one.of.clone())).collect();
        if live.len() < RECEIVERS_MAX && self.chance.percent(50) || live.is_empty() {
            return self.new_receiver(n);
        }
        let (name, of) = &live[self.chance.index(live.len())];
        if let Some(of) = of {
            let verb = ["disable", "enable", "enable"][self.chance.index(3)];
            return Line::new(n, verb, name).with("of", of);
        }
        let verbs = ["pause", "resume", "resume", "disable", "enable", "enable", "delete"];
        Line::new(n, verbs[self.chance.index(verbs.len())], name)
    }

    fn new_receiver(&mut self, n: u32) -> Line {
        let line = Line::new(n, "receiver", &format!("R{n}"));
        let filter = ["all", "wallet", "paywall", "every"][self.chance.index(4)];
        if self.chance.percent(40) {
            let paywall = self.chance.pick(&self.oracle.paywalls()).cloned().unwrap();
            let filter = if filter == "wallet" { "all" } else { filter };
            return line.with("of", paywall).with("filter", filter);
        }
        let order = ["subject", "start", "none"][self.chance.index(3)];
        line.with("filter", filter).with("order", order)
    }
}
