//! One row of the ledger: a transfer, what it did to the wallet, and what it tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::machine::Level;
use crate::amount::Amount;
use crate::id::{HoldId, TransactionId};
use crate::place::Place;
use crate::scope::Actor;
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The number in the database; never given to another meaning.
            pub const fn code(self) -> i64 {
                match self { $($name::$variant => $code,)* }
            }

            pub fn from_code(code: i64) -> Option<$name> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }

            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

coded! {
    /// What an entry does to the wallet. Holds and releases move no balance.
    Kind {
        Credit = 1 "credit",
        Debit = 2 "debit",
        Hold = 3 "hold",
        Release = 4 "release",
    }
}

coded! {
    /// `transaction_reason` of the billing API (billing 4.2).
    Reason {
        FreeCreditGrant = 1 "FREE_CREDIT_GRANT",
        SubscriptionCreditGrant = 2 "SUBSCRIPTION_CREDIT_GRANT",
        PurchasedCreditInvoiced = 3 "PURCHASED_CREDIT_INVOICED",
        PurchasedCreditDirect = 4 "PURCHASED_CREDIT_DIRECT",
        PurchasedCreditBonus = 5 "PURCHASED_CREDIT_BONUS",
        CreditNote = 6 "CREDIT_NOTE",
        InvoiceVoidRefund = 7 "INVOICE_VOID_REFUND",
        CreditAdjustment = 8 "CREDIT_ADJUSTMENT",
        InvoicePayment = 9 "INVOICE_PAYMENT",
        ManualBalanceDebit = 10 "MANUAL_BALANCE_DEBIT",
        CreditExpired = 11 "CREDIT_EXPIRED",
        WalletTermination = 12 "WALLET_TERMINATION",
    }
}

impl Reason {
    /// Group of `credits_available_breakdown`: bought, or money given back; else given.
    pub const fn is_purchased(self) -> bool {
        matches!(
            self,
            Reason::PurchasedCreditInvoiced
                | Reason::PurchasedCreditDirect
                | Reason::CreditNote
                | Reason::InvoiceVoidRefund
                | Reason::CreditAdjustment
                | Reason::WalletTermination
        )
    }

    /// Where credits of this reason come from.
    pub const fn origin_account(self) -> LedgerAccount {
        match self {
            Reason::PurchasedCreditInvoiced | Reason::PurchasedCreditDirect => {
                LedgerAccount::Funding
            }
            Reason::CreditNote | Reason::InvoiceVoidRefund | Reason::CreditAdjustment => {
                LedgerAccount::Returned
            }
            Reason::WalletTermination => LedgerAccount::Breakage,
            _ => LedgerAccount::Promotion,
        }
    }
}

coded! {
    /// The two ends of a transfer. `available` and `held` belong to the entry's wallet.
    LedgerAccount {
        Available = 1 "available",
        Held = 2 "held",
        Funding = 3 "funding",
        Promotion = 4 "promotion",
        Returned = 5 "returned",
        Revenue = 6 "revenue",
        Breakage = 7 "breakage",
        Adjustment = 8 "adjustment",
        Fees = 9 "fees",
    }
}

coded! {
    Status {
        Pending = 1 "pending",
        Completed = 2 "completed",
        Failed = 3 "failed",
    }
}

coded! {
    /// Type of a paywall's ledger row (paywalls 4.5), and what the product did.
    Activity {
        Topup = 1 "topup",
        Deposit = 2 "deposit",
        Trial = 3 "trial",
        Charge = 4 "charge",
        Refund = 5 "refund",
        Adjustment = 6 "adjustment",
        Hold = 7 "hold",
        Release = 8 "release",
    }
}

coded! {
    /// Which events an entry is the record of, in this order. Frozen: a code keeps its meaning.
    Announce {
        Transaction = 1 "transaction",
        Deposit = 2 "deposit",
        Charge = 3 "charge",
        ChargeFailed = 4 "charge_failed",
        Adjustment = 5 "adjustment",
        HoldCreated = 6 "hold_created",
        HoldReleased = 7 "hold_released",
        Refund = 8 "refund",
        TrialGranted = 9 "trial_granted",
        Quiet = 10 "quiet",
    }
}

impl Announce {
    /// The event types, first to last. At most one of them is a `wallet.*` type.
    pub fn events(self) -> &'static [EventType] {
        use EventType as E;
        match self {
            Announce::Transaction => &[E::WALLET_TRANSACTION_CREATED],
            Announce::Deposit => &[E::PAYWALL_DEPOSIT_CREATED, E::WALLET_TRANSACTION_CREATED],
            Announce::Charge => &[
                E::PAYWALL_CHARGE_CREATED,
                E::PAYWALL_CHARGE_COMPLETED,
                E::WALLET_TRANSACTION_CREATED,
            ],
            Announce::ChargeFailed => &[E::PAYWALL_CHARGE_FAILED],
            Announce::Adjustment => &[E::PAYWALL_ADJUSTMENT_CREATED, E::WALLET_TRANSACTION_CREATED],
            Announce::HoldCreated => &[E::PAYWALL_HOLD_CREATED],
            Announce::HoldReleased => &[E::PAYWALL_HOLD_RELEASED],
            Announce::Refund => &[E::PAYWALL_REFUND_CREATED, E::WALLET_TRANSACTION_CREATED],
            Announce::TrialGranted => &[E::PAYWALL_TRIAL_GRANTED, E::WALLET_TRANSACTION_CREATED],
            Announce::Quiet => &[],
        }
    }

    /// Positions of the log that the entry stands on: one for each event, and one for an entry that
    /// tells nothing.
    pub fn positions(self) -> u64 {
        (self.events().len() as u64).max(1)
    }

    pub fn tells_wallet(self) -> bool {
        self.events().contains(&EventType::WALLET_TRANSACTION_CREATED)
    }

    pub fn paywall_events(self) -> u64 {
        self.events().len() as u64 - u64::from(self.tells_wallet())
    }
}

/// Credits that a debit or a hold took from one lot, or that a refund gave back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub lot: Place,
    /// When the lot was made; with the place it gives the credit's id.
    pub lot_at: Timestamp,
    pub credits: Amount,
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.raw())
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        i64::deserialize(deserializer).map(Place::from_raw)
    }
}

/// The wallet as it stood when the operation that made the entry had ended; shown in its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub credits: Amount,
    pub held: Amount,
    /// The part of the open lots that was bought; the rest was given.
    pub purchased: Amount,
    pub free: Amount,
    pub credit_level: Level,
    pub ongoing_level: Level,
}

/// `reference_type` of a row that is about one proxied request.
pub const REQUEST_REFERENCE: &str = "REQUEST";

/// What few entries have; kept apart so that a plain charge stays small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Metadata of a paywall call as it was sent: the text of a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TransactionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Where a deposit came from: `api`, `billing.topup`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The hold that was captured or released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<HoldId>,
    /// Why a hold was released: `released`, `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_cause: Option<String>,
    /// Of a refund that makes a lot: the reason of the lot in whose place it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot_reason: Option<String>,
}

impl Details {
    /// The proxied request that the row is about.
    pub fn request_reference(&self) -> Option<&str> {
        let is_request = self.reference_type.as_deref() == Some(REQUEST_REFERENCE);
        self.reference_id.as_deref().filter(|_| is_request)
    }

    pub fn is_empty(&self) -> bool {
        *self == Details::default()
    }
}

/// A request's key and what it asked, kept with the row that did the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Route and key as they are looked up; the environment is the row's.
    pub route: String,
    pub key: String,
    /// First bytes of the SHA-256 of the request body.
    pub request: [u8; 16],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub place: Place,
    pub at: Timestamp,
    /// Number of the wallet inside the database.
    pub wallet_no: i64,
    pub wallet_version: u32,
    pub customer_version: u32,
    pub kind: Kind,
    pub reason: Option<Reason>,
    pub activity: Activity,
    pub status: Status,
    pub announce: Announce,
    pub from: LedgerAccount,
    pub to: LedgerAccount,
    /// Credits moved; always ≥ 0.
    pub credits: Amount,
    /// Their worth, or for a purchase their price, in currency.
    pub amount: Amount,
    /// The part of `credits` that goes to `fees` instead of `to`.
    pub fee: Amount,
    pub before: Amount,
    pub after: Amount,
    pub standing: Standing,
    /// The lots that a debit or a hold took from, or that a refund gave back to.
    pub taken: Vec<Taken>,
    /// Sequence of its `wallet.*` event; 0 when it tells none.
    pub sequence: u64,
    /// Sequence of its first `paywall.*` event; 0 when it tells none.
    pub paywall_sequence: u64,
    pub actor: Actor,
    pub request: Option<crate::id::RequestId>,
    pub key: Option<KeyUse>,
    pub details: Details,
    /// The wallet's entry before this one; the chain runs along it.
    pub previous: Option<Place>,
    pub hash: [u8; 32],
}

impl Entry {
    pub fn id(&self) -> TransactionId {
        self.place.transaction_id(self.at)
    }

    /// Credits of a credit row that make a lot of its own. A refund's others go back to the lots
    /// that it names in `taken`.
    pub fn own_lot(&self) -> Amount {
        self.credits - self.taken.iter().map(|taken| taken.credits).sum::<Amount>()
    }

    /// The reason that the lot of a credit row counts under.
    pub fn lot_reason(&self) -> Reason {
        let kept = self.details.lot_reason.as_deref().and_then(Reason::parse);
        kept.or(self.reason).unwrap_or(Reason::FreeCreditGrant)
    }

    /// Whether wallet transaction lists show it: holds and releases are not transactions.
    pub fn is_transaction(&self) -> bool {
        matches!(self.kind, Kind::Credit | Kind::Debit)
    }

    /// Change of the wallet's credits.
    pub fn effect(&self) -> Amount {
        match (self.status, self.kind) {
            (Status::Completed, Kind::Credit) => self.credits,
            (Status::Completed, Kind::Debit) => -self.credits,
            _ => Amount::ZERO,
        }
    }
}
