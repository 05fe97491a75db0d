//! One setting on a page of its own: its fields, what is wrong with one beside it, the way back to
//! the default, and the raw JSON for whoever wants it.

use domain::role::{Entity, Needs};
use domain::setting::Setting;
use engine::Error;
use engine::settings::by_name;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::Page;
use super::setting_fields::{self as fields, Field, Kind, SLABS_MAX, at, name_of, shape};
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts};
use crate::http::route::Routes;

const GET: &str = "GET /v1/settings/{key}";
const PUT: &str = "PUT /v1/settings/{key}";
const RESET: &str = "DELETE /v1/settings/{key}";
/// Empty rows under the slabs that are there.
const SPARE_SLABS: usize = 2;

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Setting), Needs::write(Entity::Setting));
    Pages::default()
        .get("/settings/values/{name}", Some(reads), show)
        .post("/settings/values/{name}", Some(writes), set)
        .post("/settings/values/{name}/reset", Some(writes), reset)
        .into_routes()
}

/// All settings, with what holds.
pub async fn panel(visit: &Visit) -> Markup {
    let mut rows = Vec::new();
    for setting in Setting::ALL {
        if let Ok(found) = door::ask(visit, GET).of("key", setting.name()).json().await {
            rows.push((setting, found));
        }
    }
    html! {
        section.panel #values {
            header { h2 { "Values of this environment" } }
            ul.runs {
                @for (setting, found) in &rows {
                    li {
                        div.head {
                            span.what {
                                a href={ "/settings/values/" (setting.name()) } {
                                    (shape(*setting).title)
                                }
                            }
                            (standing(found))
                        }
                        p.help { (shape(*setting).about) }
                    }
                }
            }
        }
    }
}

fn standing(found: &Value) -> Markup {
    html! {
        @if found["is_default"] == true { span.faint { "default" } }
        @else { span.mute { "changed " (parts::json_time(&found["updated_at"])) } }
    }
}

/// What was wrong with a value, and where.
struct Wrong {
    /// Name of the field in the form; empty for the value as a whole.
    name: String,
    words: String,
}

impl Wrong {
    fn of(error: &Error) -> Wrong {
        let Error::Fault(fault) = error else {
            return Wrong { name: String::new(), words: mishap::words(error) };
        };
        let path = fault.field.clone().unwrap_or_default();
        let problem = fault.message.strip_prefix(path.as_str()).unwrap_or(&fault.message);
        let inside = path.strip_prefix("value.").unwrap_or_default();
        // A level is one field; the path may name what is inside of it.
        let name = name_of(inside);
        let level = ["critical", "warning", "info"].into_iter().find(|one| name.starts_with(one));
        let words = mishap::sentence(problem.trim());
        Wrong { name: level.map_or(name, str::to_owned), words }
    }

    /// Whether it stands beside one of the fields.
    fn is_beside(&self, all: &[Field]) -> bool {
        self.name.starts_with("slabs-")
            || all.iter().any(|field| self.at(&name_of(field.path)).is_some())
    }

    fn at(&self, name: &str) -> Option<&str> {
        let inside = self.name.strip_prefix(name).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|rest| rest.parse::<u32>().is_ok())
        });
        inside.then_some(self.words.as_str())
    }
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let setting = by_name(&visit.path::<String>("name", "setting")?)?;
    let found = door::ask(&visit, GET).of("key", setting.name()).json().await?;
    Ok(Shown::Page(page(&visit, setting, (&found, &found["value"]), None)))
}

fn page(
    visit: &Visit,
    setting: Setting,
    (found, value): (&Value, &Value),
    wrong: Option<&Wrong>,
) -> Page {
    let shape = shape(setting);
    let path = format!("/settings/values/{}", setting.name());
    let writes = visit.writes(Entity::Setting);
    let call = format!("/v1/settings/{}", setting.name());
    let example = json!({ "value": value });
    let body = html! {
        @if let Some(wrong) = wrong {
            p.note.bad role="alert" {
                "Nothing was saved. "
                @if wrong.is_beside(shape.fields) { "Look at the field that is marked below." }
                @else { (wrong.words) }
            }
        }
        section.panel.narrow {
            header { h2 { (shape.about) } (standing(found)) }
            div.in {
                form method="post" action=(path) {
                    (parts::token(visit))
                    fieldset disabled[!writes] {
                        @for field in shape.fields { (input(field, value, wrong)) }
                    }
                    @if writes { button.main type="submit" { "Save" } }
                }
                @if writes && found["is_default"] != true {
                    @let reset = format!("{path}/reset");
                    (parts::button(visit, &reset, "Back to the default", "danger"))
                }
                p { a href={ "/audit?entity=" (setting.name()) } { "Changes in the audit log" } }
                (raw(visit, &path, value))
                (parts::as_curl(visit, "PUT", &call, Some(&example)))
            }
        }
    };
    Page::new(shape.title, body).of("Settings").under("Settings", "/settings")
}

fn raw(visit: &Visit, path: &str, value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! {
        details.curl {
            summary { "As JSON" }
            form method="post" action=(path) {
                (parts::token(visit))
                div.field {
                    label for="json" { "The value, read whole" }
                    textarea #json name="json" rows="12" spellcheck="false" { (text) }
                }
                @if visit.writes(Entity::Setting) { button type="submit" { "Save the JSON" } }
            }
        }
    }
}

fn input(field: &Field, value: &Value, wrong: Option<&Wrong>) -> Markup {
    let name = name_of(field.path);
    let found = at(value, field.path);
    let problem = wrong.and_then(|wrong| wrong.at(&name));
    match field.kind {
        Kind::Switch => switch(field, &name, found == true),
        Kind::Choice(all) => choice(field, &name, (all, &parts::text(found))),
        Kind::Condition => {
            let all = [("below", "below it"), ("above", "above it")];
            choice(field, &name, (&all, fields::condition(value)))
        }
        Kind::Level => text(field, &name, &parts::text(&found["threshold"]), problem),
        Kind::Numbers => text(field, &name, &listed(found), problem),
        Kind::Amount | Kind::Whole(..) => text(field, &name, &parts::text(found), problem),
        Kind::Slabs => slabs(field, found, wrong),
    }
}

fn listed(value: &Value) -> String {
    let all: Vec<String> = value.as_array().into_iter().flatten().map(parts::text).collect();
    all.join(", ")
}

fn switch(field: &Field, name: &str, on: bool) -> Markup {
    let described = (!field.help.is_empty()).then(|| format!("{name}-help"));
    html! {
        div.field {
            label.check for=(name) {
                input id=(name) type="checkbox" name=(name) value="on" checked[on]
                    aria-describedby=[described];
                (field.label)
            }
            @if !field.help.is_empty() { p.help id={ (name) "-help" } { (field.help) } }
        }
    }
}

fn choice(field: &Field, name: &str, from: (&[(&str, &str)], &str)) -> Markup {
    parts::select_field(field.label, name, from)
}

fn text(field: &Field, name: &str, value: &str, problem: Option<&str>) -> Markup {
    let bounds = match field.kind {
        Kind::Whole(min, max) => Some((min, max)),
        _ => None,
    };
    let says = problem.unwrap_or(field.help);
    let described = (!says.is_empty()).then(|| format!("{name}-help"));
    // A number that is none is shown as it was typed, which a field for numbers would not.
    let number = bounds.is_some() && (value.is_empty() || value.parse::<i64>().is_ok());
    let mode = if bounds.is_some() { "numeric" } else { "decimal" };
    html! {
        div.field {
            label for=(name) { (field.label) }
            input id=(name) name=(name) value=(value) autocomplete="off"
                type=(if number { "number" } else { "text" })
                inputmode=[(field.kind != Kind::Numbers).then_some(mode)]
                min=[bounds.filter(|_| number).map(|(min, _)| min)]
                max=[bounds.filter(|_| number).map(|(_, max)| max)]
                aria-invalid=[problem.map(|_| "true")] aria-describedby=[described];
            @if !says.is_empty() {
                p.help.bad-text[problem.is_some()] id={ (name) "-help" } { (says) }
            }
        }
    }
}

const BONUS_KINDS: &[(&str, &str)] = &[("flat", "credits"), ("percentage", "per cent")];
const UNITS: &[(&str, &str)] =
    &[("DAY", "days"), ("WEEK", "weeks"), ("MONTH", "months"), ("YEAR", "years")];

fn slabs(field: &Field, found: &Value, wrong: Option<&Wrong>) -> Markup {
    let rows = found.as_array().cloned().unwrap_or_default();
    let room = (rows.len() + SPARE_SLABS).min(SLABS_MAX.max(rows.len()));
    html! {
        @for number in 0..room {
            fieldset.slab {
                legend.legend { (field.label.trim_end_matches('s')) " " (number + 1) }
                (slab(number, rows.get(number).unwrap_or(&Value::Null), wrong))
            }
        }
        p.help { (field.help) }
    }
}

fn slab(number: usize, row: &Value, wrong: Option<&Wrong>) -> Markup {
    let at = |name: &str| format!("slabs-{number}-{name}");
    let amount = |path: &'static str, label: &'static str, kind, value: &Value| {
        let name = at(&name_of(path));
        let problem = wrong.and_then(|wrong| wrong.at(&name));
        text(&Field { path, label, kind, help: "" }, &name, &parts::text(value), problem)
    };
    let select = |path: &str, label: &str, all, value: &Value| {
        parts::select_field(label, &at(&name_of(path)), (all, &parts::text(value)))
    };
    let bonus = &row["bonus"];
    html! {
        div.row {
            (amount("threshold", "From a purchase of", Kind::Amount, &row["threshold"]))
            (amount("bonus.value", "It brings", Kind::Amount, &bonus["value"]))
            (select("bonus.type", "In", BONUS_KINDS, &bonus["type"]))
        }
        div.row {
            (amount("expiration_duration", "Lasting (empty: for ever)", Kind::Whole("1", "10000"),
                &row["expiration_duration"]))
            (select("expiration_duration_unit", "Unit", UNITS, &row["expiration_duration_unit"]))
        }
    }
}

async fn set(visit: Visit) -> Result<Shown, Error> {
    let setting = by_name(&visit.path::<String>("name", "setting")?)?;
    let found = door::ask(&visit, GET).of("key", setting.name()).json().await?;
    let form = visit.form();
    let given = form.raw("json");
    let value = if given.is_empty() {
        Ok(fields::read(shape(setting).fields, &form, &found["value"]))
    } else {
        serde_json::from_str(&given)
            .map_err(|error| Error::invalid("value", format!("That is no JSON: {error}")))
    };
    let (value, saved) = match value {
        Ok(value) => {
            let ask = door::ask(&visit, PUT).of("key", setting.name());
            let body = json!({ "value": value });
            (value, ask.body(body).json().await)
        }
        Err(error) => (found["value"].clone(), Err(error)),
    };
    Ok(match saved {
        Ok(_) => Shown::done(
            format!("/settings/values/{}", setting.name()),
            "Saved: it holds from now on.",
        ),
        Err(error) => {
            Shown::Page(page(&visit, setting, (&found, &value), Some(&Wrong::of(&error))))
        }
    })
}

async fn reset(visit: Visit) -> Result<Shown, Error> {
    let setting = by_name(&visit.path::<String>("name", "setting")?)?;
    let done = door::ask(&visit, RESET).of("key", setting.name()).json().await;
    let to = format!("/settings/values/{}", setting.name());
    Ok(match done {
        Ok(_) => Shown::done(to, "The default holds again."),
        Err(error) => Shown::failed(to, &error),
    })
}
