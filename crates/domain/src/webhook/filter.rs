//! Which events a receiver gets, compiled from its list of names to a set of bits.
//!
//! It judges names only; whether a receiver takes deliveries at all is its state, not its filter.

use super::catalogue::{EventType, Family};

pub const ENTRIES_MAX: usize = 100;

const WORDS: usize = 4;
const WORD_BITS: usize = 64;
const PAYWALL_PREFIX: &str = "paywall.";

/// A set of event types. Names are the truth: rows keep the list, memory keeps this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter([u64; WORDS]);

/// Why a list of names is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("must name at least one event type, or \"*\"")]
    Empty,
    #[error("must have at most {ENTRIES_MAX} entries")]
    TooMany,
    #[error("entry {index} \"{entry}\" is not an event type, nor a prefix of one with \".*\"")]
    Unknown { index: usize, entry: String },
    #[error(
        "entry {index} \"{entry}\" matches extension types only: name them, or set \"extensions\""
    )]
    ExtensionsOnly { index: usize, entry: String },
    #[error("\"*\" must stand alone: it already takes every event")]
    StarNotAlone,
}

impl Filter {
    /// The `types` of an endpoint. `*` means every billing event; the other families are asked for
    /// by prefix, so that "all events" keeps the meaning that clients know.
    pub fn endpoint(types: &[String], extensions: bool) -> Result<Filter, FilterError> {
        check_length(types)?;
        let mut filter = Filter::default();
        for (index, entry) in types.iter().enumerate() {
            let found = match entry.as_str() {
                "*" => wildcard(extensions, |kind| kind.family() == Family::Billing),
                name => named(name, extensions),
            };
            filter.add_all(found.map_err(|reason| reason.at(index, entry))?);
        }
        Ok(filter)
    }

    /// The `events` of a subscription, and the same list with names in full, each once.
    pub fn subscription(
        events: &[String],
        extensions: bool,
    ) -> Result<(Filter, Vec<String>), FilterError> {
        check_length(events)?;
        if events.iter().any(|entry| entry == "*") {
            return star_alone(events, extensions);
        }
        let (mut filter, mut names) = (Filter::default(), Vec::new());
        for (index, entry) in events.iter().enumerate() {
            let name = in_full(entry);
            let found = named(&name, extensions);
            filter.add_all(found.map_err(|reason| reason.at(index, entry))?);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok((filter, names))
    }

    pub const fn matches(&self, kind: EventType) -> bool {
        let place = kind.place();
        self.0[place / WORD_BITS] >> (place % WORD_BITS) & 1 == 1
    }

    /// The types in it, in the order of the catalogue.
    pub fn types(&self) -> impl Iterator<Item = EventType> {
        EventType::all().filter(|&kind| self.matches(kind))
    }

    fn add_all(&mut self, kinds: Vec<EventType>) {
        for kind in kinds {
            self.0[kind.place() / WORD_BITS] |= 1 << (kind.place() % WORD_BITS);
        }
    }
}

/// Why one entry matches nothing, before it is known which entry it was.
enum Nothing {
    Unknown,
    ExtensionsOnly,
}

impl Nothing {
    fn at(self, index: usize, entry: &str) -> FilterError {
        let entry = entry.to_owned();
        match self {
            Nothing::Unknown => FilterError::Unknown { index, entry },
            Nothing::ExtensionsOnly => FilterError::ExtensionsOnly { index, entry },
        }
    }
}

fn check_length(entries: &[String]) -> Result<(), FilterError> {
    match entries.len() {
        0 => Err(FilterError::Empty),
        1..=ENTRIES_MAX => Ok(()),
        _ => Err(FilterError::TooMany),
    }
}

fn star_alone(events: &[String], extensions: bool) -> Result<(Filter, Vec<String>), FilterError> {
    if events.len() > 1 {
        return Err(FilterError::StarNotAlone);
    }
    let found = wildcard(extensions, |kind| kind.family() == Family::Paywall);
    let mut filter = Filter::default();
    filter.add_all(found.map_err(|reason| reason.at(0, "*"))?);
    Ok((filter, vec!["*".to_owned()]))
}

/// A name without the leading word of the family is an alias of the one with it.
fn in_full(entry: &str) -> String {
    if entry.starts_with(PAYWALL_PREFIX) {
        entry.to_owned()
    } else {
        format!("{PAYWALL_PREFIX}{entry}")
    }
}

fn named(name: &str, extensions: bool) -> Result<Vec<EventType>, Nothing> {
    match name.strip_suffix('*') {
        Some(prefix) if prefix.len() > 1 && prefix.ends_with('.') => {
            wildcard(extensions, |kind| kind.name().starts_with(prefix))
        }
        _ => EventType::parse(name).map(|kind| vec![kind]).ok_or(Nothing::Unknown),
    }
}

fn wildcard(
    extensions: bool,
    takes: impl Fn(EventType) -> bool,
) -> Result<Vec<EventType>, Nothing> {
    let (added, mut found): (Vec<EventType>, Vec<EventType>) =
        EventType::all().filter(|&kind| takes(kind)).partition(|kind| kind.is_extension());
    match (extensions, found.is_empty(), added.is_empty()) {
        (_, true, true) => return Err(Nothing::Unknown),
        (false, true, false) => return Err(Nothing::ExtensionsOnly),
        (true, ..) => found.extend(added),
        (false, false, _) => {}
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &str) -> Vec<String> {
        entries.split_whitespace().map(str::to_owned).collect()
    }

    fn endpoint(entries: &str, extensions: bool) -> Vec<&'static str> {
        let filter = Filter::endpoint(&list(entries), extensions).unwrap();
        filter.types().map(EventType::name).collect()
    }

    fn subscription(entries: &str, extensions: bool) -> (Vec<&'static str>, Vec<String>) {
        let (filter, names) = Filter::subscription(&list(entries), extensions).unwrap();
        (filter.types().map(EventType::name).collect(), names)
    }

    #[test]
    fn every_type_has_its_own_bit() {
        assert!(EventType::all().len() <= WORDS * WORD_BITS);
        for kind in EventType::all() {
            assert_eq!(endpoint(kind.name(), false), [kind.name()]);
        }
    }

    #[test]
    fn star_of_an_endpoint_is_the_known_billing_catalogue() {
        assert_eq!(endpoint("*", false).len(), 63);
        assert_eq!(endpoint("*", true).len(), 67);
        assert!(endpoint("*", true).iter().all(|name| !name.starts_with("paywall.")));
        assert!(endpoint("*", true).iter().all(|name| !name.starts_with("webhook.")));
    }

    #[test]
    fn entries_of_an_endpoint_add_up() {
        assert_eq!(endpoint("paywall.*", false).len(), 27);
        assert_eq!(endpoint("paywall.*", true).len(), 39);
        assert_eq!(endpoint("webhook.*", false).len(), 13);
        assert_eq!(endpoint("* paywall.* webhook.*", true).len(), EventType::all().len());
        assert_eq!(endpoint("wallet.*", false).len(), 10);
        assert_eq!(endpoint("wallet.*", true).len(), 14);
        assert_eq!(endpoint("wallet.* wallet.credits.expired", false).len(), 11);
        assert_eq!(endpoint("wallet.created wallet.created", false), ["wallet.created"]);
    }

    #[test]
    fn wrong_entries_of_an_endpoint_are_named() {
        let unknown = "wall* wallet wallet. .* wallet.** *.created wallet.alert Wallet.* \
                       wallet.created.* balance.* ** customer.usage.alert";
        for entry in unknown.split_whitespace() {
            let types = list(&format!("wallet.created {entry}"));
            let error = FilterError::Unknown { index: 1, entry: entry.to_owned() };
            assert_eq!(Filter::endpoint(&types, true), Err(error));
        }
        let error = FilterError::ExtensionsOnly { index: 0, entry: "paywall.user.*".to_owned() };
        assert_eq!(Filter::endpoint(&list("paywall.user.*"), false), Err(error));
        assert_eq!(Filter::endpoint(&[], false), Err(FilterError::Empty));
        let many = vec!["*".to_owned(); ENTRIES_MAX + 1];
        assert_eq!(Filter::endpoint(&many, false), Err(FilterError::TooMany));
        assert!(Filter::endpoint(&many[1..], false).is_ok());
    }

    #[test]
    fn subscriptions_read_short_names_and_keep_them_in_full() {
        let (types, names) = subscription("balance.charge.completed updated", false);
        assert_eq!(types, ["paywall.updated", "paywall.balance.charge.completed"]);
        assert_eq!(names, ["paywall.balance.charge.completed", "paywall.updated"]);
        let (types, names) = subscription("balance.* paywall.balance.*", false);
        assert_eq!((types.len(), names.as_slice()), (7, &["paywall.balance.*".to_owned()][..]));
        assert_eq!(subscription("paywall.*", false).0.len(), 27);
        assert_eq!(subscription("user.suspended", false).0, ["paywall.user.suspended"]);
        assert_eq!(subscription("webhook.subscription.*", true).0.len(), 3);
    }

    #[test]
    fn star_of_a_subscription_stands_alone_and_is_the_27() {
        assert_eq!(subscription("*", false).0.len(), 27);
        assert_eq!(subscription("*", true), (subscription("paywall.*", true).0, list("*")));
        let refused = Filter::subscription(&list("* updated"), false);
        assert_eq!(refused, Err(FilterError::StarNotAlone));
    }

    #[test]
    fn subscriptions_take_nothing_of_other_families() {
        for entry in ["wallet.created", "webhook.*", "webhook.endpoint.failing", "nonsense", "*."] {
            let refused = Filter::subscription(&list(entry), false);
            let error = match entry {
                "webhook.*" => FilterError::ExtensionsOnly { index: 0, entry: entry.to_owned() },
                _ => FilterError::Unknown { index: 0, entry: entry.to_owned() },
            };
            assert_eq!(refused, Err(error));
        }
        assert_eq!(Filter::subscription(&[], true), Err(FilterError::Empty));
    }
}
