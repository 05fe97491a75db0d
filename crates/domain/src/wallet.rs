//! A wallet's settings: everything of it that no money movement changes (billing 4.1).
//!
//! Balances live in `ledger::Account`. Each change of a wallet makes a new version of this value,
//! and entries name the version that they saw, so that their events never change afterwards.

pub mod patch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::settings::Settings;
use crate::amount::{Amount, Rate};
use crate::currency::Currency;
use crate::id::{CustomerId, PaywallId, WalletId};
use crate::time::Timestamp;
use crate::webhook::channel::Channels;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WalletType {
    PrePaid,
    PostPaid,
}

impl WalletType {
    pub const fn name(self) -> &'static str {
        match self {
            WalletType::PrePaid => "PRE_PAID",
            WalletType::PostPaid => "POST_PAID",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalletStatus {
    Active,
    Frozen,
    Closed,
}

impl WalletStatus {
    pub const fn name(self) -> &'static str {
        match self {
            WalletStatus::Active => "active",
            WalletStatus::Frozen => "frozen",
            WalletStatus::Closed => "closed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PriceType {
    All,
    Usage,
    Fixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CooldownUnit {
    Second,
    Minute,
    Hour,
    Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    pub value: u32,
    pub unit: CooldownUnit,
}

impl Cooldown {
    pub fn millis(self) -> i64 {
        let unit = match self.unit {
            CooldownUnit::Second => crate::time::SECOND_MS,
            CooldownUnit::Minute => crate::time::MINUTE_MS,
            CooldownUnit::Hour => crate::time::HOUR_MS,
            CooldownUnit::Day => crate::time::DAY_MS,
        };
        i64::from(self.value) * unit
    }
}

/// Who takes the money for an automatic top-up (billing 4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collection {
    /// The operator's standing word that another system collects.
    External,
    Charge,
}

/// Threshold and amount are credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoTopup {
    pub enabled: bool,
    pub threshold: Amount,
    pub amount: Amount,
    pub invoicing: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cooldown: Option<Cooldown>,
    pub collection: Collection,
    pub max_per_day: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_amount_per_day: Option<Amount>,
}

/// The paywall whose balance this wallet is, as far as its entries and events need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaywallLink {
    pub id: PaywallId,
    /// Number of the paywall inside the database.
    pub no: i64,
    pub external_user: String,
    /// Places of the paywall's unit, 6 or 9.
    pub decimals: u32,
}

/// Who pays: a wallet and the customer whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    pub customer: CustomerId,
    pub wallet: WalletId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    pub id: WalletId,
    pub customer_id: CustomerId,
    pub name: String,
    pub description: String,
    pub metadata: BTreeMap<String, String>,
    pub currency: Currency,
    pub wallet_type: WalletType,
    pub status: WalletStatus,
    /// Currency value of one credit when it is spent.
    pub conversion_rate: Rate,
    /// Currency price of one credit when it is bought.
    pub topup_conversion_rate: Rate,
    pub allowed_price_types: Vec<PriceType>,
    pub auto_topup: Option<AutoTopup>,
    /// Own settings; absent means that the environment's hold.
    pub alert_settings: Option<Settings>,
    /// Credits that a spend may go below zero.
    pub overdraft_limit: Amount,
    pub paywall: Option<PaywallLink>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    pub updated_by: String,
}

impl Wallet {
    /// `Prepaid Wallet - USD`, the name a wallet gets when none is given.
    pub fn default_name(wallet_type: WalletType, currency: Currency) -> String {
        let kind = match wallet_type {
            WalletType::PrePaid => "Prepaid",
            WalletType::PostPaid => "Postpaid",
        };
        format!("{kind} Wallet - {}", currency.upper())
    }

    /// What a wallet covers when nobody says (billing 4.4).
    pub fn default_price_types(wallet_type: WalletType) -> Vec<PriceType> {
        match wallet_type {
            WalletType::PrePaid => vec![PriceType::Usage],
            WalletType::PostPaid => vec![PriceType::All],
        }
    }

    pub fn payer(&self) -> Payer {
        Payer { customer: self.customer_id, wallet: self.id }
    }

    /// What every event about the wallet touches.
    pub fn channels(&self) -> Channels {
        Channels::of_wallet(self.payer(), self.paywall.as_ref().map(|link| link.id))
    }

    /// `null` for a billing wallet, else the paywall's id.
    pub fn paywall_scope(&self) -> Option<String> {
        self.paywall.as_ref().map(|link| link.id.to_string())
    }
}
