//! Reading and changing the settings of an environment (billing 2.3).

use domain::id::SettingId;
use domain::ledger::alerts;
use domain::portal::PortalConfig;
use domain::scope::{Cause, Scope};
use domain::setting::{Named, Setting, SettingError, TenantLimits, named};
use serde_json::{Value, json};
use store::settings::StoredSetting;
use store::{Read, Tx};

use crate::error::Error;
use crate::run::Engine;

/// A setting in force; `stored` is absent where the default holds.
#[derive(Clone, Debug)]
pub struct InForce {
    pub setting: Setting,
    pub value: Value,
    pub stored: Option<StoredSetting>,
}

/// The setting of this name. One of a later stage is not built; any other name is not there.
pub fn by_name(name: &str) -> Result<Setting, Error> {
    match named(name) {
        Some(Named::Setting(setting)) => Ok(setting),
        Some(Named::Later) => Err(Error::not_built(&format!("the setting {name}"))),
        None => Err(Error::not_found("setting")),
    }
}

/// The value in force, as any command may need it.
pub fn in_force(read: Read<'_>, scope: &Scope, setting: Setting) -> Result<InForce, Error> {
    let scope = home(read, scope, setting)?;
    let stored = store::settings::find(read, &scope, setting.name())?;
    let value = stored.as_ref().map_or_else(|| setting.default_value(), |row| row.value.clone());
    Ok(InForce { setting, value, stored })
}

/// Limits of the tenant.
pub fn tenant_limits(read: Read<'_>, scope: &Scope) -> Result<TenantLimits, Error> {
    let value = in_force(read, scope, Setting::Tenant)?.value;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// What customers see and may do in the portal.
pub fn portal_config(read: Read<'_>, scope: &Scope) -> Result<PortalConfig, Error> {
    let value = in_force(read, scope, Setting::CustomerPortal)?.value;
    Ok(PortalConfig::from_json(&value).unwrap_or_default())
}

/// Where a setting is kept: a tenant's is kept in the tenant's first environment.
fn home(read: Read<'_>, scope: &Scope, setting: Setting) -> Result<Scope, Error> {
    if !setting.is_of_tenant() {
        return Ok(*scope);
    }
    let first = store::tenants::environments_of(read, scope)?.into_iter().next();
    Ok(first.map_or(*scope, |environment| environment.scope))
}

impl Engine {
    pub async fn setting(&self, scope: Scope, setting: Setting) -> Result<InForce, Error> {
        self.read(move |read| in_force(read, &scope, setting)).await
    }

    /// Sets a value that is read whole; `None` restores the default.
    pub async fn set_setting(
        &self,
        scope: Scope,
        cause: Cause,
        setting: Setting,
        value: Option<Value>,
    ) -> Result<InForce, Error> {
        let value =
            value.map(|value| setting.read(&value)).transpose().map_err(|error| refusal(&error))?;
        let told = cause.clone();
        let (before, after) =
            self.change(scope, move |tx| put(tx, &told, setting, value.as_ref())).await?;
        if setting == Setting::WalletBalanceAlert && before != after.value {
            self.evaluate_wallets(scope, cause).await?;
        }
        Ok(after)
    }

    /// Runs the alert machines of the wallets that live by the environment's setting, one
    /// transaction each. A stop in between loses nothing: a wallet is evaluated with its next
    /// movement too.
    async fn evaluate_wallets(&self, scope: Scope, cause: Cause) -> Result<(), Error> {
        let wallets =
            self.read(move |read| Ok(store::wallets::open_numbers(read, &scope)?)).await?;
        for wallet in wallets {
            let cause = cause.clone();
            self.movement(scope, move |tx| {
                tx.account(wallet, |account, log| {
                    if account.wallet.alert_settings.is_none() {
                        alerts::edited(account, log, &cause);
                    }
                })?;
                Ok::<_, Error>(())
            })
            .await?;
        }
        Ok(())
    }
}

fn put(
    tx: &mut Tx<'_>,
    cause: &Cause,
    setting: Setting,
    value: Option<&Value>,
) -> Result<(Value, InForce), Error> {
    let scope = tx.scope();
    let before = in_force(tx.read()?, &scope, setting)?;
    let home = home(tx.read()?, &scope, setting)?;
    match value {
        Some(value) => {
            let row = row(tx, cause, value);
            store::settings::put(tx.write()?, &home, setting.name(), &row)?;
        }
        None => store::settings::delete(tx.write()?, &home, setting.name())?,
    }
    tx.settings_changed()?;
    let after = in_force(tx.read()?, &scope, setting)?;
    let action = if value.is_some() { "setting.updated" } else { "setting.reset" };
    let entity = ("setting", setting.name().to_owned());
    let states = (Some(before.value.clone()), Some(after.value.clone()));
    crate::audit::record(tx, cause, action, entity, states)?;
    Ok((before.value, after))
}

fn row(tx: &mut Tx<'_>, cause: &Cause, value: &Value) -> StoredSetting {
    let (now, by) = (tx.now(), &cause.actor.id);
    StoredSetting {
        id: SettingId(tx.mint()),
        value: value.clone(),
        created_at: now,
        created_by: by.clone(),
        updated_at: now,
        updated_by: by.clone(),
    }
}

fn refusal(error: &SettingError) -> Error {
    let field =
        if error.field.is_empty() { "value".to_owned() } else { format!("value.{}", error.field) };
    Error::invalid(&field, format!("{field} {}", error.problem))
}

/// A setting as the audit log and answers show it.
pub fn view(in_force: &InForce, scope: &Scope) -> Value {
    let mut view = json!({
        "key": in_force.setting.name(),
        "value": in_force.value,
        "is_default": in_force.stored.is_none(),
        "tenant_id": scope.tenant,
        "environment_id": scope.environment,
        "status": "published",
    });
    if let Some(row) = &in_force.stored {
        view["id"] = json!(row.id);
        view["created_at"] = json!(row.created_at);
        view["updated_at"] = json!(row.updated_at);
        view["created_by"] = json!(row.created_by);
        view["updated_by"] = json!(row.updated_by);
    }
    view
}
