//! Customers: found by what a person types, listed by age, made by hand.

use domain::role::{Entity, Needs};
use domain::scope::Scope;
use engine::Error;
use engine::wallets::shown::{self, Shown as Wallet};
use maud::{Markup, html};
use serde_json::{Value, json};
use store::customers::Stored;

use super::layout::Page;
use super::live::place_of;
use super::visit::{Pages, Shown, Visit};
use super::{door, form::Form, mishap, parts};
use crate::http::route::Routes;

const SECTION: &str = "Customers";
const PAGE_MAX: usize = 40;
const FOUND_MAX: usize = 100;
/// Wallets that are shown beside a customer.
const WALLETS_MAX: usize = 3;

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Customer), Needs::write(Entity::Customer));
    Pages::default()
        .get("/customers", Some(reads), list)
        .get("/customers/new", Some(writes), new)
        .post("/customers/new", Some(writes), create)
        .into_routes()
}

/// A customer with the first of its wallets.
type Row = (Stored, Vec<Wallet>);

fn with_wallets(
    read: store::Read<'_>,
    scope: &Scope,
    stored: Stored,
    now: domain::time::Timestamp,
) -> Result<Row, Error> {
    let numbers = store::wallets::numbers_of_customer(read, scope, stored.no)?;
    let wallets = numbers.into_iter().take(WALLETS_MAX).map(|no| shown::read(read, scope, no, now));
    Ok((stored, wallets.collect::<Result<_, _>>()?))
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let asked = visit.query("q").unwrap_or_default();
    if let Some(place) = place_of(&asked) {
        return Ok(Shown::to(place));
    }
    let below = visit.query("below").and_then(|text| text.parse().ok());
    let scope = visit.scope();
    let now = visit.app.engine.now(&scope);
    let words = asked.clone();
    let mut rows: Vec<Row> = visit
        .app
        .engine
        .read_aside(move |read| {
            let found = if words.is_empty() {
                store::customer_words::newest(read, &scope, below, PAGE_MAX + 1)?
            } else {
                store::customer_words::search(read, &scope, &words, FOUND_MAX)?
            };
            found.into_iter().map(|stored| with_wallets(read, &scope, stored, now)).collect()
        })
        .await?;
    let more = asked.is_empty() && rows.len() > PAGE_MAX;
    if more {
        rows.truncate(PAGE_MAX);
    }
    let next =
        rows.last().filter(|_| more).map(|(stored, _)| format!("/customers?below={}", stored.no));
    let body = html! {
        (search_form(&asked))
        section.panel #customers data-live {
            (table(&rows, &asked))
            (parts::pager(below.map(|_: i64| "/customers"), next.as_deref()))
        }
    };
    let page = Page::new("Customers", body).of(SECTION).live();
    let new = html! { a.button.main href="/customers/new" { "Create a customer" } };
    Ok(Shown::Page(if visit.writes(Entity::Customer) { page.actions(new) } else { page }))
}

fn search_form(asked: &str) -> Markup {
    html! {
        form.filters action="/customers" role="search" {
            div.field {
                label for="q" { "Search" }
                input
                    #q
                    name="q"
                    type="search"
                    value=(asked)
                    placeholder="Name, e-mail or id: the start of each word";
            }
            button type="submit" { "Search" }
            @if !asked.is_empty() {
                a.button.quiet href="/customers" { "All" }
            }
        }
    }
}

fn table(rows: &[Row], asked: &str) -> Markup {
    html! {
        @if rows.is_empty() && !asked.is_empty() {
            ({
                parts::blank(
                    "Nobody found",
                    &html! {
                        p { "No customer has words that begin with " b { (asked) } "." }
                    },
                )
            })
        } @else if rows.is_empty() {
            ({
                parts::blank(
                    "No customers yet",
                    &html! {
                        p {
                        "A customer holds wallets. One appears by itself when a paywall sees a "
                        "user for the first time; or create one by hand, or with "
                        code { "POST /v1/customers" } "." }
                    },
                )
            })
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Customers" {
                table {
                    thead {
                        tr {
                            th { "Customer" }
                            th { "Your id" }
                            th { "E-mail" }
                            th.r { "Balance" }
                            th.tight { "Since (UTC)" }
                        }
                    }
                    tbody {
                        @for row in rows { (line(row)) }
                    }
                }
            }
        }
    }
}

/// Name, or the own id where there is none.
pub fn name_of(stored: &Stored) -> &str {
    let customer = &stored.customer;
    if customer.name.is_empty() { &customer.external_id } else { &customer.name }
}

fn line((stored, wallets): &Row) -> Markup {
    let customer = &stored.customer;
    html! {
        tr data-row=(stored.no) {
            td { a.wrap href={ "/customers/" (customer.id) } { (name_of(stored)) } }
            td { span.wrap.mute { (parts::or_dash(&customer.external_id)) } }
            td { span.wrap.mute { (parts::or_dash(&customer.email)) } }
            td.r {
                @for wallet in wallets {
                    div { (parts::money(wallet.figures.standing.credits, wallet.wallet.currency)) }
                }
                @if wallets.is_empty() { span.faint { "no wallet" } }
            }
            td { (parts::time(customer.created_at)) }
        }
    }
}

async fn new(visit: Visit) -> Result<Shown, Error> {
    Ok(Shown::Page(new_page(&visit, &Form::of(b""), None)))
}

const WHO: &[(&str, &str, &str, &str)] = &[
    ("Name", "name", "Ada Lovelace", ""),
    (
        "Your id",
        "external_id",
        "user_42",
        "How your own systems call this customer. It must be unique.",
    ),
    ("E-mail", "email", "ada@example.com", ""),
];
const FIRST_WALLET: &[(&str, &str, &str, &str)] = &[
    ("Wallet in", "currency", "USD", "Leave empty for no wallet yet."),
    ("First credits", "credits", "0", "Granted, not paid."),
];

fn new_page(visit: &Visit, form: &Form, problem: Option<&str>) -> Page {
    let example = json!({ "name": "Ada Lovelace", "external_id": "user_42" });
    let body = html! {
        (parts::problem(problem))
        section.panel.narrow {
            div.in {
                form method="post" action="/customers/new" {
                    (parts::token(visit)) (parts::once(visit))
                    (parts::texts(form, WHO))
                    div.row { (parts::texts(form, FIRST_WALLET)) }
                    button.main type="submit" { "Create" }
                }
                (parts::as_curl(visit, "POST", "/v1/customers", Some(&example)))
            }
        }
    };
    Page::new("Create a customer", body).of(SECTION).under("Customers", "/customers")
}

async fn create(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    match make(&visit, &form).await {
        Ok(id) => Ok(Shown::done(format!("/customers/{id}"), "The customer was created.")),
        Err(error) => Ok(Shown::Page(new_page(&visit, &form, Some(&mishap::words(&error))))),
    }
}

async fn make(visit: &Visit, form: &Form) -> Result<String, Error> {
    let once = form.get("once");
    let mut body = form.object(&["name", "external_id", "email"]);
    if !body.contains_key("external_id") {
        return Err(Error::invalid(
            "external_id",
            "your id is needed, so that the customer can be found again",
        ));
    }
    let made = door::ask(visit, "POST /v1/customers").body(Value::Object(body.clone())).once(&once);
    let made = made.json().await?;
    let id = parts::text(&made["id"]);
    if let Some(currency) = form.some("currency") {
        body.clear();
        body.insert("customer_id".to_owned(), json!(id));
        body.insert("currency".to_owned(), json!(currency));
        if let Some(credits) = form.some("credits") {
            body.insert("initial_credits_to_load".to_owned(), json!(credits));
        }
        door::ask(visit, "POST /v1/wallets").body(Value::Object(body)).once(&once).json().await?;
    }
    Ok(id)
}
