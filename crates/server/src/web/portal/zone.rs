//! Times as a customer reads them: on the clock of the customer's own zone, with UTC in the title.
//! What is stored and sent is UTC as everywhere.

use domain::time::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::super::parts;
use super::visit::Visit;

/// The zone of a customer, by its IANA name.
pub struct Zone(String);

impl Zone {
    pub fn of(visit: &Visit) -> Zone {
        Zone(visit.visitor.customer.customer.timezone.clone())
    }

    pub fn name(&self) -> &str {
        if self.0.is_empty() { "UTC" } else { &self.0 }
    }

    /// The head of a column of times.
    pub fn head(&self, what: &str) -> String {
        format!("{what} ({})", self.name())
    }

    /// Without the zone's name.
    pub fn plain(&self, at: Timestamp) -> String {
        at.on_wall(self.name())
    }

    /// As `plain`; the day alone, where it begins just then.
    pub fn day(&self, at: Timestamp) -> String {
        let plain = self.plain(at);
        plain.strip_suffix(" 00:00:00").map(str::to_owned).unwrap_or(plain)
    }

    /// A time of JSON; a dash where there is none.
    pub fn json(&self, value: &Value) -> Markup {
        let at = value.as_str().and_then(|text| Timestamp::parse(text).ok());
        html! {
            @match at {
                None => span.faint { "–" },
                Some(at) => time datetime=(at) title={ (parts::plain_time(at)) " UTC" } {
                    (self.plain(at))
                },
            }
        }
    }
}
