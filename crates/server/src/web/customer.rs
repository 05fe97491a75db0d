//! One customer: what is known, wallets, where it is a paywall's user, what it may be called.

use domain::customer::Customer;
use domain::id::CustomerId;
use domain::percent;
use domain::role::{Entity, Needs};
use engine::Error;
use engine::wallets::shown::{self, Shown as Wallet};
use maud::{Markup, html};
use serde_json::{Value, json};
use store::customers::Stored;

use super::customers::name_of;
use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts};
use crate::http::route::Routes;

const SECTION: &str = "Customers";

pub fn routes() -> Routes {
    let (reads, writes) = (Needs::read(Entity::Customer), Needs::write(Entity::Customer));
    let wallets = Needs::write(Entity::Wallet);
    Pages::default()
        .get("/customers/{id}", Some(reads), show)
        .get("/customers/{id}/edit", Some(writes), edit)
        .post("/customers/{id}/edit", Some(writes), change)
        .post("/customers/{id}/wallets", Some(wallets), open_wallet)
        .post("/customers/{id}/portal", Some(Needs::write(Entity::Portal)), open_portal)
        .into_routes()
}

/// A customer of the session's environment.
fn find(visit: &Visit) -> Result<Stored, Error> {
    let id: CustomerId = visit.path("id", "customer")?;
    let scope = visit.scope();
    let found = visit.app.engine.read_now(|read| Ok(store::customers::find(read, &scope, id)?))?;
    engine::customers::present(found)
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let stored = find(&visit)?;
    let scope = visit.scope();
    let now = visit.app.engine.now(&scope);
    let no = stored.no;
    let (wallets, uses) = visit
        .app
        .engine
        .read_aside(move |read| {
            let numbers = store::wallets::numbers_of_customer(read, &scope, no)?;
            let wallets: Result<Vec<Wallet>, Error> =
                numbers.iter().map(|no| shown::read(read, &scope, *no, now)).collect();
            Ok((wallets?, store::holders::uses_of(read, &scope, &numbers)?))
        })
        .await?;
    let customer = &stored.customer;
    let body = html! {
        div.split {
            div {
                (wallets_panel(&visit, customer, &wallets))
                (uses_panel(&uses))
            }
            aside { (facts_panel(&visit, customer)) }
        }
    };
    let page =
        Page::new(name_of(&stored), body).of(SECTION).live().under("Customers", "/customers");
    Ok(Shown::Page(page.actions(actions(&visit, customer))))
}

fn actions(visit: &Visit, customer: &Customer) -> Markup {
    let path = format!("/customers/{}", customer.id);
    html! {
        @if visit.writes(Entity::Portal) {
            form.inline method="post" action={ (path) "/portal" } target="_blank" {
                (parts::token(visit))
                button type="submit" title="The page as this customer sees it, in a new tab" {
                    "Portal"
                }
            }
        }
        @if visit.writes(Entity::Customer) { a.button href={ (path) "/edit" } { "Edit" } }
    }
}

/// Opens the portal as the customer: on this host, whatever the server is called from outside.
async fn open_portal(visit: Visit) -> Result<Shown, Error> {
    let stored = find(&visit)?;
    let name = stored.customer.external_id.as_str();
    let ask = door::ask(&visit, "GET /v1/customers/portal/{external_id}").of("external_id", name);
    let opened = ask.json().await?;
    Ok(Shown::to(format!("/portal/open/{}", parts::text(&opened["token"]))))
}

fn wallets_panel(visit: &Visit, customer: &Customer, wallets: &[Wallet]) -> Markup {
    html! {
        section #wallets.panel data-live {
            header {
                h2 { "Wallets" }
            }
            @if wallets.is_empty() {
                ({
                    parts::blank(
                        "No wallet",
                        &html! {
                            p { "A wallet holds this customer's credits in one currency."
                            }
                        },
                    )
                })
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Wallets" {
                    table {
                        thead {
                            tr {
                                th { "Wallet" }
                                th { "State" }
                                th.r { "Balance" }
                                th.r { "Held" }
                                th.r { "Free to spend" }
                                th.tight { "Last moved" }
                            }
                        }
                        tbody {
                            @for wallet in wallets { (wallet_row(wallet)) }
                        }
                    }
                }
            }
            @if visit.writes(Entity::Wallet) { (open_form(visit, customer)) }
        }
    }
}

fn wallet_row(shown: &Wallet) -> Markup {
    let (wallet, figures) = (&shown.wallet, &shown.figures);
    let standing = &figures.standing;
    let free = standing.credits - standing.held + wallet.overdraft_limit;
    let money = |amount| parts::money(amount, wallet.currency);
    html! {
        tr {
            td {
                a.wrap href={ "/wallets/" (wallet.id) } { (wallet.name) }
                @if wallet.paywall.is_some() {
                    div.faint { "of a paywall" }
                }
            }
            td {
                (parts::badge(wallet.status.name()))
                @if standing.credit_level.as_str() != "ok" {
                    " "
                    (parts::badge(standing.credit_level.as_str()))
                }
            }
            td.r { (money(standing.credits)) }
            td.r { (money(standing.held)) }
            td.r { (money(free.or_zero())) }
            td { (parts::time(figures.moved_at)) }
        }
    }
}

fn open_form(visit: &Visit, customer: &Customer) -> Markup {
    html! {
        div.in {
            details {
                summary { "Open another wallet" }
                form method="post" action={ "/customers/" (customer.id) "/wallets" } {
                    (parts::token(visit)) (parts::once(visit))
                    div.row {
                        (parts::text_field("Currency", "currency", ("", "USD"), ""))
                        (parts::text_field("Name", "name", ("", "Prepaid"), ""))
                        (parts::text_field("First credits", "credits", ("", "0"), ""))
                    }
                    button type="submit" { "Open the wallet" }
                }
            }
        }
    }
}

fn uses_panel(uses: &[store::holders::Use]) -> Markup {
    html! {
        @if !uses.is_empty() {
            section.panel {
                header {
                    h2 { "As a user of paywalls" }
                }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th { "Paywall" }
                                th { "User" }
                                th { "State" }
                                th.tight { "First seen (UTC)" }
                            }
                        }
                        tbody {
                            @for one in uses {
                                tr {
                                    td {
                                        a.wrap href={ "/paywalls/" (one.paywall) } {
                                            (one.paywall_name)
                                        }
                                    }
                                    td {
                                        a   .wrap
                                            href={
                                                "/paywalls/"
                                                (one.paywall)
                                                "/users/"
                                                (percent::encoded(&one.user))
                                            }
                                        { (one.user) }
                                    }
                                    td { (parts::badge(&one.state)) }
                                    td { (parts::time(one.since)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn facts_panel(visit: &Visit, customer: &Customer) -> Markup {
    let path = format!("/v1/customers/{}", customer.id);
    let place = [
        &customer.address_line1,
        &customer.address_line2,
        &customer.address_postal_code,
        &customer.address_city,
        &customer.address_country,
    ];
    let place: Vec<&str> =
        place.iter().map(|part| part.as_str()).filter(|part| !part.is_empty()).collect();
    html! {
        section.panel {
            header {
                h2 { "Details" }
            }
            div.in {
                ({
                    parts::facts(
                        &[
                            ("Id", parts::id(&customer.id.to_string())),
                            ("Your id", parts::or_dash(&customer.external_id)),
                            ("E-mail", parts::or_dash(&customer.email)),
                            ("Address", parts::or_dash(&place.join(", "))),
                            ("Time zone", parts::or_dash(&customer.timezone)),
                            ("Since", parts::time(customer.created_at)),
                            ("Changed", parts::time(customer.updated_at)),
                        ],
                    )
                })
                (parts::metadata(&customer.metadata))
                p {
                    a href={ "/audit?entity=" (customer.id) } { "Changes in the audit log" }
                }
                (parts::as_curl(visit, "GET", &path, None))
                ({
                    parts::raw_json(
                        &json!(domain::event::customer::view(& visit.scope(), customer)),
                    )
                })
            }
        }
    }
}

const FIELDS: &[(&str, &str)] = &[
    ("name", "Name"),
    ("email", "E-mail"),
    ("contact", "Contact"),
    ("timezone", "Time zone"),
    ("address_line1", "Address"),
    ("address_line2", "Address, second line"),
    ("address_postal_code", "Postal code"),
    ("address_city", "City"),
    ("address_country", "Country, two letters"),
];

async fn edit(visit: Visit) -> Result<Shown, Error> {
    let stored = find(&visit)?;
    let now = json!(stored.customer);
    Ok(Shown::Page(edit_page(&visit, &stored, &|name| parts::text(&now[name]), None)))
}

fn edit_page(
    visit: &Visit,
    stored: &Stored,
    value: &dyn Fn(&str) -> String,
    problem: Option<&str>,
) -> Page {
    let path = format!("/customers/{}", stored.customer.id);
    let body = html! {
        @if let Some(problem) = problem {
            p.note.bad role="alert" { (problem) }
        }
        section.panel.narrow {
            div.in {
                form method="post" action={ (path) "/edit" } {
                    (parts::token(visit))
                    @for (name, label) in FIELDS {
                        (parts::text_field(label, name, (&value(name), ""), ""))
                    }
                    button.main type="submit" { "Save" }
                }
            }
        }
    };
    Page::new(format!("Edit {}", name_of(stored)), body)
        .of(SECTION)
        .under("Customers", "/customers")
        .under(name_of(stored), path)
}

async fn change(visit: Visit) -> Result<Shown, Error> {
    let stored = find(&visit)?;
    let form = visit.form();
    let named = |(name, _): &(&str, &str)| ((*name).to_owned(), json!(form.get(name)));
    let body = Value::Object(FIELDS.iter().map(named).collect());
    let id = stored.customer.id;
    let done = door::ask(&visit, "PUT /v1/customers/{id}").of("id", id).body(body).json().await;
    match done {
        Ok(_) => Ok(Shown::done(format!("/customers/{id}"), "Saved.")),
        Err(error) => {
            let problem = mishap::words(&error);
            Ok(Shown::Page(edit_page(&visit, &stored, &|name| form.get(name), Some(&problem))))
        }
    }
}

async fn open_wallet(visit: Visit) -> Result<Shown, Error> {
    let stored = find(&visit)?;
    let form: Form = visit.form();
    let mut body = form.object(&["currency", "name"]);
    body.insert("customer_id".to_owned(), json!(stored.customer.id));
    if let Some(credits) = form.some("credits") {
        body.insert("initial_credits_to_load".to_owned(), json!(credits));
    }
    let ask = door::ask(&visit, "POST /v1/wallets").body(Value::Object(body));
    Ok(match ask.once(&form.get("once")).json().await {
        Ok(made) => {
            Shown::done(format!("/wallets/{}", parts::text(&made["id"])), "The wallet is open.")
        }
        Err(error) => Shown::failed(format!("/customers/{}", stored.customer.id), &error),
    })
}
