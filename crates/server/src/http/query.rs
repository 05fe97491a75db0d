//! Parameters of a query as values, each refused by its own name.

use std::str::FromStr;

use domain::time::Timestamp;
use engine::Error;

use super::call::Call;

impl Call {
    /// `limit`: 1 to `most`, else `default`.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Error> {
        match self.parsed::<usize>("limit")? {
            None => Ok(default),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(Error::invalid("limit", format!("limit must be 1 to {most}"))),
        }
    }

    /// A parameter as a type.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let bad = || Error::invalid(name, format!("{name} cannot be read"));
        self.query_value(name).map(|text| text.parse().map_err(|_| bad())).transpose()
    }

    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let read = |text: String| {
            Timestamp::parse(&text).map_err(|error| Error::invalid(name, format!("{name} {error}")))
        };
        self.query_value(name).map(read).transpose()
    }

    /// A range of times as `<name>_gte`, `_gt`, `_lte`, `_lt`: (from, before).
    pub fn time_range(&self, name: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
        let of = |end: &str| self.time(&format!("{name}_{end}"));
        let next = |at: Timestamp| at.plus_ms(1);
        let from = of("gte")?.or(of("gt")?.map(next));
        let before = of("lt")?.or(of("lte")?.map(next));
        Ok((from, before))
    }
}
