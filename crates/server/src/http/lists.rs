//! Lists: what a client may ask of them, and how they are answered (billing 14.1).
//!
//! A query and the body of a search say the same things; both are read here into one `Page`.

use domain::json;
use domain::time::Timestamp;
use engine::Error;
use serde_json::{Value, json};
use store::page::{Column, Condition, Field, Kind, Page, Scalar, Sort, Test};

use super::answer::Answer;
use super::fields::Fields;

const LIMIT_MAX: i64 = 1_000;
const LIMIT_DEFAULT: i64 = 50;
const FILTERS_MAX: usize = 50;
const VALUES_MAX: usize = 1_000;
const OPERATORS: &str =
    "one of eq, contains, not_contains, gt, lt, gte, in, not_in, before and after";

/// What `status` means to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// A column of this name.
    Column,
    /// All rows are published for ever.
    Always,
    /// As `Always`; and the words of this field are understood too.
    Or(&'static str),
}

/// The questions that one list understands.
#[derive(Clone, Copy, Debug)]
pub struct Grammar {
    pub fields: &'static [Field],
    pub expands: &'static [&'static str],
    pub visibility: Visibility,
    pub metadata: bool,
}

pub struct List {
    pub page: Page,
    pub expand: Vec<String>,
}

impl List {
    pub fn expands(&self, name: &str) -> bool {
        self.expand.iter().any(|expand| expand == name)
    }

    /// `items` and `pagination`, with the exact number of all rows.
    pub fn answer(&self, items: &[Value], total: u64) -> Answer {
        let (limit, offset) = (self.page.limit, self.page.offset);
        let pagination = json!({ "total": total, "limit": limit, "offset": offset });
        Answer::ok(&json!({ "items": items, "pagination": pagination }))
    }
}

impl Grammar {
    pub fn read(&'static self, fields: &mut Fields) -> Result<List, Error> {
        let limit = within(fields, "limit", (1, LIMIT_MAX), LIMIT_DEFAULT)?;
        let offset = within(fields, "offset", (0, i64::MAX), 0)?;
        let expand = expand(fields, self.expands)?;
        let sort = self.sort(fields)?;
        let mut conditions = Vec::new();
        self.read_status(fields, &mut conditions)?;
        self.read_times(fields, &mut conditions)?;
        self.read_named(fields, &mut conditions)?;
        self.read_filters(fields, &mut conditions)?;
        Ok(List { page: Page { conditions, sort, limit, offset }, expand })
    }

    fn field(&'static self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn column(&'static self, name: &str) -> Option<Column> {
        let key = name.strip_prefix("metadata.").filter(|_| self.metadata);
        match key {
            Some(key) if !key.is_empty() && !key.contains(['"', '\\']) => {
                Some(Column::Metadata(key.to_owned()))
            }
            Some(_) => None,
            None => self.field(name).map(Column::Field),
        }
    }

    fn sort(&'static self, fields: &mut Fields) -> Result<Vec<Sort>, Error> {
        let order = fields.parsed("order", "asc or desc", descending)?.unwrap_or(true);
        let by = |name: &str| self.field(name).map(Column::Field);
        match fields.take("sort") {
            None => {}
            Some(Value::String(name)) if name.is_empty() => {}
            Some(Value::String(name)) => {
                let column = by(&name).ok_or_else(|| {
                    Error::invalid("sort", format!("sort: {name:?} is not a field to sort by"))
                })?;
                return Ok(vec![Sort { column, descending: order }]);
            }
            Some(Value::Array(parts)) => {
                let read = |(index, part)| self.sort_part(index, part, order);
                let sort: Vec<Sort> =
                    parts.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
                if !sort.is_empty() {
                    return Ok(sort);
                }
            }
            Some(_) => return Err(Error::invalid("sort", "sort must be a field or a list")),
        }
        let column = by("created_at");
        Ok(column.map(|column| Sort { column, descending: order }).into_iter().collect())
    }

    fn sort_part(&'static self, index: usize, part: Value, order: bool) -> Result<Sort, Error> {
        let mut part = Fields::element(part, &format!("sort[{index}]"))?;
        let name = part.required_text("field")?;
        let column = self.field(&name).map(Column::Field);
        let column = column.ok_or_else(|| part.refuse("field", "is not a field to sort by"))?;
        let descending = part.parsed("direction", "asc or desc", descending)?.unwrap_or(order);
        Ok(Sort { column, descending })
    }

    fn read_status(
        &'static self,
        fields: &mut Fields,
        conditions: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        let status = fields.text("status")?.filter(|text| !text.is_empty());
        let visible = ["published", "archived", "deleted"]
            .contains(&status.as_deref().unwrap_or("published"));
        let word = status.clone().unwrap_or_else(|| "published".to_owned());
        let field = match self.visibility {
            Visibility::Column if visible => self.field("status"),
            Visibility::Always | Visibility::Or(_) if visible => None,
            Visibility::Or(name) => self.field(name),
            _ => return Err(fields.refuse("status", "must be published, archived or deleted")),
        };
        let Some(field) = field else {
            if word != "published" {
                let never = self.field("created_at").map(Column::Field);
                let test = Test::In(Vec::new());
                conditions.extend(never.map(|column| Condition { column, test }));
            }
            return Ok(());
        };
        let value = scalar(field, &Value::String(word), "status")?;
        conditions.push(Condition { column: Column::Field(field), test: Test::In(vec![value]) });
        Ok(())
    }

    fn read_times(
        &'static self,
        fields: &mut Fields,
        conditions: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        let (start, end) = (fields.time("start_time")?, fields.time("end_time")?);
        let Some(field) = self.field("created_at") else { return Ok(()) };
        let mut add = |at: Option<Timestamp>, test: fn(Scalar) -> Test| {
            let condition =
                |at| Condition { column: Column::Field(field), test: test(Scalar::Time(at)) };
            conditions.extend(at.map(condition));
        };
        add(start, Test::AtLeast);
        add(end, Test::Below);
        Ok(())
    }

    /// Fields that are given by their own name, alone or as a list.
    fn read_named(
        &'static self,
        fields: &mut Fields,
        conditions: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        for field in self.fields {
            let empty = Value::String(String::new());
            if let Some(value) = fields.take(field.name).filter(|value| *value != empty) {
                let value = scalar(field, &value, field.name)?;
                let test = Test::In(vec![value]);
                conditions.push(Condition { column: Column::Field(field), test });
            }
            if field.many.is_empty() {
                continue;
            }
            // An empty list asks nothing, as clients send it.
            if let Some(texts) = fields.texts(field.many)?.filter(|texts| !texts.is_empty()) {
                let read = |text: String| scalar(field, &Value::String(text), field.many);
                let values = texts.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let test = Test::In(values);
                conditions.push(Condition { column: Column::Field(field), test });
            }
        }
        if !self.metadata {
            return Ok(());
        }
        for (key, text) in fields.texts_by_key("metadata")?.unwrap_or_default() {
            let name = format!("metadata.{key}");
            let column = self.column(&name);
            let column = column.ok_or_else(|| fields.refuse(&name, "is not a key to ask for"))?;
            conditions.push(Condition { column, test: Test::In(vec![Scalar::Text(text)]) });
        }
        Ok(())
    }

    fn read_filters(
        &'static self,
        fields: &mut Fields,
        conditions: &mut Vec<Condition>,
    ) -> Result<(), Error> {
        let filters = fields.list("filters")?;
        if filters.len() > FILTERS_MAX {
            return Err(fields.refuse("filters", format!("takes at most {FILTERS_MAX}")));
        }
        for (index, filter) in filters.into_iter().enumerate() {
            let filter = Fields::element(filter, &format!("filters[{index}]"))?;
            conditions.push(self.filter(filter)?);
        }
        Ok(())
    }

    fn filter(&'static self, mut filter: Fields) -> Result<Condition, Error> {
        let name = filter.required_text("field")?;
        let column = self.column(&name);
        let column = column.ok_or_else(|| {
            filter.refuse("field", format!("names {name:?}, which this list cannot filter by"))
        })?;
        let operator = filter.required_text("operator")?;
        let types = ["string", "number", "date", "array"];
        let known = |text: &str| types.contains(&text).then(|| text.to_owned());
        let data_type = filter.parsed("data_type", "string, number, date or array", known)?;
        let value = filter.take("value");
        let path = filter.path("value");
        let value = value.and_then(|value| plain(value, data_type.as_deref()));
        let value = value.ok_or_else(|| filter.refuse("value", "is required"))?;
        let test = test(&column, &operator, &value, &path)?;
        let test = test.ok_or_else(|| {
            filter.refuse("operator", format!("must be {OPERATORS}, and one that {name} has"))
        })?;
        Ok(Condition { column, test })
    }
}

fn within(
    fields: &mut Fields,
    name: &str,
    (least, most): (i64, i64),
    default: i64,
) -> Result<usize, Error> {
    let number = fields.whole(name)?.unwrap_or(default);
    let inside = (least..=most).contains(&number);
    let number = usize::try_from(number).ok().filter(|_| inside);
    number.ok_or_else(|| match name {
        "limit" => fields.refuse(name, format!("must be {least} to {most}")),
        _ => fields.refuse(name, format!("must be at least {least}")),
    })
}

/// The relations to show with each row.
pub fn expand(fields: &mut Fields, known: &[&str]) -> Result<Vec<String>, Error> {
    let names = fields.texts("expand")?.unwrap_or_default();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(fields.refuse("expand", format!("cannot show {name:?}"))),
        None => Ok(names),
    }
}

fn descending(text: &str) -> Option<bool> {
    match text {
        "desc" => Some(true),
        "asc" => Some(false),
        _ => None,
    }
}

/// The value of a filter: the member that the data type names, else the one that is there.
fn plain(value: Value, data_type: Option<&str>) -> Option<Value> {
    let Value::Object(mut members) = value else { return Some(value) };
    if let Some(value) = data_type.and_then(|name| members.remove(name)) {
        return Some(value).filter(|value| !value.is_null());
    }
    let names = ["string", "number", "boolean", "date", "array"];
    names.iter().find_map(|name| members.remove(*name).filter(|value| !value.is_null()))
}

/// `None` where the column does not know the operator.
fn test(column: &Column, operator: &str, value: &Value, path: &str) -> Result<Option<Test>, Error> {
    let kind = match column {
        Column::Field(field) => field.kind,
        Column::Metadata(_) => Kind::Text,
    };
    let one = || match column {
        Column::Field(field) => scalar(field, value, path),
        Column::Metadata(_) => text(value, path).map(Scalar::Text),
    };
    let many = || values(column, value, path);
    let ordered = matches!(kind, Kind::Number | Kind::Whole | Kind::Time);
    Ok(Some(match operator {
        "eq" => Test::In(vec![one()?]),
        "in" => Test::In(many()?),
        "not_in" => Test::NotIn(many()?),
        "contains" if matches!(kind, Kind::Text) => Test::Contains(text(value, path)?),
        "not_contains" if matches!(kind, Kind::Text) => Test::NotContains(text(value, path)?),
        "gt" if ordered => Test::Above(one()?),
        "gte" if ordered => Test::AtLeast(one()?),
        "lt" if ordered => Test::Below(one()?),
        "after" if matches!(kind, Kind::Time) => Test::Above(one()?),
        "before" if matches!(kind, Kind::Time) => Test::Below(one()?),
        _ => return Ok(None),
    }))
}

fn values(column: &Column, value: &Value, path: &str) -> Result<Vec<Scalar>, Error> {
    let single = [value.clone()];
    let values = value.as_array().map_or(&single[..], Vec::as_slice);
    if values.len() > VALUES_MAX {
        return Err(Error::invalid(path, format!("{path} takes at most {VALUES_MAX} values")));
    }
    let read = |value: &Value| match column {
        Column::Field(field) => scalar(field, value, path),
        Column::Metadata(_) => text(value, path).map(Scalar::Text),
    };
    values.iter().map(read).collect()
}

fn text(value: &Value, path: &str) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Error::invalid(path, format!("{path} must be a text"))),
    }
}

/// The value in the type of its field.
fn scalar(field: &Field, value: &Value, path: &str) -> Result<Scalar, Error> {
    let wrong = |expected: String| Error::invalid(path, format!("{path} must be {expected}"));
    match field.kind {
        Kind::Text if field.name == "currency" => {
            Ok(Scalar::Text(text(value, path)?.to_ascii_lowercase()))
        }
        Kind::Text => text(value, path).map(Scalar::Text),
        Kind::Choice(words) => {
            let text = text(value, path)?;
            let known = words.contains(&text.as_str());
            known
                .then_some(Scalar::Text(text))
                .ok_or_else(|| wrong(format!("one of {}", words.join(", "))))
        }
        Kind::Number => json::amount(value)
            .map(Scalar::Number)
            .map_err(|error| Error::invalid(path, format!("{path} {error}"))),
        Kind::Whole => {
            let number = match value {
                Value::String(text) => text.parse().ok(),
                value => value.as_i64(),
            };
            number.map(Scalar::Whole).ok_or_else(|| wrong("a whole number".to_owned()))
        }
        Kind::Time => Timestamp::parse(&text(value, path)?)
            .map(Scalar::Time)
            .map_err(|error| Error::invalid(path, format!("{path} {error}"))),
        Kind::Flag => {
            let flag = match value {
                Value::String(text) => text.parse().ok(),
                value => value.as_bool(),
            };
            flag.map(Scalar::Flag).ok_or_else(|| wrong("true or false".to_owned()))
        }
        // An id of another kind equals nothing.
        Kind::Id(read) => Ok(read(&text(value, path)?).unwrap_or(Scalar::Null)),
    }
}
