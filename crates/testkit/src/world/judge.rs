//! Compares the world with the oracle. Commands that ran at once must have had some order in which
//! the oracle says and does the same; what a crash left open may have happened whole, or not.

use std::collections::BTreeMap;

use domain::alert::machine::{Level, Machine};
use domain::ledger::Account;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::receiver::{ReceiverKind, State};
use engine::{Engine, Error};

use super::feed::{Feed, Kept};
use super::line::{Line, money};
use super::names::Names;
use super::oracle::book::Told;
use super::oracle::purse::{Purse, Status};
use super::oracle::receivers::State as Expected;
use super::oracle::{Extent, Oracle, Said};

/// A line that was played, and its answer where one came.
pub struct Played {
    pub line: Line,
    pub said: Option<Said>,
}

/// What is there now: what was told since, and every wallet.
pub struct Seen<'s> {
    pub told: &'s [Kept],
    /// Those that were looked at.
    pub accounts: BTreeMap<String, Account>,
    /// State by name, where they were looked at.
    pub receivers: BTreeMap<String, String>,
    pub whole: bool,
}

/// The order that fits: the oracle after it, the names that it gave, and what happened of each.
pub struct Judged {
    pub oracle: Oracle,
    pub names: Names,
    pub extents: Vec<Option<Extent>>,
}

/// One way in which it may have gone: places of lines, with how much of each happened.
type Way = Vec<(usize, Extent)>;

impl Seen<'_> {
    /// Looks at the wallets that something was told of; at `all` of them, and at the receivers.
    pub fn look<'s>(
        (engine, scope): (&Engine, Scope),
        (feed, from): (&'s Feed, usize),
        all: bool,
    ) -> Result<Seen<'s>, String> {
        let told = &feed.events[from..];
        let moved = |name: &str| {
            told.iter().any(|kept| kept.told.stream.strip_prefix("wallet ") == Some(name))
        };
        let load = |read: store::Read<'_>| {
            let mut accounts = BTreeMap::new();
            for (name, id) in feed.wallets.iter().filter(|(name, _)| all || moved(name)) {
                let Ok(id) = id.parse() else { continue };
                let Some(no) = store::wallets::find_no(read, &scope, id)? else { continue };
                if let Some(account) = store::accounts::load(read, no)? {
                    accounts.insert(name.clone(), account);
                }
            }
            Ok((accounts, if all { receivers(read, &scope)? } else { BTreeMap::new() }))
        };
        let (accounts, receivers) = engine.read_now(load).map_err(|error| error.to_string())?;
        Ok(Seen { told, accounts, receivers, whole: all })
    }
}

/// The receivers of the environment, and of its paywalls.
fn receivers(read: store::Read<'_>, scope: &Scope) -> Result<BTreeMap<String, String>, Error> {
    let mut found = store::receivers::page(read, scope, (ReceiverKind::Endpoint, None), None, 100)?;
    for paywall in store::paywalls::page(read, scope, None, 100)? {
        let of = (ReceiverKind::Subscription, Some(paywall.no));
        found.extend(store::receivers::page(read, scope, of, None, 100)?);
    }
    let named = found.into_iter().filter(|one| one.state != State::Deleted);
    Ok(named.map(|one| (one.config.description, one.state.name().to_owned())).collect())
}

/// Why a way does not fit, and how far it did.
struct Misfit {
    fitted: usize,
    problem: String,
}

/// Finds the way in which it went. The way that comes nearest is told where none fits.
pub fn judge(
    oracle: &Oracle,
    names: &Names,
    played: &[Played],
    seen: &Seen<'_>,
) -> Result<Judged, String> {
    let mut nearest: Option<Misfit> = None;
    for way in ways(played) {
        match walk(oracle, names, played, (seen, &way)) {
            Ok(judged) => return Ok(judged),
            Err(misfit) if nearest.as_ref().is_none_or(|best| misfit.fitted > best.fitted) => {
                nearest = Some(misfit);
            }
            Err(_) => {}
        }
    }
    Err(nearest.map(|misfit| misfit.problem).unwrap_or_default())
}

fn walk(
    oracle: &Oracle,
    names: &Names,
    played: &[Played],
    (seen, way): (&Seen<'_>, &Way),
) -> Result<Judged, Misfit> {
    let (mut oracle, mut names) = (oracle.clone(), names.clone());
    let mut extents = vec![None; played.len()];
    for (fitted, (index, extent)) in way.iter().enumerate() {
        let one = &played[*index];
        let expected = oracle.apply(&one.line, *extent);
        extents[*index] = Some(*extent);
        if *extent == Extent::Sight {
            continue;
        }
        let Some(said) = &one.said else { continue };
        if said.replayed != expected.replayed || !names.agree(&said.text, &expected.text) {
            let (line, shown) = (&one.line, names.shown(&said.text));
            let again = |replayed| if replayed { " (again)" } else { "" };
            let problem = format!(
                "{line}\n  answered {shown}{}\n  expected {}{}",
                again(said.replayed),
                expected.text,
                again(expected.replayed),
            );
            return Err(Misfit { fitted, problem });
        }
    }
    let all = played.len();
    let compared = compare_told(&oracle.book.told, seen.told);
    compared.map_err(|problem| Misfit { fitted: all, problem })?;
    let compared =
        compare_purses(&oracle, &seen.accounts).and_then(|()| compare_receivers(&oracle, seen));
    compared.map_err(|problem| Misfit { fitted: all + 1, problem })?;
    Ok(Judged { oracle, names, extents })
}

/// All ways, the likeliest first: as they were sent, everything whole. Commands of a paywall see
/// their users in a step of their own, which may come before the steps of others.
fn ways(played: &[Played]) -> impl Iterator<Item = Way> {
    let mut all: Vec<Way> = vec![Vec::new()];
    for (index, one) in played.iter().enumerate() {
        let choices = choices(one);
        let grown = |way: &Way| {
            let chosen = choices.iter().map(|choice| {
                let mut way = way.clone();
                way.extend(choice.map(|extent| (index, extent)));
                way
            });
            chosen.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(grown).collect();
    }
    let all: Vec<Way> = all.iter().flat_map(orders).collect();
    let sights = (0..played.len()).filter(|index| sees(&played[*index].line));
    let sights: Way = sights.map(|index| (index, Extent::Sight)).collect();
    let (first, between) = if played.len() > 1 {
        (parts(&sights), all.iter().flat_map(|way| with_sight(way, &sights)).collect())
    } else {
        (Vec::new(), Vec::new())
    };
    let before = all.clone();
    let first = first.into_iter().flat_map(move |first: Way| {
        let after = before.clone().into_iter();
        after.map(move |way| [first.clone(), way].concat())
    });
    all.into_iter().chain(first).chain(between)
}

/// The way with one more step of sight anywhere between.
fn with_sight(way: &Way, sights: &Way) -> Vec<Way> {
    let mut all = Vec::new();
    for sight in sights {
        for place in 1..way.len() {
            let mut way = way.clone();
            way.insert(place, *sight);
            all.push(way);
        }
    }
    all
}

/// Whether the line is a paywall's command for its users.
fn sees(line: &Line) -> bool {
    matches!(line.verb.as_str(), "charge" | "hold" | "deposit" | "batch" | "see" | "link")
}

fn choices(played: &Played) -> Vec<Option<Extent>> {
    let of_users = sees(&played.line);
    let mut choices = vec![Some(Extent::Whole)];
    if of_users {
        choices.push(Some(Extent::Lazy));
    }
    if played.said.is_none() {
        choices.push(None);
        if of_users {
            choices.push(Some(Extent::Sight));
        }
    }
    choices
}

/// Every choice of some of the steps, in every order.
fn parts(steps: &Way) -> Vec<Way> {
    let mut all = Vec::new();
    for index in 0..steps.len() {
        let mut rest = steps.clone();
        let first = rest.remove(index);
        all.push(vec![first]);
        all.extend(parts(&rest).into_iter().map(|part| [vec![first], part].concat()));
    }
    all
}

fn orders(way: &Way) -> Vec<Way> {
    if way.len() < 2 {
        return vec![way.clone()];
    }
    let mut all = Vec::new();
    for index in 0..way.len() {
        let mut rest = way.clone();
        let first = rest.remove(index);
        for mut order in orders(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

/// In each stream the same must be told in the same order.
fn compare_told(expected: &[Told], told: &[Kept]) -> Result<(), String> {
    let mut streams: BTreeMap<&str, (Vec<&Told>, Vec<&Told>)> = BTreeMap::new();
    for one in expected {
        streams.entry(&one.stream).or_default().0.push(one);
    }
    // How attempts go is no command's doing.
    let by_attempts = ["webhook.endpoint.failing", "webhook.endpoint.recovered"];
    for one in told.iter().filter(|one| !by_attempts.contains(&one.told.kind.as_str())) {
        streams.entry(&one.told.stream).or_default().1.push(&one.told);
    }
    for (stream, (expected, told)) in streams {
        if expected == told {
            continue;
        }
        let at = expected.iter().zip(&told).take_while(|(a, b)| a == b).count();
        let text = |all: &[&Told]| all.get(at).map_or("nothing".to_owned(), |one| shown(one));
        let (told, expected) = (text(&told), text(&expected));
        return Err(format!("{stream}: event {at}\n  told     {told}\n  expected {expected}"));
    }
    Ok(())
}

fn shown(told: &Told) -> String {
    let by = told.by.map_or("nobody".to_owned(), |n| format!("command {n}"));
    format!("{} {} by {by}", told.kind, told.facts)
}

fn compare_purses(oracle: &Oracle, accounts: &BTreeMap<String, Account>) -> Result<(), String> {
    for (name, account) in accounts {
        let purse = oracle.purses.get(name).ok_or_else(|| format!("a wallet {name} is there"))?;
        let (found, expected) = (of_account(account), of_purse(purse));
        if found != expected {
            return Err(format!("wallet {name}\n  is       {found}\n  expected {expected}"));
        }
        if account.available().is_negative() && !may_owe(purse) {
            return Err(format!("wallet {name} is below its floor"));
        }
    }
    Ok(())
}

fn compare_receivers(oracle: &Oracle, seen: &Seen<'_>) -> Result<(), String> {
    let live = oracle.receivers.iter().filter(|(_, one)| one.state != Expected::Deleted);
    let expected: BTreeMap<&String, String> =
        live.map(|(name, one)| (name, format!("{:?}", one.state).to_lowercase())).collect();
    let found: BTreeMap<&String, String> =
        seen.receivers.iter().map(|(name, state)| (name, state.clone())).collect();
    if seen.whole && expected != found {
        return Err(format!("receivers\n  are      {found:?}\n  expected {expected:?}"));
    }
    Ok(())
}

/// Only debits by the billing API, and settings that were lowered afterwards, pass the floor.
fn may_owe(purse: &Purse) -> bool {
    purse.available() < 0
}

fn of_purse(purse: &Purse) -> String {
    let status = match purse.status {
        Status::Active => "active",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    };
    let lot = |lot: &&super::oracle::purse::Lot| {
        let (original, left, held) = (money(lot.original), money(lot.left), money(lot.held));
        let (priority, expires) = (lot.priority, lot.expires);
        format!("{}/{left}/{original}/{held} {priority:?} {expires:?}", lot.reason)
    };
    let lots: Vec<String> = purse.in_order().iter().map(lot).collect();
    let mut holds: Vec<String> =
        purse.holds.iter().map(|h| format!("{} until {}", money(h.amount), h.deadline)).collect();
    holds.sort();
    let machines = purse.machines.map(|m| (m.awake, m.level, m.told));
    let (credits, held) = (money(purse.credits), money(purse.held()));
    let floor = money(purse.overdraft);
    format!(
        "{credits} held {held} floor {floor} {status} lots {lots:?} holds {holds:?} {machines:?}"
    )
}

fn of_account(account: &Account) -> String {
    let lot = |lot: &domain::ledger::lot::Lot| {
        let (left, original, held) = (lot.remaining, lot.original, lot.held);
        let expires = lot.expires_at.map(Timestamp::millis);
        let (reason, priority) = (lot.reason.name(), lot.priority);
        format!("{reason}/{left}/{original}/{held} {priority:?} {expires:?}")
    };
    let lots: Vec<String> = account.lots.iter().map(lot).collect();
    let hold = |hold: &domain::ledger::account::Hold| {
        format!("{} until {}", hold.amount, hold.deadline.millis())
    };
    let mut holds: Vec<String> = account.holds.iter().map(hold).collect();
    holds.sort();
    let level = |level: Level| Level::ALL.iter().position(|one| *one == level).unwrap_or(9);
    let machine = |m: Machine| (m.awake, level(m.level), level(m.told));
    let machines = [account.credit_machine, account.ongoing_machine].map(machine);
    let (sum, kept) = (account.credits, account.held);
    let (floor, status) = (account.wallet.overdraft_limit, account.wallet.status.name());
    format!("{sum} held {kept} floor {floor} {status} lots {lots:?} holds {holds:?} {machines:?}")
}
