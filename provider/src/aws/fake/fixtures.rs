//! Objects as the fake's own tests create them.

use std::collections::BTreeSet;

use super::{FakeAws, cert_arn};
use crate::aws::{
    ActionInfo, Aws, HealthCheck, ListenerSettings, NewLoadBalancer, NewSecurityGroup, NewTargetGroup, Tags,
};

pub(super) fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

pub(super) fn tags(value: &str) -> Tags {
    Tags::from([("owner".to_owned(), value.to_owned())])
}

/// In zones a and b, without security groups.
pub(super) fn load_balancer(name: &str) -> NewLoadBalancer {
    NewLoadBalancer {
        name: name.to_owned(),
        scheme: "internet-facing".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_ids: set(&["subnet-a", "subnet-b"]),
        security_groups: BTreeSet::new(),
        tags: tags("us"),
    }
}

/// Probes every 15 s; 2 checks make a target unhealthy, 3 make it healthy again.
pub(super) fn target_group(name: &str) -> NewTargetGroup {
    NewTargetGroup {
        name: name.to_owned(),
        protocol: "HTTP".to_owned(),
        port: 80,
        vpc_id: "vpc-1".to_owned(),
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: "/".to_owned(),
            matcher: "200".to_owned(),
            interval: 15,
            timeout: 5,
            healthy_threshold: 3,
            unhealthy_threshold: 2,
        },
        tags: tags("us"),
    }
}

pub(super) fn security_group(name: &str) -> NewSecurityGroup {
    NewSecurityGroup {
        name: name.to_owned(),
        description: "The load balancer".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags: tags("us"),
    }
}

pub(super) fn http(port: u16, groups: &[(&str, i64)]) -> ListenerSettings {
    let groups = groups.iter().map(|(arn, weight)| ((*arn).to_owned(), *weight)).collect();
    ListenerSettings {
        port,
        protocol: "HTTP".to_owned(),
        ssl_policy: None,
        certificate_arn: None,
        mutual_authentication: None,
        action: ActionInfo::Forward(groups),
    }
}

pub(super) fn https(port: u16, group: &str, certificate: u32) -> ListenerSettings {
    ListenerSettings {
        protocol: "HTTPS".to_owned(),
        ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
        certificate_arn: Some(cert_arn(certificate)),
        ..http(port, &[(group, 1)])
    }
}

/// A load balancer and a target group, not connected: their ARNs.
pub(super) async fn pair(aws: &FakeAws) -> (String, String) {
    let load_balancer = aws.create_load_balancer(&load_balancer("one")).await.unwrap();
    let group = aws.create_target_group(&target_group("one")).await.unwrap();
    (load_balancer.arn, group)
}
