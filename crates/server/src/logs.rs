//! Logs on stderr: text for people, or one JSON object a line. Never a key, a token or a body.

use std::fmt;

use domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{ConfigError, LogFormat};

/// Starts logging. A second call, as in tests, changes nothing.
pub fn start(filter: &str, format: LogFormat, colour: bool) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter).map_err(|_| ConfigError::Value {
        key: "log".to_owned(),
        text: filter.to_owned(),
        right: "a level such as info, or target=level pairs".to_owned(),
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that someone else logs already.
    drop(match format {
        LogFormat::Text => lines.with_ansi(colour).try_init(),
        LogFormat::Json => lines.event_format(JsonLine).try_init(),
    });
    Ok(())
}

/// Writes `Line`s.
struct JsonLine;

/// In this order; the event's own fields come last.
#[derive(Serialize)]
struct Line<'a> {
    ts: Timestamp,
    level: String,
    target: &'a str,
    msg: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            ts: engine::clock::real_now(),
            level: event.metadata().level().as_str().to_lowercase(),
            target: event.metadata().target(),
            msg: fields.message,
            others: fields.others,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).unwrap_or_default())
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_has_the_documented_fields() {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = tracing_subscriber::fmt()
            .event_format(JsonLine)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(lines, || {
            tracing::info!(request_id = %"req_1", status = 200_u64, "request");
        });
        let line: Value = serde_json::from_slice(&sink.0.lock().unwrap()).unwrap();
        assert_eq!(line["msg"], "request");
        assert_eq!(line["level"], "info");
        assert_eq!(line["request_id"], "req_1");
        assert_eq!(line["status"], 200);
        assert!(line["ts"].as_str().unwrap().ends_with('Z') && line["target"].is_string());
    }
}
