//! EC2: networks, security groups, instances.
//!
//! Objects are looked up by filter, never by id: EC2 fails a whole call when one id does not exist.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, GroupIdentifier, HttpTokensState, IamInstanceProfileSpecification,
    Instance, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceStateName, InstanceType,
    NatGatewayAddress, ResourceType, Route, RouteState, RouteTable, SecurityGroup, Subnet, SubnetCidrBlockStateCode,
    SubnetIpv6CidrBlockAssociation, Tag, TagSpecification, VolumeType, Vpc, VpcCidrBlockState, VpcCidrBlockStateCode,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{empty_answer, error};
use super::rules::{permissions, rule_of, rules_of};
use super::{chunks, is_ours, list, set, text};
use crate::aws::{
    AwsError, Direction, InstanceInfo, LaunchedInfo, MetadataOptions, NetworkInterfaceInfo, NewInstance,
    NewSecurityGroup, Result, RouteInfo, RouteTableInfo, RuleSettings, SecurityGroupInfo, SecurityGroupKey, SubnetInfo,
    Tags, VpcInfo,
};

/// Values of one filter, at most.
const VALUES_PER_FILTER: usize = 200;

const DESCRIBE_IMAGES: &str = "ec2:DescribeImages";
const RUN_INSTANCES: &str = "ec2:RunInstances";
const DESCRIBE_RULES: &str = "ec2:DescribeSecurityGroupRules";
const CREATE_SECURITY_GROUP: &str = "ec2:CreateSecurityGroup";

/// What is equal to one of the values. In values, EC2 takes `*` and `?` for wildcards unless told otherwise.
fn filter(name: impl Into<String>, values: &[impl AsRef<str>]) -> Filter {
    let literal = |value: &str| value.replace('\\', r"\\").replace('*', r"\*").replace('?', r"\?");
    let values = values.iter().map(|value| literal(value.as_ref())).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

pub(super) async fn security_groups(client: &Client, key: &SecurityGroupKey) -> Result<Vec<SecurityGroupInfo>> {
    let lookups: Vec<Vec<Filter>> = match key {
        SecurityGroupKey::Ids(ids) => {
            chunks(ids, VALUES_PER_FILTER).iter().map(|ids| vec![filter("group-id", ids)]).collect()
        }
        SecurityGroupKey::Name { vpc_id, name } => {
            let vpc = vpc_id.iter().map(|vpc_id| filter("vpc-id", &[vpc_id]));
            vec![vpc.chain([filter("group-name", &[name])]).collect()]
        }
        SecurityGroupKey::Tag { key, value } => vec![vec![filter(format!("tag:{key}"), &[value])]],
        SecurityGroupKey::Naming(id) => {
            let sides = ["ip-permission.group-id", "egress.ip-permission.group-id"];
            sides.map(|side| vec![filter(side, &[id])]).into()
        }
    };
    let mut infos = Vec::new();
    for filters in lookups {
        let request = client.describe_security_groups().set_filters(Some(filters));
        let groups = request.into_paginator().items().send().try_collect().await;
        infos.extend(groups.map_err(error("ec2:DescribeSecurityGroups"))?.iter().map(security_group_info));
    }
    Ok(infos)
}

fn security_group_info(of: &SecurityGroup) -> SecurityGroupInfo {
    let ingress = of.ip_permissions().iter().flat_map(|permission| rules_of(Direction::Ingress, permission));
    let egress = of.ip_permissions_egress().iter().flat_map(|permission| rules_of(Direction::Egress, permission));
    SecurityGroupInfo {
        id: text(of.group_id()),
        name: text(of.group_name()),
        description: text(of.description()),
        vpc_id: text(of.vpc_id()),
        rules: ingress.chain(egress).collect(),
        tags: tags_of(of.tags()),
    }
}

pub(super) async fn security_group_rule_tags(
    client: &Client,
    group_id: &str,
) -> Result<Vec<(String, RuleSettings, Tags)>> {
    let request = client.describe_security_group_rules().filters(filter("group-id", &[group_id]));
    let rules = request.into_paginator().items().send().try_collect().await;
    let rules = rules.map_err(error(DESCRIBE_RULES))?;
    let tagged = rules
        .iter()
        .filter_map(|rule| Some((text(rule.security_group_rule_id()), rule_of(rule)?, tags_of(rule.tags()))));
    Ok(tagged.collect())
}

pub(super) async fn tagged_rules(client: &Client, key: &str, value: &str) -> Result<Vec<(String, Tags)>> {
    let request = client.describe_security_group_rules().filters(filter(format!("tag:{key}"), &[value]));
    let rules = request.into_paginator().items().send().try_collect().await;
    let rules = rules.map_err(error(DESCRIBE_RULES))?;
    Ok(rules.iter().map(|rule| (text(rule.group_id()), tags_of(rule.tags()))).collect())
}

pub(super) async fn create_security_group(client: &Client, new: &NewSecurityGroup) -> Result<String> {
    let answer = client
        .create_security_group()
        .group_name(&new.name)
        .description(&new.description)
        .vpc_id(&new.vpc_id)
        .set_tag_specifications(tagging(ResourceType::SecurityGroup, &new.tags))
        .send()
        .await
        .map_err(error(CREATE_SECURITY_GROUP))?;
    answer.group_id.ok_or_else(|| empty_answer(CREATE_SECURITY_GROUP, "the security group's id"))
}

pub(super) async fn authorize_rules(
    client: &Client,
    group_id: &str,
    direction: Direction,
    rules: &BTreeSet<RuleSettings>,
    tags: &Tags,
) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let permissions = Some(permissions(rules));
    let tagging = tagging(ResourceType::SecurityGroupRule, tags);
    match direction {
        Direction::Ingress => {
            let request = client.authorize_security_group_ingress().group_id(group_id);
            let request = request.set_ip_permissions(permissions).set_tag_specifications(tagging);
            request.send().await.map_err(error("ec2:AuthorizeSecurityGroupIngress")).map(drop)
        }
        Direction::Egress => {
            let request = client.authorize_security_group_egress().group_id(group_id);
            let request = request.set_ip_permissions(permissions).set_tag_specifications(tagging);
            request.send().await.map_err(error("ec2:AuthorizeSecurityGroupEgress")).map(drop)
        }
    }
}

pub(super) async fn revoke_rules(
    client: &Client,
    group_id: &str,
    direction: Direction,
    rules: &BTreeSet<RuleSettings>,
) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let permissions = Some(permissions(rules));
    match direction {
        Direction::Ingress => {
            let request = client.revoke_security_group_ingress().group_id(group_id).set_ip_permissions(permissions);
            request.send().await.map_err(error("ec2:RevokeSecurityGroupIngress")).map(drop)
        }
        Direction::Egress => {
            let request = client.revoke_security_group_egress().group_id(group_id).set_ip_permissions(permissions);
            request.send().await.map_err(error("ec2:RevokeSecurityGroupEgress")).map(drop)
        }
    }
}

pub(super) async fn describe_rules(
    client: &Client,
    group_id: &str,
    direction: Direction,
    rules: &BTreeSet<RuleSettings>,
) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let permissions = Some(permissions(rules));
    match direction {
        Direction::Ingress => {
            let request = client.update_security_group_rule_descriptions_ingress().group_id(group_id);
            let answer = request.set_ip_permissions(permissions).send().await;
            answer.map_err(error("ec2:UpdateSecurityGroupRuleDescriptionsIngress")).map(drop)
        }
        Direction::Egress => {
            let request = client.update_security_group_rule_descriptions_egress().group_id(group_id);
            let answer = request.set_ip_permissions(permissions).send().await;
            answer.map_err(error("ec2:UpdateSecurityGroupRuleDescriptionsEgress")).map(drop)
        }
    }
}

pub(super) async fn delete_security_group(client: &Client, group_id: &str) -> Result<()> {
    let request = client.delete_security_group().group_id(group_id);
    request.send().await.map_err(error("ec2:DeleteSecurityGroup")).map(drop)
}

pub(super) async fn add_tags(client: &Client, ids: &BTreeSet<String>, tags: &Tags) -> Result<()> {
    if ids.is_empty() || tags.is_empty() {
        return Ok(());
    }
    let request = client.create_tags().set_resources(list(ids)).set_tags(Some(tag_list(tags)));
    request.send().await.map_err(error("ec2:CreateTags")).map(drop)
}

pub(super) async fn remove_tags(
    client: &Client,
    ids: &BTreeSet<String>,
    tags: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    // Without tags, the call would delete every tag there is.
    if ids.is_empty() || tags.is_empty() {
        return Ok(());
    }
    // Without a value, a tag goes whatever its value is.
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).set_value(value.clone()).build()).collect();
    let request = client.delete_tags().set_resources(list(ids)).set_tags(Some(tags));
    request.send().await.map_err(error("ec2:DeleteTags")).map(drop)
}

fn tag_list(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for what a request creates: AWS refuses an empty list, not a missing one.
fn tagging(kind: ResourceType, tags: &Tags) -> Option<Vec<TagSpecification>> {
    let tagging = TagSpecification::builder().resource_type(kind).set_tags(Some(tag_list(tags))).build();
    (!tags.is_empty()).then(|| vec![tagging])
}

fn tags_of(tags: &[Tag]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), text(tag.value()))));
    pairs.filter(|(key, _)| is_ours(key)).collect()
}

pub(super) async fn network_interfaces(client: &Client, group_id: &str) -> Result<Vec<NetworkInterfaceInfo>> {
    let request = client.describe_network_interfaces().filters(filter("group-id", &[group_id]));
    let interfaces = request.into_paginator().items().send().try_collect().await;
    let interfaces = interfaces.map_err(error("ec2:DescribeNetworkInterfaces"))?;
    let infos = interfaces.iter().map(|interface| NetworkInterfaceInfo {
        id: text(interface.network_interface_id()),
        description: text(interface.description()),
    });
    Ok(infos.collect())
}

pub(super) async fn subnets(client: &Client, ids: &BTreeSet<String>) -> Result<Vec<SubnetInfo>> {
    let mut infos = Vec::new();
    for ids in chunks(ids, VALUES_PER_FILTER) {
        infos.extend(filtered_subnets(client, filter("subnet-id", &ids)).await?);
    }
    Ok(infos)
}

pub(super) async fn subnets_of(client: &Client, vpc_id: &str) -> Result<Vec<SubnetInfo>> {
    filtered_subnets(client, filter("vpc-id", &[vpc_id])).await
}

async fn filtered_subnets(client: &Client, filter: Filter) -> Result<Vec<SubnetInfo>> {
    let subnets = client.describe_subnets().filters(filter).into_paginator().items().send().try_collect().await;
    Ok(subnets.map_err(error("ec2:DescribeSubnets"))?.iter().map(subnet_info).collect())
}

fn subnet_info(of: &Subnet) -> SubnetInfo {
    let associated = |block: &SubnetIpv6CidrBlockAssociation| {
        let state = block.ipv6_cidr_block_state().and_then(|state| state.state());
        state.is_none_or(|state| *state == SubnetCidrBlockStateCode::Associated)
    };
    SubnetInfo {
        id: text(of.subnet_id()),
        vpc_id: text(of.vpc_id()),
        availability_zone: text(of.availability_zone()),
        free_addresses: of.available_ip_address_count().map(i64::from).unwrap_or_default(),
        has_ipv6: of.ipv6_cidr_block_association_set().iter().any(associated),
        gives_public_addresses: of.map_public_ip_on_launch().unwrap_or_default(),
    }
}

pub(super) async fn route_tables(client: &Client, vpc_id: &str) -> Result<Vec<RouteTableInfo>> {
    let request = client.describe_route_tables().filters(filter("vpc-id", &[vpc_id]));
    let tables = request.into_paginator().items().send().try_collect().await;
    Ok(tables.map_err(error("ec2:DescribeRouteTables"))?.iter().map(route_table_info).collect())
}

fn route_table_info(of: &RouteTable) -> RouteTableInfo {
    let active = of.routes().iter().filter(|route| route.state().is_none_or(|state| *state == RouteState::Active));
    RouteTableInfo {
        subnet_ids: set(of.associations().iter().map(|association| association.subnet_id())),
        main: of.associations().iter().any(|association| association.main() == Some(true)),
        routes: active.filter_map(route_info).collect(),
    }
}

/// `None` for a route that has no destination or target we know.
fn route_info(of: &Route) -> Option<RouteInfo> {
    let destination =
        of.destination_cidr_block().or(of.destination_ipv6_cidr_block()).or(of.destination_prefix_list_id())?;
    // An instance's route shows its network interface as well; that one alone is always there.
    let target = of
        .gateway_id()
        .or(of.nat_gateway_id())
        .or(of.egress_only_internet_gateway_id())
        .or(of.transit_gateway_id())
        .or(of.vpc_peering_connection_id())
        .or(of.local_gateway_id())
        .or(of.carrier_gateway_id())
        .or(of.core_network_arn())
        .or(of.network_interface_id())
        .or(of.instance_id())?;
    Some(RouteInfo { destination: destination.to_owned(), target: target.to_owned() })
}

pub(super) async fn nat_gateway_addresses(client: &Client, id: &str) -> Result<BTreeSet<String>> {
    let request = client.describe_nat_gateways().filter(filter("nat-gateway-id", &[id]));
    let gateways = request.into_paginator().items().send().try_collect().await;
    let gateways = gateways.map_err(error("ec2:DescribeNatGateways"))?;
    let addresses = gateways.iter().flat_map(|gateway| gateway.nat_gateway_addresses());
    Ok(set(addresses.map(NatGatewayAddress::public_ip)))
}

pub(super) async fn vpc(client: &Client, id: &str) -> Result<Option<VpcInfo>> {
    let request = client.describe_vpcs().filters(filter("vpc-id", &[id]));
    let vpcs = request.into_paginator().items().send().try_collect().await;
    Ok(vpcs.map_err(error("ec2:DescribeVpcs"))?.first().map(vpc_info))
}

fn vpc_info(of: &Vpc) -> VpcInfo {
    let associated = |state: Option<&VpcCidrBlockState>| {
        state.and_then(|state| state.state()).is_none_or(|state| *state == VpcCidrBlockStateCode::Associated)
    };
    let ipv4 = of.cidr_block_association_set().iter().filter(|block| associated(block.cidr_block_state()));
    let ipv6 = of.ipv6_cidr_block_association_set().iter().filter(|block| associated(block.ipv6_cidr_block_state()));
    VpcInfo {
        id: text(of.vpc_id()),
        cidr_blocks: set(ipv4.map(|block| block.cidr_block())),
        ipv6_cidr_blocks: set(ipv6.map(|block| block.ipv6_cidr_block())),
    }
}

pub(super) async fn instances(client: &Client, ids: &BTreeSet<String>) -> Result<Vec<InstanceInfo>> {
    Ok(launched_by_id(client, ids).await?.into_iter().map(|info| info.instance).collect())
}

fn instance_info(of: &Instance) -> InstanceInfo {
    InstanceInfo {
        id: text(of.instance_id()),
        state: text(of.state().and_then(|state| state.name()).map(InstanceStateName::as_str)),
        vpc_id: text(of.vpc_id()),
        subnet_id: text(of.subnet_id()),
        availability_zone: text(of.placement().and_then(|placement| placement.availability_zone())),
        private_ip: of.private_ip_address().map(str::to_owned),
        public_ip: of.public_ip_address().map(str::to_owned),
        security_groups: set(of.security_groups().iter().map(GroupIdentifier::group_id)),
    }
}

pub(super) async fn launched(client: &Client, key: &str, value: &str) -> Result<Vec<LaunchedInfo>> {
    filtered_instances(client, filter(format!("tag:{key}"), &[value])).await
}

pub(super) async fn launched_by_id(client: &Client, ids: &BTreeSet<String>) -> Result<Vec<LaunchedInfo>> {
    let mut infos = Vec::new();
    for ids in chunks(ids, VALUES_PER_FILTER) {
        infos.extend(filtered_instances(client, filter("instance-id", &ids)).await?);
    }
    Ok(infos)
}

async fn filtered_instances(client: &Client, filter: Filter) -> Result<Vec<LaunchedInfo>> {
    let request = client.describe_instances().filters(filter);
    let reservations = request.into_paginator().items().send().try_collect().await;
    let reservations = reservations.map_err(error("ec2:DescribeInstances"))?;
    Ok(reservations.iter().flat_map(|reservation| reservation.instances()).map(launched_info).collect())
}

fn launched_info(of: &Instance) -> LaunchedInfo {
    let metadata = of.metadata_options();
    let root = of.block_device_mappings().iter().find(|mapping| mapping.device_name() == of.root_device_name());
    LaunchedInfo {
        instance: instance_info(of),
        image_id: text(of.image_id()),
        instance_type: text(of.instance_type().map(InstanceType::as_str)),
        key_name: of.key_name().map(str::to_owned),
        // Its ARN ends in its path and name.
        instance_profile: of
            .iam_instance_profile()
            .and_then(|profile| profile.arn())
            .and_then(|arn| arn.rsplit('/').next())
            .map(str::to_owned),
        metadata: MetadataOptions {
            enabled: metadata.and_then(|options| options.http_endpoint())
                != Some(&InstanceMetadataEndpointState::Disabled),
            requires_session: metadata.and_then(|options| options.http_tokens()) == Some(&HttpTokensState::Required),
            hop_limit: metadata.and_then(|options| options.http_put_response_hop_limit()).unwrap_or(1),
        },
        root_volume: root.and_then(|mapping| mapping.ebs()?.volume_id()).map(str::to_owned),
        tags: tags_of(of.tags()),
    }
}

fn endpoint(of: MetadataOptions) -> InstanceMetadataEndpointState {
    if of.enabled { InstanceMetadataEndpointState::Enabled } else { InstanceMetadataEndpointState::Disabled }
}

fn tokens(of: MetadataOptions) -> HttpTokensState {
    if of.requires_session { HttpTokensState::Required } else { HttpTokensState::Optional }
}

pub(super) async fn root_device(client: &Client, image_id: &str) -> Result<String> {
    // By id: there is nothing to launch when this one does not exist.
    let answer = client.describe_images().image_ids(image_id).send().await.map_err(error(DESCRIBE_IMAGES))?;
    let name = answer.images().first().and_then(|image| image.root_device_name());
    // EC2 answers with nothing for an image that was deregistered, as long as there are instances of it.
    name.map(str::to_owned).ok_or_else(|| AwsError {
        operation: DESCRIBE_IMAGES,
        code: "InvalidAMIID.Unavailable".to_owned(),
        message: format!("the image {image_id} was deregistered or disabled"),
        request_id: None,
    })
}

pub(super) async fn run_instance(client: &Client, new: &NewInstance) -> Result<String> {
    let metadata = InstanceMetadataOptionsRequest::builder()
        .http_endpoint(endpoint(new.metadata))
        .http_tokens(tokens(new.metadata))
        .http_put_response_hop_limit(new.metadata.hop_limit)
        .build();
    let volume = EbsBlockDevice::builder()
        .encrypted(true)
        .delete_on_termination(true)
        .volume_type(VolumeType::Gp3)
        .volume_size(i32::try_from(new.root_volume_size).unwrap_or(i32::MAX))
        .build();
    let profile = |name: &String| IamInstanceProfileSpecification::builder().name(name).build();
    let of_instance = tagging(ResourceType::Instance, &new.tags).unwrap_or_default();
    let of_volume = tagging(ResourceType::Volume, &new.volume_tags).unwrap_or_default();
    let answer = client
        .run_instances()
        .client_token(&new.client_token)
        .min_count(1)
        .max_count(1)
        .image_id(&new.image_id)
        .instance_type(InstanceType::from(new.instance_type.as_str()))
        .subnet_id(&new.subnet_id)
        .set_security_group_ids(list(&new.security_groups))
        .set_key_name(new.key_name.clone())
        .set_iam_instance_profile(new.instance_profile.as_ref().map(profile))
        .metadata_options(metadata)
        .block_device_mappings(BlockDeviceMapping::builder().device_name(&new.root_device).ebs(volume).build())
        .user_data(STANDARD.encode(&new.user_data))
        .set_tag_specifications(Some([of_instance, of_volume].concat()))
        .send()
        .await
        .map_err(error(RUN_INSTANCES))?;
    let id = answer.instances().first().and_then(|instance| instance.instance_id());
    id.map(str::to_owned).ok_or_else(|| empty_answer(RUN_INSTANCES, "the instance's id"))
}

pub(super) async fn modify_metadata_options(client: &Client, id: &str, options: MetadataOptions) -> Result<()> {
    let request = client
        .modify_instance_metadata_options()
        .instance_id(id)
        .http_endpoint(endpoint(options))
        .http_tokens(tokens(options))
        .http_put_response_hop_limit(options.hop_limit);
    request.send().await.map_err(error("ec2:ModifyInstanceMetadataOptions")).map(drop)
}

pub(super) async fn terminate_instance(client: &Client, id: &str) -> Result<()> {
    let request = client.terminate_instances().instance_ids(id);
    request.send().await.map_err(error("ec2:TerminateInstances")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_ec2::types::{
        EbsInstanceBlockDevice, InstanceBlockDeviceMapping, RouteTableAssociation, VpcCidrBlockAssociation,
    };

    #[test]
    fn a_filter_value_is_meant_literally() {
        assert_eq!(filter("group-name", &[r"a*b?c\d"]).values(), [r"a\*b\?c\\d"]);
    }

    #[test]
    fn routes_that_lead_nowhere_are_left_out() {
        let route = |target: &str, state: RouteState| {
            Route::builder().destination_cidr_block("0.0.0.0/0").gateway_id(target).state(state).build()
        };
        let table = RouteTable::builder()
            .routes(route("igw-1", RouteState::Active))
            .routes(route("igw-2", RouteState::Blackhole))
            .associations(RouteTableAssociation::builder().main(true).build())
            .associations(RouteTableAssociation::builder().subnet_id("subnet-1").build())
            .build();
        let info = route_table_info(&table);
        assert_eq!(info.routes, [RouteInfo { destination: "0.0.0.0/0".to_owned(), target: "igw-1".to_owned() }]);
        assert_eq!((info.main, info.subnet_ids), (true, BTreeSet::from(["subnet-1".to_owned()])));
    }

    #[test]
    fn a_volume_attached_since_is_not_the_root_volume() {
        let volume = |device: &str, id: &str| {
            let volume = EbsInstanceBlockDevice::builder().volume_id(id).build();
            InstanceBlockDeviceMapping::builder().device_name(device).ebs(volume).build()
        };
        let instance = Instance::builder()
            .root_device_name("/dev/xvda")
            .block_device_mappings(volume("/dev/sdf", "vol-2"))
            .block_device_mappings(volume("/dev/xvda", "vol-1"))
            .build();
        assert_eq!(launched_info(&instance).root_volume.as_deref(), Some("vol-1"));
    }

    #[test]
    fn only_associated_blocks_of_a_vpc_count() {
        let block = |cidr: &str, code: VpcCidrBlockStateCode| {
            let state = VpcCidrBlockState::builder().state(code).build();
            VpcCidrBlockAssociation::builder().cidr_block(cidr).cidr_block_state(state).build()
        };
        let vpc = Vpc::builder()
            .cidr_block_association_set(block("10.0.0.0/16", VpcCidrBlockStateCode::Associated))
            .cidr_block_association_set(block("10.1.0.0/16", VpcCidrBlockStateCode::Disassociated))
            .build();
        assert_eq!(vpc_info(&vpc).cidr_blocks, BTreeSet::from(["10.0.0.0/16".to_owned()]));
    }
}
