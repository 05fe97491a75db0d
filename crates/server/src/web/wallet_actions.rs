//! What a person does to a wallet: asked for in a form, shown before it happens, then done with its
//! reason in the audit log.
//!
//! The preview is no estimate: the command itself runs in the writer's transaction, and is taken
//! back with its savepoint.

use domain::id::WalletId;
use domain::ledger::entry::KeyUse;
use domain::role::{Entity, Needs};
use domain::scope::Cause;
use domain::wallet::AutoTopup;
use engine::wallets::shown::{self, Shown as Standing, in_command};
use engine::wallets::{change, close, debit as debits, topup};
use engine::{Class, Error, Fault, audit};
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use store::Tx;

use super::form::Form;
use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::wallet::number;
use super::{mishap, parts, wallet_topups};
use crate::http::answer::reply;
use crate::http::fields::Fields;
use crate::http::route::Routes;
use crate::http::wallet_bodies as bodies;

const PREVIEW: &str = "preview";
const REASON_CHARS_MAX: usize = 512;

pub fn routes() -> Routes {
    let writes = Some(Needs::write(Entity::Wallet));
    Pages::default()
        .get("/wallets/{id}/do/{deed}", writes, ask)
        .post("/wallets/{id}/do/{deed}", writes, act)
        .into_routes()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    TopUp,
    Debit,
    Alerts,
    AutoTopup,
    Freeze,
    Unfreeze,
    Terminate,
}

const DEEDS: [(Deed, &str, &str, &str); 7] = [
    (Deed::TopUp, "top-up", "Top up", "wallet.topped_up"),
    (Deed::Debit, "debit", "Debit", "wallet.debited"),
    (Deed::Alerts, "alerts", "Edit alerts", "wallet.alerts_edited"),
    (Deed::AutoTopup, "auto-topup", "Automatic top-up", "wallet.auto_topup_edited"),
    (Deed::Freeze, "freeze", "Freeze", "wallet.frozen"),
    (Deed::Unfreeze, "unfreeze", "Unfreeze", "wallet.unfrozen"),
    (Deed::Terminate, "terminate", "Terminate", "wallet.terminated_by_hand"),
];

impl Deed {
    fn of(visit: &Visit) -> Result<Deed, Error> {
        let name: String = visit.path("deed", "page")?;
        let found = DEEDS.iter().find(|(_, path, ..)| *path == name);
        found.map(|(deed, ..)| *deed).ok_or_else(|| Error::not_found("page"))
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        let row = DEEDS.iter().find(|(deed, ..)| *deed == self);
        row.map_or(("", "", ""), |(_, path, title, action)| (path, title, action))
    }

    /// The same as a call of the API.
    fn call(self, id: WalletId) -> (&'static str, String) {
        match self {
            Deed::Alerts | Deed::AutoTopup => ("PUT", format!("/v1/wallets/{id}")),
            other => ("POST", format!("/v1/wallets/{id}/{}", other.row().0)),
        }
    }
}

const THRESHOLDS: [(&str, &str); 3] =
    [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")];

/// The body of the API's call, made of the form.
fn body(deed: Deed, form: &Form) -> Value {
    let reason = form.get("reason");
    match deed {
        Deed::TopUp => {
            let mut body = form.object(&[
                "credits_to_add",
                "transaction_reason",
                "expiry_date_utc",
                "priority",
            ]);
            if let Some(day) = form.some("ends") {
                body.insert("expiry_date_utc".to_owned(), json!(format!("{day}T00:00:00.000Z")));
            }
            body.insert("description".to_owned(), json!(reason));
            Value::Object(body)
        }
        Deed::Debit => json!({
            "credits": form.get("credits"),
            "transaction_reason": "MANUAL_BALANCE_DEBIT",
            "description": reason,
        }),
        Deed::Alerts => json!({ "alert_settings": alert_settings(form) }),
        Deed::AutoTopup => wallet_topups::body(form),
        Deed::Freeze | Deed::Unfreeze | Deed::Terminate => json!({}),
    }
}

fn alert_settings(form: &Form) -> Value {
    let mut settings = Map::new();
    settings.insert("alert_enabled".to_owned(), json!(form.is_on("alert_enabled")));
    settings.insert("alert_threshold_type".to_owned(), json!(form.get("alert_threshold_type")));
    for (name, _) in THRESHOLDS {
        if let Some(threshold) = form.some(name) {
            let level = json!({ "threshold": threshold, "condition": "below" });
            settings.insert(name.to_owned(), level);
        }
    }
    Value::Object(settings)
}

/// What is to be done, ready to run.
#[derive(Clone)]
struct Plan {
    deed: Deed,
    wallet: WalletId,
    body: Value,
    reason: String,
    cause: Cause,
    key: Option<KeyUse>,
}

impl Plan {
    fn of(visit: &Visit, deed: Deed, form: &Form) -> Result<Plan, Error> {
        let wallet: WalletId = visit.path("id", "wallet")?;
        let reason = form.get("reason");
        if reason.chars().count() < 3 || reason.chars().count() > REASON_CHARS_MAX {
            let message = "say in a few words why: the reason goes into the audit log";
            return Err(Error::invalid("reason", message));
        }
        let body = body(deed, form);
        let route = format!("dashboard {} {wallet}", deed.row().0);
        let once = form.some("once");
        let text = body.to_string();
        let key = once.map(|once| engine::idempotency::key_use(&route, &once, text.as_bytes()));
        Ok(Plan { deed, wallet, body, reason, cause: visit.call.cause(), key })
    }

    fn run(&self, tx: &mut Tx<'_>) -> Result<Standing, Error> {
        let (id, cause) = (self.wallet, &self.cause);
        let mut fields = Fields::of_value(self.body.clone())?;
        match self.deed {
            Deed::TopUp => {
                let ask = bodies::topup(&mut fields, id, self.key.clone())?;
                Ok(topup::top_up(tx, cause, &ask)?.shown)
            }
            Deed::Debit => {
                let ask = bodies::debit(&mut fields, id, self.key.clone())?;
                debits::debit(tx, cause, &ask)?;
                shown_now(tx, id)
            }
            Deed::Alerts | Deed::AutoTopup => {
                change::update(tx, cause, id, &bodies::wallet_patch(&mut fields)?)
            }
            Deed::Freeze => change::freeze(tx, cause, id),
            Deed::Unfreeze => change::unfreeze(tx, cause, id),
            Deed::Terminate => close::terminate(tx, cause, id),
        }
    }

    /// Does it, with a row of the audit log that says why.
    fn commit(&self, tx: &mut Tx<'_>) -> Result<Standing, Error> {
        let before = shown_now(tx, self.wallet)?;
        let after = self.run(tx)?;
        let mut told = self.figures(&after);
        told["reason"] = json!(self.reason);
        told["asked"] = self.body.clone();
        let entity = ("wallet", self.wallet.to_string());
        let states = (Some(self.figures(&before)), Some(told));
        audit::record(tx, &self.cause, self.deed.row().2, entity, states)?;
        Ok(after)
    }

    /// What stands, with what this deed is about.
    fn figures(&self, shown: &Standing) -> Value {
        let mut figures = figures(shown);
        if self.deed == Deed::AutoTopup {
            figures["auto_topup"] = json!(shown.wallet.auto_topup);
        }
        figures
    }

    /// What would come of it; nothing is kept, because the command ends as a refusal.
    fn rehearse(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let before = shown_now(tx, self.wallet)?;
        let after = self.run(tx)?;
        let events: Vec<&str> = tx.told().map(|event| event.kind.name()).collect();
        let effect = json!({
            "before": self.figures(&before), "after": self.figures(&after), "events": events,
            "currency": after.wallet.currency.as_str(),
        });
        Err(Fault::new(Class::Conflict, PREVIEW, "a preview").with(effect).into())
    }
}

fn shown_now(tx: &mut Tx<'_>, id: WalletId) -> Result<Standing, Error> {
    let scope = tx.scope();
    let no = number(tx.read()?, &scope, id)?;
    in_command(tx, no)
}

fn figures(shown: &Standing) -> Value {
    let standing = &shown.figures.standing;
    json!({
        "balance": standing.credits,
        "held": standing.held,
        "status": shown.wallet.status.name(),
        "alert": standing.credit_level.as_str(),
    })
}

async fn ask(visit: Visit) -> Result<Shown, Error> {
    let deed = Deed::of(&visit)?;
    let standing = current(&visit)?;
    Ok(Shown::Page(form_page(&visit, deed, (&standing, &Form::of(b"")), None)))
}

fn current(visit: &Visit) -> Result<Standing, Error> {
    let id: WalletId = visit.path("id", "wallet")?;
    let scope = visit.scope();
    let now = visit.app.engine.now(&scope);
    visit.app.engine.read_now(|read| shown::read(read, &scope, number(read, &scope, id)?, now))
}

fn frame(deed: Deed, standing: &Standing, body: Markup) -> Page {
    let customer = &standing.customer;
    let name = if customer.name.is_empty() { &customer.external_id } else { &customer.name };
    Page::new(deed.row().1, body)
        .of("Customers")
        .under("Customers", "/customers")
        .under(name, format!("/customers/{}", customer.id))
        .under(standing.wallet.name.clone(), format!("/wallets/{}", standing.wallet.id))
}

fn form_page(
    visit: &Visit,
    deed: Deed,
    (standing, form): (&Standing, &Form),
    problem: Option<&str>,
) -> Page {
    let path = format!("/wallets/{}/do/{}", standing.wallet.id, deed.row().0);
    let body = html! {
        @if let Some(problem) = problem {
            p.note.bad role="alert" { (problem) }
        }
        section.panel.narrow {
            div.in {
                p.mute {
                    "Balance now: "
                    ({
                        parts::money(
                            standing.figures.standing.credits,
                            standing.wallet.currency,
                        )
                    })
                }
                form method="post" action=(path) {
                    (parts::token(visit))
                    (parts::once(visit))
                    (inputs(deed, standing, form))
                    ({
                        parts::text_field(
                            "Reason",
                            "reason",
                            (&form.get("reason"), "Goodwill for ticket 4711"),
                            "Needed. It goes into the audit log with your name.",
                        )
                    })
                    button.main type="submit" name="step" value="preview" { "Preview" }
                }
            }
        }
    };
    frame(deed, standing, body)
}

fn inputs(deed: Deed, standing: &Standing, form: &Form) -> Markup {
    let words = |text: &str| html! { p { (text) } };
    match deed {
        Deed::TopUp => topup_inputs(form),
        Deed::Debit => {
            let value = (&*form.get("credits"), "5");
            let help = "Taken from the lots in spending order.";
            parts::text_field("Credits", "credits", value, help)
        }
        Deed::Alerts => alert_inputs(standing),
        Deed::AutoTopup => wallet_topups::inputs(standing, form),
        Deed::Freeze => words(
            "A frozen wallet takes credits and spends none. Charges and requests are refused \
             until it is unfrozen.",
        ),
        Deed::Unfreeze => words("It spends again from now on."),
        Deed::Terminate => words("What is left is taken, and the wallet is closed for ever."),
    }
}

const SOURCES: &[(&str, &str)] = &[
    ("FREE_CREDIT_GRANT", "Granted: nobody paid"),
    ("PURCHASED_CREDIT_DIRECT", "Paid: the money came outside of Farebox"),
    ("CREDIT_NOTE", "Given back: a credit note"),
];

fn topup_inputs(form: &Form) -> Markup {
    let chosen = form.some("transaction_reason").unwrap_or_else(|| "FREE_CREDIT_GRANT".to_owned());
    let from = (SOURCES, chosen.as_str());
    html! {
        (parts::text_field("Credits", "credits_to_add", (&form.get("credits_to_add"), "25"), ""))
        (parts::select_field("Where they come from", "transaction_reason", from))
        div.row {
            div.field {
                label for="ends" { "They end on" }
                input #ends name="ends" type="date" value=(form.get("ends"))
                    aria-describedby="ends-help";
                p.help #ends-help { "At the beginning of this day, UTC. Empty: never." }
            }
            (parts::text_field("Priority", "priority", (&form.get("priority"), ""),
                "Lower is spent first."))
        }
    }
}

fn alert_inputs(standing: &Standing) -> Markup {
    let settings = standing.wallet.alert_settings.clone();
    let now = json!(settings);
    let value = |name: &str| parts::text(&now[name]["threshold"]);
    let kind = parts::text(&now["alert_threshold_type"]);
    html! {
        label.check {
            input
                type="checkbox"
                name="alert_enabled"
                value="on"
                checked[settings.is_none_or(|one| one.enabled)];
            "Tell when the balance falls below"
        }
        ({
            parts::select_field(
                "Levels are",
                "alert_threshold_type",
                (
                    &[
                        ("absolute", "credits"),
                        ("percentage", "per cent of the newest top-up"),
                    ],
                    &kind,
                ),
            )
        })
        div.row {
            @for (name, label) in THRESHOLDS {
                (parts::text_field(label, name, (&value(name), ""), ""))
            }
        }
        p.help { "Critical is needed before warning; critical ≤ warning ≤ info." }
    }
}

async fn act(visit: Visit) -> Result<Shown, Error> {
    let deed = Deed::of(&visit)?;
    let form = visit.form();
    let standing = current(&visit)?;
    let refuse = |error: &Error| {
        let problem = mishap::words(error);
        let inside = problem.strip_prefix("Auto_topup.").map(mishap::sentence);
        let problem = inside.unwrap_or(problem);
        Shown::Page(form_page(&visit, deed, (&standing, &form), Some(&problem)))
    };
    let plan = match Plan::of(&visit, deed, &form) {
        Ok(plan) => plan,
        Err(error) => return Ok(refuse(&error)),
    };
    if form.get("step") == "confirm" {
        return Ok(match commit(&visit, plan).await {
            Ok(()) => {
                let said = format!("{}: done.", deed.row().1);
                Shown::done(format!("/wallets/{}", standing.wallet.id), said)
            }
            Err(error) => refuse(&error),
        });
    }
    Ok(match preview(&visit, plan.clone()).await {
        Ok(effect) => Shown::Page(confirm_page(&visit, (&standing, &form), &plan, &effect)),
        Err(error) => refuse(&error),
    })
}

async fn commit(visit: &Visit, plan: Plan) -> Result<(), Error> {
    let (scope, key) = (visit.scope(), plan.key.clone());
    let work = move |tx: &mut Tx<'_>| plan.commit(tx);
    visit.app.engine.once(scope, key, work, |shown| reply(200, &figures(shown))).await.map(drop)
}

async fn preview(visit: &Visit, plan: Plan) -> Result<Value, Error> {
    let rehearsed = visit.app.engine.change(visit.scope(), move |tx| plan.rehearse(tx)).await;
    match rehearsed {
        Err(Error::Fault(fault)) if fault.code == PREVIEW => Ok(fault.details.unwrap_or_default()),
        Err(error) => Err(error),
        Ok(()) => Ok(Value::Null),
    }
}

fn confirm_page(
    visit: &Visit,
    (standing, form): (&Standing, &Form),
    plan: &Plan,
    effect: &Value,
) -> Page {
    let deed = plan.deed;
    let path = format!("/wallets/{}/do/{}", plan.wallet, deed.row().0);
    let (method, call) = deed.call(plan.wallet);
    let mut body_of_call = plan.body.clone();
    if deed == Deed::Debit {
        body_of_call["idempotency_key"] = json!("a key of your own");
    }
    let kind = if deed == Deed::Terminate { "danger" } else { "main" };
    let body = html! {
        section.panel.narrow {
            header {
                h2 { "This is what comes of it" }
                span.mute { "nothing has happened yet" }
            }
            div.in {
                (effect_view(effect))
                ({
                    parts::facts(
                        &[
                            (
                                "Reason",
                                html! {
                                    (plan.reason)
                                },
                            ),
                        ],
                    )
                })
                form method="post" action=(path) {
                    @for (name, value) in form.pairs().iter().filter(|(name, _)| name != "step") {
                        input type="hidden" name=(name) value=(value);
                    }
                    div.actions {
                        button class=(kind) type="submit" name="step" value="confirm" {
                            (deed.row().1)
                        }
                        a.button.quiet href={ "/wallets/" (plan.wallet) } { "Leave it" }
                    }
                }
                (parts::as_curl(visit, method, &call, Some(&body_of_call)))
            }
        }
    };
    frame(deed, standing, body)
}

fn effect_view(effect: &Value) -> Markup {
    let currency = parts::currency(&parts::text(&effect["currency"]));
    let side = |name: &str, of: &Value| {
        html! {
            div {
                div.mute { (name) }
                div.v { (parts::money(parts::amount(&of["balance"]), currency)) }
                div {
                    (parts::badge(&parts::text(&of["status"])))
                    " alert "
                    (parts::badge(&parts::text(&of["alert"])))
                }
                @if let Some(plan) = of.get("auto_topup") {
                    @let plan: Option<AutoTopup> = serde_json::from_value(plan.clone()).ok();
                    div.help { "Automatic top-up: " (wallet_topups::words(plan.as_ref())) }
                }
            }
        }
    };
    let events: Vec<String> =
        effect["events"].as_array().into_iter().flatten().map(parts::text).collect();
    html! {
        div.effect {
            (side("Now", &effect["before"]))
            div.arrow aria-hidden="true" { "→" }
            (side("After", &effect["after"]))
        }
        @if !events.is_empty() {
            p.help {
                "Webhooks told: "
                @for (index, name) in events.iter().enumerate() {
                    @if index > 0 { ", " }
                    code { (name) }
                }
            }
        }
    }
}
