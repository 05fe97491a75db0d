//! The fields of `pricing`, `models`, `block`, `templates` and `privacy`: what the proxy lets
//! through, for how much, and what it says where it does not.

use serde_json::Value;

use super::read::{count, flag, merge_by_model, model, models, one_of, one_of_or_none, text};
use crate::paywall::edit::{PaywallError, Problem};
use crate::paywall::{Block, BlockStyle, CustomResponse, Models, Privacy, Templates};
use crate::proxy::Pricing;
use crate::proxy::template::Template;

const TIMEOUT_MS_MAX: u64 = 5_000;
const STYLES: &str = "message, error";

/// Overrides are merged by model; each is replaced whole.
pub fn write_pricing(pricing: &mut Pricing, path: &str, value: &Value) -> Result<(), PaywallError> {
    let (_, field) = path.split_once('.').unwrap_or_default();
    let merged = match (field, value) {
        ("overrides", Value::Object(given)) => {
            let mut all = serde_json::to_value(&pricing.overrides).unwrap_or_default();
            if let Some(all) = all.as_object_mut() {
                all.extend(given.clone());
            }
            Some(all)
        }
        _ => None,
    };
    // The path is the caller's to tell; here only what lies below it.
    pricing.write(field, merged.as_ref().unwrap_or(value)).map_err(|error| {
        let below = error.field.strip_prefix(field).unwrap_or_default();
        PaywallError::new(below.trim_start_matches('.'), Problem::Price(error.problem))
    })
}

pub fn write_models(lists: &mut Models, path: &str, value: &Value) -> Result<(), PaywallError> {
    match path {
        "models.allow" => lists.allow = models(value)?,
        "models.deny" => lists.deny = models(value)?,
        "models.aliases" => merge_by_model(&mut lists.aliases, value, |_, value| {
            let target = text(value)?;
            model(target, false)?;
            Ok(target.to_owned())
        })?,
        _ => return Err(Problem::Unknown.into()),
    }
    Ok(())
}

pub fn write_block(block: &mut Block, path: &str, value: &Value) -> Result<(), Problem> {
    match path {
        "block.style" => block.style = one_of(value, STYLES)?,
        "block.limitStyle" => block.limit_style = one_of_or_none(value, STYLES)?,
        "block.providerStyle" => {
            block.provider_style = one_of_or_none(value, STYLES)?.unwrap_or(BlockStyle::Error);
        }
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}

pub fn write_template(
    templates: &mut Templates,
    path: &str,
    value: &Value,
) -> Result<(), PaywallError> {
    let custom = &mut templates.custom_response;
    match path {
        "templates.customResponse.url" => custom.url = url(value)?,
        "templates.customResponse.timeoutMs" => {
            let usual = CustomResponse::default().timeout_ms;
            custom.timeout_ms = count(value, 1..=TIMEOUT_MS_MAX)?.unwrap_or(usual);
        }
        "templates.customResponse.enabled" => custom.enabled = flag(value, false)?,
        _ => {
            let (template, slot) = match path {
                "templates.authorizationRequired" => {
                    (Template::AuthorizationRequired, &mut templates.authorization_required)
                }
                "templates.insufficientFunds" => {
                    (Template::InsufficientFunds, &mut templates.insufficient_funds)
                }
                "templates.modelUnavailable" => {
                    (Template::ModelUnavailable, &mut templates.model_unavailable)
                }
                "templates.limitReached" => (Template::LimitReached, &mut templates.limit_reached),
                _ => return Err(Problem::Unknown.into()),
            };
            *slot = own_text(template, value)?;
        }
    }
    Ok(())
}

/// None where the text is the one that stands there anyhow.
fn own_text(template: Template, value: &Value) -> Result<Option<String>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let text = text(value)?;
    template.check(text)?;
    Ok(if template.is_default(text) { None } else { Some(text.to_owned()) })
}

/// Where it leads is judged by who may look names up, before it is stored.
fn url(value: &Value) -> Result<Option<String>, Problem> {
    if value.is_null() { Ok(None) } else { Ok(Some(text(value)?.to_owned())) }
}

pub fn write_privacy(privacy: &mut Privacy, path: &str, value: &Value) -> Result<(), Problem> {
    match path {
        "privacy.storePrompts" => privacy.store_prompts = flag(value, false)?,
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}
