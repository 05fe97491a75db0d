//! Channels: which customer, wallet and paywall an event touches, and what of them an endpoint
//! wants to hear of.
//!
//! What an event touches is said once, where the event is told, and never looked up again. Nothing
//! here asks whether a thing exists: a channel of something unknown is one that no event has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{CustomerId, IdError, PaywallId, WalletId};
use crate::packed::{pull_byte, pull_id, push_id};
use crate::wallet::Payer;

/// Channels that one endpoint may list.
pub const CHANNELS_MAX: usize = 10;

const PACKED_BYTES: usize = 17;

/// One customer, wallet or paywall; `<kind>:<id>` on the wire and in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Customer(CustomerId),
    Wallet(WalletId),
    Paywall(PaywallId),
}

/// What one event touches: of each kind one at most, so never more than three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    customer: Option<CustomerId>,
    wallet: Option<WalletId>,
    paywall: Option<PaywallId>,
}

/// Why a text is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("must be customer:<id>, wallet:<id> or paywall:<id>")]
    Kind,
    #[error("needs a {}_ id after the colon", .0.0)]
    Id(IdError),
}

/// Why a list of channels is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("must have at most {CHANNELS_MAX} entries")]
    TooMany,
    #[error("entry {index} \"{entry}\" {reason}")]
    Entry { index: usize, entry: String, reason: ChannelError },
}

/// Reads the list of an endpoint. An empty one narrows nothing.
pub fn parse_list(entries: &[String]) -> Result<Vec<Channel>, ListError> {
    if entries.len() > CHANNELS_MAX {
        return Err(ListError::TooMany);
    }
    let parse = |(index, entry): (usize, &String)| {
        let refused = |reason| ListError::Entry { index, entry: entry.clone(), reason };
        entry.parse().map_err(refused)
    };
    entries.iter().enumerate().map(parse).collect()
}

/// Whether an endpoint that lists `wanted` gets an event that touches these.
pub fn takes(wanted: &[Channel], touched: &Channels) -> bool {
    wanted.is_empty() || wanted.iter().any(|&channel| touched.has(channel))
}

impl Channel {
    /// As stored; never changes.
    const fn code(self) -> u8 {
        match self {
            Channel::Customer(_) => 1,
            Channel::Wallet(_) => 2,
            Channel::Paywall(_) => 3,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Customer(id) => write!(f, "customer:{id}"),
            Channel::Wallet(id) => write!(f, "wallet:{id}"),
            Channel::Paywall(id) => write!(f, "paywall:{id}"),
        }
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Channel, ChannelError> {
        let (kind, id) = text.split_once(':').ok_or(ChannelError::Kind)?;
        match kind {
            "customer" => id.parse().map(Channel::Customer),
            "wallet" => id.parse().map(Channel::Wallet),
            "paywall" => id.parse().map(Channel::Paywall),
            _ => return Err(ChannelError::Kind),
        }
        .map_err(ChannelError::Id)
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Channels {
    pub fn of_customer(id: CustomerId) -> Channels {
        Channels { customer: Some(id), ..Channels::default() }
    }

    /// A wallet is its customer's, and of a paywall where its money is a balance there.
    pub fn of_wallet(payer: Payer, paywall: Option<PaywallId>) -> Channels {
        Channels { customer: Some(payer.customer), wallet: Some(payer.wallet), paywall }
    }

    /// A paywall, and who pays there where an event is about one user.
    pub fn of_paywall(paywall: PaywallId, payer: Option<Payer>) -> Channels {
        let (customer, wallet) = (payer.map(|it| it.customer), payer.map(|it| it.wallet));
        Channels { customer, wallet, paywall: Some(paywall) }
    }

    pub fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Customer(id) => self.customer == Some(id),
            Channel::Wallet(id) => self.wallet == Some(id),
            Channel::Paywall(id) => self.paywall == Some(id),
        }
    }

    /// The widest last: customer, wallet, paywall.
    pub fn iter(&self) -> impl Iterator<Item = Channel> + use<> {
        let all = [
            self.customer.map(Channel::Customer),
            self.wallet.map(Channel::Wallet),
            self.paywall.map(Channel::Paywall),
        ];
        all.into_iter().flatten()
    }

    /// A byte for the kind and 16 for the id, of each; nothing where nothing is touched.
    pub fn pack(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.iter().count() * PACKED_BYTES);
        for channel in self.iter() {
            bytes.push(channel.code());
            let (Channel::Customer(CustomerId(id))
            | Channel::Wallet(WalletId(id))
            | Channel::Paywall(PaywallId(id))) = channel;
            push_id(&mut bytes, id);
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// `None` where the bytes are not what `pack` writes.
    pub fn unpack(mut rest: &[u8]) -> Option<Channels> {
        let mut channels = Channels::default();
        while !rest.is_empty() {
            match (pull_byte(&mut rest)?, pull_id(&mut rest)?) {
                (1, id) => channels.customer = Some(CustomerId(id)),
                (2, id) => channels.wallet = Some(WalletId(id)),
                (3, id) => channels.paywall = Some(PaywallId(id)),
                _ => return None,
            }
        }
        Some(channels)
    }
}

impl Serialize for Channels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::Ulid;

    fn payer(customer: u128, wallet: u128) -> Payer {
        Payer { customer: CustomerId(Ulid(customer)), wallet: WalletId(Ulid(wallet)) }
    }

    fn paywall(id: u128) -> PaywallId {
        PaywallId(Ulid(id))
    }

    #[test]
    fn an_endpoint_gets_what_touches_one_of_its_channels() {
        let (customer, wallet) = (Channel::Customer(CustomerId(Ulid(1))), WalletId(Ulid(2)));
        let (wallet, at) = (Channel::Wallet(wallet), Channel::Paywall(paywall(3)));
        // The same number as another kind's.
        let alike = Channel::Wallet(WalletId(Ulid(1)));
        let nothing = Channels::default();
        let person = Channels::of_customer(CustomerId(Ulid(1)));
        let purse = Channels::of_wallet(payer(1, 2), None);
        let balance = Channels::of_wallet(payer(1, 2), Some(paywall(3)));
        let shop = Channels::of_paywall(paywall(3), None);
        let call = Channels::of_paywall(paywall(3), Some(payer(1, 2)));
        let other = Channels::of_paywall(paywall(4), Some(payer(5, 6)));
        let touched = [nothing, person, purse, balance, shop, call, other];
        // (wanted, which of the above it gets)
        let table: [(&[Channel], [bool; 7]); 7] = [
            (&[], [true; 7]),
            (&[customer], [false, true, true, true, false, true, false]),
            (&[wallet], [false, false, true, true, false, true, false]),
            (&[at], [false, false, false, true, true, true, false]),
            (&[wallet, at], [false, false, true, true, true, true, false]),
            (&[alike], [false; 7]),
            (&[alike, customer], [false, true, true, true, false, true, false]),
        ];
        for (wanted, expected) in table {
            assert_eq!(touched.map(|one| takes(wanted, &one)), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_channel_is_written_one_way() {
        let id = Ulid(7 << 90);
        for channel in [
            Channel::Customer(CustomerId(id)),
            Channel::Wallet(WalletId(id)),
            Channel::Paywall(PaywallId(id)),
        ] {
            assert_eq!(channel.to_string().parse(), Ok(channel));
            let json = serde_json::to_string(&channel).unwrap();
            assert_eq!(serde_json::from_str::<Channel>(&json).unwrap(), channel);
        }
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_with_its_place() {
        let (good, id) = (Channel::Customer(CustomerId(Ulid(9))).to_string(), Ulid(9));
        let table = [
            (String::new(), "must be customer:<id>, wallet:<id> or paywall:<id>"),
            (format!("cust_{id}"), "must be customer:<id>, wallet:<id> or paywall:<id>"),
            (format!("user:cust_{id}"), "must be customer:<id>, wallet:<id> or paywall:<id>"),
            (format!("Customer:cust_{id}"), "must be customer:<id>, wallet:<id> or paywall:<id>"),
            (format!("customer:wallet_{id}"), "needs a cust_ id after the colon"),
            (format!("customer: cust_{id}"), "needs a cust_ id after the colon"),
            ("wallet:*".to_owned(), "needs a wallet_ id after the colon"),
            (format!("paywall:pw_{id}:x"), "needs a pw_ id after the colon"),
        ];
        for (entry, reason) in table {
            let error = parse_list(&[good.clone(), entry.clone()]).unwrap_err();
            assert_eq!(error.to_string(), format!("entry 1 \"{entry}\" {reason}"));
        }
        let many = vec![good; CHANNELS_MAX + 1];
        assert_eq!(parse_list(&many), Err(ListError::TooMany));
        assert_eq!(parse_list(&many[1..]).unwrap().len(), CHANNELS_MAX);
        assert_eq!(parse_list(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            customer in prop::option::of(any::<u128>()),
            wallet in prop::option::of(any::<u128>()),
            paywall in prop::option::of(any::<u128>()),
        ) {
            let channels = Channels {
                customer: customer.map(|id| CustomerId(Ulid(id))),
                wallet: wallet.map(|id| WalletId(Ulid(id))),
                paywall: paywall.map(|id| PaywallId(Ulid(id))),
            };
            let bytes = channels.pack();
            prop_assert_eq!(bytes.is_none(), channels == Channels::default());
            prop_assert_eq!(Channels::unpack(&bytes.unwrap_or_default()), Some(channels));
        }

        #[test]
        fn bytes_that_nobody_packed_are_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            drop(Channels::unpack(&bytes).map(|channels| channels.pack()));
        }
    }
}
