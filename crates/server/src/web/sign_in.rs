//! The door: signing in and out, one-time links, and what a person sets for themselves.

use axum::http::{Method, StatusCode};
use domain::id::EnvironmentId;
use domain::percent;
use engine::sign_ins::PASSWORD_CHARS_MIN;
use engine::{Class, Error, Fault};
use maud::{Markup, html};

use super::cookies;
use super::form::Form;
use super::layout::{self, Look, Page};
use super::visit::{self, Pages, Shown, Visit, redirect};
use super::{mishap, parts};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::route::{Access, Routes};
use crate::http::spec::Doc;

pub fn routes() -> Routes {
    let doc = Doc::new("Dashboard", "signIn", "The door of the dashboard");
    let (get, post) = (Method::GET, Method::POST);
    let public = Access::Public;
    Routes::default()
        .add((get.clone(), "/sign-in"), public, doc.clone(), show)
        .add((post.clone(), "/sign-in"), public, doc.clone(), enter)
        .add((get, "/welcome/{token}"), public, doc.clone(), welcome)
        .add((post, "/welcome/{token}"), public, doc, accept)
        .merge(
            Pages::default()
                .post("/sign-out", None, leave)
                .post("/theme", None, theme)
                .post("/environment", None, environment)
                .get("/account", None, account)
                .post("/account/password", None, password)
                .into_routes(),
        )
}

fn is_secure(app: &App) -> bool {
    app.engine.public_url.starts_with("https:")
}

/// A path of ours, so that nobody is sent elsewhere.
fn ours(path: &str) -> &str {
    let own = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    if own && layout::is_header(path) { path } else { "/" }
}

async fn show(app: App, call: Call) -> Result<Answer, Error> {
    let next = call.query_value("next").unwrap_or_default();
    let empty = app.engine.is_without_people()?;
    let body = sign_in_form(("", &next), None, empty);
    let look = Look::of(&call);
    if visit::admit(app, call).await?.is_some() {
        return Ok(redirect(ours(&next)));
    }
    Ok(layout::html_answer(layout::outside(&look, "Sign in", &body), StatusCode::OK))
}

fn sign_in_form((email, next): (&str, &str), problem: Option<&str>, empty: bool) -> Markup {
    html! {
        @if let Some(problem) = problem {
            p.note.bad role="alert" { (problem) }
        }
        @if empty {
            p.help {
                "Nobody can sign in yet. The server printed a link for the first person when it "
                "started: open that one."
            }
        }
        form method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            (email_field(email, true))
            div.field {
                label for="password" { "Password" }
                input
                    #password
                    name="password"
                    type="password"
                    autocomplete="current-password"
                    required;
            }
            button.main type="submit" { "Sign in" }
        }
    }
}

async fn enter(app: App, call: Call) -> Result<Answer, Error> {
    let form = Form::of(&call.body);
    let next = form.get("next");
    let look = Look::of(&call);
    let entered = if visit::is_same_site(&call) {
        app.engine.sign_in(&form.get("email"), form.raw("password")).await
    } else {
        Err(Fault::new(Class::Forbidden, "permission_denied", "load this page again").into())
    };
    match entered {
        Ok(token) => Ok(cookies::with_session(redirect(ours(&next)), &token, is_secure(&app))),
        Err(error) => {
            let body =
                sign_in_form((&form.get("email"), &next), Some(&mishap::words(&error)), false);
            let status = match &error {
                Error::Fault(fault) if fault.class == Class::TooMany => {
                    StatusCode::TOO_MANY_REQUESTS
                }
                _ => StatusCode::UNAUTHORIZED,
            };
            Ok(layout::html_answer(layout::outside(&look, "Sign in", &body), status))
        }
    }
}

async fn leave(visit: Visit) -> Result<Shown, Error> {
    visit.app.engine.sign_out(&visit.token).await?;
    let answer = cookies::without_session(redirect("/sign-in"), is_secure(&visit.app));
    Ok(Shown::Raw(answer))
}

async fn welcome(app: App, call: Call) -> Result<Answer, Error> {
    let token: String = call.path("token", "link")?;
    let look = Look::of(&call);
    Ok(match app.engine.open_link(&token) {
        Ok(link) => {
            let email = link.user.and_then(|user| email_of(&app, user)).unwrap_or_default();
            let body = welcome_form(&token, (&email, link.user.is_none()), None);
            layout::html_answer(layout::outside(&look, "Welcome to Farebox", &body), StatusCode::OK)
        }
        Err(error) => {
            let body = html! {
                p { (mishap::words(&error)) }
                p { a.button href="/sign-in" { "Sign in" } }
            };
            let page = layout::outside(&look, "This link does not open", &body);
            layout::html_answer(page, StatusCode::GONE)
        }
    })
}

fn email_of(app: &App, user: domain::id::UserId) -> Option<String> {
    let find = |read: store::Read<'_>| {
        let Some(scope) = store::sign_ins::scope_of(read, user)? else { return Ok(None) };
        Ok::<_, Error>(store::members::find(read, &scope, user)?)
    };
    app.engine.read_now(find).ok().flatten().map(|member| member.profile.email)
}

fn welcome_form(token: &str, (email, first): (&str, bool), problem: Option<&str>) -> Markup {
    let help = format!("At least {PASSWORD_CHARS_MIN} characters; a sentence is good.");
    html! {
        @if let Some(problem) = problem {
            p.note.bad role="alert" { (problem) }
        }
        p.help {
            @if first {
                "You are the first: this makes your account, with the role super admin."
            } @else {
                "Choose a password, and you are in."
            }
        }
        form method="post" action={ "/welcome/" (percent::encoded(token)) } {
            (email_field(email, false))
            div.field {
                label for="password" { "Password" }
                input
                    #password
                    name="password"
                    type="password"
                    autocomplete="new-password"
                    minlength=(PASSWORD_CHARS_MIN)
                    required
                    aria-describedby="password-help";
                p #password-help.help { (help) }
            }
            button.main type="submit" { "Begin" }
        }
    }
}

fn email_field(email: &str, focused: bool) -> Markup {
    let input = html! {
        input
            #email
            name="email"
            type="email"
            value=(email)
            autocomplete="username"
            required
            autofocus[focused];
    };
    parts::field("E-mail", "email", &input, "")
}

async fn accept(app: App, call: Call) -> Result<Answer, Error> {
    let token: String = call.path("token", "link")?;
    let form = Form::of(&call.body);
    let look = Look::of(&call);
    if !visit::is_same_site(&call) {
        return Err(Error::forbidden("permission_denied", "load this page again"));
    }
    let asked = (form.get("email"), form.raw("password"));
    match app.engine.accept_link(&token, (&asked.0, asked.1)).await {
        Ok(session) => Ok(cookies::with_session(redirect("/"), &session, is_secure(&app))),
        Err(error) => {
            let problem = mishap::words(&error);
            let body = welcome_form(&token, (&form.get("email"), false), Some(&problem));
            let page = layout::outside(&look, "Welcome to Farebox", &body);
            Ok(layout::html_answer(page, StatusCode::BAD_REQUEST))
        }
    }
}

/// The page that a form of the frame was on.
fn back(visit: &Visit) -> String {
    let from = visit.call.header("referer").and_then(|from| url::Url::parse(from).ok());
    let path = from.map(|from| match from.query() {
        Some(query) => format!("{}?{query}", from.path()),
        None => from.path().to_owned(),
    });
    ours(&path.unwrap_or_default()).to_owned()
}

async fn theme(visit: Visit) -> Result<Shown, Error> {
    let next = match cookies::theme(&visit.call) {
        Some("dark") => "light",
        Some("light") => "system",
        _ => "dark",
    };
    let answer = cookies::with_theme(redirect(&back(&visit)), next, is_secure(&visit.app));
    Ok(Shown::Raw(answer))
}

/// Pages of things do not follow into another environment; lists do.
async fn environment(visit: Visit) -> Result<Shown, Error> {
    let to = visit.form().get("environment");
    let to: EnvironmentId = to.parse().map_err(|_| Error::not_found("environment"))?;
    visit.app.engine.move_session(&visit.token, to).await?;
    let from = back(&visit);
    let list = from.split('/').nth(1).unwrap_or_default();
    let list = list.split('?').next().unwrap_or_default();
    Ok(Shown::to(format!("/{list}")))
}

async fn account(visit: Visit) -> Result<Shown, Error> {
    let member = &visit.person.member;
    let roles = html! { @for role in &member.profile.roles { (parts::badge(role)) " " } };
    let session = &visit.person.session;
    let body = html! {
        section.panel.narrow {
            header { h2 { "You" } }
            div.in {
                (parts::facts(&[
                    ("Name", html! { (member.profile.name) }),
                    ("E-mail", html! { (member.profile.email) }),
                    ("Roles", roles),
                    ("Id", parts::id(&member.id.to_string())),
                    ("Signed in", parts::time(session.created_at)),
                    ("Until", parts::time(session.expires_at)),
                ]))
            }
        }
        (password_panel(&visit))
    };
    Ok(Shown::Page(Page::new("Your account", body)))
}

fn password_panel(visit: &Visit) -> Markup {
    let email = &visit.person.member.profile.email;
    html! {
        section.panel.narrow {
            header { h2 { "Another password" } }
            div.in {
                form method="post" action="/account/password" {
                    (parts::token(visit))
                    input type="hidden" name="username" autocomplete="username" value=(email);
                    div.field {
                        label for="old" { "So far" }
                        input #old name="old" type="password" autocomplete="current-password"
                            required;
                    }
                    div.field {
                        label for="new" { "From now on" }
                        input #new name="new" type="password" autocomplete="new-password"
                            minlength=(PASSWORD_CHARS_MIN) required aria-describedby="new-help";
                        p.help #new-help {
                            "At least " (PASSWORD_CHARS_MIN) " characters. Every session ends, "
                            "this one too."
                        }
                    }
                    button type="submit" { "Change it" }
                }
            }
        }
    }
}

async fn password(visit: Visit) -> Result<Shown, Error> {
    let form = visit.form();
    let asked = (form.raw("old"), form.raw("new"));
    match visit.app.engine.change_password(&visit.person, asked).await {
        Ok(()) => Ok(Shown::to("/sign-in".to_owned())),
        Err(error) => Ok(Shown::failed("/account".to_owned(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for (asked, expected) in [
            ("/customers?q=a", "/customers?q=a"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/a\r\nset-cookie: x=y", "/"),
            ("", "/"),
        ] {
            assert_eq!(ours(asked), expected, "{asked}");
        }
    }
}
