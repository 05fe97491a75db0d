//! Home: money in and out, what is owed to customers, requests, refusals, webhooks; and what needs
//! a look now. It follows the ledger while it is open.

use domain::amount::Amount;
use domain::currency::Currency;
use domain::percent;
use domain::role::{Entity, Needs};
use domain::scope::Scope;
use domain::time::Timestamp;
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;
use store::attention::{self, EndingKey, LowWallet};

use super::chart::{self, Bars, Stretch};
use super::home_figures::{self, Figures, RANGES, Range};
use super::icons::icon;
use super::layout::Page;
use super::ledger::{self, Line};
use super::visit::{Pages, Shown, Visit};
use super::{door, parts};
use crate::http::route::Routes;

const SECTION: &str = "Home";
const RECENT_MAX: usize = 10;
const NAMED_MAX: usize = 5;
const KEY_WARNING_MS: i64 = 7 * 24 * 3_600_000;

pub fn routes() -> Routes {
    Pages::default().get("/", Some(Needs::read(Entity::Ledger)), home).into_routes()
}

struct Attention {
    endpoints: Vec<Value>,
    low: Vec<LowWallet>,
    stopped: Vec<domain::id::WalletId>,
    keys: Vec<EndingKey>,
}

impl Attention {
    fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
            && self.low.is_empty()
            && self.stopped.is_empty()
            && self.keys.is_empty()
    }
}

async fn home(visit: Visit) -> Result<Shown, Error> {
    let range = Range::find(&visit.query("range").unwrap_or_default());
    let scope = visit.scope();
    let engine = &visit.app.engine;
    // What came since the last look; a large backlog takes more than one.
    engine.tally().await?;
    let asked = visit.query("currency");
    let (figures, code) = home_figures::load(engine, scope, range, asked.as_deref())?;
    let currency = parts::currency(&code);
    let recent = engine.read_now(|read| ledger::newest(read, &scope, RECENT_MAX))?;
    let now = engine.now(&scope);
    let attention = attention(&visit, scope, now).await?;
    let body = if figures.currencies.is_empty() && figures.behind == 0 {
        first_steps(&visit)
    } else {
        html! {
            (needs_a_look(&attention, now))
            (stats(&figures, currency))
            (charts(&figures, currency, range))
            (lists(&figures, currency))
            (recent_lines(&recent))
            (as_of(&figures, now))
        }
    };
    let page = Page::new("Home", body).of(SECTION).live();
    Ok(Shown::Page(page.actions(pickers(range, &figures, &code))))
}

fn pickers(range: Range, figures: &Figures, currency: &str) -> Markup {
    html! {
        @if figures.currencies.len() > 1 {
            nav.pick aria-label="Currency" {
                @for code in figures.currencies.iter().take(6) {
                    a   href={ "/?range=" (range.name) "&currency=" (percent::encoded(code)) }
                        aria-current=[(code == currency).then_some("true")]
                    { (code.to_uppercase()) }
                }
            }
        }
        nav.pick aria-label="Range" {
            @for one in RANGES {
                a   href={ "/?range=" (one.name) "&currency=" (percent::encoded(currency)) }
                    title=(one.words)
                    aria-current=[(one == range).then_some("true")]
                { (one.name) }
            }
        }
    }
}

async fn attention(visit: &Visit, scope: Scope, now: Timestamp) -> Result<Attention, Error> {
    let soon = now.plus_ms(KEY_WARNING_MS);
    let (low, stopped, keys) = visit.app.engine.read_now(|read| {
        Ok((
            attention::low_wallets(read, &scope, NAMED_MAX)?,
            attention::stopped_wallets(read, &scope, NAMED_MAX)?,
            attention::ending_keys(read, &scope, soon, NAMED_MAX)?,
        ))
    })?;
    let endpoints = if visit.reads(Entity::Webhook) {
        let all = door::ask(visit, "GET /v1/webhooks/endpoints").with("limit", "50").json().await?;
        let fails = |one: &&Value| {
            one["failures_in_a_row"].as_i64().unwrap_or(0) > 0 || one["state"] == "disabled"
        };
        let all = all["data"].as_array().cloned().unwrap_or_default();
        all.iter().filter(fails).take(NAMED_MAX).cloned().collect()
    } else {
        Vec::new()
    };
    Ok(Attention { endpoints, low, stopped, keys })
}

fn needs_a_look(attention: &Attention, now: Timestamp) -> Markup {
    html! {
        div #attention data-live {
            @if !attention.is_empty() {
                section.panel {
                    header { h2 { "Needs a look" } }
                    ul.alarm {
                        @for id in &attention.stopped { (stopped(*id)) }
                        @for one in &attention.endpoints { (failing(one)) }
                        @for one in &attention.low { (low(one)) }
                        @for key in &attention.keys { (ending(key, now)) }
                    }
                }
            }
        }
    }
}

fn stopped(id: domain::id::WalletId) -> Markup {
    html! {
        li.worse {
            (icon("warn"))
            span.what {
                "A wallet is stopped: its books do not add up. Nothing moves on it until someone "
                "looks."
            }
            a.button href={ "/wallets/" (id) } { "Look" }
        }
    }
}

fn failing(one: &Value) -> Markup {
    html! {
        li.worse {
            (icon("warn"))
            span.what {
                "Webhooks to " b { (parts::text(&one["url"])) } " "
                @if one["state"] == "disabled" {
                    "are switched off. " (parts::text(&one["state_reason"]))
                } @else {
                    "failed " (parts::text(&one["failures_in_a_row"])) " times in a row."
                }
            }
            a.button href={ "/webhooks/" (parts::text(&one["id"])) } { "Look" }
        }
    }
}

fn low(one: &LowWallet) -> Markup {
    html! {
        li {
            (icon("warn"))
            span.what {
                b { (one.name) } " is at " (parts::number(one.value)) " credits, past its level "
                (parts::badge(&one.level))
            }
            a.button href={ "/wallets/" (one.wallet) } { "Open" }
        }
    }
}

fn ending(key: &EndingKey, now: Timestamp) -> Markup {
    html! {
        li {
            (icon("warn"))
            span.what {
                "API key " b { (key.name) } " " code { (key.display) }
                @if key.expires_at <= now { " has expired." }
                @else { " expires " (parts::time(key.expires_at)) "." }
            }
            a.button href="/developers" { "Keys" }
        }
    }
}

fn stats(figures: &Figures, currency: Currency) -> Markup {
    let money = |amount: Amount| parts::glance(amount, currency);
    let attempts = figures.delivered + figures.failed;
    // In tenths of a per cent, so that one failure among a thousand is seen.
    let health = if attempts == 0 { 1_000 } else { figures.delivered * 1_000 / attempts };
    let granted = html! {
        @if figures.granted.is_zero() { "paid by customers" }
        @else { "+ " (money(figures.granted)) " granted" }
    };
    let failed = html! {
        (parts::count(figures.failed)) " of " (parts::count(attempts)) " attempts failed"
    };
    let charges = html! { (parts::count(figures.charges)) " charges" };
    let blocked = html! { (parts::count(figures.blocked)) " blocked" };
    let asked = html! { (parts::count(figures.prompt_tokens)) " of them in" };
    parts::stats(&[
        ("Money in", money(figures.paid_in), granted),
        ("Spent", money(figures.spent), charges),
        ("Balances", money(figures.outstanding), html! { "owed to customers now" }),
        ("Held", money(figures.held), html! { "reserved by open holds" }),
        ("Requests", parts::count(figures.requests), blocked),
        ("Tokens", parts::count(figures.tokens), asked),
        ("Webhooks", html! { (health / 10) "." (health % 10) " %" }, failed),
    ])
}

/// How a stretch is called under its bar.
fn stretch_name(range: Range, at: i64) -> String {
    let text = parts::plain_time(Timestamp::from_millis(at));
    let (day, time) = text.split_at_checked(10).unwrap_or((&text, ""));
    match range.name {
        "24h" => time.trim().get(..5).unwrap_or_default().to_owned(),
        "7d" => format!(
            "{} {}",
            day.get(5..).unwrap_or_default(),
            time.trim().get(..5).unwrap_or_default()
        ),
        _ => day.to_owned(),
    }
}

/// Two series over the range, each with its values as they are shown.
struct Pair<'a> {
    title: &'a str,
    series: [&'a str; 2],
    stacked: bool,
    values: Vec<[i128; 2]>,
    show: &'a dyn Fn(i128) -> String,
}

fn charts(figures: &Figures, currency: Currency, range: Range) -> Markup {
    let plain = |value: i128| parts::grouped(&value.to_string());
    let in_money =
        |value: i128| parts::grouped(&Amount::from_nanos(value).formatted(currency.digits(), 9));
    let of = |values: &dyn Fn(&home_figures::Stretch) -> [i128; 2]| -> Vec<[i128; 2]> {
        figures.stretches.iter().map(values).collect()
    };
    let counts = |values: &dyn Fn(&home_figures::Stretch) -> [i64; 2]| {
        of(&|one| values(one).map(i128::from))
    };
    let pairs = [
        Pair {
            title: "Money",
            series: ["In", "Spent"],
            stacked: false,
            values: of(&|one| [one.paid_in.nanos(), one.spent.nanos()]),
            show: &in_money,
        },
        Pair {
            title: "Requests",
            series: ["Served", "Blocked"],
            stacked: true,
            values: counts(&|one| [one.requests - one.blocked, one.blocked]),
            show: &plain,
        },
        Pair {
            title: "Tokens",
            series: ["In", "Out"],
            stacked: true,
            values: counts(&|one| [one.prompt_tokens, one.completion_tokens]),
            show: &plain,
        },
        Pair {
            title: "Webhook attempts",
            series: ["Delivered", "Failed"],
            stacked: true,
            values: counts(&|one| [one.delivered, one.failed]),
            show: &plain,
        },
    ];
    let starts: Vec<i64> = figures.stretches.iter().map(|one| one.at).collect();
    html! {
        div.grid #charts data-live { @for pair in &pairs { (panel(pair, &starts, range)) } }
    }
}

fn panel(pair: &Pair<'_>, starts: &[i64], range: Range) -> Markup {
    let stretch = |(at, values): (&i64, &[i128; 2])| Stretch {
        name: stretch_name(range, *at),
        values: values.to_vec(),
        shown: values.map(pair.show).to_vec(),
    };
    let high = |[one, other]: &[i128; 2]| if pair.stacked { one + other } else { *one.max(other) };
    let most = pair.values.iter().map(high).max().unwrap_or(0);
    let label = format!("{}: {} and {}", pair.title, pair.series[0], pair.series[1]);
    let bars = Bars {
        label: &label,
        series: &pair.series,
        stretches: starts.iter().zip(&pair.values).map(stretch).collect(),
        most: (pair.show)(most),
        stacked: pair.stacked,
    };
    html! {
        section.panel {
            header {
                h2 { (pair.title) }
                div.legend-row {
                    @for (index, name) in pair.series.iter().enumerate() {
                        span class={ "c" (index + 1) } { (name) }
                    }
                }
            }
            div.in { (chart::bars(&bars)) }
        }
    }
}

fn lists(figures: &Figures, currency: Currency) -> Markup {
    let mut refused: Vec<(String, i64, Markup)> = figures
        .refused
        .iter()
        .map(|(reason, count)| (reason.replace('_', " "), *count, parts::count(*count)))
        .collect();
    refused.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    refused.truncate(8);
    let mut models: Vec<(String, i64, Markup)> = figures
        .models
        .iter()
        .map(|(model, (count, charged))| {
            let shown = html! {
                (parts::count(*count))
                " · "
                (parts::money(*charged, currency))
            };
            (model.clone(), *count, shown)
        })
        .collect();
    models.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    models.truncate(8);
    html! {
        div #lists.grid data-live {
            section.panel {
                header {
                    h2 { "Refusals by reason" }
                }
                div.in {
                    @if refused.is_empty() {
                        p.mute { "Nothing was refused in this time." }
                    } @else { (chart::ranks(&refused)) }
                }
            }
            section.panel {
                header {
                    h2 { "Models" }
                    span.mute { "requests · charged" }
                }
                div.in {
                    @if models.is_empty() {
                        p.mute { "No request went through a paywall in this time." }
                    } @else { (chart::ranks(&models)) }
                }
            }
        }
    }
}

fn recent_lines(lines: &[Line]) -> Markup {
    html! {
        section.panel #recent data-live {
            header { h2 { "Latest in the ledger" } span.mute { "as it happens" } }
            (ledger::table(lines, true))
        }
    }
}

fn as_of(figures: &Figures, now: Timestamp) -> Markup {
    html! {
        p #as-of.help data-live {
            "True as of "
            (parts::time(now))
            " UTC"
            @if figures.behind > 0 {
                ", but for the last "
                (parts::count(figures.behind))
                " positions of the ledger, which are being added up"
            }
            "."
        }
    }
}

/// What someone sees who has just begun.
fn first_steps(visit: &Visit) -> Markup {
    let url = &visit.app.engine.public_url;
    let deposit = format!(
        "curl {url}/v1/user/balance/deposit -H \"X-Paywall-Key: $PAYWALL_KEY\" \\\n  -d \
         '{{\"user\":\"ann\",\"amount\":\"10\"}}'"
    );
    let charge = format!(
        "curl {url}/v1/user/charge -H \"X-Paywall-Key: $PAYWALL_KEY\" \\\n  -d \
         '{{\"user\":\"ann\",\"amount\":\"2.5\"}}'"
    );
    html! {
        div #stats data-live {
            section.panel {
                header {
                    h2 { "Nothing has moved here yet" }
                }
                div.in {
                    p {
                        "Farebox holds prepaid money. Customers pay into "
                        b { "wallets" }
                        "; your product, or a "
                        b { "paywall" }
                        " before a language model, charges them; every movement is an entry of "
                        "one ledger, and each tells your systems by a signed "
                        b { "webhook" }
                        "."
                    }
                    p {
                        "1. "
                        a href="/paywalls/new" { "Create a paywall" }
                        " and keep the key that it shows you. 2. Let a user pay in:"
                    }
                    (parts::snippet("A deposit", &deposit))
                    p { "3. Charge that user, and watch this page:" }
                    (parts::snippet("A charge", &charge))
                    p {
                        "Or begin by hand: "
                        a href="/customers/new" { "create a customer" }
                        " with a wallet."
                    }
                }
            }
        }
    }
}
