//! What the oracle's world tells, in order, and the time that it is there.

use super::alerts::Ladder;
use crate::world::line::money;

/// One event: the things whose order it keeps, its type, who caused it, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `customer ann`, `wallet W1`, `paywall P1` or `paywall P1 ann`.
    pub stream: String,
    pub kind: String,
    /// Number of the command that caused it; absent where time did.
    pub by: Option<u32>,
    pub facts: String,
}

#[derive(Clone, Debug)]
pub struct Book {
    pub now: i64,
    /// Number of the command under way.
    pub by: Option<u32>,
    pub told: Vec<Told>,
    /// Counts lots, in the order in which they were made.
    pub serial: u64,
    /// Alert settings for wallets without their own.
    pub ladder: Option<Ladder>,
}

impl Book {
    pub fn tell(&mut self, stream: &str, kind: &str, facts: impl Into<String>) {
        self.tell_by(self.by, stream, kind, facts);
    }

    pub fn tell_by(&mut self, by: Option<u32>, stream: &str, kind: &str, facts: impl Into<String>) {
        let (stream, kind, facts) = (stream.to_owned(), kind.to_owned(), facts.into());
        self.told.push(Told { stream, kind, by, facts });
    }

    /// The rows of an operation show the wallet as it stands when the operation has ended.
    pub fn seal(
        &mut self,
        begun: usize,
        stream: &str,
        (credits, held, bought): (i128, i128, i128),
    ) {
        let stands = format!(" now {} {} {}", money(credits), money(held), money(bought));
        for told in &mut self.told[begun..] {
            let is_row = told.kind == "wallet.transaction.created" && told.stream == stream;
            if is_row && !told.facts.contains(" now ") {
                told.facts.push_str(&stands);
            }
        }
    }
}
