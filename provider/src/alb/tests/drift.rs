//! Drift: what others change of the stack shows in the plan, and one apply repairs it.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::changes::{has, other_port, service};
use super::core::Core;
use super::fault_loop::Tested;
use super::{STACK, built, change, changes_of_service, configuration, difference, full, http, outage, picture, settle};
use crate::aws::fake::{Listener, LoadBalancer, SecurityGroup, State, Target, TargetGroup, Verdict, cert_arn};
use crate::aws::{ActionInfo, Aws, Direction, Peer, RecordInfo, RuleSettings, Tags};
use crate::resource::testing::drift::{Mutation, each_shows_and_is_repaired, mutation};
use crate::settings::Preflight;

fn ours(tags: &Tags) -> bool {
    tags.get("codestream:stack").is_some_and(|stack| stack == STACK)
}

fn has_role(tags: &Tags, role: &str) -> bool {
    ours(tags) && tags.get("codestream:role").is_some_and(|found| found == role)
}

fn balancer(state: &mut State) -> &mut LoadBalancer {
    state.load_balancers.values_mut().find(|found| ours(&found.tags)).unwrap()
}

fn set(state: &mut State, key: &str, value: &str) {
    balancer(state).attributes.insert(key.to_owned(), value.to_owned());
}

fn subnets(state: &mut State, ids: &[&str]) {
    balancer(state).info.subnet_ids = ids.iter().map(|id| (*id).to_owned()).collect();
}

/// The listener on a port.
fn listener(state: &mut State, port: u16) -> &mut Listener {
    state.listeners.values_mut().find(|found| ours(&found.tags) && found.settings.port == port).unwrap()
}

/// The listeners of both endpoints.
fn both(state: &mut State, change: fn(&mut Listener)) {
    change(listener(state, 443));
    change(listener(state, 12443));
}

fn delete_listener(state: &mut State, port: u16) {
    state.listeners.retain(|_, found| !ours(&found.tags) || found.settings.port != port);
}

/// Deletes the listener on a port, and makes another there as somebody does who does not know the stack.
fn remake_listener(state: &mut State, port: u16, change: fn(&mut Listener)) {
    let mut made = Listener { tags: Tags::new(), ..listener(state, port).clone() };
    delete_listener(state, port);
    change(&mut made);
    let arn = format!("{}/by-hand", made.load_balancer_arn.replace(":loadbalancer/", ":listener/"));
    state.listeners.insert(arn, made);
}

fn group<'a>(state: &'a mut State, role: &str) -> &'a mut TargetGroup {
    state.target_groups.values_mut().find(|found| has_role(&found.tags, role)).unwrap()
}

fn arn_of(state: &mut State, role: &str) -> String {
    group(state, role).info.arn.clone()
}

fn set_of_group(state: &mut State, role: &str, key: &str, value: &str) {
    group(state, role).attributes.insert(key.to_owned(), value.to_owned());
}

fn register(group: &mut TargetGroup, id: &str) {
    group.targets.insert((id.to_owned(), group.info.port), Target::default());
}

fn security_group(state: &mut State) -> &mut SecurityGroup {
    state.security_groups.values_mut().find(|found| ours(&found.tags)).unwrap()
}

fn admit(state: &mut State, direction: Direction, protocol: &str, port: i64, block: &str) {
    let rule = RuleSettings {
        direction,
        protocol: protocol.to_owned(),
        from_port: port,
        to_port: port,
        peer: Peer::Cidr(block.to_owned()),
        description: "By hand".to_owned(),
    };
    security_group(state).rules.insert("sgr-by-hand".to_owned(), (rule, Tags::new()));
}

/// Takes one rule of a direction away.
fn revoke(state: &mut State, direction: Direction) {
    let rules = &mut security_group(state).rules;
    let id = rules.iter().find(|(_, (rule, _))| rule.direction == direction).map(|(id, _)| id.clone()).unwrap();
    rules.remove(&id);
}

fn plain(listener: &mut Listener) {
    listener.settings.protocol = "HTTP".to_owned();
    listener.settings.certificate_arn = None;
    listener.settings.ssl_policy = None;
    listener.additional_certificates.clear();
}

/// Has a forward send each client to the same group each time, which no stack asks for.
fn keep_clients(listener: &mut Listener) {
    if let ActionInfo::Forward(groups) = &listener.settings.action {
        listener.settings.action = ActionInfo::Other("forward".to_owned(), groups.clone());
    }
}

fn keep_all_clients(state: &mut State) {
    state.listeners.values_mut().filter(|found| ours(&found.tags)).for_each(keep_clients);
}

fn of_load_balancer() -> Vec<Mutation> {
    vec![
        mutation("a shorter idle timeout", "idle_timeout", |state| set(state, "idle_timeout.timeout_seconds", "60")),
        mutation("a shorter keep-alive", "client_keep_alive", |state| set(state, "client_keep_alive.seconds", "60")),
        mutation("no HTTP/2", "enable_http2", |state| set(state, "routing.http2.enabled", "false")),
        mutation("invalid headers let through", "drop_invalid_header_fields", |state| {
            set(state, "routing.http.drop_invalid_header_fields.enabled", "false");
        }),
        mutation("another desync mode", "desync_mitigation_mode", |state| {
            set(state, "routing.http.desync_mitigation_mode", "monitor");
        }),
        mutation("another forwarding header", "xff_header_processing_mode", |state| {
            set(state, "routing.http.xff_header_processing.mode", "remove");
        }),
        mutation("the host header kept", "preserve_host_header", |state| {
            set(state, "routing.http.preserve_host_header.enabled", "true");
        }),
        mutation("the firewall open", "enable_waf_fail_open", |state| set(state, "waf.fail_open.enabled", "true")),
        mutation("protected", "enable_deletion_protection", |state| set(state, "deletion_protection.enabled", "true")),
        mutation("no access logs", "access_logs", |state| set(state, "access_logs.s3.enabled", "false")),
        mutation("logs elsewhere", "access_logs.bucket", |state| set(state, "access_logs.s3.bucket", "other-logs")),
        mutation("logs deeper", "access_logs.prefix", |state| set(state, "access_logs.s3.prefix", "")),
        mutation("connection logs", "connection_logs", |state| {
            set(state, "connection_logs.s3.bucket", "other-logs");
            set(state, "connection_logs.s3.enabled", "true");
        }),
        mutation("health check logs", "load_balancer_attributes", |state| {
            set(state, "health_check_logs.s3.bucket", "other-logs");
            set(state, "health_check_logs.s3.enabled", "true");
        }),
        mutation("zonal shift", "load_balancer_attributes", |state| set(state, "zonal_shift.config.enabled", "true")),
        mutation("the client's port passed on", "load_balancer_attributes", |state| {
            set(state, "routing.http.xff_client_port.enabled", "true");
        }),
        mutation("the client's TLS version passed on", "load_balancer_attributes", |state| {
            set(state, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "true");
        }),
        mutation("IPv6", "ip_address_type", |state| balancer(state).info.ip_address_type = "dualstack".to_owned()),
        mutation("a third zone", "subnet_ids", |state| subnets(state, &["subnet-a", "subnet-b", "subnet-c"])),
        mutation("another zone", "subnet_ids", |state| subnets(state, &["subnet-a", "subnet-c"])),
        mutation("a second security group", "topology.security_group_rules", |state| {
            balancer(state).info.security_groups.insert("sg-hosts".to_owned());
        }),
        mutation("another security group", "topology.security_group_rules", |state| {
            balancer(state).info.security_groups = BTreeSet::from(["sg-hosts".to_owned()]);
        }),
        mutation("another tag value", "tags.team", |state| {
            balancer(state).tags.insert("team".to_owned(), "two".to_owned());
        }),
        mutation("a tag more", "tags_all.by", |state| {
            balancer(state).tags.insert("by".to_owned(), "hand".to_owned());
        }),
        mutation("a tag less", "tags.team", |state| {
            balancer(state).tags.remove("team");
        }),
        mutation("no mark of the owner", "tags_all", |state| {
            balancer(state).tags.remove("codestream:resource-id");
        }),
    ]
}

fn of_listeners() -> Vec<Mutation> {
    vec![
        mutation("no listener for the API", "topology.listeners", |state| delete_listener(state, 443)),
        mutation("no listener for the Broadcaster", "topology.listeners", |state| delete_listener(state, 12443)),
        mutation("no redirect", "redirect_http", |state| delete_listener(state, 80)),
        mutation("a listener made anew by hand", "topology.listeners", |state| remake_listener(state, 443, |_| {})),
        mutation("a listener made anew by hand, in cleartext", "topology.listeners", |state| {
            remake_listener(state, 12443, plain);
        }),
        mutation("the redirect made anew by hand, as an answer", "redirect_http", |state| {
            remake_listener(state, 80, |made| {
                made.settings.action = ActionInfo::Other("fixed-response".to_owned(), Vec::new());
            });
        }),
        mutation("another certificate on one", "topology.listeners", |state| {
            listener(state, 443).settings.certificate_arn = Some(cert_arn(3));
        }),
        mutation("another certificate on both", "certificate_arn", |state| {
            both(state, |listener| listener.settings.certificate_arn = Some(cert_arn(3)));
        }),
        mutation("one certificate less on one", "topology.listeners", |state| {
            listener(state, 12443).additional_certificates.clear();
        }),
        mutation("one certificate less on both", "additional_certificate_arns", |state| {
            both(state, |listener| listener.additional_certificates.clear());
        }),
        mutation("one certificate more on one", "additional_certificate_arns", |state| {
            listener(state, 443).additional_certificates.insert(cert_arn(3));
        }),
        mutation("another policy on one", "topology.listeners", |state| {
            listener(state, 12443).settings.ssl_policy = Some("ELBSecurityPolicy-2016-08".to_owned());
        }),
        mutation("another policy on both", "ssl_policy", |state| {
            both(state, |listener| {
                listener.settings.ssl_policy = Some("ELBSecurityPolicy-2016-08".to_owned());
            });
        }),
        mutation("the API leads to the Broadcaster", "topology.listeners", |state| {
            let other = arn_of(state, "broadcaster");
            listener(state, 443).settings.action = ActionInfo::Forward(vec![(other, 1)]);
        }),
        mutation("the API leads to both", "topology.listeners", |state| {
            let groups = ["api", "broadcaster"].map(|role| (arn_of(state, role), 1));
            listener(state, 443).settings.action = ActionInfo::Forward(groups.into());
        }),
        mutation("the API leads nowhere", "topology.listeners", |state| {
            let api = arn_of(state, "api");
            listener(state, 443).settings.action = ActionInfo::Forward(vec![(api, 0)]);
        }),
        mutation("the API redirects", "topology.listeners", |state| {
            let (protocol, port, status) = ("HTTPS".to_owned(), "12443".to_owned(), "HTTP_301".to_owned());
            listener(state, 443).settings.action = ActionInfo::Redirect { protocol, port, status };
        }),
        mutation("the API answers by itself", "topology.listeners", |state| {
            listener(state, 443).settings.action = ActionInfo::Other("fixed-response".to_owned(), Vec::new());
        }),
        mutation("the API keeps its clients", "topology.listeners", |state| keep_clients(listener(state, 443))),
        mutation("a redirect elsewhere", "topology.listeners", |state| {
            let (protocol, port, status) = ("HTTPS".to_owned(), "8443".to_owned(), "HTTP_301".to_owned());
            listener(state, 80).settings.action = ActionInfo::Redirect { protocol, port, status };
        }),
        mutation("a redirect for a while", "topology.listeners", |state| {
            let (protocol, port, status) = ("HTTPS".to_owned(), "443".to_owned(), "HTTP_302".to_owned());
            listener(state, 80).settings.action = ActionInfo::Redirect { protocol, port, status };
        }),
        mutation("the redirect forwards", "redirect_http", |state| {
            let api = arn_of(state, "api");
            listener(state, 80).settings.action = ActionInfo::Forward(vec![(api, 1)]);
        }),
        mutation("one in cleartext", "topology.listeners", |state| plain(listener(state, 443))),
        mutation("both in cleartext", "protocol", |state| both(state, plain)),
        mutation("clients asked for certificates", "topology.listeners", |state| {
            listener(state, 443).settings.mutual_authentication = Some("passthrough".to_owned());
        }),
        mutation("another port", "api.listener_port", |state| listener(state, 443).settings.port = 444),
        mutation("a listener's tag", "tags", |state| {
            listener(state, 80).tags.insert("team".to_owned(), "two".to_owned());
        }),
    ]
}

fn of_target_groups() -> Vec<Mutation> {
    vec![
        mutation("another path", "api.health_check.path", |state| {
            group(state, "api").info.health_check.path = "/".to_owned();
        }),
        mutation("another interval", "broadcaster.health_check.interval", |state| {
            group(state, "broadcaster").info.health_check.interval = 30;
        }),
        mutation("another matcher", "api.health_check.matcher", |state| {
            group(state, "api").info.health_check.matcher = "200-499".to_owned();
        }),
        mutation("another threshold", "api.health_check.unhealthy_threshold", |state| {
            group(state, "api").info.health_check.unhealthy_threshold = 9;
        }),
        mutation("probes on another port", "", |state| {
            group(state, "api").info.health_check.port = "9999".to_owned();
        }),
        mutation("probes in cleartext", "", |state| {
            group(state, "api").info.health_check.protocol = "HTTP".to_owned();
        }),
        mutation("a longer drain", "broadcaster.deregistration_delay", |state| {
            let key = "deregistration_delay.timeout_seconds".to_owned();
            group(state, "broadcaster").attributes.insert(key, "300".to_owned());
        }),
        mutation("another algorithm", "topology.target_groups", |state| {
            set_of_group(state, "api", "load_balancing.algorithm.type", "least_outstanding_requests");
        }),
        mutation("a slow start", "topology.target_groups", |state| {
            set_of_group(state, "broadcaster", "slow_start.duration_seconds", "30");
        }),
        mutation("zones of its own", "topology.target_groups", |state| {
            set_of_group(state, "api", "load_balancing.cross_zone.enabled", "false");
        }),
        mutation("fewer healthy targets than needed", "topology.target_groups", |state| {
            let key = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count";
            set_of_group(state, "api", key, "2");
        }),
        mutation("no stickiness", "api.stickiness", |state| {
            group(state, "api").attributes.insert("stickiness.enabled".to_owned(), "false".to_owned());
        }),
        mutation("stickiness", "broadcaster.stickiness", |state| {
            group(state, "broadcaster").attributes.insert("stickiness.enabled".to_owned(), "true".to_owned());
        }),
        mutation("an instance less in one", "topology.target_groups", |state| group(state, "api").targets.clear()),
        mutation("an instance less in both", "instance_ids", |state| {
            group(state, "api").targets.clear();
            group(state, "broadcaster").targets.clear();
        }),
        mutation("an instance more in one", "topology.target_groups", |state| register(group(state, "api"), "i-2")),
        mutation("an instance more in both", "instance_ids", |state| {
            register(group(state, "api"), "i-2");
            register(group(state, "broadcaster"), "i-2");
        }),
        mutation("an instance on another port, too", "topology.target_groups", |state| {
            group(state, "api").targets.insert(("i-1".to_owned(), 8080), Target::default());
        }),
        mutation("an instance on another port instead", "topology.target_groups", |state| {
            group(state, "api").targets = [(("i-1".to_owned(), 8080), Target::default())].into();
        }),
        mutation("a target group's role", "tags_all", |state| {
            group(state, "api").tags.insert("codestream:role".to_owned(), "broadcaster".to_owned());
        }),
        mutation("a target group's tag", "tags", |state| {
            group(state, "api").tags.insert("team".to_owned(), "two".to_owned());
        }),
        mutation("a target group without the owner's mark", "tags_all", |state| {
            group(state, "api").tags.remove("codestream:resource-id");
        }),
    ]
}

fn of_the_rest() -> Vec<Mutation> {
    vec![
        mutation("a rule less for clients", "topology.security_group_rules", |state| revoke(state, Direction::Ingress)),
        mutation("a rule less for targets", "topology.security_group_rules", |state| revoke(state, Direction::Egress)),
        mutation("the world let in", "topology.security_group_rules", |state| {
            admit(state, Direction::Ingress, "tcp", 22, "0.0.0.0/0");
        }),
        mutation("everything let out", "topology.security_group_rules", |state| {
            admit(state, Direction::Egress, "-1", -1, "0.0.0.0/0");
        }),
        mutation("another description", "topology.security_group_rules", |state| {
            let (rule, _) = security_group(state).rules.values_mut().next().unwrap();
            rule.description = "By hand".to_owned();
        }),
        mutation("a security group's tag", "tags", |state| {
            security_group(state).tags.insert("team".to_owned(), "two".to_owned());
        }),
        mutation("the instances wide open to the load balancer", "instance_security_group_id", |state| {
            let hosts = state.security_groups.get_mut("sg-hosts").unwrap();
            let (rule, _) = hosts.rules.values_mut().find(|(rule, _)| rule.from_port == 443).unwrap();
            rule.to_port = 60000;
        }),
        mutation("the instances shut", "", |state| {
            let hosts = state.security_groups.get_mut("sg-hosts").unwrap();
            hosts.rules.retain(|_, (rule, _)| rule.direction == Direction::Egress);
        }),
        mutation("no record", "dns_record", |state| state.records.clear()),
        mutation("a record elsewhere", "dns_record", |state| {
            for record in state.records.values_mut() {
                if let RecordInfo::Alias(alias) = record {
                    alias.target = "elsewhere.example.com".to_owned();
                }
            }
        }),
        mutation("a record that is no alias", "dns_record", |state| {
            for record in state.records.values_mut() {
                *record = RecordInfo::Plain;
            }
        }),
        mutation("a record with its target's health", "dns_record.evaluate_target_health", |state| {
            for record in state.records.values_mut() {
                if let RecordInfo::Alias(alias) = record {
                    alias.evaluate_target_health = true;
                }
            }
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_change_behind_the_providers_back_shows_and_is_repaired() {
    let base = built(&full()).await;
    let kinds = [of_load_balancer(), of_listeners(), of_target_groups(), of_the_rest()];
    let mutations: Vec<Mutation> = kinds.into_iter().flatten().collect();
    assert!(mutations.len() >= 40, "{}", mutations.len());
    each_shows_and_is_repaired::<Tested>(&base, &configuration(&full()), &mutations).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_cuts_nobody_off_where_somebody_has_listeners_keep_their_clients() {
    for operation in changes_of_service() {
        let mut core = built(operation.before.as_ref().unwrap()).await;
        keep_all_clients(&mut core.aws.state());
        core.aws.watch(outage);
        let after = operation.after.as_ref().unwrap();
        core.apply(Some(&configuration(after))).await.succeeded();
        assert_eq!(core.aws.violations(), Vec::<String>::new(), "{}", operation.name);
        settle().await;
        assert_eq!(difference(&picture(&built(after).await), &picture(&core)), "", "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_replacement_behind_a_listener_that_keeps_its_clients_is_put_back() {
    let mut core = built(&http()).await;
    let before = service(&core);
    keep_all_clients(&mut core.aws.state());
    core.aws.watch(outage);
    core.aws.set_verdict("i-1", Some(8080), Verdict::Unhealthy("Target.ResponseCodeMismatch"));
    let applied = core.apply(Some(&configuration(&other_port()))).await;
    assert!(has(&applied.errors(), &["8080", "Target.ResponseCodeMismatch"]), "{:?}", applied.errors());
    settle().await;
    assert_eq!(service(&core), before);
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_group_from_which_its_listener_was_pointed_away_stays_though_it_is_not_healthy() {
    let away: [fn(&mut State) -> ActionInfo; 2] = [
        |state| ActionInfo::Forward(vec![(arn_of(state, "broadcaster"), 1)]),
        |state| ActionInfo::Forward(vec![(arn_of(state, "api"), 0)]),
    ];
    for away in away {
        let mut core = built(&http()).await;
        let arn = core.state().get("api").get("target_group_arn").clone();
        {
            let mut state = core.aws.state();
            listener(&mut state, 80).settings.action = away(&mut state);
        }
        let before = service(&core);
        core.aws.set_verdict("i-1", Some(80), Verdict::Unhealthy("Target.Timeout"));
        settle().await;
        let config = configuration(&change(http(), &json!({"idle_timeout": 90, "timeouts": {"update": "2m"}})));
        let applied = core.apply(Some(&config)).await;
        assert!(has(&applied.errors(), &["i-1", "Target.Timeout"]), "{:?}", applied.errors());
        settle().await;
        assert_eq!(service(&core), before);
        core.aws.set_verdict("i-1", Some(80), Verdict::Healthy);
        core.apply(Some(&config)).await.succeeded();
        assert_eq!(*core.state().get("api").get("target_group_arn"), arn);
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_delete_between_a_plan_and_its_apply_is_made_again_and_named() {
    let mut core = built(&full()).await;
    let config = configuration(&change(full(), &json!({"idle_timeout": 90})));
    let applied = core.apply_after(&config, |state| delete_listener(state, 443)).await;
    assert_eq!(applied.complaints, Vec::<String>::new());
    assert!(has(&applied.errors(), &["has changed since it was planned", "api.listener_arn"]), "{applied:?}");
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn health_is_never_a_change() {
    let mut core = built(&full()).await;
    let config = configuration(&full());
    core.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.Timeout"));
    settle().await;
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(core.state().get("ready").as_bool(), Some(false));
    for instance in core.aws.state().instances.values_mut() {
        instance.state = "stopped".to_owned();
    }
    settle().await;
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_not_wanted_any_more_goes_from_rules_that_others_gave_another_value() {
    let mut core = built(&full()).await;
    for (_, tags) in security_group(&mut core.aws.state()).rules.values_mut() {
        tags.insert("team".to_owned(), "two".to_owned());
    }
    let untagged = change(full(), &json!({"tags": null}));
    core.apply(Some(&configuration(&untagged))).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), picture(&built(&untagged).await));
}

#[tokio::test(start_paused = true)]
async fn what_others_put_on_the_load_balancer_is_no_drift_and_stays() {
    let mut core = built(&full()).await;
    let config = configuration(&full());
    let foreign = {
        let mut state = core.aws.state();
        let mut foreign = Listener { tags: Tags::new(), ..listener(&mut state, 80).clone() };
        foreign.settings.port = 8081;
        let arn = format!("{}/by-hand", foreign.load_balancer_arn.replace(":loadbalancer/", ":listener/"));
        state.listeners.insert(arn.clone(), foreign);
        arn
    };
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    let busier = configuration(&change(full(), &json!({"idle_timeout": 90})));
    core.apply(Some(&busier)).await.succeeded();
    assert!(core.aws.state().listeners.contains_key(&foreign));
    let there = json!({"api": {"listener_port": 8081, "target_port": 443, "deregistration_delay": 5}});
    let applied = core.apply(Some(&configuration(&change(full(), &there)))).await;
    assert!(applied.errors().iter().any(|error| error.contains(&foreign)), "{:?}", applied.errors());
    assert!(core.aws.state().listeners[&foreign].tags.is_empty());
}

/// A stack of which somebody has deleted everything but the alias record.
async fn only_the_record_is_left(config: &Json) -> Core {
    let core = built(config).await;
    let (balancer, groups, security_group) = {
        let mut state = core.aws.state();
        let arn = balancer(&mut state).info.arn.clone();
        let groups = ["api", "broadcaster"].map(|role| arn_of(&mut state, role));
        let security_group = state.security_groups.iter().find(|(_, found)| ours(&found.tags)).unwrap().0.clone();
        (arn, groups, security_group)
    };
    core.aws.delete_load_balancer(&balancer).await.unwrap();
    for group in groups {
        core.aws.delete_target_group(&group).await.unwrap();
    }
    settle().await;
    core.aws.delete_security_group(&security_group).await.unwrap();
    core
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_all_that_is_left_of_a_stack_is_not_forgotten() {
    let config = change(http(), &json!({"dns_record": {"zone_id": "Z1"}}));
    let mut core = only_the_record_is_left(&config).await;
    let mut unwanted = core.fork();
    unwanted.apply(None).await.succeeded();
    assert!(unwanted.aws.state().records.is_empty());
    core.apply(Some(&configuration(&config))).await.succeeded();
    settle().await;
    assert_eq!(difference(&picture(&built(&config).await), &picture(&core)), "");
}

#[tokio::test(start_paused = true)]
async fn a_stack_whose_last_record_leads_elsewhere_is_gone() {
    let config = change(http(), &json!({"dns_record": {"zone_id": "Z1"}}));
    let mut core = only_the_record_is_left(&config).await;
    for record in core.aws.state().records.values_mut() {
        if let RecordInfo::Alias(alias) = record {
            alias.target = "elsewhere.example.com".to_owned();
        }
    }
    core.apply(None).await.succeeded();
    assert!(core.state().is_null());
    assert_eq!(core.aws.state().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_leads_elsewhere_and_is_not_configured_any_more_is_somebody_elses() {
    let mut core = built(&full()).await;
    for record in core.aws.state().records.values_mut() {
        *record = RecordInfo::Plain;
    }
    let without = configuration(&change(full(), &json!({"dns_record": null, "idle_timeout": 90})));
    core.apply(Some(&without)).await.succeeded();
    let from = core.aws.calls().len();
    assert_eq!(core.changes(&without).await, Vec::<String>::new());
    let calls = core.aws.calls().split_off(from);
    assert!(!calls.iter().any(|call| call.operation.starts_with("route53:")), "{calls:?}");

    core.check_plans(Preflight::Error);
    let applied = core.apply(Some(&configuration(&full()))).await;
    assert!(has(&applied.errors(), &["The DNS record exists already"]), "{:?}", applied.errors());
    assert!(core.aws.state().records.values().all(|record| *record == RecordInfo::Plain));
}

#[tokio::test(start_paused = true)]
async fn records_with_a_routing_policy_in_place_of_the_alias_are_named_at_plan_and_stay() {
    let mut core = built(&full()).await;
    for record in core.aws.state().records.values_mut() {
        *record = RecordInfo::Routed;
    }
    let config = configuration(&full());
    for _ in 0..2 {
        let shown = core.changes(&config).await;
        assert!(shown.iter().any(|error| error.contains("has a routing policy")), "{shown:?}");
    }
    let without = configuration(&change(full(), &json!({"dns_record": null, "idle_timeout": 90})));
    core.apply(Some(&without)).await.succeeded();
    core.apply(None).await.succeeded();
    let left: Vec<RecordInfo> = core.aws.state().records.values().cloned().collect();
    assert_eq!(left, [RecordInfo::Routed]);
}
