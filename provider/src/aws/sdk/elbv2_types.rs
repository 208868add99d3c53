//! Elastic Load Balancing's types, read into ours and, for actions, written from them.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, IpAddressType, Listener, LoadBalancer, LoadBalancerSchemeEnum,
    LoadBalancerStateEnum, LoadBalancerTypeEnum, Matcher, ProtocolEnum, RedirectActionConfig,
    RedirectActionStatusCodeEnum, Rule, Tag, TargetGroup, TargetGroupStickinessConfig, TargetGroupTuple,
    TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum, TargetTypeEnum,
};

use super::{is_ours, set, text};
use crate::aws::{
    ActionInfo, HealthCheck, ListenerInfo, ListenerRuleInfo, ListenerSettings, LoadBalancerInfo, LoadBalancerState,
    MUTUAL_AUTHENTICATION_OFF, Tags, TargetGroupInfo, TargetHealth,
};

/// For how many seconds a forward to several target groups keeps a client in one of them: the least that AWS takes. It
/// must keep clients as soon as one of the groups does.
const KEPT_IN_A_GROUP: i32 = 1;

/// A number as AWS takes it; what does not fit is wrong for AWS too, and it will say so.
pub(super) fn int(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn port(value: Option<i32>) -> u16 {
    value.and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
}

pub(super) fn load_balancer_info(of: &LoadBalancer) -> LoadBalancerInfo {
    let state = of.state();
    LoadBalancerInfo {
        arn: text(of.load_balancer_arn()),
        name: text(of.load_balancer_name()),
        kind: text(of.r#type().map(LoadBalancerTypeEnum::as_str)),
        scheme: text(of.scheme().map(LoadBalancerSchemeEnum::as_str)),
        ip_address_type: text(of.ip_address_type().map(IpAddressType::as_str)),
        vpc_id: text(of.vpc_id()),
        dns_name: text(of.dns_name()),
        hosted_zone_id: text(of.canonical_hosted_zone_id()),
        subnet_ids: set(of.availability_zones().iter().map(|zone| zone.subnet_id())),
        security_groups: of.security_groups().iter().cloned().collect(),
        state: match state.and_then(|state| state.code()) {
            Some(LoadBalancerStateEnum::Active) => LoadBalancerState::Active,
            Some(LoadBalancerStateEnum::ActiveImpaired) => LoadBalancerState::ActiveImpaired,
            Some(LoadBalancerStateEnum::Failed) => LoadBalancerState::Failed,
            _ => LoadBalancerState::Provisioning,
        },
        state_reason: state.and_then(|state| state.reason()).map(str::to_owned),
    }
}

pub(super) fn target_group_info(of: &TargetGroup) -> TargetGroupInfo {
    let number = |value: Option<i32>| value.map(i64::from).unwrap_or_default();
    TargetGroupInfo {
        arn: text(of.target_group_arn()),
        name: text(of.target_group_name()),
        protocol: text(of.protocol().map(ProtocolEnum::as_str)),
        port: port(of.port()),
        vpc_id: text(of.vpc_id()),
        target_type: text(of.target_type().map(TargetTypeEnum::as_str)),
        health_check: HealthCheck {
            protocol: text(of.health_check_protocol().map(ProtocolEnum::as_str)),
            port: text(of.health_check_port()),
            path: text(of.health_check_path()),
            matcher: text(of.matcher().and_then(Matcher::http_code)),
            interval: number(of.health_check_interval_seconds()),
            timeout: number(of.health_check_timeout_seconds()),
            healthy_threshold: number(of.healthy_threshold_count()),
            unhealthy_threshold: number(of.unhealthy_threshold_count()),
        },
    }
}

/// `None` for a description that names no target.
pub(super) fn target_health_info(of: &TargetHealthDescription) -> Option<TargetHealth> {
    let target = of.target()?;
    let health = of.target_health();
    Some(TargetHealth {
        id: target.id()?.to_owned(),
        port: port(target.port()),
        state: text(health.and_then(|health| health.state()).map(TargetHealthStateEnum::as_str)),
        reason: health.and_then(|health| health.reason()).map(TargetHealthReasonEnum::as_str).map(str::to_owned),
        description: health.and_then(|health| health.description()).map(str::to_owned),
    })
}

pub(super) fn listener_info(of: &Listener) -> ListenerInfo {
    let protocol = text(of.protocol().map(ProtocolEnum::as_str));
    let encrypted = protocol == "HTTPS";
    let certificate = of.certificates().first().and_then(|certificate| certificate.certificate_arn());
    let authentication = of.mutual_authentication().and_then(|attributes| attributes.mode());
    let authentication = authentication.filter(|mode| *mode != MUTUAL_AUTHENTICATION_OFF);
    ListenerInfo {
        arn: text(of.listener_arn()),
        settings: ListenerSettings {
            port: port(of.port()),
            // A listener that was encrypted once goes on showing a policy that no longer means anything.
            ssl_policy: of.ssl_policy().filter(|_| encrypted).map(str::to_owned),
            certificate_arn: certificate.filter(|_| encrypted).map(str::to_owned),
            mutual_authentication: authentication.filter(|_| encrypted).map(str::to_owned),
            action: action_info(of.default_actions()),
            protocol,
        },
    }
}

pub(super) fn rule_info(of: &Rule) -> ListenerRuleInfo {
    let forwards = of.actions().iter().flat_map(forward_groups);
    ListenerRuleInfo {
        arn: text(of.rule_arn()),
        priority: text(of.priority()),
        target_group_arns: forwards.map(|(arn, _)| arn).collect(),
    }
}

/// What a listener does. Whatever our own words cannot say in full is `Other`, so that it shows as a difference.
fn action_info(actions: &[Action]) -> ActionInfo {
    if let [action] = actions {
        match (action.r#type(), action.redirect_config()) {
            (Some(ActionTypeEnum::Forward), _) if !keeps_clients(action) => {
                return ActionInfo::Forward(forward_groups(action));
            }
            (Some(ActionTypeEnum::Redirect), Some(redirect)) if keeps_the_url(redirect) => {
                return ActionInfo::Redirect {
                    protocol: redirect.protocol().unwrap_or("#{protocol}").to_owned(),
                    port: redirect.port().unwrap_or("#{port}").to_owned(),
                    status: text(redirect.status_code().map(RedirectActionStatusCodeEnum::as_str)),
                };
            }
            _ => {}
        }
    }
    let types: Vec<&str> = actions.iter().filter_map(|action| action.r#type()).map(ActionTypeEnum::as_str).collect();
    ActionInfo::Other(types.join("+"), actions.iter().flat_map(forward_groups).collect())
}

/// Whether it sends a client to the same target group each time, for longer than a forward of ours does.
fn keeps_clients(action: &Action) -> bool {
    let stickiness = action.forward_config().and_then(ForwardActionConfig::target_group_stickiness_config);
    stickiness.is_some_and(|stickiness| {
        stickiness.enabled() == Some(true) && stickiness.duration_seconds() != Some(KEPT_IN_A_GROUP)
    })
}

fn keeps_the_url(redirect: &RedirectActionConfig) -> bool {
    redirect.host().is_none_or(|host| host == "#{host}")
        && redirect.path().is_none_or(|path| path == "/#{path}")
        && redirect.query().is_none_or(|query| query == "#{query}")
}

/// The target groups an action forwards to, with their weights; none for other actions.
fn forward_groups(action: &Action) -> Vec<(String, i64)> {
    let groups = action.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    if groups.is_empty() {
        return action.target_group_arn().map(|arn| (arn.to_owned(), 1)).into_iter().collect();
    }
    groups.iter().map(|group| (text(group.target_group_arn()), group.weight().map_or(1, i64::from))).collect()
}

/// The action as AWS takes it. It refuses an `Other`, which lacks what that does.
pub(super) fn action(info: &ActionInfo) -> Action {
    match info {
        ActionInfo::Forward(groups) => {
            let tuple = |(arn, weight): &(String, i64)| {
                TargetGroupTuple::builder().target_group_arn(arn).weight(int(*weight)).build()
            };
            let stickiness = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(KEPT_IN_A_GROUP);
            let stickiness = (groups.len() > 1).then(|| stickiness.build());
            let groups = groups.iter().map(tuple).collect();
            let config = ForwardActionConfig::builder().set_target_groups(Some(groups));
            let config = config.set_target_group_stickiness_config(stickiness).build();
            Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
        }
        ActionInfo::Redirect { protocol, port, status } => {
            let config = RedirectActionConfig::builder()
                .protocol(protocol)
                .port(port)
                .status_code(RedirectActionStatusCodeEnum::from(status.as_str()))
                .build();
            Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(config).build()
        }
        ActionInfo::Other(kind, _) => Action::builder().r#type(ActionTypeEnum::from(kind.as_str())).build(),
    }
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), text(tag.value()))));
    pairs.filter(|(key, _)| is_ours(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_elasticloadbalancingv2::types::{Certificate, MutualAuthenticationAttributes};

    fn forward() -> aws_sdk_elasticloadbalancingv2::types::builders::ActionBuilder {
        Action::builder().r#type(ActionTypeEnum::Forward)
    }

    fn weighted(groups: &[(&str, Option<i32>)]) -> ForwardActionConfig {
        let tuples = groups
            .iter()
            .map(|(arn, weight)| TargetGroupTuple::builder().target_group_arn(*arn).set_weight(*weight).build())
            .collect();
        ForwardActionConfig::builder().set_target_groups(Some(tuples)).build()
    }

    #[test]
    fn a_target_group_is_read_with_its_weight_wherever_aws_shows_it() {
        for (action, weight) in [
            (forward().target_group_arn("a").build(), 1),
            (forward().target_group_arn("a").forward_config(weighted(&[("a", Some(100))])).build(), 100),
            (forward().forward_config(weighted(&[("a", None)])).build(), 1),
            (forward().forward_config(weighted(&[("a", Some(0))])).build(), 0),
        ] {
            assert_eq!(action_info(&[action]), ActionInfo::Forward(vec![("a".to_owned(), weight)]));
        }
    }

    #[test]
    fn the_weights_of_several_target_groups_survive_both_ways() {
        let info = ActionInfo::Forward(vec![("old".to_owned(), 100), ("new".to_owned(), 0)]);
        assert_eq!(action_info(&[action(&info)]), info);
    }

    #[test]
    fn a_forward_keeps_clients_in_a_target_group_only_where_there_are_several_and_for_a_second() {
        let kept = |groups: &[&str]| {
            let action = action(&ActionInfo::Forward(groups.iter().map(|arn| ((*arn).to_owned(), 1)).collect()));
            let stickiness = action.forward_config.and_then(|config| config.target_group_stickiness_config);
            stickiness.map(|stickiness| (stickiness.enabled, stickiness.duration_seconds))
        };
        assert_eq!((kept(&["old"]), kept(&["old", "new"])), (None, Some((Some(true), Some(1)))));
    }

    #[test]
    fn a_redirect_that_changes_the_path_is_not_taken_for_a_plain_one() {
        let plain = ActionInfo::Redirect {
            protocol: "HTTPS".to_owned(),
            port: "443".to_owned(),
            status: "HTTP_301".to_owned(),
        };
        assert_eq!(action_info(&[action(&plain)]), plain);
        let config = RedirectActionConfig::builder().protocol("HTTPS").port("443").path("/elsewhere");
        let elsewhere = Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(config.build()).build();
        assert_eq!(action_info(&[elsewhere]), ActionInfo::Other("redirect".to_owned(), Vec::new()));
    }

    #[test]
    fn a_forward_that_keeps_clients_is_not_taken_for_a_plain_one() {
        let sticky = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(60).build();
        let config = ForwardActionConfig::builder().target_group_stickiness_config(sticky).build();
        let action = forward().target_group_arn("a").forward_config(config).build();
        assert_eq!(action_info(&[action]), ActionInfo::Other("forward".to_owned(), vec![("a".to_owned(), 1)]));
    }

    #[test]
    fn an_action_behind_a_login_is_not_taken_for_a_plain_forward() {
        let login = Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).build();
        let actions = [login, forward().target_group_arn("a").build()];
        let groups = vec![("a".to_owned(), 1)];
        assert_eq!(action_info(&actions), ActionInfo::Other("authenticate-oidc+forward".to_owned(), groups));
    }

    #[test]
    fn only_an_encrypted_listener_has_a_policy_and_a_certificate() {
        let listener = Listener::builder()
            .port(443)
            .ssl_policy("ELBSecurityPolicy-2016-08")
            .certificates(Certificate::builder().certificate_arn("cert").build());
        let encrypted = listener_info(&listener.clone().protocol(ProtocolEnum::Https).build()).settings;
        assert_eq!(encrypted.ssl_policy.as_deref(), Some("ELBSecurityPolicy-2016-08"));
        assert_eq!(encrypted.certificate_arn.as_deref(), Some("cert"));
        let cleartext = listener_info(&listener.protocol(ProtocolEnum::Http).build()).settings;
        assert_eq!((cleartext.ssl_policy, cleartext.certificate_arn), (None, None));
    }

    #[test]
    fn a_listener_that_asks_for_client_certificates_is_told_from_one_that_does_not() {
        let asking = |mode: &str| {
            let attributes = MutualAuthenticationAttributes::builder().mode(mode).build();
            let listener = Listener::builder().protocol(ProtocolEnum::Https).mutual_authentication(attributes);
            listener_info(&listener.build()).settings.mutual_authentication
        };
        assert_eq!((asking("verify").as_deref(), asking("off")), (Some("verify"), None));
    }

    #[test]
    fn tags_of_aws_itself_are_not_ours() {
        let tag = |key: &str| Tag::builder().key(key).value("v").build();
        let tags = tags_of(&[tag("team"), tag("aws:cloudformation:stack-name")]);
        assert_eq!(tags, Tags::from([("team".to_owned(), "v".to_owned())]));
    }
}
