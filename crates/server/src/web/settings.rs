//! Settings of the tenant and the environment, and the people who may sign in.

use domain::role::{Entity, Needs};
use engine::Error;
use engine::sign_ins::assignable_roles;
use maud::{Markup, html};
use serde_json::{Value, json};
use store::members::Profile;

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, parts, setting_forms};
use crate::http::route::Routes;

const SECTION: &str = "Settings";

pub fn routes() -> Routes {
    let reads = Needs::read(Entity::Setting);
    let people = Needs::write(Entity::User);
    let environments = Needs::write(Entity::Environment);
    Pages::default()
        .get("/settings", Some(reads), show)
        .post("/settings/tenant", Some(Needs::write(Entity::Tenant)), rename)
        .post("/settings/environments", Some(environments), add_environment)
        .post("/settings/people", Some(people), invite)
        .into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let tenant = visit.scope().tenant.to_string();
    let tenant = door::ask(&visit, "GET /v1/tenants/{id}").of("id", tenant.as_str()).json().await?;
    let people = if visit.reads(Entity::User) {
        door::ask(&visit, "POST /v1/users/search").body(json!({ "limit": 100 })).json().await?
    } else {
        Value::Null
    };
    let body = html! {
        div.grid { (tenant_panel(&visit, &tenant)) (environments_panel(&visit)) }
        (people_panel(&visit, &people))
        (setting_forms::panel(&visit).await)
    };
    Ok(Shown::Page(Page::new("Settings", body).of(SECTION)))
}

fn tenant_panel(visit: &Visit, tenant: &Value) -> Markup {
    let name = parts::text(&tenant["name"]);
    html! {
        section.panel {
            header { h2 { "Tenant" } }
            div.in {
                (parts::facts(&[("Id", parts::id(&parts::text(&tenant["id"])))]))
                form method="post" action="/settings/tenant" {
                    (parts::token(visit))
                    (parts::text_field("Name", "name", (&name, ""), ""))
                    @if visit.writes(Entity::Tenant) { button type="submit" { "Save" } }
                }
            }
        }
    }
}

fn environments_panel(visit: &Visit) -> Markup {
    let kinds: &[(&str, &str)] =
        &[("development", "Test: nothing is real money"), ("production", "Live: real money")];
    html! {
        section.panel {
            header { h2 { "Environments" } }
            div.in {
                ul.bars {
                    @for one in &visit.environments {
                        li {
                            span.name { (one.name) " " code.faint { (one.scope.environment) } }
                            (parts::badge(if one.scope.live { "live" } else { "test" }))
                        }
                    }
                }
                @if visit.writes(Entity::Environment) {
                    details {
                        summary { "Add one" }
                        form method="post" action="/settings/environments" {
                            (parts::token(visit)) (parts::once(visit))
                            (parts::text_field("Name", "name", ("", "Live"), ""))
                            (parts::select_field("Kind", "type", (kinds, "development")))
                            button type="submit" { "Add" }
                        }
                    }
                }
            }
        }
    }
}

fn people_panel(visit: &Visit, people: &Value) -> Markup {
    let list =
        people["items"].as_array().or(people["data"].as_array()).cloned().unwrap_or_default();
    let heads =
        [("Name", ""), ("E-mail", ""), ("Kind", ""), ("Roles", ""), ("Since (UTC)", "tight")];
    let row = |one: &Value| {
        let roles = one["roles"].as_array().cloned().unwrap_or_default();
        vec![
            parts::words(&parts::text(&one["name"])),
            parts::words(&parts::text(&one["email"])),
            parts::words(&parts::text(&one["type"]).replace('_', " ")),
            html! { @for role in &roles { (parts::badge(&parts::text(role))) " " } },
            parts::json_time(&one["created_at"]),
        ]
    };
    let rows: Vec<Vec<Markup>> = list.iter().map(row).collect();
    html! {
        section.panel {
            header { h2 { "People and programs" } }
            @if !rows.is_empty() { (parts::table("People and programs", &heads, &rows)) }
            @if visit.writes(Entity::User) { div.in { (invite_form(visit)) } }
        }
    }
}

fn invite_form(visit: &Visit) -> Markup {
    let roles: Vec<(&str, &str)> = assignable_roles().into_iter().map(|one| (one, one)).collect();
    let fields =
        [("Name", "name", "Grace Hopper", ""), ("E-mail", "email", "grace@example.com", "")];
    html! {
        details {
            summary { "Invite a person" }
            form method="post" action="/settings/people" {
                (parts::token(visit))
                div.row {
                    (parts::texts(&Form::of(b""), &fields))
                    (parts::select_field("Role", "role", (&roles, "all_reader")))
                }
                button type="submit" { "Make the link" }
            }
        }
    }
}

async fn rename(visit: Visit) -> Result<Shown, Error> {
    let body = json!({ "name": visit.form().get("name") });
    let done = door::ask(&visit, "PUT /v1/tenants/update").body(body).json().await;
    Ok(match done {
        Ok(_) => Shown::done("/settings", "Saved."),
        Err(error) => Shown::failed("/settings", &error),
    })
}

async fn add_environment(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let body = Value::Object(form.object(&["name", "type"]));
    let ask = door::ask(&visit, "POST /v1/environments").body(body).once(&form.get("once"));
    Ok(match ask.json().await {
        Ok(_) => Shown::done("/settings", "The environment is there: switch to it in the menu."),
        Err(error) => Shown::failed("/settings", &error),
    })
}

async fn invite(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let profile = Profile {
        name: form.get("name"),
        email: form.get("email").to_lowercase(),
        roles: vec![form.get("role")],
        ..Profile::default()
    };
    let asked = (profile, visit.grants.clone());
    let invited = visit.app.engine.invite(visit.scope(), visit.call.cause(), asked).await;
    let link = match invited {
        Ok((_, link)) => format!("{}{link}", visit.app.engine.public_url),
        Err(error) => return Ok(Shown::failed("/settings", &error)),
    };
    let body = html! {
        section.panel.narrow {
            header { h2 { "Their link, shown this once" } }
            div.in {
                p {
                    "Send it to "
                    b { (form.get("name")) }
                    ". It lets them in once, within a day, to set a password."
                }
                (parts::snippet("Link", &link))
                p { a.button href="/settings" { "Done" } }
            }
        }
    };
    Ok(Shown::Page(Page::new("Invited", body).of(SECTION).under("Settings", "/settings")))
}
