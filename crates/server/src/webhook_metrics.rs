//! The figures of webhooks as Prometheus text (webhooks 24). No label names a tenant, a receiver or
//! an address.

use engine::steps::deliver::{BOUNDS_MS, Counts, Histogram};
use store::gauges::Webhooks;

use crate::metrics::{head, put};

/// What this process counted and how the database stands, in lines of its own. `expired` are the
/// deliveries that it took over from processes that ended without a word.
pub fn render(
    counts: Option<&Counts>,
    found: &Webhooks,
    (streams, expired): (usize, usize),
) -> String {
    let mut text = String::new();
    if let Some(counts) = counts {
        attempts(&mut text, counts);
    }
    let name = "farebox_webhook_deliveries";
    head(&mut text, name, "gauge");
    for (state, count) in &found.deliveries {
        put(&mut text, format_args!("{name}{{state=\"{state}\"}} {count}"));
    }
    let name = "farebox_webhook_endpoints";
    head(&mut text, name, "gauge");
    for (kind, state, is_open, count) in &found.receivers {
        let circuit = if *is_open { "open" } else { "closed" };
        let labels = format!("kind=\"{kind}\",state=\"{state}\",circuit=\"{circuit}\"");
        put(&mut text, format_args!("{name}{{{labels}}} {count}"));
    }
    let single = [
        ("farebox_webhook_blocked_order_keys", "gauge", found.blocked_order_keys.to_string()),
        ("farebox_webhook_feed_streams", "gauge", streams.to_string()),
        ("farebox_webhook_leases_expired_total", "counter", expired.to_string()),
    ];
    for (name, kind, value) in single {
        head(&mut text, name, kind);
        put(&mut text, format_args!("{name} {value}"));
    }
    text
}

fn attempts(text: &mut String, counts: &Counts) {
    let all = counts.attempts();
    let name = "farebox_webhook_attempts_total";
    head(text, name, "counter");
    for (result, times) in &all {
        put(text, format_args!("{name}{{result=\"{result}\"}} {}", times.count));
    }
    let name = "farebox_webhook_attempt_duration_seconds";
    histograms(text, (name, "result"), &all);
    let name = "farebox_webhook_commit_to_delivered_seconds";
    histograms(text, (name, "class"), &counts.times_to_delivery());
}

/// Those in which something was counted.
fn histograms(text: &mut String, (name, label): (&str, &str), all: &[(&'static str, Histogram)]) {
    head(text, name, "histogram");
    for (word, times) in all.iter().filter(|(_, times)| times.count > 0) {
        for (bound_ms, within) in BOUNDS_MS.iter().zip(times.buckets) {
            let labels = format!("{label}=\"{word}\",le=\"{}\"", seconds(*bound_ms));
            put(text, format_args!("{name}_bucket{{{labels}}} {within}"));
        }
        let labels = format!("{label}=\"{word}\"");
        put(text, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", times.count));
        put(text, format_args!("{name}_sum{{{labels}}} {}", seconds(times.sum_ms)));
        put(text, format_args!("{name}_count{{{labels}}} {}", times.count));
    }
}

fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_prometheus_text() {
        let found = Webhooks {
            deliveries: vec![("due".to_owned(), 3)],
            receivers: vec![("endpoint".to_owned(), "enabled".to_owned(), true, 1)],
            blocked_order_keys: 2,
        };
        let text = render(Some(&Counts::default()), &found, (4, 6));
        let expected = [
            "farebox_webhook_deliveries{state=\"due\"} 3",
            "farebox_webhook_endpoints{kind=\"endpoint\",state=\"enabled\",circuit=\"open\"} 1",
            "farebox_webhook_blocked_order_keys 2",
            "farebox_webhook_feed_streams 4",
            "farebox_webhook_leases_expired_total 6",
            "farebox_webhook_attempts_total{result=\"delivered\"} 0",
        ];
        for line in expected {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert_eq!([5, 1_000, 2_500, 60_000].map(seconds), ["0.005", "1", "2.5", "60"]);
    }
}
