//! What the tests of every resource need: Terraform core, faults at every call, and changes by others.

pub(crate) mod core;
pub(crate) mod drift;
pub(crate) mod faults;

use std::time::Duration;

use tfplugin::diagnostics::{Diagnostics, Severity};

/// Lets everything that only takes time come to its end.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(900)).await;
}

/// Severity, path and summary of each diagnostic.
pub(crate) fn said(found: &Diagnostics) -> Vec<String> {
    let word = |severity| if severity == Severity::Error { "error" } else { "warning" };
    let each = found.iter().map(|it| format!("{} {}: {}", word(it.severity), it.path, it.summary));
    each.collect()
}

/// What the diagnostics say in detail.
pub(crate) fn details(found: &Diagnostics) -> String {
    found.iter().map(|diagnostic| diagnostic.detail.as_str()).collect::<Vec<_>>().join("\n")
}
