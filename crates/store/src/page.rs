//! Pages of lists: conditions and order as values, turned into SQL or judged in memory.
//!
//! The fields that a list may be asked by are a closed table of each noun. Text of the caller only
//! ever travels as a parameter.

use crate::sql::{Row, params_from_iter};
use crate::sql::{ToSql, ToSqlOutput};
use domain::amount::Amount;
use domain::id::Ulid;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::value::{Key, Millis, Money};

/// A value of a column, or one that it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    Null,
    Flag(bool),
    Whole(i64),
    Number(Amount),
    Time(Timestamp),
    Id(Ulid),
    Text(String),
}

/// What a field holds, and so what it may be asked.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    Number,
    Whole,
    Time,
    Flag,
    /// An id; what is none of its kind is `None` and equals nothing.
    Id(fn(&str) -> Option<Scalar>),
}

/// A field of a list.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    /// Name under which several values are given at once, such as `customer_ids`; or empty.
    pub many: &'static str,
    pub kind: Kind,
    /// The SQL expression; empty where the list is judged in memory.
    pub column: &'static str,
}

#[derive(Clone, Debug)]
pub enum Column {
    Field(&'static Field),
    /// A key of `metadata`.
    Metadata(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    In(Vec<Scalar>),
    NotIn(Vec<Scalar>),
    /// Upper and lower case of ASCII letters are the same.
    Contains(String),
    NotContains(String),
    Above(Scalar),
    AtLeast(Scalar),
    Below(Scalar),
}

#[derive(Clone, Debug)]
pub struct Condition {
    pub column: Column,
    pub test: Test,
}

#[derive(Clone, Debug)]
pub struct Sort {
    pub column: Column,
    pub descending: bool,
}

/// What a list is asked: all conditions hold; ties are broken by the row's number.
#[derive(Clone, Debug)]
pub struct Page {
    pub conditions: Vec<Condition>,
    pub sort: Vec<Sort>,
    pub limit: usize,
    pub offset: usize,
}

impl Page {
    /// Whether a condition or the order looks at the field.
    pub fn asks(&self, name: &str) -> bool {
        let conditions = self.conditions.iter().map(|condition| &condition.column);
        let mut columns = conditions.chain(self.sort.iter().map(|sort| &sort.column));
        columns.any(|column| matches!(column, Column::Field(field) if field.name == name))
    }
}

impl ToSql for Scalar {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Scalar::Null => Ok(crate::sql::Null.into()),
            Scalar::Flag(flag) => Ok((*flag).into()),
            Scalar::Whole(number) => Ok((*number).into()),
            Scalar::Text(text) => text.to_sql(),
            Scalar::Number(amount) => owned(&Money(*amount)),
            Scalar::Time(at) => owned(&Millis(*at)),
            Scalar::Id(id) => owned(&Key(*id)),
        }
    }
}

/// Our own columns hand out values that they own.
fn owned<'a>(value: &impl ToSql) -> rusqlite::Result<ToSqlOutput<'a>> {
    match value.to_sql()? {
        ToSqlOutput::Owned(value) => Ok(ToSqlOutput::Owned(value)),
        ToSqlOutput::Borrowed(value) => Ok(ToSqlOutput::Owned(value.try_into()?)),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

impl Test {
    /// Whether `value` passes. Null passes only what denies.
    pub fn holds(&self, value: &Scalar) -> bool {
        let has = |part: &str| match value {
            Scalar::Text(text) => text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
            _ => false,
        };
        let some = *value != Scalar::Null;
        match self {
            Test::In(values) => some && values.contains(value),
            Test::NotIn(values) => !some || !values.contains(value),
            Test::Contains(part) => has(part),
            Test::NotContains(part) => !has(part),
            Test::Above(other) => some && value > other,
            Test::AtLeast(other) => some && value >= other,
            Test::Below(other) => some && value < other,
        }
    }
}

/// A statement that grows, with its parameters.
struct Statement {
    sql: String,
    values: Vec<Scalar>,
}

impl Statement {
    fn value(&mut self, value: Scalar) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn column(&mut self, column: &Column) -> String {
        match column {
            Column::Field(field) => field.column.to_owned(),
            Column::Metadata(key) => {
                let path = self.value(Scalar::Text(format!("$.metadata.\"{key}\"")));
                format!("json_extract(v.body, {path})")
            }
        }
    }

    fn condition(&mut self, condition: &Condition) -> String {
        let column = self.column(&condition.column);
        let mut list = |values: &[Scalar]| {
            let marks: Vec<String> = values.iter().map(|value| self.value(value.clone())).collect();
            format!("COALESCE({column} IN ({}), FALSE)", marks.join(", "))
        };
        match &condition.test {
            Test::In(values) => list(values),
            Test::NotIn(values) => format!("NOT {}", list(values)),
            Test::Contains(part) => self.contains(&column, part),
            Test::NotContains(part) => format!("NOT {}", self.contains(&column, part)),
            Test::Above(value) => format!("{column} > {}", self.value(value.clone())),
            Test::AtLeast(value) => format!("{column} >= {}", self.value(value.clone())),
            Test::Below(value) => format!("{column} < {}", self.value(value.clone())),
        }
    }

    fn contains(&mut self, column: &str, part: &str) -> String {
        let part = self.value(Scalar::Text(part.to_owned()));
        format!("COALESCE(instr(lower({column}), lower({part})) > 0, FALSE)")
    }
}

/// The SQL of a list: what is read, from where, and the columns of environment and row number.
pub(crate) struct Source {
    pub(crate) select: &'static str,
    /// `FROM … WHERE …`, with `?1` for the environment's number.
    pub(crate) from: &'static str,
    /// Breaks ties.
    pub(crate) number: &'static str,
}

/// The rows of a page, and how many there are in all.
pub(crate) fn rows<T>(
    read: Read<'_>,
    scope: &Scope,
    source: &Source,
    page: &Page,
    row: impl FnMut(&Row<'_>) -> crate::sql::Result<T>,
) -> Result<(Vec<T>, u64), Error> {
    let env = Scalar::Whole(i64::from(scope.env.get()));
    let mut statement = Statement { sql: source.from.to_owned(), values: vec![env] };
    for condition in &page.conditions {
        let sql = statement.condition(condition);
        statement.sql = format!("{} AND {sql}", statement.sql);
    }
    let count = format!("SELECT COUNT(*) {}", statement.sql);
    let values = params_from_iter(&statement.values);
    let total: i64 = read.connection.prepare_cached(&count)?.query_row(values, |row| row.get(0))?;
    let order = order(&mut statement, source, page);
    let whole = |number: usize| Scalar::Whole(i64::try_from(number).unwrap_or(i64::MAX));
    let (limit, offset) = (statement.value(whole(page.limit)), statement.value(whole(page.offset)));
    let select = format!(
        "{} {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        source.select, statement.sql
    );
    let mut select = read.connection.prepare_cached(&select)?;
    let rows = select.query_map(params_from_iter(&statement.values), row)?;
    Ok((rows.collect::<Result<_, _>>()?, total.unsigned_abs()))
}

/// As asked, then by number in the direction of the first.
fn order(statement: &mut Statement, source: &Source, page: &Page) -> String {
    let direction = |descending| if descending { "DESC" } else { "ASC" };
    let mut parts: Vec<String> = Vec::new();
    for sort in &page.sort {
        let column = statement.column(&sort.column);
        parts.push(format!("{column} {}", direction(sort.descending)));
    }
    let last = page.sort.first().is_none_or(|sort| sort.descending);
    parts.push(format!("{} {}", source.number, direction(last)));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_passes_only_what_denies() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let table = [
            (Test::In(vec![text("a")]), false),
            (Test::NotIn(vec![text("a")]), true),
            (Test::Contains("a".to_owned()), false),
            (Test::NotContains("a".to_owned()), true),
            (Test::Above(Scalar::Whole(1)), false),
            (Test::AtLeast(Scalar::Whole(1)), false),
            (Test::Below(Scalar::Whole(1)), false),
        ];
        for (test, expected) in table {
            assert_eq!(test.holds(&Scalar::Null), expected, "{test:?}");
        }
    }

    #[test]
    fn bounds_are_exact() {
        let one = Scalar::Number(Amount::units(1));
        assert!(!Test::Above(one.clone()).holds(&one) && Test::AtLeast(one.clone()).holds(&one));
        assert!(!Test::Below(one.clone()).holds(&one));
        assert!(Test::Contains("Ab".to_owned()).holds(&Scalar::Text("xaBc".to_owned())));
    }
}
