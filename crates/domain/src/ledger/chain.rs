//! The hash chain: each entry's hash covers its content and its predecessor's hash.
//!
//! The bytes are written field by field in a fixed order, each with its length, so that no two
//! different entries give the same bytes. They must never change for entries that exist.

use sha2::{Digest, Sha256};

use super::entry::Entry;

/// Hash of `entry` after `previous`, the hash of the wallet's entry before it (zeros for the
/// first).
pub fn hash(entry: &Entry, previous: &[u8; 32]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(384);
    bytes.extend_from_slice(previous);
    for number in [
        entry.place.raw(),
        entry.at.millis(),
        entry.wallet_no,
        i64::from(entry.wallet_version),
        i64::from(entry.customer_version),
        entry.kind.code(),
        entry.reason.map_or(0, super::entry::Reason::code),
        entry.activity.code(),
        entry.status.code(),
        entry.announce.code(),
        entry.from.code(),
        entry.to.code(),
        entry.sequence.cast_signed(),
        entry.paywall_sequence.cast_signed(),
        entry.previous.map_or(0, crate::place::Place::raw),
    ] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    for amount in [
        entry.credits,
        entry.amount,
        entry.fee,
        entry.before,
        entry.after,
        entry.standing.credits,
        entry.standing.held,
        entry.standing.purchased,
        entry.standing.free,
    ] {
        bytes.extend_from_slice(&amount.nanos().to_be_bytes());
    }
    bytes.push(entry.standing.credit_level as u8);
    bytes.push(entry.standing.ongoing_level as u8);
    for taken in &entry.taken {
        bytes.extend_from_slice(&taken.lot.raw().to_be_bytes());
        bytes.extend_from_slice(&taken.credits.nanos().to_be_bytes());
    }
    write_texts(&mut bytes, entry);
    Sha256::digest(&bytes).into()
}

fn write_texts(bytes: &mut Vec<u8>, entry: &Entry) {
    let mut text = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    text(entry.actor.id.as_bytes());
    if let Some(key) = &entry.key {
        text(key.route.as_bytes());
        text(key.key.as_bytes());
        text(&key.request);
    }
    if !entry.details.is_empty() {
        text(&serde_json::to_vec(&entry.details).unwrap_or_default());
    }
}
