//! What a blocked user reads (paywalls 19.5): the templates, what they may hold, and how they are
//! filled.
//!
//! Values go in as plain text and are not looked at again, so no name can bring a second link.

use crate::paywall::Templates;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Template {
    AuthorizationRequired,
    InsufficientFunds,
    /// Also for failures of a provider.
    ModelUnavailable,
    LimitReached,
}

/// Values of the placeholders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places<'a> {
    /// Where the user can cure it; `None` where there is no such place.
    pub url: Option<&'a str>,
    /// The profile's name, else the paywall's.
    pub name: &'a str,
    /// What is available, with its currency.
    pub balance: &'a str,
    /// When a limit frees again; empty where none does.
    pub reset: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("must have at most {TEMPLATE_CHARS_MAX} characters")]
    TooLong,
    #[error("must not be empty")]
    Empty,
    #[error(
        "may have {{{{ url }}}}, {{{{ name }}}}, {{{{ balance }}}} and {{{{ reset }}}}, each closed"
    )]
    UnknownPlaceholder,
    #[error("must have the placeholder {{{{ url }}}}, so that the user can go on")]
    NoUrl,
}

pub const TEMPLATE_CHARS_MAX: usize = 2_000;

impl Template {
    /// Whether a text may be saved for it.
    pub fn check(self, text: &str) -> Result<(), TemplateError> {
        if text.chars().count() > TEMPLATE_CHARS_MAX {
            return Err(TemplateError::TooLong);
        }
        if text.trim().is_empty() {
            return Err(TemplateError::Empty);
        }
        let empty = Places { url: Some(""), ..Places::default() };
        fill(text, &empty).ok_or(TemplateError::UnknownPlaceholder)?;
        let needs_url =
            matches!(self, Template::AuthorizationRequired | Template::InsufficientFunds);
        if needs_url && !has_url(text) {
            return Err(TemplateError::NoUrl);
        }
        Ok(())
    }

    /// The text for the user: the paywall's own, else ours. Where there is no link, a text that
    /// has a place for one is no help, so ours without it stands in.
    pub fn render(self, templates: &Templates, places: &Places<'_>) -> String {
        let own = self.own(templates).filter(|text| places.url.is_some() || !has_url(text));
        let text = own.unwrap_or_else(|| self.default_text(places.url.is_some()));
        fill(text, places).unwrap_or_else(|| text.to_owned())
    }

    /// The text as its owner reads it: the paywall's own, else ours with its link.
    pub fn shown(self, templates: &Templates) -> &str {
        self.own(templates).unwrap_or_else(|| self.default_text(true))
    }

    /// Whether a text is the one that stands there anyhow.
    pub fn is_default(self, text: &str) -> bool {
        text == self.default_text(true)
    }

    fn own(self, templates: &Templates) -> Option<&str> {
        let own = match self {
            Template::AuthorizationRequired => &templates.authorization_required,
            Template::InsufficientFunds => &templates.insufficient_funds,
            Template::ModelUnavailable => &templates.model_unavailable,
            Template::LimitReached => &templates.limit_reached,
        };
        own.as_deref()
    }

    const fn default_text(self, has_link: bool) -> &'static str {
        match (self, has_link) {
            (Template::AuthorizationRequired, true) => {
                "{{ name }} needs your permission before it can answer. Allow it here: {{ url }} — \
                 then send your message again."
            }
            (Template::AuthorizationRequired, false) => {
                "{{ name }} needs your permission before it can answer."
            }
            (Template::InsufficientFunds, true) => {
                "Your balance at {{ name }} is {{ balance }}, which is too little for this. Add \
                 credit here: {{ url }} — then send your message again."
            }
            (Template::InsufficientFunds, false) => {
                "Your balance at {{ name }} is {{ balance }}, which is too little for this."
            }
            (Template::ModelUnavailable, _) => {
                "This model is not available at {{ name }} right now. Please choose another one."
            }
            (Template::LimitReached, true) => {
                "Your free use of {{ name }} for today is spent. Add credit here: {{ url }} — then \
                 send your prompt again."
            }
            (Template::LimitReached, false) => {
                "Your free use of {{ name }} for today is spent. Please send your prompt again \
                 later."
            }
        }
    }
}

fn has_url(text: &str) -> bool {
    text.split("{{")
        .skip(1)
        .any(|part| part.split_once("}}").is_some_and(|(name, _)| name.trim() == "url"))
}

/// `None` where a place has another name or is not closed.
fn fill(text: &str, places: &Places<'_>) -> Option<String> {
    let mut parts = text.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}")?;
        filled.push_str(match name.trim() {
            "url" => places.url.unwrap_or_default(),
            "name" => places.name,
            "balance" => places.balance,
            "reset" => places.reset,
            _ => return None,
        });
        filled.push_str(rest);
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Template; 4] = [
        Template::AuthorizationRequired,
        Template::InsufficientFunds,
        Template::ModelUnavailable,
        Template::LimitReached,
    ];

    fn places(url: Option<&'static str>) -> Places<'static> {
        Places { url, name: "Chat", balance: "0.10 USD", reset: "tomorrow" }
    }

    #[test]
    fn what_is_saved_is_checked() {
        use Template::{InsufficientFunds, LimitReached, ModelUnavailable};
        let long = "x".repeat(2_001);
        let table = [
            (InsufficientFunds, "Pay: {{ url }}", Ok(())),
            (InsufficientFunds, "{{url}} {{  name}} {{balance}}{{ reset }}", Ok(())),
            (InsufficientFunds, "Pay!", Err(TemplateError::NoUrl)),
            (Template::AuthorizationRequired, "{{ name }}", Err(TemplateError::NoUrl)),
            (LimitReached, "Later.", Ok(())),
            (ModelUnavailable, "{{ user }}", Err(TemplateError::UnknownPlaceholder)),
            (ModelUnavailable, "{{ name", Err(TemplateError::UnknownPlaceholder)),
            (ModelUnavailable, "{{}}", Err(TemplateError::UnknownPlaceholder)),
            (ModelUnavailable, "a { b } }}", Ok(())),
            (ModelUnavailable, " ", Err(TemplateError::Empty)),
            (ModelUnavailable, &long, Err(TemplateError::TooLong)),
            (ModelUnavailable, &long[1..], Ok(())),
        ];
        for (template, text, expected) in table {
            assert_eq!(template.check(text), expected, "{text}");
        }
    }

    #[test]
    fn our_own_texts_pass_and_have_one_link_where_there_is_one() {
        for template in ALL {
            assert_eq!(template.check(template.default_text(true)), Ok(()));
            let text = template.render(&Templates::default(), &places(Some("https://p.example/x")));
            let links = usize::from(template != Template::ModelUnavailable);
            assert_eq!(text.matches("://").count(), links, "{text}");
            let text = template.render(&Templates::default(), &places(None));
            assert!(!text.contains("{{") && !text.contains("://") && text.contains("Chat"));
        }
    }

    #[test]
    fn values_are_plain_text_and_never_places() {
        let own = Templates {
            limit_reached: Some("{{name}}: {{ url }} at {{ reset }}".to_owned()),
            ..Templates::default()
        };
        let odd = Places { name: "{{ url }}", ..places(Some("U")) };
        assert_eq!(Template::LimitReached.render(&own, &odd), "{{ url }}: U at tomorrow");
        let ours = Template::LimitReached.render(&own, &places(None));
        assert_eq!(ours, Template::LimitReached.render(&Templates::default(), &places(None)));
    }
}
