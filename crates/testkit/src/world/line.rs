//! A command as a line of text: `charge P1/ann 30 key a`. Runs print such lines, and scripts are
//! made of them. What a line means is told by the oracle and by the player, each on its own.
//!
//! `verb [subject] [figure] {name value} [key KEY]`: the subject names a thing, the figure is
//! money. Times are written as `90s`, `5m`, `2h` or `3d`.

use std::fmt;

use domain::amount::Amount;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the command in its run; what it makes is named after it.
    pub n: u32,
    pub verb: String,
    pub subject: String,
    pub figure: Option<i128>,
    pub options: Vec<(String, String)>,
    pub key: Option<String>,
}

impl Line {
    pub fn new(n: u32, verb: &str, subject: &str) -> Line {
        Line {
            n,
            verb: verb.to_owned(),
            subject: subject.to_owned(),
            figure: None,
            options: Vec::new(),
            key: None,
        }
    }

    #[must_use]
    pub fn figure(mut self, nanos: i128) -> Line {
        self.figure = Some(nanos);
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Line {
        self.options.push((name.to_owned(), value.to_string()));
        self
    }

    #[must_use]
    pub fn money(self, name: &str, nanos: i128) -> Line {
        self.with(name, Amount::from_nanos(nanos))
    }

    #[must_use]
    pub fn keyed(mut self, key: Option<String>) -> Line {
        self.key = key;
        self
    }

    /// Reads a line; the part before `->` where there is one.
    pub fn parse(n: u32, text: &str) -> Result<Line, String> {
        let mut words = text.split_whitespace().peekable();
        let verb = words.next().ok_or("an empty line")?;
        let mut line = Line::new(n, verb, words.next().unwrap_or_default());
        if let Some(figure) = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
            line.figure = Some(nanos(figure)?);
        }
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} has no value"))?;
            match name {
                "key" => line.key = Some(value.to_owned()),
                _ => line.options.push((name.to_owned(), value.to_owned())),
            }
        }
        Ok(line)
    }

    /// The line without its key: what the body of a request says.
    pub fn body(&self) -> String {
        Line { key: None, ..self.clone() }.to_string()
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn amount(&self, name: &str) -> Option<i128> {
        self.option(name).map(|text| nanos(text).unwrap())
    }

    /// A distance of time.
    pub fn time_ms(&self, name: &str) -> Option<i64> {
        self.option(name).map(|text| time_ms(text).unwrap())
    }

    /// The user of a subject such as `P1/ann`: paywall and name.
    pub fn user(&self) -> (&str, &str) {
        self.subject.split_once('/').unwrap_or((&self.subject, ""))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        if let Some(figure) = self.figure {
            write!(f, " {}", Amount::from_nanos(figure))?;
        }
        for (name, value) in &self.options {
            write!(f, " {name} {value}")?;
        }
        match &self.key {
            Some(key) => write!(f, " key {key}"),
            None => Ok(()),
        }
    }
}

fn nanos(text: &str) -> Result<i128, String> {
    Amount::parse(text).map(Amount::nanos).map_err(|error| format!("{text} {error}"))
}

pub fn time_ms(text: &str) -> Result<i64, String> {
    let units = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
    let (letter, ms) = unit.ok_or_else(|| format!("{text} is no time"))?;
    let count: i64 = text.trim_end_matches(*letter).parse().map_err(|_| format!("{text}?"))?;
    Ok(count * ms)
}

/// Money as lines show it.
pub fn money(nanos: i128) -> Amount {
    Amount::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        let texts = [
            "charge P1/ann 30 key a",
            "topup W1 2.5 priority 2 expires 5h bonus 1 key b",
            "batch P1 ann 3 bob 4",
            "advance 5h",
            "deliver",
        ];
        for text in texts {
            assert_eq!(Line::parse(1, text).unwrap().to_string(), text);
        }
        assert_eq!(Line::parse(1, "hold P1/ann 5 for 90s").unwrap().time_ms("for"), Some(90_000));
        assert!(Line::parse(1, "hold P1/ann 5 for").is_err());
    }
}
