//! One wallet: its balance over time with the alert levels drawn on it, the lots and what each paid
//! for, open holds, and its ledger.

use domain::amount::Amount;
use domain::id::{TransactionId, WalletId};
use domain::ledger::entry::{Kind, Status};
use domain::ledger::{Account, Entry};
use domain::place::{Place, Placed as _};
use domain::role::{Entity, Needs};
use domain::scope::Scope;
use engine::Error;
use engine::wallets::shown::{self, Shown as Standing};
use maud::{Markup, html};
use store::Read;
use store::holders::{self, Holder};

use super::chart::{self, Curve};
use super::layout::Page;
use super::ledger::{self, Line};
use super::visit::{Pages, Shown, Visit};
use super::{lots, parts, wallet_topups};
use crate::http::route::Routes;
use crate::http::wallet_views::{self as views, Extras};

const SECTION: &str = "Customers";
/// Entries of the curve, and those of a page of the ledger.
const CURVE_MAX: usize = 600;
const PAGE_MAX: usize = 50;
/// Entries that a page looks at to find those that were asked for.
const LOOKED_AT_MAX: usize = 2_000;

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Wallet));
    Pages::default().get("/wallets/{id}", reads, show).into_routes()
}

/// The number of a wallet of the scope.
pub fn number(read: Read<'_>, scope: &Scope, id: WalletId) -> Result<i64, Error> {
    store::wallets::find_no(read, scope, id)?.ok_or_else(|| Error::not_found("wallet"))
}

struct Found {
    account: Account,
    standing: Standing,
    holder: Holder,
    curve: Vec<Entry>,
    page: Vec<Entry>,
    /// Where the ledger goes on.
    next: Option<TransactionId>,
    stopped: bool,
}

/// What of the ledger is asked for.
struct Filter {
    kind: String,
    before: Option<TransactionId>,
}

impl Filter {
    fn fits(&self, entry: &Entry) -> bool {
        match self.kind.as_str() {
            "credits" => entry.kind == Kind::Credit && entry.status == Status::Completed,
            "debits" => entry.kind == Kind::Debit && entry.status == Status::Completed,
            "holds" => matches!(entry.kind, Kind::Hold | Kind::Release),
            "failed" => entry.status == Status::Failed,
            _ => true,
        }
    }
}

fn load(
    read: Read<'_>,
    scope: &Scope,
    (id, now): (WalletId, domain::time::Timestamp),
    filter: &Filter,
) -> Result<Found, Error> {
    let missing = || Error::not_found("wallet");
    let no = number(read, scope, id)?;
    let account = store::accounts::load(read, no)?.ok_or_else(missing)?;
    let holder = holders::of_wallet(read, scope, no)?.ok_or_else(missing)?;
    let mut curve = Vec::new();
    store::entries::walk(read, account.last, |entry| {
        curve.push(entry);
        (curve.len() < CURVE_MAX).then_some(())
    })?;
    let start = match filter.before {
        None => account.last,
        Some(before) => {
            let entry = store::entries::find(read, scope, before.place())?;
            entry.filter(|entry| entry.wallet_no == no).and_then(|entry| entry.previous)
        }
    };
    let (page, next) = page(read, start, filter)?;
    let standing = shown::read(read, scope, no, now)?;
    let stopped = account.stopped;
    Ok(Found { account, standing, holder, curve, page, next, stopped })
}

/// A page of the ledger from `start` on, and where it goes on.
fn page(
    read: Read<'_>,
    start: Option<Place>,
    filter: &Filter,
) -> Result<(Vec<Entry>, Option<TransactionId>), Error> {
    let (mut page, mut looked_at, mut last) = (Vec::new(), 0, None);
    store::entries::walk(read, start, |entry| {
        looked_at += 1;
        last = entry.previous.map(|_| entry.id());
        if filter.fits(&entry) {
            page.push(entry);
        }
        (page.len() < PAGE_MAX && looked_at < LOOKED_AT_MAX).then_some(())
    })?;
    Ok((page, last))
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let id: WalletId = visit.path("id", "wallet")?;
    let before = visit.query("before").and_then(|text| text.parse().ok());
    let filter = Filter { kind: visit.query("kind").unwrap_or_default(), before };
    let kind = filter.kind.clone();
    let scope = visit.scope();
    let now = visit.app.engine.now(&scope);
    let found =
        visit.app.engine.read_aside(move |read| load(read, &scope, (id, now), &filter)).await?;
    let wallet = &found.standing.wallet;
    let body = html! {
        @if found.stopped {
            p.note.bad {
                "This wallet is stopped: its books do not add up. Run "
                code { "farebox verify" }
                " and see what it names."
            }
        }
        (stats(&found))
        (curve_panel(&found))
        div.grid { (lots::panel(&found.account)) (alerts(&visit, &found)) }
        (ledger_panel(&visit, &found, (&kind, before.is_some())))
        (more(&visit, &found))
    };
    let holder = (found.holder.name.clone(), format!("/customers/{}", found.holder.customer));
    let page = Page::new(wallet.name.clone(), body).of(SECTION).live();
    let page = page.under("Customers", "/customers").under(holder.0, holder.1);
    Ok(Shown::Page(page.actions(actions(&visit, &found))))
}

fn actions(visit: &Visit, found: &Found) -> Markup {
    let wallet = &found.standing.wallet;
    let open = wallet.status.name() != "closed";
    let to = |deed: &str| format!("/wallets/{}/do/{deed}", wallet.id);
    html! {
        @if open && visit.writes(Entity::Wallet) {
            a.button.main href=(to("top-up")) { "Top up" }
            a.button href=(to("debit")) { "Debit" }
            a.button href=(to("alerts")) { "Alerts" }
            a.button href=(to("auto-topup")) { "Automatic" }
            @if wallet.status.name() == "frozen" { a.button href=(to("unfreeze")) { "Unfreeze" } }
            @else { a.button href=(to("freeze")) { "Freeze" } }
            a.button.danger href=(to("terminate")) { "Terminate" }
        }
    }
}

fn stats(found: &Found) -> Markup {
    let (wallet, standing) = (&found.standing.wallet, &found.standing.figures.standing);
    let money = |amount: Amount| parts::money(amount, wallet.currency);
    let free = (standing.credits - standing.held + wallet.overdraft_limit).or_zero();
    let level = standing.credit_level.as_str();
    let states = html! {
        (parts::badge(wallet.status.name()))
        @if level != "ok" { " " (parts::badge(level)) }
    };
    let overdraft = html! {
        @if wallet.overdraft_limit.is_zero() { "no overdraft" }
        @else { "with an overdraft of " (parts::number(wallet.overdraft_limit)) }
    };
    let left = || html! { "of what is left" };
    let last = html! { "last " (parts::time(found.account.last_at)) };
    parts::stats(&[
        ("Balance", money(standing.credits), states),
        ("Held", money(standing.held), html! { (found.account.holds.len()) " open holds" }),
        ("Free to spend", money(free), overdraft),
        ("Paid", money(standing.purchased), left()),
        ("Granted", money(standing.free), left()),
        ("Entries", parts::count(found.account.entries), last),
    ])
}

fn curve_panel(found: &Found) -> Markup {
    let wallet = &found.standing.wallet;
    let mut points: Vec<(i64, i128, String)> = Vec::new();
    for entry in found.curve.iter().rev().filter(|entry| entry.status == Status::Completed) {
        let after = parts::grouped(&entry.after.to_string());
        let said = format!("{} UTC\n{}: {after}", parts::plain_time(entry.at), ledger::name(entry));
        points.push((entry.at.millis(), entry.after.nanos(), said));
    }
    let most = points.iter().map(|(_, value, _)| *value).max().unwrap_or(0);
    let ends = [points.first(), points.last()];
    let axis = ends.map(|end| {
        end.map_or(String::new(), |(at, ..)| {
            parts::plain_time(domain::time::Timestamp::from_millis(*at))
        })
    });
    let drawn = Curve {
        label: "Balance over time",
        points,
        levels: levels(found),
        axis,
        most: parts::grouped(&Amount::from_nanos(most).formatted(wallet.currency.digits(), 9)),
    };
    html! {
        section #curve.panel data-live {
            header {
                h2 { "Balance" }
                div.legend-row {
                    span.c1 { "Balance" }
                    @for (_, name, colour) in &drawn.levels {
                        span class={ "c" (colour) } { (name) }
                    }
                }
            }
            div.in {
                @if drawn.points.is_empty() {
                    p.mute { "Nothing has moved yet." }
                } @else { (chart::curve(&drawn)) }
                @if found.curve.len() == CURVE_MAX {
                    p.help { "The newest " (CURVE_MAX) " entries." }
                }
            }
        }
    }
}

/// The thresholds as lines; per cent are drawn at what they stand for now.
fn levels(found: &Found) -> Vec<(i128, String, usize)> {
    let Some(settings) = found.standing.wallet.alert_settings.as_ref() else { return Vec::new() };
    if !settings.enabled {
        return Vec::new();
    }
    let percent = settings.threshold_type == domain::alert::settings::ThresholdType::Percentage;
    let all = [
        ("Critical", settings.critical, 4),
        ("Warning", settings.warning, 3),
        ("Info", settings.info, 2),
    ];
    let base = found.account.percent_base;
    let line =
        |(name, threshold, colour): (&str, Option<domain::alert::settings::Threshold>, usize)| {
            let threshold = threshold?.threshold;
            let value = if percent { base?.percent(threshold) } else { threshold };
            let unit = if percent { " %" } else { "" };
            Some((value.nanos(), format!("{name} at {threshold}{unit}"), colour))
        };
    all.into_iter().filter_map(line).collect()
}

fn alerts(visit: &Visit, found: &Found) -> Markup {
    let wallet = &found.standing.wallet;
    let standing = &found.standing.figures.standing;
    let settings = wallet.alert_settings.as_ref().filter(|settings| settings.enabled);
    html! {
        section #alerts.panel data-live {
            header {
                h2 { "Alerts" }
                @if visit.writes(Entity::Wallet) {
                    a href={ "/wallets/" (wallet.id) "/do/alerts" } { "Edit" }
                }
            }
            div.in {
                @match settings {
                    None => {
                        p.mute {
                            "No alert of its own. With one, your systems and you hear when the "
                            "balance crosses a level, once each way."
                        }
                    }
                    Some(_) => {
                        ({
                            parts::facts(
                                &[
                                    (
                                        "Balance is",
                                        parts::badge(standing.credit_level.as_str()),
                                    ),
                                    (
                                        "With holds",
                                        parts::badge(standing.ongoing_level.as_str()),
                                    ),
                                ],
                            )
                        })
                        ul.bars {
                            @for (_, name, _) in levels(found) {
                                li {
                                    span { (name) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn ledger_panel(visit: &Visit, found: &Found, (kind, is_later): (&str, bool)) -> Markup {
    let wallet = &found.standing.wallet;
    let path = format!("/wallets/{}", wallet.id);
    let with = |kind: &str| {
        if kind.is_empty() {
            format!("{path}#ledger")
        } else {
            format!("{path}?kind={kind}#ledger")
        }
    };
    let next = found.next.map(|next| format!("{path}?kind={kind}&before={next}#ledger"));
    let first = is_later.then(|| with(kind));
    let lines: Vec<Line> = found
        .page
        .iter()
        .map(|entry| Line { entry: entry.clone(), holder: found.holder.clone() })
        .collect();
    let kinds = [
        ("", "All"),
        ("credits", "Credits"),
        ("debits", "Debits"),
        ("holds", "Holds"),
        ("failed", "Failed"),
    ];
    html! {
        section #ledger.panel data-live {
            header {
                h2 { "Ledger" }
                nav.pick aria-label="Kind of entry" {
                    @for (name, shown) in kinds {
                        a href=(with(name)) aria-current=[(name == kind).then_some("true")] {
                            (shown)
                        }
                    }
                }
            }
            (ledger::table(&lines, false))
            (parts::pager(first.as_deref(), next.as_deref()))
            div.in {
                ({
                    parts::as_curl(
                        visit,
                        "GET",
                        &format!("/v1/wallets/{}/transactions", wallet.id),
                        None,
                    )
                })
            }
        }
    }
}

fn more(visit: &Visit, found: &Found) -> Markup {
    let wallet = &found.standing.wallet;
    let extras = Extras { breakdown: true, ..Extras::default() };
    html! {
        section.panel {
            header {
                h2 { "Details" }
            }
            div.in {
                ({
                    parts::facts(
                        &[
                            ("Id", parts::id(&wallet.id.to_string())),
                            (
                                "Type",
                                html! {
                                    (wallet.wallet_type.name())
                                },
                            ),
                            ("Description", parts::or_dash(&wallet.description)),
                            (
                                "One credit is",
                                html! {
                                    (wallet.conversion_rate) " "(wallet.currency.upper())
                                },
                            ),
                            ("Opened", parts::time(wallet.created_at)),
                            (
                                "Automatic top-up",
                                wallet_topups::words(wallet.auto_topup.as_ref()),
                            ),
                        ],
                    )
                })
                (parts::metadata(&wallet.metadata))
                p {
                    a href={ "/audit?entity=" (wallet.id) } { "Changes in the audit log" }
                    " · "
                    a href={ "/events?subject=wallet:" (wallet.id) } { "Its events" }
                }
                ({
                    parts::as_curl(
                        visit,
                        "GET",
                        &format!("/v1/wallets/{}", wallet.id),
                        None,
                    )
                })
                ({
                    parts::raw_json(
                        &views::wallet(&visit.scope(), &found.standing, extras),
                    )
                })
            }
        }
    }
}
