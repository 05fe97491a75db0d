//! Name and address, which the customer may change where the operator lets it.

use domain::portal::Allowance;
use engine::Error;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::{mishap, parts};
use super::frame::Page;
use super::visit::{Pages, Shown, Visit};
use crate::http::portal::OWN_FIELDS;
use crate::http::route::Routes;

const TAB: &str = "/portal/details";

/// In the order of `OWN_FIELDS`: what it is called, and what browsers fill in.
const LABELS: [(&str, &str); 7] = [
    ("Name", "organization"),
    ("Address", "address-line1"),
    ("Address, second line", "address-line2"),
    ("City", "address-level2"),
    ("State or region", "address-level1"),
    ("Postal code", "postal-code"),
    ("Country, two letters", "country"),
];

pub fn routes() -> Routes {
    Pages::default().get(TAB, show).post(TAB, change).into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let now = visit.ask("GET /v1/customer/portal/info").json().await?;
    let value = |name: &str| parts::text(&now[name]);
    Ok(Shown::Page(page(&visit, &now, &value, None)))
}

fn page(visit: &Visit, now: &Value, value: &dyn Fn(&str) -> String, problem: Option<&str>) -> Page {
    let may = visit.config.allows(Allowance::EditDetails);
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                @if may { (form(visit, value)) } @else { (facts(&value)) }
            }
        }
        section.panel.narrow {
            header { h2 { "Kept by " (visit.brand) } }
            div.in {
                (parts::facts(&[
                    ("Your id", parts::or_dash(&parts::text(&now["external_id"]))),
                    ("E-mail", parts::or_dash(&parts::text(&now["email"]))),
                ]))
                p.help { "Ask " (visit.brand) " to change these." }
            }
        }
    };
    Page::new("Details", body).under(TAB)
}

fn form(visit: &Visit, value: &dyn Fn(&str) -> String) -> Markup {
    html! {
        form method="post" action=(TAB) {
            (visit.proof())
            @for (name, (label, fills)) in OWN_FIELDS.iter().zip(LABELS) {
                div.field {
                    label for=(name) { (label) }
                    input id=(name) name=(name) value=(value(name)) autocomplete=(fills)
                        required[*name == "name"];
                }
            }
            button.main type="submit" { "Save" }
        }
    }
}

fn facts(value: &dyn Fn(&str) -> String) -> Markup {
    let rows = OWN_FIELDS.iter().zip(LABELS);
    let rows = rows.map(|(name, (label, _))| (label, parts::or_dash(&value(name))));
    parts::facts(&rows.collect::<Vec<_>>())
}

async fn change(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let body = OWN_FIELDS.iter().map(|name| ((*name).to_owned(), json!(form.get(name))));
    let ask = visit.ask("PUT /v1/customer/portal/info").body(Value::Object(body.collect()));
    match ask.json().await {
        Ok(_) => Ok(Shown::done(TAB, "Saved.")),
        Err(error) => {
            let now = visit.ask("GET /v1/customer/portal/info").json().await?;
            let problem = mishap::words(&error);
            Ok(Shown::Page(page(&visit, &now, &|name| form.get(name), Some(&problem))))
        }
    }
}
