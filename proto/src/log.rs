//! Logs: one JSON object per line on standard error, in the form of HashiCorp's hclog, which core reads and shows
//! at its own level. Secrets never get that far.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The shortest text worth hiding: a shorter one would blot out words by chance.
const SHORTEST_SECRET: usize = 8;

/// What must not be read in any line, longest first.
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Sends this process's events to standard error, as far as `TF_LOG_PROVIDER_<NAME>`, `TF_LOG_PROVIDER` or `TF_LOG`
/// ask for them; the first one that is set decides. `plugin_name` is the name of the executable,
/// `terraform-provider-<name>`, which must be the name of its crate as well.
///
/// Crates of others are heard up to `INFO` only: below that the AWS SDK writes whole requests, signatures included.
/// Does nothing when the process has a subscriber already.
pub fn init(plugin_name: &str) {
    let level = level(plugin_name, |name| std::env::var(name).ok());
    let _ = tracing_subscriber::registry().with(filter(plugin_name, level)).with(Hclog { write: to_stderr }).try_init();
}

/// Hides a text of at least 8 characters in every log line and every message to the user from now on.
pub fn add_secret(value: &str) {
    if value.chars().count() < SHORTEST_SECRET {
        return;
    }
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    // The second is how a secret with quotes or line breaks looks inside a value that is logged with `{:?}`.
    for form in [value.to_owned(), value.escape_debug().to_string()] {
        if !secrets.contains(&form) {
            secrets.push(form);
        }
    }
    // A secret that contains another must be replaced as a whole.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
}

/// The text with every secret replaced.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = Cow::Borrowed(text);
    for secret in SECRETS.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if redacted.contains(secret) {
            redacted = Cow::Owned(redacted.replace(secret, "***"));
        }
    }
    redacted
}

/// Writes a text to standard error in one piece. If that fails there is nobody left to tell.
pub(crate) fn to_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// How much the environment asks for. As in core, `JSON` is `TRACE`, and so is anything unheard of.
fn level(plugin_name: &str, variable: impl Fn(&str) -> Option<String>) -> LevelFilter {
    let name = plugin_name.strip_prefix("terraform-provider-").unwrap_or(plugin_name);
    let own = format!("TF_LOG_PROVIDER_{}", name.replace('-', "_").to_uppercase());
    let asked = [own.as_str(), "TF_LOG_PROVIDER", "TF_LOG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    match asked.map(|value| value.to_uppercase()).as_deref() {
        None | Some("OFF") => LevelFilter::OFF,
        Some("ERROR") => LevelFilter::ERROR,
        Some("WARN") => LevelFilter::WARN,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some(_) => LevelFilter::TRACE,
    }
}

fn filter(plugin_name: &str, level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("tfplugin", level)
        .with_target(plugin_name.replace('-', "_"), level)
}

/// Turns every event, with the fields of the spans around it, into one line.
struct Hclog<W> {
    write: W,
}

impl<S, W> Layer<S> for Hclog<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        (self.write)(&line(event.metadata(), SystemTime::now(), fields));
    }
}

/// What an event or span says, by name.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// One line of hclog. Every value is a string: core crashes when one of the first three keys is anything else.
fn line(metadata: &Metadata<'_>, time: SystemTime, Fields(mut fields): Fields) -> String {
    let message = fields.remove("message").unwrap_or_default();
    let mut entry: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), redact(&value).into())).collect();
    entry.insert("@level".to_owned(), level_name(*metadata.level()).into());
    entry.insert("@message".to_owned(), redact(&message).into());
    entry.insert("@timestamp".to_owned(), timestamp(time).into());
    entry.insert("@module".to_owned(), metadata.target().replace("::", ".").into());
    format!("{}\n", Value::Object(entry))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The only form of a time that core takes: UTC, with exactly six digits of a second.
fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    format!("{}T{:02}:{:02}:{:02}.{:06}Z", time.date(), time.hour(), time.minute(), time.second(), time.microsecond())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The lines written while `work` runs.
    fn lines_of(work: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let write = move |line: &str| sink.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Hclog { write }), work);
        std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The line as JSON, its time taken out.
    fn parsed(line: &str) -> Value {
        let mut entry: Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("@timestamp");
        }
        entry
    }

    #[test]
    fn an_event_is_one_line_with_the_fields_of_the_spans_around_it() {
        let lines = lines_of(|| {
            let _rpc = tracing::info_span!("rpc", tf_rpc = "PlanResourceChange", tf_resource_type = "t").entered();
            tracing::warn!(target: "tfplugin::server", attempt = 2, "slow, \"very\"\nslow");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with("}\n") && lines[0].matches('\n').count() == 1, "{}", lines[0]);
        let expected = serde_json::json!({
            "@level": "warn",
            "@message": "slow, \"very\"\nslow",
            "@module": "tfplugin.server",
            "attempt": "2",
            "tf_rpc": "PlanResourceChange",
            "tf_resource_type": "t",
        });
        assert_eq!(parsed(&lines[0]), expected);
    }

    #[test]
    fn no_field_can_change_what_the_keys_of_hclog_say() {
        let lines = lines_of(|| {
            let _odd = tracing::info_span!("odd", "@level" = 5, "@timestamp" = "never").entered();
            tracing::error!("x");
        });
        assert_eq!(parsed(&lines[0])["@level"], "error");
        assert!(!lines[0].contains("never"), "{}", lines[0]);
    }

    #[test]
    fn a_value_recorded_later_is_in_the_line() {
        let lines = lines_of(|| {
            let span = tracing::info_span!("rpc", outcome = tracing::field::Empty).entered();
            span.record("outcome", "done");
            tracing::info!("x");
        });
        assert_eq!(parsed(&lines[0])["outcome"], "done");
    }

    #[test]
    fn a_time_has_six_digits_of_a_second() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_868_799, 999_999_999, "2000-02-29T23:59:59.999999Z"),
            (1_700_000_000, 123_456, "2023-11-14T22:13:20.000123Z"),
            (1_735_689_599, 500_000_000, "2024-12-31T23:59:59.500000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::new(seconds, nanos)), expected);
        }
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_is_written() {
        add_secret("hunter2hunter2");
        add_secret("hunter2hunter2-and-more");
        add_secret("line one\nline \"two\"");
        let lines = lines_of(|| {
            let _rpc = tracing::info_span!("rpc", token = "hunter2hunter2").entered();
            let texts = ["a hunter2hunter2-and-more b", "line one\nline \"two\""];
            tracing::info!(?texts, plain = texts[1], "said hunter2hunter2!");
        });
        let entry = parsed(&lines[0]);
        assert_eq!(entry["token"], "***");
        assert_eq!(entry["texts"], r#"["a *** b", "***"]"#);
        assert_eq!(entry["plain"], "***");
        assert_eq!(entry["@message"], "said ***!");
    }

    #[test]
    fn a_short_text_is_no_secret() {
        add_secret("default");
        assert_eq!(redact("the default value"), "the default value");
    }

    #[test]
    fn the_variable_nearest_to_the_provider_decides_the_level() {
        type Case<'a> = (&'a [(&'a str, &'a str)], LevelFilter);
        let cases: [Case<'_>; 9] = [
            (&[], LevelFilter::OFF),
            (&[("TF_LOG", "")], LevelFilter::OFF),
            (&[("TF_LOG", "off")], LevelFilter::OFF),
            (&[("TF_LOG", "debug")], LevelFilter::DEBUG),
            (&[("TF_LOG", "JSON")], LevelFilter::TRACE),
            (&[("TF_LOG", "1")], LevelFilter::TRACE),
            (&[("TF_LOG", "TRACE"), ("TF_LOG_PROVIDER", "WARN")], LevelFilter::WARN),
            (&[("TF_LOG_PROVIDER", "WARN"), ("TF_LOG_PROVIDER_CODE_STREAM", "INFO")], LevelFilter::INFO),
            (&[("TF_LOG_PROVIDER", "ERROR"), ("TF_LOG_PROVIDER_CODE_STREAM", "")], LevelFilter::ERROR),
        ];
        for (environment, expected) in cases {
            let variable =
                |name: &str| environment.iter().find(|entry| entry.0 == name).map(|entry| entry.1.to_owned());
            assert_eq!(level("terraform-provider-code-stream", variable), expected, "{environment:?}");
        }
    }

    #[test]
    fn crates_of_others_are_heard_up_to_info_and_never_above_what_is_asked() {
        let loud = filter("terraform-provider-codestream", LevelFilter::TRACE);
        for own in ["tfplugin::server", "terraform_provider_codestream::alb"] {
            assert!(loud.would_enable(own, &Level::TRACE), "{own}");
        }
        assert!(loud.would_enable("aws_config::profile", &Level::INFO));
        assert!(!loud.would_enable("aws_smithy_runtime::client", &Level::DEBUG));
        let quiet = filter("terraform-provider-codestream", LevelFilter::ERROR);
        assert!(!quiet.would_enable("hyper", &Level::WARN));
        assert!(!quiet.would_enable("tfplugin", &Level::WARN));
    }
}
