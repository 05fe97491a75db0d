//! The forms of a stored body. The store keeps the newest full form; every other one is computed
//! from it and the delivery, and gives the same bytes each time.
//!
//! Values are copied as they are written, never parsed and written again: no digit of an amount can
//! change. This module reads no object beside the event itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::catalogue::Family;
use super::receiver::{EventNaming, PayloadFormat, PayloadMode};
use crate::time::Timestamp;

/// A larger form is sent thin.
pub const BODY_BYTES_MAX: usize = 256 * 1_024;

/// How the body of a paywall event is stored: not yet acknowledged, first attempt.
pub const FIRST_ATTEMPT: &str = r#""status":"pending","attempts":1"#;

const ENVELOPE_VERSION: &str = "\"1.0\"";
const NAME_PREFIX: &str = "\"paywall.";
const DECIMAL_SUFFIX: &str = "Decimal";

const THIN_BILLING: [&str; 8] = [
    "id",
    "event_type",
    "api_version",
    "created_at",
    "tenant_id",
    "environment_id",
    "subject",
    "sequence",
];
const THIN_PAYWALL: [&str; 9] = [
    "id",
    "paywallId",
    "type",
    "version",
    "createdAt",
    "status",
    "attempts",
    "sequence",
    "subject",
];

/// Which form one delivery takes.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    pub family: Family,
    pub mode: PayloadMode,
    pub naming: EventNaming,
    pub format: PayloadFormat,
    pub delivery: DeliveryFrame<'a>,
    /// Where the whole event can be read: `<public URL>/v1/webhooks/events/<id>`.
    pub event_url: &'a str,
}

/// What the envelope tells about the delivery.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFrame<'a> {
    pub id: &'a str,
    pub subscription_id: &'a str,
    pub attempts: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored body is not a JSON object")]
pub struct BodyError;

/// The bytes that go out: the form asked for, or its thin one where that is too large.
pub fn render<'a>(stored: &'a [u8], form: &Form<'_>) -> Result<Cow<'a, [u8]>, BodyError> {
    if form.mode == PayloadMode::Thin {
        let body = thin(stored, form.family, form.event_url, false)?;
        return Ok(Cow::Owned(shape(&body, form)?.into_owned()));
    }
    let full = shape(stored, form)?;
    if full.len() <= BODY_BYTES_MAX {
        return Ok(full);
    }
    let body = thin(stored, form.family, form.event_url, true)?;
    Ok(Cow::Owned(shape(&body, form)?.into_owned()))
}

/// Everything but the size. Billing and operational bodies never change.
fn shape<'a>(body: &'a [u8], form: &Form<'_>) -> Result<Cow<'a, [u8]>, BodyError> {
    if form.family != Family::Paywall {
        return Ok(Cow::Borrowed(body));
    }
    let mut shaped = with_attempt(body, form.delivery.attempts);
    if form.naming == EventNaming::Short {
        shaped = with_short_name(&shaped)?;
    }
    if form.format == PayloadFormat::Envelope {
        shaped = in_envelope(&shaped, &form.delivery)?;
    }
    Ok(Cow::Owned(shaped))
}

/// The number of the attempt filled in: the only bytes that differ between attempts. A body without
/// the place for it is returned as it is.
pub fn with_attempt(body: &[u8], attempts: u32) -> Vec<u8> {
    let marker = FIRST_ATTEMPT.as_bytes();
    let Some(start) = body.windows(marker.len()).position(|window| window == marker) else {
        return body.to_vec();
    };
    let (head, tail) = body.split_at(start + marker.len());
    let number = attempts.to_string();
    [&head[..head.len() - 1], number.as_bytes(), tail].concat()
}

/// The event's type without the leading word of the family.
pub fn with_short_name(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let fields = Fields::parse(body)?;
    let mut object = ObjectText::new();
    for (name, value) in fields.iter() {
        match value.strip_prefix(NAME_PREFIX) {
            Some(rest) if name == "type" => object.field(name, &format!("\"{rest}")),
            _ => object.field(name, value),
        }
    }
    Ok(object.end())
}

/// The other documented shape: the delivery beside the event, amounts as strings.
pub fn in_envelope(body: &[u8], delivery: &DeliveryFrame<'_>) -> Result<Vec<u8>, BodyError> {
    let fields = Fields::parse(body)?;
    let mut event = ObjectText::new();
    for (name, value) in fields.iter() {
        match name {
            "attempts" => {}
            "version" => event.field(name, ENVELOPE_VERSION),
            "data" => event.field(name, &data_in_envelope(value)?),
            _ => event.field(name, value),
        }
    }
    let mut frame = ObjectText::new();
    frame.field("id", &quoted(delivery.id));
    frame.field("subscriptionId", &quoted(delivery.subscription_id));
    frame.field("attempts", &delivery.attempts.to_string());
    frame.field("createdAt", &quoted(&delivery.created_at.to_string()));
    frame.field("updatedAt", &quoted(&delivery.updated_at.to_string()));
    Ok([br#"{"delivery":"#, &frame.end()[..], br#","event":"#, &event.end(), b"}"].concat())
}

/// A number beside its exact text becomes that text.
fn data_in_envelope(data: &str) -> Result<String, BodyError> {
    let fields = Fields::parse(data.as_bytes())?;
    let mut object = ObjectText::new();
    for (name, value) in fields.iter() {
        let exact = fields.find(&format!("{name}{DECIMAL_SUFFIX}"));
        match (name, exact) {
            ("currency", _) => object.field(name, &value.to_ascii_lowercase()),
            ("source", _) if value == "\"stripe.checkout\"" => object.field(name, "\"stripe\""),
            (_, Some(exact)) => object.field(name, exact),
            _ => object.field(name, value),
        }
    }
    Ok(object.text())
}

/// What identifies the event, and where the rest can be read.
pub fn thin(
    body: &[u8],
    family: Family,
    event_url: &str,
    truncated: bool,
) -> Result<Vec<u8>, BodyError> {
    let kept: &[&str] = match family {
        Family::Paywall => &THIN_PAYWALL,
        Family::Billing | Family::Operational => &THIN_BILLING,
    };
    let fields = Fields::parse(body)?;
    let mut object = ObjectText::new();
    for (name, value) in fields.iter().filter(|(name, _)| kept.contains(name)) {
        object.field(name, value);
    }
    object.field("thin", "true");
    object.field("url", &quoted(event_url));
    if truncated {
        object.field("truncated", "true");
    }
    Ok(object.end())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The fields of one object in their order, values as they are written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn parse(body: &'a [u8]) -> Result<Fields<'a>, BodyError> {
        serde_json::from_slice(body).map_err(|_| BodyError)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.get()))
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.iter().find(|field| field.0 == name).map(|field| field.1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            fields.push((Cow::Owned(name), value));
        }
        Ok(Fields(fields))
    }
}

/// An object in the making.
struct ObjectText(String);

impl ObjectText {
    fn new() -> ObjectText {
        ObjectText("{".to_owned())
    }

    fn field(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn text(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn end(self) -> Vec<u8> {
        self.text().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYWALL: &str = r#"{"id":"evt_1","paywallId":"pw_1","ownerUserId":"tenant_1","type":"paywall.balance.deposit.created","version":"2024-05-01","createdAt":"2026-01-01T00:00:00.000Z","status":"pending","attempts":1,"data":{"paywallId":"pw_1","amount":12.50,"amountDecimal":"12.50","currency":"USD","source":"stripe.checkout"},"metadata":{"note":"\"status\":\"pending\",\"attempts\":1","type":"paywall.x"},"subject":{"type":"paywall.balance","id":"wtxn_1"},"sequence":7}"#;
    const BILLING: &str = r#"{"id":"evt_2","event_type":"wallet.updated","api_version":"v1","created_at":"2026-01-01T00:00:00.000Z","tenant_id":"tenant_1","environment_id":"env_1","subject":{"type":"wallet","id":"wallet_1"},"sequence":3,"wallet":{"balance":"0.100000000"}}"#;
    const URL: &str = "https://fb.example/v1/webhooks/events/evt_1";

    fn frame(attempts: u32) -> DeliveryFrame<'static> {
        DeliveryFrame {
            id: "dlv_1",
            subscription_id: "we_1",
            attempts,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(1_000),
        }
    }

    fn form(family: Family, attempts: u32) -> Form<'static> {
        Form {
            family,
            mode: PayloadMode::Full,
            naming: EventNaming::Full,
            format: PayloadFormat::Flat,
            delivery: frame(attempts),
            event_url: URL,
        }
    }

    fn rendered(stored: &str, form: &Form<'_>) -> String {
        String::from_utf8(render(stored.as_bytes(), form).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn only_the_number_of_the_attempt_changes() {
        for attempts in [1, 2, 16, u32::MAX] {
            let expected = PAYWALL.replacen(
                r#""attempts":1,"data""#,
                &format!(r#""attempts":{attempts},"data""#),
                1,
            );
            assert_eq!(rendered(PAYWALL, &form(Family::Paywall, attempts)), expected);
        }
        assert_eq!(with_attempt(b"{}", 2), b"{}");
    }

    #[test]
    fn billing_bodies_never_change() {
        let other = Form {
            naming: EventNaming::Short,
            format: PayloadFormat::Envelope,
            ..form(Family::Billing, 5)
        };
        assert_eq!(rendered(BILLING, &other), BILLING);
        assert!(matches!(render(BILLING.as_bytes(), &other), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn short_names_touch_the_type_alone() {
        let short = Form { naming: EventNaming::Short, ..form(Family::Paywall, 1) };
        let expected = PAYWALL.replacen(r#""paywall.balance.deposit"#, r#""balance.deposit"#, 1);
        assert_eq!(rendered(PAYWALL, &short), expected);
    }

    #[test]
    fn the_envelope_holds_the_delivery_and_exact_amounts() {
        let envelope = Form { format: PayloadFormat::Envelope, ..form(Family::Paywall, 3) };
        let text = rendered(PAYWALL, &envelope);
        let head = r#"{"delivery":{"id":"dlv_1","subscriptionId":"we_1","attempts":3,"createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:01.000Z"},"event":{"id":"evt_1","#;
        assert!(text.starts_with(head), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let event = &value["event"];
        assert_eq!(event["version"], "1.0");
        assert_eq!(event["attempts"], serde_json::Value::Null);
        assert_eq!(event["data"]["amount"], "12.50");
        assert_eq!(event["data"]["amountDecimal"], "12.50");
        assert_eq!(event["data"]["currency"], "usd");
        assert_eq!(event["data"]["source"], "stripe");
        assert_eq!(event["type"], "paywall.balance.deposit.created");
        assert_eq!(event["sequence"], 7);
    }

    #[test]
    fn thin_forms_name_the_event_and_its_place() {
        let thin = Form { mode: PayloadMode::Thin, ..form(Family::Billing, 1) };
        let expected = r#"{"id":"evt_2","event_type":"wallet.updated","api_version":"v1","created_at":"2026-01-01T00:00:00.000Z","tenant_id":"tenant_1","environment_id":"env_1","subject":{"type":"wallet","id":"wallet_1"},"sequence":3,"thin":true,"url":"https://fb.example/v1/webhooks/events/evt_1"}"#;
        assert_eq!(rendered(BILLING, &thin), expected);
    }

    #[test]
    fn what_is_too_large_is_sent_thin_and_says_so() {
        let filler = "x".repeat(BODY_BYTES_MAX);
        let large = PAYWALL.replacen("12.50,", &format!("12.50,\"filler\":\"{filler}\","), 1);
        let text = rendered(&large, &form(Family::Paywall, 4));
        let expected = r#"{"id":"evt_1","paywallId":"pw_1","type":"paywall.balance.deposit.created","version":"2024-05-01","createdAt":"2026-01-01T00:00:00.000Z","status":"pending","attempts":4,"subject":{"type":"paywall.balance","id":"wtxn_1"},"sequence":7,"thin":true,"url":"https://fb.example/v1/webhooks/events/evt_1","truncated":true}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_body_that_is_no_object_is_an_error() {
        let short = Form { naming: EventNaming::Short, ..form(Family::Paywall, 1) };
        for broken in ["", "[]", "{\"a\":", "12"] {
            assert_eq!(render(broken.as_bytes(), &short), Err(BodyError), "{broken}");
        }
    }
}
