//! The AWS SDK behind our trait: one module for each service, all SDK types end here.

mod access;
mod acm;
mod ec2;
mod elasticache;
mod elbv2;
mod elbv2_types;
mod error;
mod route53;
mod rules;
mod ssm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::batch::Batcher;
use super::*;
use access::Clients;

pub(crate) use access::{Access, AssumeRole, Keys, WebIdentity};

/// AWS itself. Makes no call, reads no file and wants no credentials before it is first asked something.
pub(crate) struct SdkAws {
    connection: Arc<Connection>,
    reads: Reads,
}

/// How AWS is reached, and the clients that reach it, once anybody wants them.
struct Connection {
    access: Access,
    clients: OnceCell<Arc<Clients>>,
}

/// The reads that take several objects a call, shared by all who ask at the same time.
#[derive(Default)]
struct Reads {
    load_balancers: Batcher<LoadBalancerInfo>,
    listeners: Batcher<ListenerInfo>,
    target_groups: Batcher<TargetGroupInfo>,
    target_groups_named: Batcher<Vec<TargetGroupInfo>>,
    tags: Batcher<Tags>,
    security_groups: Batcher<SecurityGroupInfo>,
}

impl Connection {
    async fn clients(&self) -> Result<&Arc<Clients>> {
        self.clients.get_or_try_init(async || Ok(Arc::new(Clients::load(&self.access).await?))).await
    }
}

impl SdkAws {
    /// An AWS that will be reached in this way.
    pub(crate) fn new(access: Access) -> Self {
        Self { connection: Arc::new(Connection { access, clients: OnceCell::new() }), reads: Reads::default() }
    }

    async fn clients(&self) -> Result<&Clients> {
        Ok(self.connection.clients().await?)
    }

    /// Asks together with others, and once more alone when AWS refuses the call as wrong: that may be for what another
    /// has asked for, an ARN of another region for example. What never got to AWS, for want of credentials or of a
    /// region, would fail again.
    async fn share<V, A>(
        &self,
        batcher: &Batcher<V>,
        keys: &BTreeSet<String>,
        fetch: impl FnOnce(Arc<Clients>, BTreeSet<String>) -> A + Clone + Send + 'static,
    ) -> Result<BTreeMap<String, V>>
    where
        V: Clone + Send + Sync + 'static,
        A: Future<Output = Result<BTreeMap<String, V>>> + Send + 'static,
    {
        let connection = self.connection.clone();
        let connect = async move { Ok(connection.clients().await?.clone()) };
        match batcher.ask(keys, connect, fetch.clone()).await {
            Err(error) if error.class() == ErrorClass::Other && error.request_id.is_some() => {
                fetch(self.connection.clients().await?.clone(), keys.clone()).await
            }
            answered => answered,
        }
    }
}

/// Objects by their keys.
fn by_key<T>(objects: Vec<T>, key: impl Fn(&T) -> &String) -> BTreeMap<String, T> {
    objects.into_iter().map(|object| (key(&object).clone(), object)).collect()
}

const WHO_AM_I: &str = "sts:GetCallerIdentity";

/// Text that AWS may leave out.
fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// The texts that are there.
fn set<'a>(values: impl Iterator<Item = Option<&'a str>>) -> BTreeSet<String> {
    values.flatten().map(str::to_owned).collect()
}

/// Texts as requests take them.
fn list(values: &BTreeSet<String>) -> Option<Vec<String>> {
    Some(values.iter().cloned().collect())
}

/// Texts in portions of at most `size`, for calls that take no more.
fn chunks(values: &BTreeSet<String>, size: usize) -> Vec<Vec<String>> {
    let values: Vec<String> = values.iter().cloned().collect();
    values.chunks(size).map(<[String]>::to_vec).collect()
}

/// Whether a tag is for us to see. AWS keeps this prefix for its own, which nobody else can change.
fn is_ours(tag_key: &str) -> bool {
    !tag_key.starts_with("aws:")
}

#[async_trait]
impl Aws for SdkAws {
    async fn account_id(&self) -> Result<String> {
        let answer = self.clients().await?.sts.get_caller_identity().send().await.map_err(error::error(WHO_AM_I))?;
        answer.account.ok_or_else(|| error::empty_answer(WHO_AM_I, "the account"))
    }

    async fn load_balancer(&self, key: &LoadBalancerKey) -> Result<Option<LoadBalancerInfo>> {
        let arn = match key {
            LoadBalancerKey::Arn(arn) => arn,
            LoadBalancerKey::Name(name) => {
                return elbv2::load_balancer_named(&self.clients().await?.elbv2, name).await;
            }
        };
        let fetch = async |clients: Arc<Clients>, arns| {
            Ok(by_key(elbv2::load_balancers(&clients.elbv2, &arns).await?, |found| &found.arn))
        };
        let found = self.share(&self.reads.load_balancers, &BTreeSet::from([arn.clone()]), fetch).await?;
        Ok(found.into_values().next())
    }

    async fn load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        elbv2::load_balancer_attributes(&self.clients().await?.elbv2, arn).await
    }

    async fn create_load_balancer(&self, new: &NewLoadBalancer) -> Result<LoadBalancerInfo> {
        elbv2::create_load_balancer(&self.clients().await?.elbv2, new).await
    }

    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        elbv2::modify_load_balancer_attributes(&self.clients().await?.elbv2, arn, attributes).await
    }

    async fn set_subnets(&self, arn: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
        elbv2::set_subnets(&self.clients().await?.elbv2, arn, subnet_ids).await
    }

    async fn set_security_groups(&self, arn: &str, security_groups: &BTreeSet<String>) -> Result<()> {
        elbv2::set_security_groups(&self.clients().await?.elbv2, arn, security_groups).await
    }

    async fn set_ip_address_type(&self, arn: &str, ip_address_type: &str) -> Result<()> {
        elbv2::set_ip_address_type(&self.clients().await?.elbv2, arn, ip_address_type).await
    }

    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        elbv2::delete_load_balancer(&self.clients().await?.elbv2, arn).await
    }

    async fn target_groups_of(&self, load_balancer_arn: &str) -> Result<Vec<TargetGroupInfo>> {
        elbv2::target_groups_of(&self.clients().await?.elbv2, load_balancer_arn).await
    }

    async fn target_groups(&self, arns: &BTreeSet<String>) -> Result<Vec<TargetGroupInfo>> {
        let fetch = async |clients: Arc<Clients>, arns| {
            Ok(by_key(elbv2::target_groups(&clients.elbv2, &arns).await?, |found| &found.arn))
        };
        Ok(self.share(&self.reads.target_groups, arns, fetch).await?.into_values().collect())
    }

    async fn target_groups_named(&self, prefix: &str) -> Result<Vec<TargetGroupInfo>> {
        // AWS does not filter by a part of a name: the list is the same for all.
        let fetch = async |clients: Arc<Clients>, prefixes: BTreeSet<String>| {
            let all = elbv2::all_target_groups(&clients.elbv2).await?;
            let named = |prefix: &str| all.iter().filter(|group| group.name.starts_with(prefix)).cloned().collect();
            Ok(prefixes.into_iter().map(|prefix| (prefix.clone(), named(&prefix))).collect())
        };
        let prefixes = BTreeSet::from([prefix.to_owned()]);
        let found = self.share(&self.reads.target_groups_named, &prefixes, fetch).await?;
        Ok(found.into_values().flatten().collect())
    }

    async fn target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        elbv2::target_group_attributes(&self.clients().await?.elbv2, arn).await
    }

    async fn create_target_group(&self, new: &NewTargetGroup) -> Result<String> {
        elbv2::create_target_group(&self.clients().await?.elbv2, new).await
    }

    async fn modify_target_group(&self, arn: &str, health_check: &HealthCheck) -> Result<()> {
        elbv2::modify_target_group(&self.clients().await?.elbv2, arn, health_check).await
    }

    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        elbv2::modify_target_group_attributes(&self.clients().await?.elbv2, arn, attributes).await
    }

    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        elbv2::delete_target_group(&self.clients().await?.elbv2, arn).await
    }

    async fn register_targets(&self, arn: &str, instance_ids: &BTreeSet<String>) -> Result<()> {
        elbv2::register_targets(&self.clients().await?.elbv2, arn, instance_ids).await
    }

    async fn deregister_targets(&self, arn: &str, instance_ids: &BTreeSet<String>) -> Result<()> {
        elbv2::deregister_targets(&self.clients().await?.elbv2, arn, instance_ids).await
    }

    async fn target_health(&self, arn: &str) -> Result<Vec<TargetHealth>> {
        elbv2::target_health(&self.clients().await?.elbv2, arn).await
    }

    async fn listeners_by_arn(&self, arns: &BTreeSet<String>) -> Result<Vec<ListenerInfo>> {
        let fetch = async |clients: Arc<Clients>, arns| {
            Ok(by_key(elbv2::listeners_by_arn(&clients.elbv2, &arns).await?, |found| &found.arn))
        };
        Ok(self.share(&self.reads.listeners, arns, fetch).await?.into_values().collect())
    }

    async fn listeners(&self, load_balancer_arn: &str) -> Result<Vec<ListenerInfo>> {
        elbv2::listeners(&self.clients().await?.elbv2, load_balancer_arn).await
    }

    async fn additional_certificates(&self, listener_arn: &str) -> Result<BTreeSet<String>> {
        elbv2::additional_certificates(&self.clients().await?.elbv2, listener_arn).await
    }

    async fn listener_rules(&self, listener_arn: &str) -> Result<Vec<ListenerRuleInfo>> {
        elbv2::listener_rules(&self.clients().await?.elbv2, listener_arn).await
    }

    async fn has_ssl_policy(&self, name: &str) -> Result<bool> {
        elbv2::has_ssl_policy(&self.clients().await?.elbv2, name).await
    }

    async fn create_listener(
        &self,
        load_balancer_arn: &str,
        settings: &ListenerSettings,
        tags: &Tags,
    ) -> Result<String> {
        elbv2::create_listener(&self.clients().await?.elbv2, load_balancer_arn, settings, tags).await
    }

    async fn modify_listener(&self, arn: &str, settings: &ListenerSettings) -> Result<()> {
        elbv2::modify_listener(&self.clients().await?.elbv2, arn, settings).await
    }

    async fn add_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()> {
        elbv2::add_listener_certificates(&self.clients().await?.elbv2, arn, certificate_arns).await
    }

    async fn remove_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()> {
        elbv2::remove_listener_certificates(&self.clients().await?.elbv2, arn, certificate_arns).await
    }

    async fn delete_listener(&self, arn: &str) -> Result<()> {
        elbv2::delete_listener(&self.clients().await?.elbv2, arn).await
    }

    async fn tags(&self, arns: &BTreeSet<String>) -> Result<BTreeMap<String, Tags>> {
        let fetch = async |clients: Arc<Clients>, arns| elbv2::tags(&clients.elbv2, &arns).await;
        self.share(&self.reads.tags, arns, fetch).await
    }

    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        elbv2::add_tags(&self.clients().await?.elbv2, arn, tags).await
    }

    async fn remove_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
        elbv2::remove_tags(&self.clients().await?.elbv2, arn, keys).await
    }

    async fn security_groups(&self, key: &SecurityGroupKey) -> Result<Vec<SecurityGroupInfo>> {
        let SecurityGroupKey::Ids(ids) = key else {
            return ec2::security_groups(&self.clients().await?.ec2, key).await;
        };
        let fetch = async |clients: Arc<Clients>, ids| {
            Ok(by_key(ec2::security_groups(&clients.ec2, &SecurityGroupKey::Ids(ids)).await?, |found| &found.id))
        };
        Ok(self.share(&self.reads.security_groups, ids, fetch).await?.into_values().collect())
    }

    async fn security_group_rule_tags(&self, group_id: &str) -> Result<Vec<(String, RuleSettings, Tags)>> {
        ec2::security_group_rule_tags(&self.clients().await?.ec2, group_id).await
    }

    async fn tagged_rules(&self, key: &str, value: &str) -> Result<Vec<(String, Tags)>> {
        ec2::tagged_rules(&self.clients().await?.ec2, key, value).await
    }

    async fn create_security_group(&self, new: &NewSecurityGroup) -> Result<String> {
        ec2::create_security_group(&self.clients().await?.ec2, new).await
    }

    async fn authorize_rules(
        &self,
        group_id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
        tags: &Tags,
    ) -> Result<()> {
        ec2::authorize_rules(&self.clients().await?.ec2, group_id, direction, rules, tags).await
    }

    async fn revoke_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()> {
        ec2::revoke_rules(&self.clients().await?.ec2, group_id, direction, rules).await
    }

    async fn describe_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()> {
        ec2::describe_rules(&self.clients().await?.ec2, group_id, direction, rules).await
    }

    async fn delete_security_group(&self, group_id: &str) -> Result<()> {
        ec2::delete_security_group(&self.clients().await?.ec2, group_id).await
    }

    async fn add_ec2_tags(&self, ids: &BTreeSet<String>, tags: &Tags) -> Result<()> {
        ec2::add_tags(&self.clients().await?.ec2, ids, tags).await
    }

    async fn remove_ec2_tags(&self, ids: &BTreeSet<String>, tags: &BTreeMap<String, Option<String>>) -> Result<()> {
        ec2::remove_tags(&self.clients().await?.ec2, ids, tags).await
    }

    async fn network_interfaces(&self, group_id: &str) -> Result<Vec<NetworkInterfaceInfo>> {
        ec2::network_interfaces(&self.clients().await?.ec2, group_id).await
    }

    async fn subnets(&self, ids: &BTreeSet<String>) -> Result<Vec<SubnetInfo>> {
        ec2::subnets(&self.clients().await?.ec2, ids).await
    }

    async fn subnets_of(&self, vpc_id: &str) -> Result<Vec<SubnetInfo>> {
        ec2::subnets_of(&self.clients().await?.ec2, vpc_id).await
    }

    async fn route_tables(&self, vpc_id: &str) -> Result<Vec<RouteTableInfo>> {
        ec2::route_tables(&self.clients().await?.ec2, vpc_id).await
    }

    async fn nat_gateway_addresses(&self, id: &str) -> Result<BTreeSet<String>> {
        ec2::nat_gateway_addresses(&self.clients().await?.ec2, id).await
    }

    async fn vpc(&self, id: &str) -> Result<Option<VpcInfo>> {
        ec2::vpc(&self.clients().await?.ec2, id).await
    }

    async fn instances(&self, ids: &BTreeSet<String>) -> Result<Vec<InstanceInfo>> {
        ec2::instances(&self.clients().await?.ec2, ids).await
    }

    async fn launched(&self, key: &str, value: &str) -> Result<Vec<LaunchedInfo>> {
        ec2::launched(&self.clients().await?.ec2, key, value).await
    }

    async fn launched_by_id(&self, ids: &BTreeSet<String>) -> Result<Vec<LaunchedInfo>> {
        ec2::launched_by_id(&self.clients().await?.ec2, ids).await
    }

    async fn root_device(&self, image_id: &str) -> Result<String> {
        ec2::root_device(&self.clients().await?.ec2, image_id).await
    }

    async fn run_instance(&self, new: &NewInstance) -> Result<String> {
        ec2::run_instance(&self.clients().await?.ec2, new).await
    }

    async fn modify_metadata_options(&self, id: &str, options: MetadataOptions) -> Result<()> {
        ec2::modify_metadata_options(&self.clients().await?.ec2, id, options).await
    }

    async fn terminate_instance(&self, id: &str) -> Result<()> {
        ec2::terminate_instance(&self.clients().await?.ec2, id).await
    }

    async fn cache_subnet_group(&self, name: &str) -> Result<Option<CacheSubnetGroupInfo>> {
        elasticache::subnet_group(&self.clients().await?.elasticache, name).await
    }

    async fn create_cache_subnet_group(
        &self,
        name: &str,
        subnet_ids: &BTreeSet<String>,
        tags: &Tags,
    ) -> Result<String> {
        elasticache::create_subnet_group(&self.clients().await?.elasticache, name, subnet_ids, tags).await
    }

    async fn modify_cache_subnet_group(&self, name: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
        elasticache::modify_subnet_group(&self.clients().await?.elasticache, name, subnet_ids).await
    }

    async fn delete_cache_subnet_group(&self, name: &str) -> Result<()> {
        elasticache::delete_subnet_group(&self.clients().await?.elasticache, name).await
    }

    async fn replication_groups(&self, prefix: &str) -> Result<Vec<ReplicationGroupInfo>> {
        elasticache::replication_groups(&self.clients().await?.elasticache, prefix).await
    }

    async fn replication_group(&self, id: &str) -> Result<Option<ReplicationGroupInfo>> {
        elasticache::replication_group(&self.clients().await?.elasticache, id).await
    }

    async fn create_replication_group(&self, new: &NewReplicationGroup, auth_token: Option<&str>) -> Result<String> {
        elasticache::create_replication_group(&self.clients().await?.elasticache, new, auth_token).await
    }

    async fn modify_replication_group(&self, id: &str, there: &CacheSettings, wanted: &CacheSettings) -> Result<()> {
        elasticache::modify_replication_group(&self.clients().await?.elasticache, id, there, wanted).await
    }

    async fn set_transit_encryption(&self, id: &str, wanted: TransitEncryption) -> Result<()> {
        elasticache::set_transit_encryption(&self.clients().await?.elasticache, id, wanted).await
    }

    async fn set_cache_security_groups(&self, id: &str, groups: &BTreeSet<String>) -> Result<()> {
        elasticache::set_security_groups(&self.clients().await?.elasticache, id, groups).await
    }

    async fn set_replica_count(&self, id: &str, before: i64, count: i64) -> Result<()> {
        elasticache::set_replica_count(&self.clients().await?.elasticache, id, before, count).await
    }

    async fn delete_replication_group(&self, id: &str) -> Result<()> {
        elasticache::delete_replication_group(&self.clients().await?.elasticache, id).await
    }

    async fn cache_tags(&self, arn: &str) -> Result<Tags> {
        elasticache::tags(&self.clients().await?.elasticache, arn).await
    }

    async fn add_cache_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        elasticache::add_tags(&self.clients().await?.elasticache, arn, tags).await
    }

    async fn remove_cache_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
        elasticache::remove_tags(&self.clients().await?.elasticache, arn, keys).await
    }

    async fn parameter(&self, name: &str) -> Result<Option<String>> {
        ssm::parameter(&self.clients().await?.ssm, name).await
    }

    async fn certificate(&self, arn: &str) -> Result<Option<CertificateInfo>> {
        acm::certificate(&self.clients().await?.acm, arn).await
    }

    async fn certificates(&self) -> Result<Vec<CertificateInfo>> {
        acm::certificates(&self.clients().await?.acm).await
    }

    async fn hosted_zone_name(&self, zone_id: &str) -> Result<Option<String>> {
        route53::hosted_zone_name(&self.clients().await?.route53, zone_id).await
    }

    async fn records(&self, zone_id: &str, name: &str) -> Result<BTreeMap<String, RecordInfo>> {
        route53::records(&self.clients().await?.route53, zone_id, name).await
    }

    async fn record(&self, zone_id: &str, name: &str, kind: &str) -> Result<Option<RecordInfo>> {
        route53::record(&self.clients().await?.route53, zone_id, name, kind).await
    }

    async fn change_records(&self, zone_id: &str, changes: &[RecordChange]) -> Result<()> {
        route53::change_records(&self.clients().await?.route53, zone_id, changes).await
    }
}
