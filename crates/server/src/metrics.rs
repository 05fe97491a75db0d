//! What this process counts about itself, as Prometheus text. For watching; the ledger is for
//! accounting. No label names a tenant, a customer, a wallet or a key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::{Mutex, RwLock};

use crate::http::route::Surface;

/// Upper bounds of the duration buckets, in microseconds, and as Prometheus writes them.
const BUCKETS: [(u64, &str); 12] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// A counter's name and its labels, as they are printed.
type Counted = (&'static str, Vec<(&'static str, String)>);

#[derive(Debug, Default)]
pub struct Metrics {
    requests: RwLock<BTreeMap<(Surface, &'static str, u16), AtomicU64>>,
    durations: RwLock<BTreeMap<(Surface, &'static str), Histogram>>,
    counters: Mutex<BTreeMap<Counted, u64>>,
}

/// A counter that is kept elsewhere: its name, its one label, and the count.
pub type Sample = (&'static str, &'static str, &'static str, u64);

/// When a request began.
pub struct Started(Instant);

impl Started {
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Metrics {
    pub fn started(&self) -> Started {
        Started(Instant::now())
    }

    pub fn request(&self, started: &Started, route: (Surface, &'static str), status: StatusCode) {
        let (surface, name) = route;
        let key = (surface, name, status.as_u16());
        let counted = self.requests.read().get(&key).map(|count| count.fetch_add(1, RELAXED));
        if counted.is_none() {
            self.requests.write().entry(key).or_default().fetch_add(1, RELAXED);
        }
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let timed = self.durations.read().get(&route).map(|timed| timed.observe(took_us));
        if timed.is_none() {
            self.durations.write().entry(route).or_default().observe(took_us);
        }
    }

    /// Adds one to a counter. The labels' values come from closed lists.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, &str)]) {
        self.add(name, labels, 1);
    }

    pub fn add(&self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        let labels = labels.iter().map(|&(key, value)| (key, value.to_owned())).collect();
        *self.counters.lock().entry((name, labels)).or_default() += count;
    }

    /// A request that was refused, by the error's code.
    pub fn refusal(&self, reason: &str) {
        self.count("farebox_refusals_total", &[("reason", reason)]);
    }

    /// Everything counted so far, what others counted, and `gauges` read at this moment.
    pub fn render(&self, others: &[Sample], gauges: &[(&'static str, String)]) -> String {
        let mut text = String::new();
        self.render_requests(&mut text);
        self.render_durations(&mut text);
        let mut last = "";
        for ((name, labels), value) in self.counters.lock().iter() {
            if *name != last {
                head(&mut text, name, "counter");
                last = name;
            }
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
            put(&mut text, format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
        let mut last = "";
        for (name, label, word, value) in others {
            if *name != last {
                head(&mut text, name, "counter");
                last = name;
            }
            put(&mut text, format_args!("{name}{{{label}=\"{word}\"}} {value}"));
        }
        for (name, value) in gauges {
            head(&mut text, name, "gauge");
            put(&mut text, format_args!("{name} {value}"));
        }
        head(&mut text, "farebox_build_info", "gauge");
        let (version, commit) = (env!("CARGO_PKG_VERSION"), crate::COMMIT);
        let labels = format!("version=\"{version}\",commit=\"{commit}\"");
        put(&mut text, format_args!("farebox_build_info{{{labels}}} 1"));
        text
    }

    fn render_requests(&self, text: &mut String) {
        let name = "farebox_http_requests_total";
        head(text, name, "counter");
        for ((surface, route, status), count) in self.requests.read().iter() {
            let labels = format!("{},status=\"{status}\"", labels(*surface, route));
            put(text, format_args!("{name}{{{labels}}} {}", count.load(RELAXED)));
        }
    }

    fn render_durations(&self, text: &mut String) {
        let name = "farebox_http_request_duration_seconds";
        head(text, name, "histogram");
        for ((surface, route), timed) in self.durations.read().iter() {
            let labels = labels(*surface, route);
            let count = timed.count.load(RELAXED);
            for ((_, bound), bucket) in BUCKETS.iter().zip(&timed.buckets) {
                let within = bucket.load(RELAXED);
                put(text, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {within}"));
            }
            put(text, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
            let sum_us = timed.sum_us.load(RELAXED);
            let (seconds, rest) = (sum_us / 1_000_000, sum_us % 1_000_000);
            put(text, format_args!("{name}_sum{{{labels}}} {seconds}.{rest:06}"));
            put(text, format_args!("{name}_count{{{labels}}} {count}"));
        }
    }
}

const RELAXED: Ordering = Ordering::Relaxed;

impl Histogram {
    fn observe(&self, took_us: u64) {
        for ((bound, _), bucket) in BUCKETS.iter().zip(&self.buckets) {
            if took_us <= *bound {
                bucket.fetch_add(1, RELAXED);
            }
        }
        self.count.fetch_add(1, RELAXED);
        self.sum_us.fetch_add(took_us, RELAXED);
    }
}

fn labels(surface: Surface, route: &str) -> String {
    format!("surface=\"{}\",route=\"{route}\"", surface.name())
}

pub(crate) fn head(text: &mut String, name: &str, kind: &str) {
    put(text, format_args!("# TYPE {name} {kind}"));
}

pub(crate) fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_a_line_of_prometheus_text() {
        let metrics = Metrics::default();
        let started = metrics.started();
        metrics.request(&started, (Surface::Paywall, "POST /v1/user/charge"), StatusCode::OK);
        metrics.refusal("not_found");
        let text = metrics.render(&[], &[("farebox_holds_open", "0".to_owned())]);
        let requests = "farebox_http_requests_total{surface=\"paywall\",\
            route=\"POST /v1/user/charge\",status=\"200\"} 1";
        assert!(text.lines().any(|line| line == requests), "{text}");
        assert!(
            text.contains(
                "_bucket{surface=\"paywall\",route=\"POST /v1/user/charge\",le=\"+Inf\"} 1"
            )
        );
        assert!(text.contains("farebox_refusals_total{reason=\"not_found\"} 1\n"));
        assert!(text.contains("# TYPE farebox_holds_open gauge\nfarebox_holds_open 0\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
