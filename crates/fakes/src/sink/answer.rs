//! What each path answers, as bytes and what comes after them.

use domain::id::splitmix;

const LABEL: &str = "x-farebox-fake: webhook-sink\r\n";
const MANY_HEADERS: usize = 200;

pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy)]
pub(super) enum Ending {
    KeepAlive,
    Close,
    /// The connection stays open and nothing more comes.
    Silence,
    /// A header line that never ends, byte by byte.
    SlowHead,
    /// A body that never ends.
    Endless,
}

pub(super) fn for_path(path: &str, seed: u64, number: u64) -> Answer {
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (name, value) = path.split_once('/').unwrap_or((path, ""));
    match (name, value) {
        ("fail", status) => complete(status.parse().unwrap_or(500), ""),
        ("flaky", percent) => flaky(percent.parse().unwrap_or(50), seed, number),
        ("retry-after", value) => complete(503, &format!("retry-after: {}\r\n", decoded(value))),
        ("gone", _) => complete(410, ""),
        ("redirect", _) => complete(302, "location: /ok\r\n"),
        _ => hostile(name).unwrap_or_else(|| complete(200, "")),
    }
}

fn hostile(name: &str) -> Option<Answer> {
    let many = "x-many: 1\r\n".repeat(MANY_HEADERS);
    let (bytes, ending) = match name {
        "hang" => (String::new(), Ending::Silence),
        "close" => (String::new(), Ending::Close),
        "garbage" => ("220 mail ready\r\n".to_owned(), Ending::Close),
        "slow-loris" => (format!("HTTP/1.1 200 OK\r\n{LABEL}x-slow: "), Ending::SlowHead),
        "endless" => (format!("HTTP/1.1 200 OK\r\n{LABEL}\r\n"), Ending::Endless),
        "lie-length" => (head(200, "", 1_000) + "short", Ending::Close),
        "drip" => (head(200, "", 1_000) + "half", Ending::Silence),
        "many-headers" => (head(200, &many, 0), Ending::KeepAlive),
        _ => return None,
    };
    Some(Answer { bytes: bytes.into_bytes(), ending })
}

/// A whole answer that keeps the connection.
fn complete(status: u16, headers: &str) -> Answer {
    let body = format!("{{\"fake\":\"webhook-sink\",\"status\":{status}}}");
    let empty = matches!(status, 100..=199 | 204 | 304);
    let body = if empty { String::new() } else { body };
    let bytes = (head(status, headers, body.len()) + &body).into_bytes();
    Answer { bytes, ending: Ending::KeepAlive }
}

fn head(status: u16, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} Fake\r\n{LABEL}{headers}content-length: {length}\r\n\r\n")
}

fn flaky(percent: u64, seed: u64, number: u64) -> Answer {
    let fails = splitmix(seed ^ splitmix(number)) % 100 < percent;
    complete(if fails { 500 } else { 200 }, "")
}

/// `%20` and the like: a date as `retry-after` has blanks.
fn decoded(value: &str) -> String {
    value.replace("%20", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaky_fails_its_share_and_repeats_itself() {
        let fails = |seed| -> Vec<bool> {
            let failed = |n| flaky(30, seed, n).bytes.starts_with(b"HTTP/1.1 500");
            (0..1_000).map(failed).collect()
        };
        let share = fails(7).iter().filter(|failed| **failed).count();
        assert!((250..350).contains(&share), "{share} of 1,000");
        assert_eq!(fails(7), fails(7));
        assert_ne!(fails(7), fails(8));
    }

    #[test]
    fn each_path_has_its_status() {
        let paths = [
            ("/ok", "200"),
            ("/", "200"),
            ("", "200"),
            ("/any/other", "200"),
            ("/fail/418", "418"),
            ("/gone", "410"),
            ("/redirect", "302"),
            ("/retry-after/7", "503"),
            ("/flaky/100", "500"),
            ("/flaky/0", "200"),
        ];
        for (path, status) in paths {
            let bytes = for_path(path, 0, 0).bytes;
            assert!(bytes.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{path}");
        }
    }
}
