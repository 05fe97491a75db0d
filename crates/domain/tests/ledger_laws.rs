//! Laws of the ledger under random commands, against a reference of a few lines.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::alert::settings::Settings;
use domain::amount::{Amount, Rate};
use domain::currency::Currency;
use domain::customer::{Customer, NewCustomer};
use domain::event::entry::Facts;
use domain::id::{CustomerId, EnvironmentId, PaywallId, TenantId, Ulid, WalletId};
use domain::ledger::chain;
use domain::ledger::credit::{self, Credit};
use domain::ledger::entry::{Activity, Details, Reason, Status};
use domain::ledger::hold::{self, Capture, Reserve};
use domain::ledger::log::Counters;
use domain::ledger::lot::Lot;
use domain::ledger::refund::{self, Left, Refund};
use domain::ledger::replay::{Fault, Replay, below_floor};
use domain::ledger::spend::{self, Charge, Debit};
use domain::ledger::{Account, Entry, Log, Record, Refusal, expiry};
use domain::place::{EnvNo, Place};
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::wallet::{PaywallLink, Wallet, WalletStatus, WalletType};
use domain::webhook::catalogue::EventType;
use proptest::prelude::*;

/// A wallet and everything that its log has written.
struct Bench {
    account: Account,
    counters: Counters,
    records: Vec<Record>,
    settings: Settings,
    now: i64,
    /// Refunded so far, by charge.
    refunded: BTreeMap<Place, Amount>,
}

fn customer() -> Customer {
    NewCustomer::named("alice").into_customer(
        CustomerId(Ulid(1)),
        Timestamp::from_millis(0),
        "user",
    )
}

fn wallet(of_paywall: bool, overdraft: i64) -> Wallet {
    let link =
        PaywallLink { id: PaywallId(Ulid(3)), no: 1, external_user: "alice".into(), decimals: 6 };
    Wallet {
        id: WalletId(Ulid(2)),
        customer_id: CustomerId(Ulid(1)),
        name: "Wallet".into(),
        description: String::new(),
        metadata: BTreeMap::new(),
        currency: Currency::parse("usd").unwrap(),
        wallet_type: WalletType::PrePaid,
        status: WalletStatus::Active,
        conversion_rate: Rate::ONE,
        topup_conversion_rate: Rate::ONE,
        allowed_price_types: Wallet::default_price_types(WalletType::PrePaid),
        auto_topup: None,
        alert_settings: None,
        overdraft_limit: Amount::units(overdraft),
        paywall: of_paywall.then_some(link),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        created_by: "user".into(),
        updated_by: "user".into(),
    }
}

impl Bench {
    fn new(of_paywall: bool, overdraft: i64) -> Bench {
        let (wallet, customer) = (Arc::new(wallet(of_paywall, overdraft)), Arc::new(customer()));
        let settings = serde_json::json!({
            "alert_enabled": true,
            "critical": { "threshold": "50", "condition": "below" },
        });
        Bench {
            account: Account::open(1, wallet, customer, (1, 1)),
            counters: Counters::default(),
            records: Vec::new(),
            settings: Settings::from_json(&settings).unwrap(),
            now: 1_000,
            refunded: BTreeMap::new(),
        }
    }

    /// Runs a rule as the store does: what is due first.
    fn run<R>(&mut self, rule: impl FnOnce(&mut Account, &mut Log<'_>) -> R) -> R {
        let scope = Scope {
            env: EnvNo::new(1),
            environment: EnvironmentId(Ulid(5)),
            tenant: TenantId(Ulid(6)),
            live: false,
        };
        let mut log = Log {
            scope,
            now: Timestamp::from_millis(self.now),
            counters: &mut self.counters,
            records: &mut self.records,
            alert_default: &self.settings,
        };
        expiry::post_due(&mut self.account, &mut log);
        rule(&mut self.account, &mut log)
    }

    fn credit(
        &mut self,
        credits: Amount,
        priority: Option<i64>,
        lives_ms: Option<i64>,
    ) -> Result<Place, Refusal> {
        let expires_at = lives_ms.map(|ms| Timestamp::from_millis(self.now + ms));
        let credit = Credit {
            credits,
            amount: credits,
            reason: Reason::PurchasedCreditDirect,
            activity: Activity::Deposit,
            from: Reason::PurchasedCreditDirect.origin_account(),
            priority,
            expires_at,
            details: Details::default(),
            key: None,
        };
        self.run(|account, log| credit::add(account, log, &Cause::schedule(), credit, None))
            .map(|(place, _)| place)
    }

    fn charge(&mut self, credits: Amount) -> Result<Place, Refusal> {
        let ask = Charge { credits, ..Charge::default() };
        self.run(|account, log| spend::charge(account, log, &Cause::schedule(), ask))
    }

    fn debit(&mut self, credits: Amount) -> Result<Place, Refusal> {
        let ask = Debit { credits, details: Details::default(), key: None };
        self.run(|account, log| spend::debit(account, log, &Cause::schedule(), ask))
    }

    /// Refunds a charge as the engine does; all that is left where nothing is asked.
    fn refund(&mut self, charge: Place, asked: Option<Amount>) -> Result<Vec<Place>, Refusal> {
        self.refund_with(charge, asked, Details::default())
    }

    fn refund_with(
        &mut self,
        charge: Place,
        asked: Option<Amount>,
        details: Details,
    ) -> Result<Vec<Place>, Refusal> {
        let charge = self.entries().find(|entry| entry.place == charge).unwrap().clone();
        let lots = self.origins(&charge);
        let refunded = self.refunded.get(&charge.place).copied().unwrap_or_default();
        let left = charge.credits - refunded;
        let credits = Left { of_charge: left, of_part: left }.grant(asked)?;
        let ask = Refund { charge: &charge, lots: &lots, refunded, credits, details, key: None };
        let places =
            self.run(|account, log| refund::post(account, log, &Cause::schedule(), ask))?;
        *self.refunded.entry(charge.place).or_default() += credits;
        Ok(places)
    }

    /// The lots that an entry names, as they were made.
    fn origins(&self, entry: &Entry) -> Vec<Lot> {
        let lot = |place: Place| self.entries().find(|entry| entry.place == place).map(Lot::of);
        entry.taken.iter().filter_map(|taken| lot(taken.lot)).collect()
    }

    fn charges(&self) -> Vec<Place> {
        let charges = self.entries().filter(|entry| entry.activity == Activity::Charge);
        charges.map(|entry| entry.place).collect()
    }

    /// Rests of the open lots, by the credit that made them.
    fn rests(&self) -> Vec<(Place, Amount)> {
        self.account.lots.iter().map(|lot| (lot.place, lot.remaining)).collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.records.iter().filter_map(|record| match record {
            Record::Entry(entry) => Some(&**entry),
            _ => None,
        })
    }

    /// Names of every event, in order.
    fn told(&self) -> Vec<&'static str> {
        let mut told = Vec::new();
        for record in &self.records {
            match record {
                Record::Entry(entry) => {
                    told.extend(entry.announce.events().iter().map(|kind| kind.name()));
                }
                Record::Event(event) => told.push(event.kind.name()),
                Record::Alert(_) | Record::Chapter(_) => {}
            }
        }
        told
    }

    fn replayed(&self) -> Result<(), Fault> {
        let mut replay = Replay::of(&self.account);
        for entry in self.entries() {
            let refund = entry.activity == Activity::Refund;
            let origins = if refund { self.origins(entry) } else { Vec::new() };
            replay.apply(entry, &origins)?;
        }
        replay.compare(&self.account)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Credit(i64, Option<i64>, Option<i64>),
    Charge(i64),
    Debit(i64),
    Reserve(i64, i64),
    Capture(usize, i64),
    Release(usize),
    Refund(usize, Option<i64>),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..5_000_i64, prop::option::of(0..3_i64), prop::option::of(1..500_i64))
            .prop_map(|(nanos, priority, lives)| Step::Credit(nanos, priority, lives)),
        (1..3_000_i64).prop_map(Step::Charge),
        (1..3_000_i64).prop_map(Step::Debit),
        (1..3_000_i64, 1..300_i64).prop_map(|(nanos, lives)| Step::Reserve(nanos, lives)),
        (0..4_usize, 1..3_000_i64).prop_map(|(hold, nanos)| Step::Capture(hold, nanos)),
        (0..4_usize).prop_map(Step::Release),
        (0..8_usize, prop::option::of(1..2_000_i64))
            .prop_map(|(charge, nanos)| Step::Refund(charge, nanos)),
        (1..200_i64).prop_map(Step::Wait),
    ]
}

fn amount(nanos: i64) -> Amount {
    Amount::from_nanos(i128::from(nanos))
}

fn apply(bench: &mut Bench, step: &Step) -> Result<(), Refusal> {
    let cause = Cause::schedule();
    let hold_at = |bench: &Bench, index: usize| {
        let holds = &bench.account.holds;
        holds.get(index).map_or(Place::default(), |hold| hold.place)
    };
    match *step {
        Step::Credit(nanos, priority, lives) => {
            bench.credit(amount(nanos), priority, lives).map(drop)
        }
        Step::Charge(nanos) => bench.charge(amount(nanos)).map(drop),
        Step::Debit(nanos) => bench.debit(amount(nanos)).map(drop),
        Step::Reserve(nanos, lives) => {
            let deadline = Timestamp::from_millis(bench.now + lives);
            let details = Details::default();
            let quiet = nanos % 2 == 0;
            let ask = Reserve { credits: amount(nanos), deadline, details, key: None, quiet };
            bench.run(|account, log| hold::reserve(account, log, &cause, ask)).map(drop)
        }
        Step::Capture(index, nanos) => {
            let hold = hold_at(bench, index);
            let ask = Capture {
                hold,
                part: Some(amount(nanos)),
                fee: Amount::ZERO,
                details: Details::default(),
                key: None,
            };
            bench.run(|account, log| hold::capture(account, log, &cause, ask)).map(drop)
        }
        Step::Release(index) => {
            let hold = hold_at(bench, index);
            bench
                .run(|account, log| hold::release(account, log, &cause, hold, "released"))
                .map(drop)
        }
        Step::Refund(index, nanos) => match bench.charges().get(index) {
            Some(charge) => bench.refund(*charge, nanos.map(amount)).map(drop),
            None => Ok(()),
        },
        Step::Wait(ms) => {
            bench.now += ms;
            bench.run(|_, _| ());
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_sequence_keeps_the_invariants_and_replays(
        of_paywall in any::<bool>(),
        overdraft in 0..2_i64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut bench = Bench::new(of_paywall, overdraft);
        for step in &steps {
            let before = (bench.account.credits, bench.records.len());
            let outcome = apply(&mut bench, step);
            prop_assert_eq!(bench.account.broken_invariant(), None, "after {:?}", step);
            let own: Amount = bench.entries().map(Entry::effect).sum();
            prop_assert_eq!(own, bench.account.credits, "balance is the sum of its entries");
            if let Err(refusal) = outcome {
                let posted = bench.records[before.1..].iter().any(|record| matches!(record,
                    Record::Entry(entry) if entry.reason != Some(Reason::CreditExpired)
                        && entry.activity != Activity::Release));
                prop_assert!(!posted, "{refusal} left something behind");
            }
        }
        bench.replayed().map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        let overdraft = bench.account.wallet.overdraft_limit;
        let entries: Vec<Entry> = bench.entries().cloned().collect();
        for entry in &entries {
            prop_assert_eq!(below_floor(entry, overdraft), Ok(()));
        }
        let newest = entries.iter().enumerate().rev().take(5);
        for (first, entry) in newest {
            let after = &entries[first + 1..];
            let mut part = Replay::after(&bench.account, entry, after.len() as u64);
            for entry in after {
                prop_assert_eq!(part.apply(entry, &[]), Ok(()));
            }
            prop_assert_eq!(part.compare(&bench.account), Ok(()));
        }
    }

    #[test]
    fn nothing_moves_on_a_stopped_wallet_not_even_what_falls_due(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut bench = Bench::new(true, 1);
        bench.credit(amount(5_000), None, Some(50)).unwrap();
        bench.charge(amount(500)).unwrap();
        let ask = Reserve {
            credits: amount(1_000),
            deadline: Timestamp::from_millis(bench.now + 40),
            details: Details::default(),
            key: None,
            quiet: false,
        };
        bench.run(|account, log| hold::reserve(account, log, &Cause::schedule(), ask)).unwrap();
        bench.account.stopped = true;
        let before = (bench.account.credits, bench.account.held, bench.records.len());
        for step in &steps {
            let _ = apply(&mut bench, step);
            let now = (bench.account.credits, bench.account.held, bench.records.len());
            prop_assert_eq!(now, before);
        }
        bench.account.stopped = false;
        bench.now += 100;
        bench.run(|_, _| ());
        prop_assert!(bench.account.holds.is_empty() && bench.account.credits.is_zero());
    }

    #[test]
    fn refunds_of_a_charge_never_exceed_it_and_all_of_them_bring_all_of_it(
        of_paywall in any::<bool>(),
        overdraft in 0..2_i64,
        steps in prop::collection::vec(step(), 5..60),
    ) {
        let mut bench = Bench::new(of_paywall, overdraft);
        bench.credit(amount(5_000), Some(1), Some(300)).unwrap();
        for step in &steps {
            let _ = apply(&mut bench, step);
        }
        for charge in bench.charges() {
            let before = bench.account.credits;
            let left = bench.refund(charge, None);
            prop_assert!(left.is_ok() || left == Err(Refusal::AlreadyRefunded));
            prop_assert_eq!(bench.refund(charge, None), Err(Refusal::AlreadyRefunded));
            prop_assert!(bench.account.credits >= before);
        }
        let sum = |activity: Activity| -> Amount {
            let rows = bench.entries().filter(|entry| entry.activity == activity);
            rows.map(|entry| entry.credits).sum()
        };
        prop_assert_eq!(sum(Activity::Charge), sum(Activity::Refund));
        prop_assert_eq!(bench.account.broken_invariant(), None);
        bench.replayed().map_err(|fault| TestCaseError::fail(fault.to_string()))?;
    }

    #[test]
    fn a_charge_refunded_whole_in_any_pieces_leaves_every_lot_as_it_was(
        lots in prop::collection::vec((1..3_000_i64, prop::option::of(0..3_i64)), 1..6),
        nanos in 1..4_000_i64,
        overdraft in 0..2_i64,
        pieces in prop::collection::vec(1..1_500_i64, 0..6),
    ) {
        let mut bench = Bench::new(true, overdraft);
        for (credits, priority) in lots {
            bench.credit(amount(credits), priority, Some(50)).unwrap();
        }
        let before = (bench.account.credits, bench.rests());
        let Ok(charge) = bench.charge(amount(nanos)) else { return Ok(()) };
        for piece in pieces {
            let _ = bench.refund(charge, Some(amount(piece)));
        }
        let _ = bench.refund(charge, None);
        prop_assert_eq!((bench.account.credits, bench.rests()), before);
    }

    #[test]
    fn a_charge_refunded_in_part_stands_as_a_smaller_one(
        lots in prop::collection::vec((1..3_000_i64, prop::option::of(0..3_i64)), 1..6),
        nanos in 2..4_000_i64,
        part in 1..4_000_i64,
    ) {
        let part = part % (nanos - 1) + 1;
        let (mut whole, mut smaller) = (Bench::new(true, 1), Bench::new(true, 1));
        for bench in [&mut whole, &mut smaller] {
            for (credits, priority) in &lots {
                bench.credit(amount(*credits), *priority, None).unwrap();
            }
        }
        let charge = whole.charge(amount(nanos)).unwrap();
        whole.refund(charge, Some(amount(part))).unwrap();
        if part < nanos {
            smaller.charge(amount(nanos - part)).unwrap();
        }
        prop_assert_eq!(whole.account.credits, smaller.account.credits);
        prop_assert_eq!(whole.rests(), smaller.rests());
    }

    #[test]
    fn charges_never_pass_the_floor(
        overdraft in 0..3_i64,
        charges in prop::collection::vec(1..4_000_000_000_i64, 1..40),
    ) {
        let mut bench = Bench::new(true, overdraft);
        bench.credit(Amount::units(10), None, None).unwrap();
        for nanos in charges {
            let fits = amount(nanos) <= bench.account.available();
            prop_assert_eq!(bench.charge(amount(nanos)).is_ok(), fits);
            prop_assert!(bench.account.credits >= -Amount::units(overdraft));
        }
    }

    #[test]
    fn a_changed_digit_anywhere_breaks_the_proof(
        steps in prop::collection::vec(step(), 5..30),
        victim in any::<prop::sample::Index>(),
        nanos in 1..100_i64,
    ) {
        let mut bench = Bench::new(true, 1);
        bench.credit(Amount::units(1), None, None).unwrap();
        for step in &steps {
            let _ = apply(&mut bench, step);
        }
        let entries: Vec<usize> = (0..bench.records.len())
            .filter(|index| matches!(bench.records[*index], Record::Entry(_)))
            .collect();
        let Record::Entry(entry) = &mut bench.records[entries[victim.index(entries.len())]] else {
            unreachable!()
        };
        entry.credits += amount(nanos);
        prop_assert!(bench.replayed().is_err());
    }
}

#[test]
fn a_lot_is_spendable_before_its_instant_and_not_at_it() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(5), None, Some(100)).unwrap();
    bench.now += 99;
    bench.charge(Amount::units(1)).unwrap();
    bench.now += 1;
    let refused = bench.charge(Amount::units(1));
    let (required, available) = (Amount::units(1), Amount::ZERO);
    assert_eq!(refused, Err(Refusal::InsufficientBalance { required, available }));
    let expired = bench.entries().last().unwrap();
    assert_eq!(expired.reason, Some(Reason::CreditExpired));
    assert_eq!(expired.at, Timestamp::from_millis(1_100));
    assert_eq!(expired.credits, Amount::units(4));
    assert!(bench.told().contains(&EventType::WALLET_CREDITS_EXPIRED.name()));
}

#[test]
fn held_credits_survive_the_expiry_of_their_lot_and_expire_at_release() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(5), None, Some(100)).unwrap();
    let deadline = Timestamp::from_millis(bench.now + 500);
    let ask = Reserve {
        credits: Amount::units(3),
        deadline,
        details: Details::default(),
        key: None,
        quiet: false,
    };
    let hold =
        bench.run(|account, log| hold::reserve(account, log, &Cause::schedule(), ask)).unwrap();
    bench.now += 200;
    bench.run(|_, _| ());
    assert_eq!((bench.account.credits, bench.account.held), (Amount::units(3), Amount::units(3)));
    let capture = Capture {
        hold,
        part: Some(Amount::units(2)),
        fee: Amount::ZERO,
        details: Details::default(),
        key: None,
    };
    bench.run(|account, log| hold::capture(account, log, &Cause::schedule(), capture)).unwrap();
    assert_eq!(bench.account.credits, Amount::ZERO, "the released rest expired at once");
    bench.replayed().unwrap();
}

#[test]
fn alerts_follow_the_settled_balance_and_close_each_episode_once() {
    let mut bench = Bench::new(false, 0);
    let steps: [(&str, i64); 6] = [
        ("credit", 100),
        ("debit", 50),
        ("debit", 10),
        ("credit", 10),
        ("credit", 1),
        ("credit", 10),
    ];
    for (what, units) in steps {
        let credits = Amount::units(units);
        match what {
            "credit" => bench.credit(credits, None, None).map(drop).unwrap(),
            _ => bench.debit(credits).map(drop).unwrap(),
        }
    }
    let alerts: Vec<&str> =
        bench.told().into_iter().filter(|name| name.contains("credit_balance")).collect();
    assert_eq!(alerts, ["wallet.credit_balance.dropped", "wallet.credit_balance.recovered"]);
    assert!(bench.entries().all(|entry| entry.status == Status::Completed));
}

#[test]
fn a_debt_is_filled_by_the_next_credit_first() {
    let mut bench = Bench::new(false, 0);
    bench.credit(Amount::units(5), None, None).unwrap();
    bench.debit(Amount::units(8)).unwrap();
    assert_eq!(bench.account.credits, Amount::units(-3));
    bench.credit(Amount::units(10), None, None).unwrap();
    assert_eq!(bench.account.credits, Amount::units(7));
    assert_eq!(bench.account.lots[0].remaining, Amount::units(7));
    bench.replayed().unwrap();
}

/// A charge of a bench, and what is refunded of it after a while.
fn refunded(bench: &mut Bench, charge: Place, asked: Option<i64>) -> Vec<Entry> {
    let places = bench.refund(charge, asked.map(Amount::units)).unwrap();
    bench.entries().filter(|entry| places.contains(&entry.place)).cloned().collect()
}

#[test]
fn what_has_expired_since_becomes_a_new_lot_of_the_same_source_without_expiry() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(5), Some(10), Some(100)).unwrap();
    let kept = bench.credit(Amount::units(5), Some(50), None).unwrap();
    let charge = bench.charge(Amount::units(7)).unwrap();
    bench.now += 100;
    let rows = refunded(&mut bench, charge, None);
    assert_eq!(rows.len(), 1, "one row says both");
    let row = &rows[0];
    assert_eq!((row.credits, row.own_lot()), (Amount::units(7), Amount::units(5)));
    assert_eq!((row.taken[0].lot, row.taken[0].credits), (kept, Amount::units(2)));
    let lot = &bench.account.lots[0];
    let shown = (lot.place, lot.remaining, lot.priority, lot.expires_at, lot.reason);
    let reason = Reason::PurchasedCreditDirect;
    assert_eq!(shown, (row.place, Amount::units(5), Some(10), None, reason));
    assert_eq!(bench.account.credits, Amount::units(10));
    let again = bench.charge(Amount::units(10)).unwrap();
    refunded(&mut bench, again, None);
    assert_eq!(bench.account.credits, Amount::units(10), "a refund's own lot takes back as well");
    bench.replayed().unwrap();
}

#[test]
fn each_source_whose_lot_has_expired_gets_a_row_of_its_own() {
    let mut bench = Bench::new(true, 0);
    for priority in [10, 20] {
        bench.credit(Amount::units(1), Some(priority), Some(100)).unwrap();
    }
    let charge = bench.charge(Amount::units(2)).unwrap();
    bench.now += 500;
    let rows = refunded(&mut bench, charge, None);
    let shown: Vec<_> = rows.iter().map(|row| (row.credits, row.details.priority)).collect();
    assert_eq!(shown, [(Amount::units(1), Some(10)), (Amount::units(1), Some(20))]);
    assert!(rows.iter().all(|row| row.details.parent.is_some()));
    bench.replayed().unwrap();
}

#[test]
fn an_overdraft_comes_back_as_debt_that_is_gone_or_as_money_that_filled_it() {
    let mut bench = Bench::new(true, 10);
    let lot = bench.credit(Amount::units(6), None, None).unwrap();
    let charge = bench.charge(Amount::units(10)).unwrap();
    refunded(&mut bench, charge, Some(3));
    assert_eq!(
        (bench.account.credits, bench.account.debt()),
        (-Amount::units(1), Amount::units(1))
    );
    assert!(bench.account.lots.is_empty(), "no credit is made of a debt");
    bench.credit(Amount::units(2), Some(7), None).unwrap();
    let rows = refunded(&mut bench, charge, None);
    assert_eq!(bench.account.credits, Amount::units(8), "6 and 2 were paid in, nothing was spent");
    assert_eq!(rows[0].own_lot(), Amount::units(1));
    assert!(bench.rests().contains(&(lot, Amount::units(6))));
    bench.replayed().unwrap();
}

#[test]
fn a_refund_fills_another_debt_first() {
    let mut bench = Bench::new(true, 10);
    let lot = bench.credit(Amount::units(6), None, None).unwrap();
    let charge = bench.charge(Amount::units(6)).unwrap();
    bench.charge(Amount::units(4)).unwrap();
    refunded(&mut bench, charge, None);
    assert_eq!(bench.account.credits, Amount::units(2));
    assert_eq!(bench.rests(), [(lot, Amount::units(2))]);
    bench.replayed().unwrap();
}

#[test]
fn a_refund_tells_its_two_events_and_moves_the_alerts() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(60), None, None).unwrap();
    let charge = bench.charge(Amount::units(20)).unwrap();
    let seen = bench.told().len();
    refunded(&mut bench, charge, None);
    let expected = [
        "paywall.balance.refund.created",
        "wallet.transaction.created",
        "wallet.credit_balance.recovered",
        "wallet.ongoing_balance.recovered",
    ];
    assert_eq!(bench.told()[seen..], expected);
}

#[test]
fn a_row_that_gives_back_what_was_not_taken_breaks_the_proof() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(6), None, None).unwrap();
    let charge = bench.charge(Amount::units(2)).unwrap();
    let before = bench.account.head;
    refunded(&mut bench, charge, None);
    bench.replayed().unwrap();
    let last = bench.records.iter_mut().rev().find_map(|record| match record {
        Record::Entry(entry) => Some(entry),
        _ => None,
    });
    let entry = last.unwrap();
    entry.credits = Amount::units(3);
    entry.taken[0].credits = Amount::units(3);
    entry.after = Amount::units(7);
    entry.hash = chain::hash(entry, &before);
    let place = entry.place;
    assert_eq!(bench.replayed(), Err(Fault::Lot(place)), "the lot had 6");
}

/// The bytes of events that entries are the record of must never change for entries that exist.
/// A change here is a new `api_version`, not a new constant.
#[test]
fn the_bytes_of_an_entrys_events_are_pinned() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(100), Some(50), Some(1_000)).unwrap();
    bench.charge(Amount::parse("2.5").unwrap()).unwrap();
    assert_eq!(bodies(&bench, 0), include_str!("golden/entry_events.jsonl"));
}

#[test]
fn the_bytes_of_a_refunds_events_are_pinned() {
    let mut bench = Bench::new(true, 0);
    bench.credit(Amount::units(100), Some(50), Some(1_000)).unwrap();
    bench.credit(Amount::units(1), Some(10), Some(100)).unwrap();
    let charge = bench.charge(Amount::parse("2.5").unwrap()).unwrap();
    bench.now += 100;
    let details = Details {
        description: Some("wrong answer".to_owned()),
        call_metadata: Some(r#"{"ticket":7}"#.to_owned()),
        reference_type: Some("REQUEST".to_owned()),
        reference_id: Some("req_00000000000000000000000009".to_owned()),
        ..Details::default()
    };
    let seen = bench.entries().count();
    bench.refund_with(charge, Some(Amount::parse("2.1").unwrap()), details).unwrap();
    assert_eq!(bodies(&bench, seen), include_str!("golden/refund_events.jsonl"));
}

/// The events of all entries after the first `seen`, a line each.
fn bodies(bench: &Bench, seen: usize) -> String {
    let scope = Scope {
        env: EnvNo::new(1),
        environment: EnvironmentId(Ulid(5)),
        tenant: TenantId(Ulid(6)),
        live: false,
    };
    let (wallet, customer) = (wallet(true, 0), customer());
    let events = bench.entries().skip(seen).flat_map(|entry| {
        let facts = Facts { scope, entry, wallet: &wallet, customer: &customer };
        domain::event::entry::events(&facts)
    });
    events.map(|event| String::from_utf8(event.body).unwrap() + "\n").collect()
}
