//! Words in square brackets that a prompt may contain: `[name]` and `[name 7]`.

/// What was switched on, in order of the text. Anything else in brackets is just text.
#[derive(Debug, Default)]
pub(super) struct Switches(Vec<(String, Option<u64>)>);

impl Switches {
    pub(super) fn read(text: &str) -> Switches {
        let parts = text.split('[').skip(1).filter_map(|part| part.split_once(']'));
        Switches(parts.filter_map(|(inner, _)| one(inner)).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(key, _)| key == name).and_then(|(_, value)| *value)
    }

    /// A number that counts things in memory.
    pub(super) fn count(&self, name: &str) -> Option<usize> {
        self.number(name).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }
}

fn one(inner: &str) -> Option<(String, Option<u64>)> {
    let (name, value) = inner.split_once(' ').unwrap_or((inner, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let named = !name.is_empty() && name.chars().all(plain);
    match (named, value) {
        (false, _) => None,
        (true, "") => Some((name.to_owned(), None)),
        (true, value) => Some((name.to_owned(), Some(value.parse().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_wherever_they_stand() {
        let switches = Switches::read("a [slow 200] b[no-usage][not this] [words x] [open");
        assert_eq!(switches.number("slow"), Some(200));
        assert!(switches.has("no-usage"));
        assert!(!switches.has("words") && !switches.has("not") && !switches.has("open"));
    }
}
