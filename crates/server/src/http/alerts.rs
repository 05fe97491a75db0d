//! `/v1/alerts`: the log of level changes, and settings of spend alerts, which come later
//! (billing 5.8, 5.9).

use axum::http::Method;
use domain::alert::settings::{Condition, Settings};
use domain::id::AlertSettingId;
use domain::role::Entity;
use domain::scope::Scope;
use engine::Error;
use engine::wallets::shown;
use serde_json::{Value, json};
use store::Read;
use store::alerts::Logged;

use super::answer::Answer;
use super::call::Call;
use super::fields::Fields;
use super::lists::{Grammar, List, Visibility};
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use super::wallet_views::{self as views, Extras};
use crate::app::App;

const TAG: &str = "Alerts";
const ENTITIES: [&str; 6] =
    ["wallet", "feature", "subscription", "subscription_line_item", "group", "entitlement_grant"];

static GRAMMAR: Grammar = Grammar {
    fields: store::alerts::FIELDS,
    expands: &["customer", "wallet", "feature"],
    visibility: Visibility::Always,
    metadata: false,
};

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::AlertSettings), writes(Entity::AlertSettings));
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add(
            (Method::POST, "/v1/alerts/search"),
            read,
            doc("queryAlertLog", "Search the alert log"),
            search,
        )
        .add(
            (Method::POST, "/v1/alerts/setting"),
            write,
            doc("createAlertSettings", "Create the settings of a spend alert"),
            create_setting,
        )
        .add(
            (Method::POST, "/v1/alerts/setting/search"),
            read,
            doc("queryAlertSettings", "Search the settings of spend alerts"),
            search_settings,
        )
        .add(
            (Method::GET, "/v1/alerts/setting/{id}"),
            read,
            doc("getAlertSettings", "Get the settings of a spend alert"),
            no_setting,
        )
        .add(
            (Method::PUT, "/v1/alerts/setting/{id}"),
            write,
            doc("updateAlertSettings", "Change the settings of a spend alert"),
            no_setting,
        )
        .add(
            (Method::DELETE, "/v1/alerts/setting/{id}"),
            write,
            doc("deleteAlertSettings", "Delete the settings of a spend alert"),
            no_setting,
        )
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let list = GRAMMAR.read(&mut fields)?;
    let (scope, now) = (call.scope, app.engine.now(&call.scope));
    let asked = (list.page.clone(), list.expand.clone());
    let find = move |read: Read<'_>| {
        let (page, expand) = asked.clone();
        let (found, total) = store::alerts::page(read, &scope, &page)?;
        let list = List { page, expand };
        let show = |logged: &Logged| -> Result<Value, Error> {
            let mut item = item(&scope, logged);
            if list.expands("wallet") || list.expands("customer") {
                let shown = shown::read(read, &scope, logged.wallet_no, now)?;
                expand_with(&mut item, &scope, &list, &shown);
            }
            Ok(item)
        };
        let items: Result<Vec<Value>, Error> = found.iter().map(show).collect();
        Ok((items?, total))
    };
    let (items, total) = app.engine.read_aside(find).await?;
    Ok(list.answer(&items, total).ignoring(&fields.unknown()))
}

fn expand_with(item: &mut Value, scope: &Scope, list: &List, shown: &shown::Shown) {
    if list.expands("wallet") {
        item["wallet"] = views::wallet(scope, shown, Extras::default());
    }
    if list.expands("customer") {
        item["customer"] = json!(domain::event::customer::view(scope, &shown.customer));
    }
}

fn item(scope: &Scope, logged: &Logged) -> Value {
    let mut item = json!({
        "id": logged.place.alert_id(logged.at),
        "entity_type": "wallet",
        "entity_id": logged.wallet,
        "parent_entity_type": null,
        "parent_entity_id": null,
        "customer_id": logged.customer,
        "alert_setting_id": null,
        "alert_type": logged.alert_type,
        "alert_status": logged.level,
        "previous_status": logged.previous,
        "cause": logged.cause,
        "event_id": logged.event.map(|place| place.event_id(logged.at)),
        "alert_info": {
            "alert_settings": logged.settings,
            "value_at_time": logged.value,
            "timestamp": logged.at,
        },
    });
    for (name, value) in views::columns(scope, logged.at, "system") {
        item[name] = value;
    }
    item
}

/// Everything is checked, and then refused: spend alerts need subscriptions.
async fn create_setting(_: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let kind = fields.required_text("entity_type")?;
    if !ENTITIES.contains(&kind.as_str()) {
        return Err(fields.refuse("entity_type", format!("must be one of {}", ENTITIES.join(", "))));
    }
    if !["subscription", "subscription_line_item", "group"].contains(&kind.as_str()) {
        let message = "must be subscription, subscription_line_item or group";
        return Err(fields.refuse("entity_type", message));
    }
    fields.required_text("entity_id")?;
    let config = fields.take("config").ok_or_else(|| fields.refuse("config", "is required"))?;
    let settings = Settings::from_json(&config).map_err(|error| {
        let error = error.under("config");
        let message = error.to_string();
        Error::invalid(error.field, message)
    })?;
    let levels = [settings.critical, settings.warning, settings.info];
    if levels.iter().flatten().any(|level| level.condition == Condition::Below) {
        return Err(fields.refuse("config", "takes only the condition above"));
    }
    Err(Error::not_built("a spend alert"))
}

/// None can exist yet.
async fn no_setting(_: App, call: Call) -> Result<Answer, Error> {
    let _: AlertSettingId = call.path("id", "alert setting")?;
    Err(Error::not_found("alert setting"))
}

static SETTINGS_GRAMMAR: Grammar = Grammar {
    fields: store::alerts::SETTING_FIELDS,
    expands: &[],
    visibility: Visibility::Always,
    metadata: false,
};

async fn search_settings(_: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let list = SETTINGS_GRAMMAR.read(&mut fields)?;
    Ok(list.answer(&[], 0).ignoring(&fields.unknown()))
}
