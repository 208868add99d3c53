//! What the tests of every resource need: Terraform core, and faults at every call.

pub(crate) mod core;
pub(crate) mod faults;

use std::time::Duration;

/// Lets everything that only takes time come to its end.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(900)).await;
}
