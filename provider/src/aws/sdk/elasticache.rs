//! ElastiCache: replication groups of Redis and their subnets.

use std::collections::BTreeSet;

use aws_sdk_elasticache::Client;
use aws_sdk_elasticache::types::{
    AutomaticFailoverStatus, CacheCluster, CacheSubnetGroup, Endpoint, MultiAzStatus, ReplicationGroup, Tag,
    TransitEncryptionMode,
};

use super::error::{empty_answer, error, found};
use super::{is_ours, list, set, text};
use crate::aws::{
    AwsError, CacheSettings, CacheSubnetGroupInfo, NewReplicationGroup, ReplicationGroupInfo, Result, Tags,
    TransitEncryption,
};

const DESCRIBE_REPLICATION_GROUPS: &str = "elasticache:DescribeReplicationGroups";
const CREATE_SUBNET_GROUP: &str = "elasticache:CreateCacheSubnetGroup";
const CREATE_REPLICATION_GROUP: &str = "elasticache:CreateReplicationGroup";
/// What AWS says of an object whose tags it does not tell while it changes.
const CHANGING: [&str; 2] = ["InvalidReplicationGroupState", "InvalidCacheClusterState"];

pub(super) async fn subnet_group(client: &Client, name: &str) -> Result<Option<CacheSubnetGroupInfo>> {
    let request = client.describe_cache_subnet_groups().cache_subnet_group_name(name);
    let answer = found(request.send().await.map_err(error("elasticache:DescribeCacheSubnetGroups")))?;
    Ok(answer.and_then(|answer| answer.cache_subnet_groups().first().map(subnet_group_info)))
}

fn subnet_group_info(of: &CacheSubnetGroup) -> CacheSubnetGroupInfo {
    CacheSubnetGroupInfo {
        arn: text(of.arn()),
        name: text(of.cache_subnet_group_name()),
        subnet_ids: set(of.subnets().iter().map(|subnet| subnet.subnet_identifier())),
    }
}

pub(super) async fn create_subnet_group(
    client: &Client,
    name: &str,
    subnet_ids: &BTreeSet<String>,
    tags: &Tags,
) -> Result<String> {
    let answer = client
        .create_cache_subnet_group()
        .cache_subnet_group_name(name)
        .cache_subnet_group_description(name)
        .set_subnet_ids(list(subnet_ids))
        .set_tags(Some(tag_list(tags)))
        .send()
        .await
        .map_err(error(CREATE_SUBNET_GROUP))?;
    let arn = answer.cache_subnet_group().and_then(|group| group.arn());
    arn.map(str::to_owned).ok_or_else(|| empty_answer(CREATE_SUBNET_GROUP, "the subnet group's ARN"))
}

pub(super) async fn modify_subnet_group(client: &Client, name: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
    let request = client.modify_cache_subnet_group().cache_subnet_group_name(name).set_subnet_ids(list(subnet_ids));
    request.send().await.map_err(error("elasticache:ModifyCacheSubnetGroup")).map(drop)
}

pub(super) async fn delete_subnet_group(client: &Client, name: &str) -> Result<()> {
    let request = client.delete_cache_subnet_group().cache_subnet_group_name(name);
    request.send().await.map_err(error("elasticache:DeleteCacheSubnetGroup")).map(drop)
}

pub(super) async fn replication_groups(client: &Client, prefix: &str) -> Result<Vec<ReplicationGroupInfo>> {
    let groups = client.describe_replication_groups().into_paginator().items().send().try_collect().await;
    let groups = groups.map_err(error(DESCRIBE_REPLICATION_GROUPS))?;
    let mut infos = Vec::new();
    for group in groups.iter().filter(|group| group.replication_group_id().is_some_and(|id| id.starts_with(prefix))) {
        infos.push(replication_group_info(group, first_member(client, group).await?.as_ref()));
    }
    Ok(infos)
}

pub(super) async fn replication_group(client: &Client, id: &str) -> Result<Option<ReplicationGroupInfo>> {
    let request = client.describe_replication_groups().replication_group_id(id);
    let answer = found(request.send().await.map_err(error(DESCRIBE_REPLICATION_GROUPS)))?;
    let group = answer.as_ref().and_then(|answer| answer.replication_groups().first());
    Ok(group.map(|group| replication_group_info(group, None)))
}

/// The version of a replication group, and where it is in the network, is told of its members only.
async fn first_member(client: &Client, of: &ReplicationGroup) -> Result<Option<CacheCluster>> {
    let Some(member) = of.member_clusters().first() else { return Ok(None) };
    let request = client.describe_cache_clusters().cache_cluster_id(member);
    match request.send().await.map_err(error("elasticache:DescribeCacheClusters")) {
        Ok(answer) => Ok(answer.cache_clusters().first().cloned()),
        Err(error) if error.code == "CacheClusterNotFound" => Ok(None),
        Err(error) => Err(error),
    }
}

/// `7.1` of `7.1.0`: AWS takes major and minor version, and answers with the patch it has chosen.
fn minor_version(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn replication_group_info(of: &ReplicationGroup, member: Option<&CacheCluster>) -> ReplicationGroupInfo {
    let endpoint = of.node_groups().first().and_then(|group| group.primary_endpoint());
    let fails_over =
        matches!(of.automatic_failover(), Some(AutomaticFailoverStatus::Enabled | AutomaticFailoverStatus::Enabling));
    ReplicationGroupInfo {
        arn: text(of.arn()),
        id: text(of.replication_group_id()),
        status: text(of.status()),
        settings: CacheSettings {
            node_type: text(of.cache_node_type()),
            engine_version: member.and_then(|member| member.engine_version()).map(minor_version),
            replica_count: i64::try_from(of.member_clusters().len().saturating_sub(1)).unwrap_or_default(),
            automatic_failover: fails_over,
            multi_az: of.multi_az() == Some(&MultiAzStatus::Enabled),
            parameter_group: member
                .and_then(|member| member.cache_parameter_group())
                .and_then(|group| group.cache_parameter_group_name())
                .map(str::to_owned),
        },
        transit_encryption: transit_encryption(of),
        at_rest_encryption: of.at_rest_encryption_enabled() == Some(true),
        endpoint: endpoint.and_then(host_and_port),
        subnet_group: member.and_then(|member| member.cache_subnet_group_name()).map(str::to_owned),
        security_groups: set(member
            .into_iter()
            .flat_map(|member| member.security_groups())
            .map(|group| group.security_group_id())),
    }
}

/// Where AWS tells no mode, every connection is of the one kind.
fn transit_encryption(of: &ReplicationGroup) -> TransitEncryption {
    match (of.transit_encryption_enabled(), of.transit_encryption_mode()) {
        (Some(true), Some(TransitEncryptionMode::Preferred)) => TransitEncryption::Preferred,
        (Some(true), _) => TransitEncryption::Required,
        _ => TransitEncryption::Disabled,
    }
}

fn host_and_port(of: &Endpoint) -> Option<(String, u16)> {
    Some((of.address()?.to_owned(), u16::try_from(of.port()?).ok()?))
}

pub(super) async fn create_replication_group(
    client: &Client,
    new: &NewReplicationGroup,
    auth_token: Option<&str>,
) -> Result<String> {
    let answer = client
        .create_replication_group()
        .replication_group_id(&new.id)
        .replication_group_description(&new.description)
        .engine("redis")
        .set_engine_version(new.settings.engine_version.clone())
        // AWS's default follows new minor versions, and AWS takes no way back to the one that is asked for.
        .auto_minor_version_upgrade(false)
        .cache_node_type(&new.settings.node_type)
        .num_node_groups(1)
        .replicas_per_node_group(count(new.settings.replica_count))
        .automatic_failover_enabled(new.settings.automatic_failover)
        .multi_az_enabled(new.settings.multi_az)
        .set_cache_parameter_group_name(new.settings.parameter_group.clone())
        .transit_encryption_enabled(new.transit_encryption)
        .at_rest_encryption_enabled(new.at_rest_encryption)
        .cache_subnet_group_name(&new.subnet_group)
        .set_security_group_ids(list(&new.security_groups))
        .set_auth_token(auth_token.map(str::to_owned))
        .set_tags(Some(tag_list(&new.tags)))
        .send()
        .await
        .map_err(error(CREATE_REPLICATION_GROUP))?;
    let arn = answer.replication_group().and_then(|group| group.arn());
    arn.map(str::to_owned).ok_or_else(|| empty_answer(CREATE_REPLICATION_GROUP, "the replication group's ARN"))
}

fn count(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) async fn modify_replication_group(
    client: &Client,
    id: &str,
    there: &CacheSettings,
    wanted: &CacheSettings,
) -> Result<()> {
    let flag = |there: bool, wanted: bool| (there != wanted).then_some(wanted);
    let request = client
        .modify_replication_group()
        .replication_group_id(id)
        .set_cache_node_type((there.node_type != wanted.node_type).then(|| wanted.node_type.clone()))
        .set_engine_version(told(there.engine_version.as_ref(), wanted.engine_version.as_ref()))
        .set_automatic_failover_enabled(flag(there.automatic_failover, wanted.automatic_failover))
        .set_multi_az_enabled(flag(there.multi_az, wanted.multi_az))
        .set_cache_parameter_group_name(told(there.parameter_group.as_ref(), wanted.parameter_group.as_ref()))
        .apply_immediately(true);
    request.send().await.map_err(error("elasticache:ModifyReplicationGroup")).map(drop)
}

/// What to set where what is there is told, and is something else.
fn told(there: Option<&String>, wanted: Option<&String>) -> Option<String> {
    wanted.filter(|wanted| there.is_some_and(|there| there != *wanted)).cloned()
}

pub(super) async fn set_transit_encryption(client: &Client, id: &str, wanted: TransitEncryption) -> Result<()> {
    let mode = match wanted {
        TransitEncryption::Disabled => None,
        TransitEncryption::Preferred => Some(TransitEncryptionMode::Preferred),
        TransitEncryption::Required => Some(TransitEncryptionMode::Required),
    };
    let request = client.modify_replication_group().replication_group_id(id).set_transit_encryption_mode(mode);
    let answer = request.transit_encryption_enabled(wanted.is_on()).apply_immediately(true).send().await;
    answer.map_err(error("elasticache:ModifyReplicationGroup")).map(drop)
}

pub(super) async fn set_security_groups(client: &Client, id: &str, groups: &BTreeSet<String>) -> Result<()> {
    let request = client.modify_replication_group().replication_group_id(id).set_security_group_ids(list(groups));
    let answer = request.apply_immediately(true).send().await;
    answer.map_err(error("elasticache:ModifyReplicationGroup")).map(drop)
}

pub(super) async fn set_replica_count(client: &Client, id: &str, before: i64, wanted: i64) -> Result<()> {
    if wanted > before {
        let request = client.increase_replica_count().replication_group_id(id).new_replica_count(count(wanted));
        let answer = request.apply_immediately(true).send().await;
        answer.map_err(error("elasticache:IncreaseReplicaCount")).map(drop)
    } else {
        let request = client.decrease_replica_count().replication_group_id(id).new_replica_count(count(wanted));
        let answer = request.apply_immediately(true).send().await;
        answer.map_err(error("elasticache:DecreaseReplicaCount")).map(drop)
    }
}

pub(super) async fn delete_replication_group(client: &Client, id: &str) -> Result<()> {
    let request = client.delete_replication_group().replication_group_id(id).retain_primary_cluster(false);
    request.send().await.map_err(error("elasticache:DeleteReplicationGroup")).map(drop)
}

pub(super) async fn tags(client: &Client, arn: &str) -> Result<Tags> {
    let request = client.list_tags_for_resource().resource_name(arn);
    match found(request.send().await.map_err(error("elasticache:ListTagsForResource"))) {
        Ok(answer) => Ok(answer.map(|answer| tags_of(answer.tag_list())).unwrap_or_default()),
        Err(AwsError { code, .. }) if CHANGING.contains(&code.as_str()) => Ok(Tags::new()),
        Err(error) => Err(error),
    }
}

fn tags_of(tags: &[Tag]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), text(tag.value()))));
    pairs.filter(|(key, _)| is_ours(key)).collect()
}

fn tag_list(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) async fn add_tags(client: &Client, arn: &str, tags: &Tags) -> Result<()> {
    let request = client.add_tags_to_resource().resource_name(arn).set_tags(Some(tag_list(tags)));
    request.send().await.map_err(error("elasticache:AddTagsToResource")).map(drop)
}

pub(super) async fn remove_tags(client: &Client, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
    let request = client.remove_tags_from_resource().resource_name(arn).set_tag_keys(list(keys));
    request.send().await.map_err(error("elasticache:RemoveTagsFromResource")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_what_can_be_asked_for() {
        for (given, expected) in [("7.1.0", "7.1"), ("7.1", "7.1"), ("6.2.6", "6.2")] {
            assert_eq!(minor_version(given), expected);
        }
    }

    #[test]
    fn encryption_in_transit_without_a_mode_is_required() {
        let preferred = Some(TransitEncryptionMode::Preferred);
        for (enabled, mode, expected) in [
            (false, None, TransitEncryption::Disabled),
            (true, None, TransitEncryption::Required),
            (true, Some(TransitEncryptionMode::Required), TransitEncryption::Required),
            (true, preferred.clone(), TransitEncryption::Preferred),
            (false, preferred, TransitEncryption::Disabled),
        ] {
            let group = ReplicationGroup::builder().transit_encryption_enabled(enabled);
            let group = group.set_transit_encryption_mode(mode).build();
            assert_eq!(transit_encryption(&group), expected, "{group:?}");
        }
    }
}
