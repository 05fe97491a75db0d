//! A sample of every type of event, for the catalogue and for tests of receivers.
//!
//! Where the product writes the event already, its own code renders the sample, from fixed values.

use std::sync::Arc;

use domain::alert::machine::Level;
use domain::alert::settings::Settings;
use domain::amount::{Amount, Rate};
use domain::currency::Currency;
use domain::customer::{Customer, NewCustomer};
use domain::event::alert::{AlertBody, Trigger};
use domain::event::entry::Facts;
use domain::event::paywall::{Data, Subject, Told};
use domain::event::{self, Event};
use domain::id::{CustomerId, PaywallId, TransactionId, Ulid, WalletId};
use domain::ledger::alerts::AlertType;
use domain::ledger::credit::{self, Credit};
use domain::ledger::entry::{Activity, Details, LedgerAccount, Reason};
use domain::ledger::log::{Counters, Telling, paywall_names};
use domain::ledger::{Account, Log, Record};
use domain::place::Place;
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use domain::time::{DAY_MS, Timestamp};
use domain::wallet::{PaywallLink, Wallet, WalletStatus, WalletType};
use domain::webhook::catalogue::{EventType, Family};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// A rendered sample: body as it is sent, and the subject that it is about.
#[derive(Clone, Debug)]
pub struct Sample {
    pub body: Vec<u8>,
    pub subject: String,
}

const USER: &str = "user-42";

impl Sample {
    /// The sample of a type, with the id that its place gives it and sequence 0.
    pub fn render(
        scope: &Scope,
        kind: EventType,
        (place, at): (Place, Timestamp),
    ) -> Result<Sample, Error> {
        let telling = Telling { place, at, sequence: 0, scope: *scope, kind };
        let things = Things::at(at);
        let (body, subject) = match kind.family() {
            Family::Paywall => things.paywall(&telling)?,
            Family::Billing => things.billing(&telling)?,
            Family::Operational => crate::operational::sample(&telling),
        };
        let body = marked(&body, &telling)?;
        Ok(Sample { body, subject })
    }
}

/// The id of a test, and the word that it is one.
fn marked(body: &[u8], telling: &Telling) -> Result<Vec<u8>, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::operation("a sample is not text"))?;
    let id = telling.place.event_id(telling.at).to_string();
    let marked_id = store::deliveries::event_id(telling.place, telling.at);
    let text = text.replacen(&format!("\"id\":\"{id}\""), &format!("\"id\":\"{marked_id}\""), 1);
    Ok(match telling.kind.family() {
        Family::Paywall => text.into_bytes(),
        _ => text.replacen('{', "{\"test\":true,", 1).into_bytes(),
    })
}

/// Fixed values that samples are made of.
struct Things {
    customer: Customer,
    wallet: Wallet,
    paywall: PaywallId,
    at: Timestamp,
}

impl Things {
    fn at(at: Timestamp) -> Things {
        let id = |number: u128| Ulid::new(at, number);
        let new = NewCustomer::named("customer-42");
        let customer = new.into_customer(CustomerId(id(1)), at, "system");
        let paywall = PaywallId(id(3));
        let wallet = wallet(WalletId(id(2)), customer.id, (paywall, at));
        Things { customer, wallet, paywall, at }
    }

    fn account(&self) -> Account {
        let wallet = Wallet { paywall: None, ..self.wallet.clone() };
        let (wallet, customer) = (Arc::new(wallet), Arc::new(self.customer.clone()));
        let mut account = Account::open(1, wallet, customer, (1, 1));
        account.credits = Amount::units(25);
        account
    }

    fn billing(&self, telling: &Telling) -> Result<(Vec<u8>, String), Error> {
        let (account, default) = (self.account(), Settings::tenant_default());
        let about = format!("wallet:{}", self.wallet.id);
        let previous: Map<String, Value> = Map::from_iter([("name".to_owned(), json!("Old name"))]);
        let credit = TransactionId(Ulid::new(self.at, 4));
        let (units, later) = (Amount::units(5), self.at.plus_ms(DAY_MS));
        let body = match telling.kind {
            EventType::CUSTOMER_CREATED | EventType::CUSTOMER_DELETED => {
                return Ok(self.customer(telling, None));
            }
            EventType::CUSTOMER_UPDATED => return Ok(self.customer(telling, Some(&previous))),
            EventType::WALLET_CREATED | EventType::WALLET_TERMINATED => {
                event::wallet::render_life(telling, &account, &default, None)
            }
            EventType::WALLET_UPDATED => {
                event::wallet::render_life(telling, &account, &default, Some(&previous))
            }
            EventType::WALLET_TRANSACTION_CREATED | EventType::WALLET_TRANSACTION_UPDATED => {
                self.entry(telling)?.body
            }
            EventType::WALLET_CREDITS_EXPIRED | EventType::WALLET_CREDITS_EXPIRING => {
                event::wallet::render_credits_notice(telling, &account, credit, units, later)
            }
            EventType::WALLET_AUTO_TOPUP_SUSPENDED => {
                event::wallet::render_topup_suspended(telling, &account, "too_many_failures")
            }
            kind if alert_of(kind).is_some() => alert(telling, &account, &default),
            _ => return Ok(planned(telling)),
        };
        Ok((body, about))
    }

    fn customer(
        &self,
        telling: &Telling,
        previous: Option<&Map<String, Value>>,
    ) -> (Vec<u8>, String) {
        let body = event::customer::render(telling, &self.customer, previous);
        (body, format!("customer:{}", self.customer.id))
    }

    fn paywall(&self, telling: &Telling) -> Result<(Vec<u8>, String), Error> {
        let (subject, _) = paywall_names(self.paywall, None);
        if is_of_entry(telling.kind) {
            return Ok((self.entry(telling)?.body, subject));
        }
        let mut data = Data::new(self.paywall, telling.scope.tenant);
        if telling.kind.name().contains("balance") || telling.kind.name().contains("usage") {
            data = data
                .with("walletUserId", self.customer.id.to_string())
                .with("externalUserId", USER)
                .money("amount", Amount::units(5))
                .with("currency", self.wallet.currency.upper());
        }
        let told = Told {
            paywall: self.paywall,
            data,
            metadata: Some(r#"{"test":true}"#),
            actor: &Actor::system(),
            subject: Subject { kind: "paywall", id: self.paywall.to_string(), external_id: None },
        };
        Ok((event::paywall::render(telling, &told), subject))
    }

    /// A credit of 5, as the ledger writes it, told under the type that is asked for.
    fn entry(&self, telling: &Telling) -> Result<Event, Error> {
        let mut account = self.account();
        account.wallet = Arc::new(self.wallet.clone());
        account.credits = Amount::ZERO;
        let (mut counters, mut records) = (Counters::default(), Vec::new());
        let alert_default = Settings::tenant_default();
        let mut log = Log {
            scope: telling.scope,
            now: self.at,
            counters: &mut counters,
            records: &mut records,
            alert_default: &alert_default,
        };
        credit::add(&mut account, &mut log, &cause(), deposit(), None)?;
        let entry = records.into_iter().find_map(|record| match record {
            Record::Entry(entry) => Some(entry),
            _ => None,
        });
        let mut entry = entry.ok_or_else(|| Error::operation("a sample has no entry"))?;
        if telling.kind == EventType::PAYWALL_REFUND_CREATED {
            entry.details.parent = Some(telling.place.transaction_id(telling.at));
        }
        entry.place = telling.place;
        (entry.sequence, entry.paywall_sequence) = (0, 0);
        let wallet = &*account.wallet;
        let facts = Facts { scope: telling.scope, entry: &entry, wallet, customer: &self.customer };
        Ok(event::entry::event(&facts, telling))
    }
}

fn wallet(id: WalletId, customer_id: CustomerId, (paywall, at): (PaywallId, Timestamp)) -> Wallet {
    let wallet_type = WalletType::PrePaid;
    Wallet {
        id,
        customer_id,
        name: "Sample wallet".to_owned(),
        description: String::new(),
        metadata: [].into(),
        currency: Currency::USD,
        wallet_type,
        status: WalletStatus::Active,
        conversion_rate: Rate::ONE,
        topup_conversion_rate: Rate::ONE,
        allowed_price_types: Wallet::default_price_types(wallet_type),
        auto_topup: None,
        alert_settings: None,
        overdraft_limit: Amount::ZERO,
        paywall: Some(PaywallLink {
            id: paywall,
            no: 0,
            external_user: USER.to_owned(),
            decimals: 6,
        }),
        created_at: at,
        updated_at: at,
        created_by: "system".to_owned(),
        updated_by: "system".to_owned(),
    }
}

fn deposit() -> Credit {
    Credit {
        credits: Amount::units(5),
        amount: Amount::units(5),
        reason: Reason::FreeCreditGrant,
        activity: Activity::Deposit,
        from: LedgerAccount::Promotion,
        priority: None,
        expires_at: None,
        details: Details {
            call_metadata: Some(r#"{"test":true}"#.to_owned()),
            ..Details::default()
        },
        key: None,
    }
}

fn cause() -> Cause {
    let actor = Actor { source: Source::Api, kind: ActorKind::System, id: "system".to_owned() };
    Cause { actor, request: None, idempotency_key: None }
}

/// Types that an entry of the ledger is the record of.
fn is_of_entry(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::PAYWALL_DEPOSIT_CREATED
            | EventType::PAYWALL_CHARGE_CREATED
            | EventType::PAYWALL_CHARGE_COMPLETED
            | EventType::PAYWALL_CHARGE_FAILED
            | EventType::PAYWALL_HOLD_CREATED
            | EventType::PAYWALL_HOLD_RELEASED
            | EventType::PAYWALL_REFUND_CREATED
            | EventType::PAYWALL_ADJUSTMENT_CREATED
            | EventType::PAYWALL_TRIAL_GRANTED
            | EventType::PAYWALL_WITHDRAWAL_CREATED
    )
}

/// The machine and the levels of a crossing.
fn alert_of(kind: EventType) -> Option<(AlertType, Level, Level)> {
    let (credit, ongoing) = (AlertType::LowCreditBalance, AlertType::LowOngoingBalance);
    match kind {
        EventType::WALLET_CREDIT_BALANCE_DROPPED => Some((credit, Level::Ok, Level::InAlarm)),
        EventType::WALLET_CREDIT_BALANCE_RECOVERED => Some((credit, Level::InAlarm, Level::Ok)),
        EventType::WALLET_ONGOING_BALANCE_DROPPED => Some((ongoing, Level::Ok, Level::InAlarm)),
        EventType::WALLET_ONGOING_BALANCE_RECOVERED => Some((ongoing, Level::InAlarm, Level::Ok)),
        EventType::WALLET_ALERT_LEVEL_CHANGED => Some((credit, Level::InAlarm, Level::Warning)),
        _ => None,
    }
}

fn alert(telling: &Telling, account: &Account, default: &Settings) -> Vec<u8> {
    let crossing = alert_of(telling.kind);
    let (alert_type, previous, level) =
        crossing.unwrap_or((AlertType::LowCreditBalance, Level::Ok, Level::Ok));
    let body = AlertBody {
        alert_type,
        previous,
        level,
        log_id: telling.place.alert_id(telling.at),
        trigger: Trigger {
            kind: "wallet_transaction",
            id: telling.place.transaction_id(telling.at).to_string(),
        },
    };
    event::alert::render(telling, account, default, &body)
}

/// A type whose feature comes in a later stage: the envelope, and the id of its subject.
fn planned(telling: &Telling) -> (Vec<u8>, String) {
    let name = telling.kind.name();
    let noun = name.split('.').next().unwrap_or(name);
    let id = format!("{noun}_{}", Ulid::new(telling.at, 5));
    let subject = format!("{noun}:{id}");
    let mut keys = Map::new();
    keys.insert(noun.to_owned(), json!({ "id": id }));
    (event::billing::render(telling, &subject, &keys), subject)
}
