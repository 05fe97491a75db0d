//! What happens by itself: the clock moves from one instant at which something is due to the next.

use super::{Answer, Oracle};
use crate::world::line::{Line, money, time_ms};

impl Oracle {
    pub(super) fn advance(&mut self, line: &Line) -> Answer {
        let target = self.book.now + time_ms(&line.subject)?;
        self.book.by = None;
        while let Some(next) = self.next_due().filter(|next| *next <= target) {
            self.book.now = next.max(self.book.now);
            self.run_due();
        }
        self.book.now = target;
        Ok("done".to_owned())
    }

    fn next_due(&self) -> Option<i64> {
        let purses = self.purses.values().filter_map(super::Purse::next_due);
        purses.chain(self.notices.iter().map(|(at, ..)| *at)).min()
    }

    fn run_due(&mut self) {
        let now = self.book.now;
        let (due, later) =
            std::mem::take(&mut self.notices).into_iter().partition(|at| at.0 <= now);
        self.notices = later;
        let mut due: Vec<(i64, u64, String)> = due;
        due.sort();
        for (_, serial, name) in due {
            let noticed = self.on(&name, |purse, book| {
                let stream = purse.stream();
                if let Some(lot) = purse.lot(serial) {
                    let facts = money(lot.left).to_string();
                    book.tell(&stream, "wallet.credits.expiring", facts);
                }
                Ok(())
            });
            noticed.unwrap();
        }
        let names: Vec<String> = self.purses.keys().cloned().collect();
        for name in names {
            if self.purses[&name].next_due().is_some_and(|due| due <= now) {
                self.on(&name, |_, _| Ok(())).unwrap();
            }
        }
    }
}
