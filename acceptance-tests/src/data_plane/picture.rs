//! What the local AWS says is to be served: the answer of `exchange` in `local_aws/data_plane.py`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Everything at one moment.
#[derive(Debug, Deserialize)]
pub(super) struct Picture {
    pub(super) listeners: Vec<Listener>,
    /// By ARN.
    pub(super) groups: BTreeMap<String, Group>,
    /// The names that each certificate covers, by ARN.
    pub(super) certificates: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) balancer: String,
    pub(super) port: u16,
    /// The default one first; none on a listener in cleartext.
    pub(super) certificates: Vec<String>,
    /// The address blocks that the security groups let in.
    pub(super) sources: Vec<String>,
    pub(super) idle_timeout: u32,
    pub(super) action: Action,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// Target groups with their weights.
    Forward(BTreeMap<String, u32>),
    Redirect(Redirect),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Redirect {
    pub(super) protocol: String,
    pub(super) host: String,
    pub(super) port: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) status_code: String,
}

impl Default for Redirect {
    /// AWS's defaults: everything stays as it was asked for.
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status_code: "HTTP_301".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) deregistration_delay: u32,
    pub(super) least_outstanding: bool,
    /// `lb_cookie` or `app_cookie`.
    pub(super) stickiness: Option<String>,
    pub(super) app_cookie: String,
    pub(super) lb_cookie_seconds: u32,
    pub(super) check: Check,
    pub(super) targets: Vec<Target>,
}

/// How the targets of a group are checked. Times are in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Check {
    pub(super) protocol: String,
    /// `None`: the target's own.
    pub(super) port: Option<u16>,
    pub(super) path: String,
    /// Statuses and ranges of them, separated by commas.
    pub(super) matcher: String,
    pub(super) interval: u32,
    pub(super) timeout: u32,
    pub(super) healthy: u32,
    pub(super) unhealthy: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    /// Tells this registration from every other, also of the same instance.
    pub(super) registration: u64,
    pub(super) instance: String,
    pub(super) port: u16,
    pub(super) state: Use,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Use {
    /// Gets requests and health checks.
    Used,
    /// No listener refers to its group, or no load balancer serves its zone.
    Unused,
    /// Deregistered: it gets nothing new.
    Draining,
}

impl Picture {
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Group, &Target)> {
        self.groups.values().flat_map(|group| group.targets.iter().map(move |target| (group, target)))
    }
}
