//! The part of the proof that is about refunds: none without a charge of the same wallet, together
//! never more than the charge, and the sums beside the ledger are those of its entries.

use domain::amount::Amount;
use domain::ledger::Entry;
use domain::ledger::entry::{Activity, Status};
use domain::ledger::lot::Lot;
use domain::place::{Place, Placed};

use super::Proof;
use crate::error::Error;

impl Proof<'_> {
    /// Adds a refund up. Returns the lots that it gave back to, as they were made.
    pub(super) fn refund(&mut self, entry: &Entry) -> Result<Vec<Lot>, Error> {
        if entry.activity != Activity::Refund {
            return Ok(Vec::new());
        }
        match self.charge_of(entry)? {
            Some(charge) => self.add_refund(entry, &charge),
            None => self.find_refund(entry, "it names no charge of its wallet".to_owned()),
        }
        crate::refunds::origins(self.read, self.scope, entry)
    }

    fn charge_of(&self, entry: &Entry) -> Result<Option<Entry>, Error> {
        let Some(id) = entry.details.parent else { return Ok(None) };
        let charge = store::entries::find(self.read, self.scope, id.place())?;
        Ok(charge.filter(|charge| {
            charge.wallet_no == entry.wallet_no
                && charge.activity == Activity::Charge
                && charge.status == Status::Completed
        }))
    }

    fn add_refund(&mut self, entry: &Entry, charge: &Entry) {
        let sum = self.refunds.entry(charge.place).or_default();
        *sum += entry.credits;
        let sum = *sum;
        if sum > charge.credits {
            let (id, most) = (charge.id(), charge.credits);
            self.find_refund(entry, format!("{sum} went back of charge {id}, which took {most}"));
        }
    }

    fn find_refund(&mut self, entry: &Entry, message: String) {
        self.find("refund", Some((entry.place, Some(entry.id().to_string()))), message);
    }

    /// A sum that is too low would let more go back than was taken.
    pub(super) fn check_refunds(&mut self) -> Result<(), Error> {
        let mut stored = store::refunds::sums(self.read, self.scope)?;
        for (charge, sum) in std::mem::take(&mut self.refunds) {
            let (rows, total) = stored.remove(&charge).unwrap_or_default();
            if (rows, total) != (sum, sum) {
                self.find_sum(charge, (total, sum));
            }
        }
        for (charge, (_, total)) in stored {
            self.find_sum(charge, (total, Amount::ZERO));
        }
        Ok(())
    }

    fn find_sum(&mut self, charge: Place, (stored, sum): (Amount, Amount)) {
        let message =
            format!("charge {charge}: {stored} is noted as refunded, the entries say {sum}");
        self.find("refund", Some((charge, None)), message);
    }
}
