//! What is to be served, as a configuration of HAProxy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::picture::{Action, Group, Listener, Picture, Redirect, Target, Use};
use crate::client::Site;

const DEFAULTS: &str = "\
defaults
  mode http
  option forwardfor
  http-reuse never
  retries 0
  timeout connect 10s
  timeout http-request 60s
";

/// What the local AWS does not know.
#[derive(Default)]
pub(super) struct Surroundings {
    /// Where each port of each load balancer is.
    pub(super) sites: BTreeMap<(String, u16), Site>,
    /// The files of the certificates, by ARN.
    pub(super) certificates: BTreeMap<String, PathBuf>,
    /// The ways to the targets, by registration.
    pub(super) relays: BTreeMap<u64, SocketAddr>,
    pub(super) healthy: BTreeSet<u64>,
}

/// All but the global section.
pub(super) fn render(picture: &Picture, surroundings: &Surroundings) -> String {
    let mut lines = Vec::new();
    for listener in &picture.listeners {
        if let Some(site) = surroundings.sites.get(&(listener.balancer.clone(), listener.port)) {
            frontend(&mut lines, picture, listener, *site, &surroundings.certificates);
        }
    }
    for (arn, group) in &picture.groups {
        let forwards = |listener: &&Listener| matches!(&listener.action, Action::Forward(to) if to.contains_key(arn));
        if let Some(listener) = picture.listeners.iter().find(forwards) {
            backend(&mut lines, group, listener.idle_timeout, surroundings);
        }
    }
    lines.push(String::new());
    format!("{DEFAULTS}{}", lines.join("\n"))
}

fn frontend(
    lines: &mut Vec<String>,
    picture: &Picture,
    listener: &Listener,
    site: Site,
    certificates: &BTreeMap<String, PathBuf>,
) {
    let files = listener.certificates.iter().filter_map(|arn| certificates.get(arn));
    let files: String = files.map(|file| format!(" crt {}", file.display())).collect();
    let (scheme, tls) = if site.tls { ("https", " ssl") } else { ("http", "") };
    lines.extend([
        format!("frontend {}-{}", listener.balancer, listener.port),
        format!("  bind {}{tls}{files}", site.address),
        format!("  timeout client {}s", listener.idle_timeout),
        admission(&listener.sources),
        format!("  http-request set-header X-Forwarded-Proto {scheme}"),
        format!("  http-request set-header X-Forwarded-Port {}", listener.port),
    ]);
    match &listener.action {
        Action::Redirect(redirect) => lines.push(redirection(redirect, scheme, listener.port)),
        Action::Forward(weights) => forwarding(lines, picture, weights),
    }
}

/// Security groups know whom they let in, and refuse everybody else.
fn admission(sources: &[String]) -> String {
    let everybody = "  tcp-request connection reject";
    if sources.is_empty() {
        everybody.to_owned()
    } else {
        format!("{everybody} unless {{ src {} }}", sources.join(" "))
    }
}

fn redirection(redirect: &Redirect, scheme: &str, port: u16) -> String {
    let protocol = redirect.protocol.replace("#{protocol}", scheme).to_lowercase();
    let host = redirect.host.replace("#{host}", "%[req.hdr(host),field(1,:)]");
    let port = redirect.port.replace("#{port}", &port.to_string());
    let path = match (redirect.path.as_str(), redirect.query.as_str()) {
        ("/#{path}", "#{query}") => "%[pathq]".to_owned(),
        (path, query) => format!("{path}?{query}"),
    };
    let code = redirect.status_code.trim_start_matches("HTTP_");
    format!("  http-request redirect code {code} location {protocol}://{host}:{port}{path}")
}

/// Draws one of the groups, each as often as its weight says.
fn forwarding(lines: &mut Vec<String>, picture: &Picture, weights: &BTreeMap<String, u32>) {
    let total: u32 = weights.values().sum();
    if total > 0 {
        lines.push(format!("  http-request set-var(txn.drawn) rand({total})"));
    }
    let mut below = 0;
    for (arn, weight) in weights {
        below += weight;
        if let Some(group) = picture.groups.get(arn).filter(|_| *weight > 0) {
            lines.push(format!("  use_backend {} if {{ var(txn.drawn) -m int lt {below} }}", group.name));
        }
    }
}

fn backend(lines: &mut Vec<String>, group: &Group, idle_timeout: u32, surroundings: &Surroundings) {
    lines.extend([
        format!("backend {}", group.name),
        format!("  balance {}", if group.least_outstanding { "leastconn" } else { "roundrobin" }),
        format!("  timeout server {idle_timeout}s"),
        format!("  timeout tunnel {idle_timeout}s"),
    ]);
    match group.stickiness.as_deref() {
        Some("lb_cookie") => {
            lines.push(format!("  cookie AWSALB insert indirect nocache maxlife {}s", group.lb_cookie_seconds));
        }
        Some("app_cookie") => lines.push(format!("  cookie {} prefix nocache", group.app_cookie)),
        _ => {}
    }
    let tls = if group.protocol == "HTTPS" { " ssl verify none" } else { "" };
    for target in receiving(group, &surroundings.healthy) {
        if let Some(relay) = surroundings.relays.get(&target.registration) {
            let name = format!("r{}", target.registration);
            lines.push(format!("  server {name} {relay} cookie {name}{tls}"));
        }
    }
}

/// The healthy targets; if none is, all: a load balancer fails open.
fn receiving<'a>(group: &'a Group, healthy: &BTreeSet<u64>) -> Vec<&'a Target> {
    let used = || group.targets.iter().filter(|target| target.state == Use::Used);
    let fit: Vec<&Target> = used().filter(|target| healthy.contains(&target.registration)).collect();
    if fit.is_empty() { used().collect() } else { fit }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(name: &str, targets: Value) -> Value {
        json!({
            "name": name, "protocol": "HTTP", "deregistration_delay": 30, "least_outstanding": false,
            "stickiness": "app_cookie", "app_cookie": "session", "lb_cookie_seconds": 60, "targets": targets,
            "check": {
                "protocol": "HTTP", "port": null, "path": "/", "matcher": "200", "interval": 15, "timeout": 5,
                "healthy": 5, "unhealthy": 2,
            },
        })
    }

    fn rendered(sources: Value, action: Value, healthy: &[u64]) -> String {
        let target =
            |registration, state| json!({ "registration": registration, "instance": "i", "port": 80, "state": state });
        let targets = json!([target(1, "used"), target(2, "used"), target(3, "draining"), target(4, "unused")]);
        let listener = json!({
            "balancer": "lb", "port": 80, "certificates": [], "sources": sources, "idle_timeout": 60, "action": action,
        });
        let groups = json!({ "old": group("old", targets), "new": group("new", json!([])) });
        let picture = json!({ "listeners": [listener], "groups": groups, "certificates": {} });
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let surroundings = Surroundings {
            sites: BTreeMap::from([(("lb".to_owned(), 80), Site { address: address(8000), tls: false })]),
            relays: (1..=4).map(|one| (one, address(9000 + u16::try_from(one).unwrap()))).collect(),
            healthy: healthy.iter().copied().collect(),
            ..Surroundings::default()
        };
        render(&serde_json::from_value(picture).unwrap(), &surroundings)
    }

    fn servers(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.trim().strip_prefix("server ")).collect()
    }

    #[test]
    fn only_healthy_targets_get_requests_unless_none_is() {
        let forward = json!({ "forward": { "old": 1 } });
        let some = rendered(json!([]), forward.clone(), &[2, 3, 4]);
        assert_eq!(servers(&some), ["r2 127.0.0.1:9002 cookie r2"]);
        let none = rendered(json!([]), forward, &[]);
        assert_eq!(servers(&none), ["r1 127.0.0.1:9001 cookie r1", "r2 127.0.0.1:9002 cookie r2"]);
    }

    #[test]
    fn a_group_is_drawn_by_its_weight_and_never_with_0() {
        let text = rendered(json!([]), json!({ "forward": { "new": 0, "old": 4 } }), &[]);
        assert!(text.contains("rand(4)\n  use_backend old if { var(txn.drawn) -m int lt 4 }\n"), "{text}");
        assert!(!text.contains("use_backend new"), "{text}");
    }

    #[test]
    fn whom_no_rule_lets_in_is_refused() {
        let forward = json!({ "forward": { "old": 1 } });
        let some = rendered(json!(["127.0.0.0/30", "::/0"]), forward.clone(), &[]);
        assert!(some.contains("reject unless { src 127.0.0.0/30 ::/0 }\n"), "{some}");
        assert!(rendered(json!([]), forward, &[]).contains("reject\n"));
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name() {
        let text = rendered(json!([]), json!({ "redirect": { "Protocol": "HTTPS", "Port": "443" } }), &[]);
        let location = "redirect code 301 location https://%[req.hdr(host),field(1,:)]:443%[pathq]\n";
        assert!(text.contains(location), "{text}");
    }
}
