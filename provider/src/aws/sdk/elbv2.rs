//! Elastic Load Balancing.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Certificate, IpAddressType, Listener, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerTypeEnum, Matcher,
    MutualAuthenticationAttributes, ProtocolEnum, Tag, TagDescription, TargetDescription, TargetGroup,
    TargetGroupAttribute, TargetTypeEnum,
};

use futures_util::future::try_join_all;

use super::elbv2_types::{
    action, int, listener_info, load_balancer_info, rule_info, tags_of, target_group_info, target_health_info,
};
use super::error::{empty_answer, error, found};
use super::{chunks, list};
use crate::aws::{
    Attributes, HealthCheck, ListenerInfo, ListenerRuleInfo, ListenerSettings, LoadBalancerInfo, NewLoadBalancer,
    NewTargetGroup, Result, Tags, TargetGroupInfo, TargetHealth,
};

/// Objects that one call looks up, and attributes that it changes, at most.
const PER_CALL: usize = 20;

/// Targets that one call registers, at most; AWS names no limit, and this is what its own controller keeps to.
const TARGETS_PER_CALL: usize = 200;

const CREATE_LOAD_BALANCER: &str = "elasticloadbalancing:CreateLoadBalancer";
const DESCRIBE_LOAD_BALANCERS: &str = "elasticloadbalancing:DescribeLoadBalancers";
const DESCRIBE_LISTENERS: &str = "elasticloadbalancing:DescribeListeners";
const CREATE_LISTENER: &str = "elasticloadbalancing:CreateListener";
const CREATE_TARGET_GROUP: &str = "elasticloadbalancing:CreateTargetGroup";
const DESCRIBE_TARGET_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";

/// What AWS says of each of these. One that is gone fails the whole call, and the error does not say which: its portion
/// is asked for again in halves.
async fn all_found<T, A>(arns: &BTreeSet<String>, describe: impl Fn(Vec<String>) -> A) -> Result<Vec<T>>
where
    A: Future<Output = Result<Vec<T>>>,
{
    let portions = chunks(arns, PER_CALL).into_iter().map(|portion| portion_found(portion, &describe));
    Ok(try_join_all(portions).await?.into_iter().flatten().collect())
}

async fn portion_found<T, A>(portion: Vec<String>, describe: &impl Fn(Vec<String>) -> A) -> Result<Vec<T>>
where
    A: Future<Output = Result<Vec<T>>>,
{
    let (mut all, mut left) = (Vec::new(), vec![portion]);
    while let Some(mut portion) = left.pop() {
        match found(describe(portion.clone()).await)? {
            Some(described) => all.extend(described),
            None if portion.len() > 1 => {
                let half = portion.split_off(portion.len() / 2);
                left.extend([portion, half]);
            }
            None => {}
        }
    }
    Ok(all)
}

pub(super) async fn load_balancer_named(client: &Client, name: &str) -> Result<Option<LoadBalancerInfo>> {
    let answer =
        found(client.describe_load_balancers().names(name).send().await.map_err(error(DESCRIBE_LOAD_BALANCERS)))?;
    Ok(answer.and_then(|answer| answer.load_balancers().first().map(load_balancer_info)))
}

pub(super) async fn load_balancers(client: &Client, arns: &BTreeSet<String>) -> Result<Vec<LoadBalancerInfo>> {
    let describe = async |arns| {
        let request = client.describe_load_balancers().set_load_balancer_arns(Some(arns));
        let answer = request.send().await.map_err(error(DESCRIBE_LOAD_BALANCERS))?;
        Ok(answer.load_balancers().iter().map(load_balancer_info).collect())
    };
    all_found(arns, describe).await
}

pub(super) async fn load_balancer_attributes(client: &Client, arn: &str) -> Result<Attributes> {
    let request = client.describe_load_balancer_attributes().load_balancer_arn(arn);
    let answer = request.send().await.map_err(error("elasticloadbalancing:DescribeLoadBalancerAttributes"));
    let attributes = found(answer)?.and_then(|answer| answer.attributes).unwrap_or_default();
    Ok(attributes
        .into_iter()
        .filter_map(|attribute| Some((attribute.key?, attribute.value.unwrap_or_default())))
        .collect())
}

pub(super) async fn create_load_balancer(client: &Client, new: &NewLoadBalancer) -> Result<LoadBalancerInfo> {
    let answer = client
        .create_load_balancer()
        .name(&new.name)
        .r#type(LoadBalancerTypeEnum::Application)
        .scheme(LoadBalancerSchemeEnum::from(new.scheme.as_str()))
        .ip_address_type(IpAddressType::from(new.ip_address_type.as_str()))
        .set_subnets(list(&new.subnet_ids))
        .set_security_groups(list(&new.security_groups))
        .set_tags(tag_list(&new.tags))
        .send()
        .await
        .map_err(error(CREATE_LOAD_BALANCER))?;
    let created = answer.load_balancers().first().map(load_balancer_info);
    created.ok_or_else(|| empty_answer(CREATE_LOAD_BALANCER, "the load balancer"))
}

pub(super) async fn modify_load_balancer_attributes(client: &Client, arn: &str, attributes: &Attributes) -> Result<()> {
    let attributes: Vec<_> =
        attributes.iter().map(|(key, value)| LoadBalancerAttribute::builder().key(key).value(value).build()).collect();
    for chunk in attributes.chunks(PER_CALL) {
        let request = client.modify_load_balancer_attributes().load_balancer_arn(arn);
        let request = request.set_attributes(Some(chunk.to_vec()));
        request.send().await.map_err(error("elasticloadbalancing:ModifyLoadBalancerAttributes"))?;
    }
    Ok(())
}

pub(super) async fn set_subnets(client: &Client, arn: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
    let request = client.set_subnets().load_balancer_arn(arn).set_subnets(list(subnet_ids));
    request.send().await.map_err(error("elasticloadbalancing:SetSubnets")).map(drop)
}

pub(super) async fn set_security_groups(client: &Client, arn: &str, groups: &BTreeSet<String>) -> Result<()> {
    let request = client.set_security_groups().load_balancer_arn(arn).set_security_groups(list(groups));
    request.send().await.map_err(error("elasticloadbalancing:SetSecurityGroups")).map(drop)
}

pub(super) async fn set_ip_address_type(client: &Client, arn: &str, ip_address_type: &str) -> Result<()> {
    let request = client.set_ip_address_type().load_balancer_arn(arn);
    let request = request.ip_address_type(IpAddressType::from(ip_address_type));
    request.send().await.map_err(error("elasticloadbalancing:SetIpAddressType")).map(drop)
}

pub(super) async fn delete_load_balancer(client: &Client, arn: &str) -> Result<()> {
    let request = client.delete_load_balancer().load_balancer_arn(arn);
    found(request.send().await.map_err(error("elasticloadbalancing:DeleteLoadBalancer"))).map(drop)
}

pub(super) async fn target_groups_of(client: &Client, load_balancer_arn: &str) -> Result<Vec<TargetGroupInfo>> {
    let request = client.describe_target_groups().load_balancer_arn(load_balancer_arn);
    let answer = request.into_paginator().items().send().try_collect().await;
    Ok(target_group_infos(found(answer.map_err(error(DESCRIBE_TARGET_GROUPS)))?))
}

pub(super) async fn target_groups(client: &Client, arns: &BTreeSet<String>) -> Result<Vec<TargetGroupInfo>> {
    let describe = async |arns| {
        let request = client.describe_target_groups().set_target_group_arns(Some(arns));
        let answer = request.into_paginator().items().send().try_collect().await;
        Ok(target_group_infos(Some(answer.map_err(error(DESCRIBE_TARGET_GROUPS))?)))
    };
    all_found(arns, describe).await
}

pub(super) async fn all_target_groups(client: &Client) -> Result<Vec<TargetGroupInfo>> {
    let answer = client.describe_target_groups().into_paginator().items().send().try_collect().await;
    Ok(target_group_infos(Some(answer.map_err(error(DESCRIBE_TARGET_GROUPS))?)))
}

fn target_group_infos(groups: Option<Vec<TargetGroup>>) -> Vec<TargetGroupInfo> {
    groups.unwrap_or_default().iter().map(target_group_info).collect()
}

pub(super) async fn target_group_attributes(client: &Client, arn: &str) -> Result<Attributes> {
    let request = client.describe_target_group_attributes().target_group_arn(arn);
    let answer = request.send().await.map_err(error("elasticloadbalancing:DescribeTargetGroupAttributes"));
    let attributes = found(answer)?.and_then(|answer| answer.attributes).unwrap_or_default();
    Ok(attributes
        .into_iter()
        .filter_map(|attribute| Some((attribute.key?, attribute.value.unwrap_or_default())))
        .collect())
}

/// Puts a health check into a request that creates or modifies a target group.
macro_rules! with_health_check {
    ($request:expr, $check:expr) => {
        $request
            .health_check_protocol(ProtocolEnum::from($check.protocol.as_str()))
            .health_check_port(&$check.port)
            .health_check_path(&$check.path)
            .health_check_interval_seconds(int($check.interval))
            .health_check_timeout_seconds(int($check.timeout))
            .healthy_threshold_count(int($check.healthy_threshold))
            .unhealthy_threshold_count(int($check.unhealthy_threshold))
            .matcher(Matcher::builder().http_code(&$check.matcher).build())
    };
}

pub(super) async fn create_target_group(client: &Client, new: &NewTargetGroup) -> Result<String> {
    let request = client
        .create_target_group()
        .name(&new.name)
        .target_type(TargetTypeEnum::Instance)
        .protocol(ProtocolEnum::from(new.protocol.as_str()))
        .port(i32::from(new.port))
        .vpc_id(&new.vpc_id)
        .set_tags(tag_list(&new.tags));
    let request = with_health_check!(request, new.health_check);
    let answer = request.send().await.map_err(error(CREATE_TARGET_GROUP))?;
    let arn = answer.target_groups().first().and_then(TargetGroup::target_group_arn).map(str::to_owned);
    arn.ok_or_else(|| empty_answer(CREATE_TARGET_GROUP, "the target group's ARN"))
}

pub(super) async fn modify_target_group(client: &Client, arn: &str, health_check: &HealthCheck) -> Result<()> {
    let request = with_health_check!(client.modify_target_group().target_group_arn(arn), health_check);
    request.send().await.map_err(error("elasticloadbalancing:ModifyTargetGroup")).map(drop)
}

pub(super) async fn modify_target_group_attributes(client: &Client, arn: &str, attributes: &Attributes) -> Result<()> {
    let attributes: Vec<_> =
        attributes.iter().map(|(key, value)| TargetGroupAttribute::builder().key(key).value(value).build()).collect();
    for chunk in attributes.chunks(PER_CALL) {
        let request = client.modify_target_group_attributes().target_group_arn(arn);
        let request = request.set_attributes(Some(chunk.to_vec()));
        request.send().await.map_err(error("elasticloadbalancing:ModifyTargetGroupAttributes"))?;
    }
    Ok(())
}

pub(super) async fn delete_target_group(client: &Client, arn: &str) -> Result<()> {
    let request = client.delete_target_group().target_group_arn(arn);
    request.send().await.map_err(error("elasticloadbalancing:DeleteTargetGroup")).map(drop)
}

pub(super) async fn register_targets(client: &Client, arn: &str, instance_ids: &BTreeSet<String>) -> Result<()> {
    for chunk in chunks(instance_ids, TARGETS_PER_CALL) {
        let request = client.register_targets().target_group_arn(arn).set_targets(Some(targets(chunk)));
        request.send().await.map_err(error("elasticloadbalancing:RegisterTargets"))?;
    }
    Ok(())
}

pub(super) async fn deregister_targets(client: &Client, arn: &str, registrations: &BTreeSet<String>) -> Result<()> {
    for chunk in chunks(registrations, TARGETS_PER_CALL) {
        let request = client.deregister_targets().target_group_arn(arn).set_targets(Some(targets(chunk)));
        request.send().await.map_err(error("elasticloadbalancing:DeregisterTargets"))?;
    }
    Ok(())
}

/// Targets by what their group knows them as: see [`TargetHealth::registration`].
fn targets(registrations: Vec<String>) -> Vec<TargetDescription> {
    let target = |registration: String| {
        let (id, port) = registration.split_once(':').unwrap_or((&registration, ""));
        TargetDescription::builder().id(id).set_port(port.parse().ok()).build()
    };
    registrations.into_iter().map(target).collect()
}

pub(super) async fn target_health(client: &Client, arn: &str) -> Result<Vec<TargetHealth>> {
    let request = client.describe_target_health().target_group_arn(arn);
    let answer = found(request.send().await.map_err(error("elasticloadbalancing:DescribeTargetHealth")))?;
    let targets = answer.and_then(|answer| answer.target_health_descriptions).unwrap_or_default();
    Ok(targets.iter().filter_map(target_health_info).collect())
}

pub(super) async fn listeners(client: &Client, load_balancer_arn: &str) -> Result<Vec<ListenerInfo>> {
    let request = client.describe_listeners().load_balancer_arn(load_balancer_arn);
    let answer = request.into_paginator().items().send().try_collect().await;
    let listeners = found(answer.map_err(error(DESCRIBE_LISTENERS)))?.unwrap_or_default();
    Ok(listeners.iter().map(listener_info).collect())
}

pub(super) async fn listeners_by_arn(client: &Client, arns: &BTreeSet<String>) -> Result<Vec<ListenerInfo>> {
    let describe = async |arns| {
        let request = client.describe_listeners().set_listener_arns(Some(arns));
        let answer: Vec<Listener> =
            request.into_paginator().items().send().try_collect().await.map_err(error(DESCRIBE_LISTENERS))?;
        Ok(answer.iter().map(listener_info).collect())
    };
    all_found(arns, describe).await
}

pub(super) async fn additional_certificates(client: &Client, listener_arn: &str) -> Result<BTreeSet<String>> {
    let request = client.describe_listener_certificates().listener_arn(listener_arn);
    let answer = request.into_paginator().items().send().try_collect().await;
    let answer = found(answer.map_err(error("elasticloadbalancing:DescribeListenerCertificates")))?;
    let additional = answer.into_iter().flatten().filter(|certificate| certificate.is_default != Some(true));
    Ok(additional.filter_map(|certificate| certificate.certificate_arn).collect())
}

pub(super) async fn listener_rules(client: &Client, listener_arn: &str) -> Result<Vec<ListenerRuleInfo>> {
    let request = client.describe_rules().listener_arn(listener_arn);
    let answer = request.into_paginator().items().send().try_collect().await;
    let rules = found(answer.map_err(error("elasticloadbalancing:DescribeRules")))?.unwrap_or_default();
    Ok(rules.iter().filter(|rule| rule.is_default != Some(true)).map(rule_info).collect())
}

/// Puts all its settings into a request that creates or modifies a listener. A cleartext one takes no policy and no
/// certificate.
macro_rules! with_settings {
    ($request:expr, $settings:expr) => {{
        let encrypted = $settings.protocol == "HTTPS";
        $request
            .port(i32::from($settings.port))
            .protocol(ProtocolEnum::from($settings.protocol.as_str()))
            .set_ssl_policy($settings.ssl_policy.clone().filter(|_| encrypted))
            .set_certificates(
                $settings.certificate_arn.as_ref().filter(|_| encrypted).map(|arn| vec![certificate(arn)]),
            )
            .default_actions(action(&$settings.action))
    }};
}

pub(super) async fn has_ssl_policy(client: &Client, name: &str) -> Result<bool> {
    let request = client.describe_ssl_policies().names(name).load_balancer_type(LoadBalancerTypeEnum::Application);
    match request.send().await.map_err(error("elasticloadbalancing:DescribeSSLPolicies")) {
        Ok(answer) => Ok(!answer.ssl_policies().is_empty()),
        Err(error) if error.code == "SSLPolicyNotFound" => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn create_listener(
    client: &Client,
    load_balancer_arn: &str,
    settings: &ListenerSettings,
    tags: &Tags,
) -> Result<String> {
    let request = with_settings!(client.create_listener().load_balancer_arn(load_balancer_arn), settings);
    let answer = request.set_tags(tag_list(tags)).send().await.map_err(error(CREATE_LISTENER))?;
    let arn = answer.listeners().first().and_then(|listener| listener.listener_arn()).map(str::to_owned);
    arn.ok_or_else(|| empty_answer(CREATE_LISTENER, "the listener's ARN"))
}

pub(super) async fn modify_listener(client: &Client, arn: &str, settings: &ListenerSettings) -> Result<()> {
    let request = with_settings!(client.modify_listener().listener_arn(arn), settings);
    let mode = settings.mutual_authentication.as_ref();
    let authentication = mode.map(|mode| MutualAuthenticationAttributes::builder().mode(mode).build());
    let request = request.set_mutual_authentication(authentication);
    request.send().await.map_err(error("elasticloadbalancing:ModifyListener")).map(drop)
}

pub(super) async fn add_listener_certificates(client: &Client, arn: &str, arns: &BTreeSet<String>) -> Result<()> {
    // AWS takes one certificate per call.
    for certificate_arn in arns {
        let request = client.add_listener_certificates().listener_arn(arn).certificates(certificate(certificate_arn));
        request.send().await.map_err(error("elasticloadbalancing:AddListenerCertificates"))?;
    }
    Ok(())
}

pub(super) async fn remove_listener_certificates(client: &Client, arn: &str, arns: &BTreeSet<String>) -> Result<()> {
    // AWS takes one certificate per call.
    for certificate_arn in arns {
        let request =
            client.remove_listener_certificates().listener_arn(arn).certificates(certificate(certificate_arn));
        request.send().await.map_err(error("elasticloadbalancing:RemoveListenerCertificates"))?;
    }
    Ok(())
}

fn certificate(arn: &str) -> Certificate {
    Certificate::builder().certificate_arn(arn).build()
}

pub(super) async fn delete_listener(client: &Client, arn: &str) -> Result<()> {
    let request = client.delete_listener().listener_arn(arn);
    request.send().await.map_err(error("elasticloadbalancing:DeleteListener")).map(drop)
}

pub(super) async fn tags(client: &Client, arns: &BTreeSet<String>) -> Result<BTreeMap<String, Tags>> {
    let described = |object: &TagDescription| Some((object.resource_arn()?.to_owned(), tags_of(object.tags())));
    let describe = async |arns| {
        let request = client.describe_tags().set_resource_arns(Some(arns));
        let answer = request.send().await.map_err(error("elasticloadbalancing:DescribeTags"))?;
        Ok(answer.tag_descriptions().iter().filter_map(described).collect())
    };
    Ok(all_found(arns, describe).await?.into_iter().collect())
}

pub(super) async fn add_tags(client: &Client, arn: &str, tags: &Tags) -> Result<()> {
    let request = client.add_tags().resource_arns(arn).set_tags(tag_list(tags));
    request.send().await.map_err(error("elasticloadbalancing:AddTags")).map(drop)
}

pub(super) async fn remove_tags(client: &Client, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
    let request = client.remove_tags().resource_arns(arn).set_tag_keys(list(keys));
    request.send().await.map_err(error("elasticloadbalancing:RemoveTags")).map(drop)
}

/// Tags as a request wants them: AWS refuses an empty list, not a missing one.
fn tag_list(tags: &Tags) -> Option<Vec<Tag>> {
    let tags: Vec<Tag> = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    (!tags.is_empty()).then_some(tags)
}
