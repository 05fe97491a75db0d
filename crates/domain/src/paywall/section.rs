//! Parts of a paywall that have routes of their own: each is read and replaced whole (paywalls 8).

use serde_json::{Map, Value, json};

use super::Paywall;
use super::edit::{Change, PaywallError, Problem};
use crate::proxy::template::Template;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `pricing`, with the operator's `fees` inside.
    Pricing,
    /// `limits`, with `caps` inside.
    Limits,
    Templates,
}

impl Section {
    /// The part whose fields stand at the top of the body.
    pub const fn name(self) -> &'static str {
        match self {
            Section::Pricing => "pricing",
            Section::Limits => "limits",
            Section::Templates => "templates",
        }
    }

    /// The part that stands inside the body under its own name.
    const fn inner(self) -> Option<&'static str> {
        match self {
            Section::Pricing => Some("fees"),
            Section::Limits => Some("caps"),
            Section::Templates => None,
        }
    }

    /// Parts that a body replaces. Fees are the operator's: a body that is silent keeps them.
    fn replaced(self, body: &Map<String, Value>) -> Vec<&'static str> {
        let inner = self.inner().filter(|name| self == Section::Limits || body.contains_key(*name));
        [Some(self.name()), inner].into_iter().flatten().collect()
    }
}

impl Paywall {
    /// The section as it is read.
    pub fn section(&self, section: Section) -> Value {
        match section {
            Section::Pricing => with(json!(self.pricing), "fees", json!(self.fees)),
            Section::Limits => with(json!(self.limits), "caps", json!(self.caps)),
            Section::Templates => self.shown_templates(),
        }
    }

    /// With the texts that hold where the owner has none of his own.
    fn shown_templates(&self) -> Value {
        let mut shown = json!(self.templates);
        for (name, template) in [
            ("authorizationRequired", Template::AuthorizationRequired),
            ("insufficientFunds", Template::InsufficientFunds),
            ("modelUnavailable", Template::ModelUnavailable),
            ("limitReached", Template::LimitReached),
        ] {
            shown[name] = template.shown(&self.templates).into();
        }
        shown
    }

    /// The change that puts `body` in the section's place, or None where it changes nothing.
    pub fn replace(&self, section: Section, body: &Value) -> Result<Option<Change>, PaywallError> {
        let mut outer =
            body.as_object().ok_or_else(|| PaywallError::new("", Problem::NotAnObject))?.clone();
        let parts = section.replaced(&outer);
        let inner = section.inner().and_then(|name| Some((name, outer.remove(name)?)));
        let mut whole = json!({ section.name(): outer });
        if let Some((name, inner)) = inner {
            whole[name] = inner;
        }
        self.put(&parts, &whole).map_err(|error| {
            let below = error.param.strip_prefix(section.name());
            let param = below.and_then(|below| below.strip_prefix('.')).map(str::to_owned);
            PaywallError { param: param.unwrap_or(error.param), ..error }
        })
    }
}

fn with(mut outer: Value, name: &str, inner: Value) -> Value {
    outer[name] = inner;
    outer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paywall::tests::paywall;

    #[test]
    fn a_section_reads_back_as_it_was_put_and_forgets_what_is_not_said() {
        let first = json!({"requestsPerMinute": 5, "maxRequestsPerModel": {"gpt-4.1": 2},
            "caps": {"userDay": "3"}});
        let change = paywall().replace(Section::Limits, &first).unwrap().unwrap();
        let paths = ["caps.userDay", "limits.maxRequestsPerModel", "limits.requestsPerMinute"];
        assert_eq!(change.changed_fields, paths);
        let read = change.next.section(Section::Limits);
        assert_eq!(change.next.replace(Section::Limits, &read), Ok(None));
        let back = change.next.replace(Section::Limits, &json!({"idleSeconds": 9})).unwrap();
        let next = back.unwrap().next;
        assert_eq!(next.limits.idle_seconds, 9);
        assert_eq!(
            next.replace(Section::Limits, &json!({})).unwrap().unwrap().changed_fields,
            ["limits.idleSeconds"]
        );
    }

    #[test]
    fn templates_are_shown_as_they_hold_and_may_be_put_back() {
        let paywall = paywall();
        let shown = paywall.section(Section::Templates);
        assert!(shown["insufficientFunds"].as_str().unwrap().contains("{{ url }}"));
        assert_eq!(paywall.replace(Section::Templates, &shown), Ok(None));
        let own = json!({"limitReached": "Tomorrow again, {{ name }}"});
        let next = paywall.replace(Section::Templates, &own).unwrap().unwrap();
        assert_eq!(next.changed_fields, ["templates.limitReached"]);
    }

    #[test]
    fn fees_stay_unless_they_are_said() {
        let mut paywall = paywall();
        paywall.fees.processing_fixed = crate::amount::Amount::units(1);
        let pricing = json!({"mode": "hybrid", "minimumFee": "0.01"});
        let next = paywall.replace(Section::Pricing, &pricing).unwrap().unwrap();
        assert!(!next.touches_fees());
        let none = json!({"fees": {}});
        assert!(paywall.replace(Section::Pricing, &none).unwrap().unwrap().touches_fees());
    }

    #[test]
    fn a_refusal_names_the_field_of_the_body() {
        let table = [
            (Section::Limits, json!({"requestsPerSecond": 0}), "requestsPerSecond"),
            (Section::Limits, json!({"caps": {"userDay": "-1"}}), "caps.userDay"),
            (Section::Limits, json!({"speed": 1}), "speed"),
            (Section::Pricing, json!({"overrides": {"m": {"prompt": "x"}}}), "overrides.m.prompt"),
            (Section::Templates, json!({"customResponse": 1}), "customResponse"),
            (Section::Templates, json!([]), ""),
        ];
        for (section, body, param) in table {
            assert_eq!(paywall().replace(section, &body).unwrap_err().param, param, "{body}");
        }
    }
}
