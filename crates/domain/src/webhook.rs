//! The rules of webhooks: what an event is called, who gets it, when and where to, signed how.
//!
//! Pure: no socket, no name look-up, no clock. The store keeps rows of these types, the engine asks
//! them what to do next, the server connects where `address` says that it may.

/// An enum whose members have names on the wire and in rows, and no other spelling.
macro_rules! wire_names {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$note:meta])* $member:ident = $wire:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$note])* $member,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$member,)*];

            pub const fn name(self) -> &'static str {
                match self { $($name::$member => $wire,)* }
            }

            pub fn parse(name: &str) -> Option<$name> {
                match name { $($wire => Some($name::$member),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <String as serde::Deserialize>::deserialize(deserializer)?;
                $name::parse(&name).ok_or_else(|| serde::de::Error::custom(format!(
                    "must be one of {}",
                    $name::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ")
                )))
            }
        }
    )*};
}

pub mod address;
pub mod body;
pub mod catalogue;
pub mod channel;
pub mod circuit;
pub mod filter;
pub mod headers;
pub mod health;
pub mod key_pair;
pub mod order;
pub mod receiver;
pub mod replay;
pub mod rotation;
pub mod schedule;
pub mod signature;
pub mod stats;
pub mod target;
