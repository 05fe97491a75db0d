//! Pages of lists: `limit` and `offset`, and the answer's envelope (billing 14.1).

use engine::Error;
use serde_json::{Value, json};

use super::call::Call;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: u32,
    pub offset: u32,
}

impl Page {
    /// From the query of a call.
    pub fn of_query(call: &Call) -> Result<Page, Error> {
        let number = |field: &'static str| {
            let text = call.query_value(field);
            text.map(|text| text.parse().map_err(|_| Error::invalid(field, NOT_A_NUMBER)))
                .transpose()
        };
        Page::checked(number("limit")?, number("offset")?)
    }

    pub fn checked(limit: Option<u32>, offset: Option<u32>) -> Result<Page, Error> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("limit must be from 1 to {LIMIT_MAX}")));
        }
        Ok(Page { limit, offset: offset.unwrap_or(0) })
    }

    /// The asked part of a list that is whole in memory.
    pub fn cut<T>(self, all: Vec<T>) -> Vec<T> {
        let whole = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        all.into_iter().skip(whole(self.offset)).take(whole(self.limit)).collect()
    }

    /// The body of an answer.
    pub fn envelope(self, items: &[Value], total: u64) -> Value {
        let pagination = json!({ "total": total, "limit": self.limit, "offset": self.offset });
        json!({ "items": items, "pagination": pagination })
    }
}

const NOT_A_NUMBER: &str = "must be a whole number";
