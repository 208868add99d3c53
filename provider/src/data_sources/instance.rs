//! `codestream_instance`: what a load balancer needs to know of the instance behind it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::provider::{DataSource, Stop};
use tfplugin::schema::{Attribute, Schema};
use tfplugin::value::Value;

use crate::aws::{self, Aws, InstanceInfo, RouteTableInfo, SubnetInfo};
use crate::diagnose;
use crate::resource::forms;
use crate::settings::Shared;

/// The data source.
pub(super) struct Instance {
    settings: Shared,
    schema: Schema,
}

impl Instance {
    pub(super) fn new(settings: Shared) -> Self {
        Self { settings, schema: schema() }
    }
}

fn schema() -> Schema {
    let text = |name, description: &str| Attribute::string(name).computed().describe(description);
    Schema::new(
        "An instance, and what a load balancer in front of it needs to know: its network, the public subnets of its \
         VPC, and the addresses from which it reaches the load balancer.",
        vec![
            Attribute::string("instance_id").required().check(forms::INSTANCE_ID).describe("Id of the instance."),
            text("vpc_id", "Its VPC."),
            text("availability_zone", "Its availability zone, by name."),
            text("subnet_id", "Its subnet."),
            text("private_ip", "Its private IPv4 address."),
            text("public_ip", "Its public IPv4 address; null when it has none."),
            Attribute::string_set("security_group_ids").computed().describe("Its security groups."),
            text("state", "`running`, `stopped` or another state of an instance."),
            Attribute::string_list("public_subnet_ids").computed().describe(
                "One public subnet of its VPC for each availability zone that has any, the zone of the instance first, \
                 the others in order: subnets for an internet-facing load balancer. Public is a subnet with a route \
                 to an internet gateway; of several in a zone, it is the one with the lowest id. Local Zones are left \
                 out, unless the instance is in one: a load balancer cannot be in both.",
            ),
            Attribute::string_set("egress_cidr_blocks").computed().describe(
                "The public addresses from which the instance reaches the internet, and so an internet-facing load \
                 balancer, as `/32` blocks: those of the NAT gateway that its default route leads to, or its own. \
                 Empty when its default route leads elsewhere, or it has none.",
            ),
        ],
    )
}

#[async_trait]
impl DataSource for Instance {
    fn type_name(&self) -> &'static str {
        "codestream_instance"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: Value, _stop: Stop) -> Result<(Value, Diagnostics), Diagnostics> {
        let aws = super::aws(&self.settings)?;
        let id = config.get("instance_id").as_str().unwrap_or_default();
        let found = look_up(aws.as_ref(), id).await.map_err(|error| diagnose::failed("read", id, &error))?;
        found.map(|state| (state, Diagnostics::new())).ok_or_else(|| {
            let mut diagnostics = Diagnostics::new();
            diagnostics.error_at(
                Path::of("instance_id"),
                "No such instance",
                format!(
                    "There is no instance {id} in this account and region, or it is terminated. Give the id of one \
                     that exists."
                ),
            );
            diagnostics
        })
    }
}

/// The instance as the schema has it; `None` when there is none, or it is terminated and so in no VPC any more.
async fn look_up(aws: &dyn Aws, id: &str) -> aws::Result<Option<Value>> {
    let instances = aws.instances(&BTreeSet::from([id.to_owned()])).await?;
    let Some(instance) = instances.into_iter().find(|instance| !instance.vpc_id.is_empty()) else { return Ok(None) };
    let (subnets, tables) = tokio::try_join!(aws.subnets_of(&instance.vpc_id), aws.route_tables(&instance.vpc_id))?;
    let egress = egress_addresses(aws, &instance, &tables).await?;
    Ok(Some(Value::object([
        ("instance_id", Value::from(&instance.id)),
        ("vpc_id", Value::from(&instance.vpc_id)),
        ("availability_zone", Value::from(&instance.availability_zone)),
        ("subnet_id", Value::from(&instance.subnet_id)),
        ("private_ip", Value::from(instance.private_ip.as_ref())),
        ("public_ip", Value::from(instance.public_ip.as_ref())),
        ("security_group_ids", Value::set(&instance.security_groups)),
        ("state", Value::from(&instance.state)),
        ("public_subnet_ids", Value::from(public_subnets(&instance.availability_zone, &subnets, &tables))),
        ("egress_cidr_blocks", Value::set(egress.iter().map(|address| format!("{address}/32")))),
    ])))
}

fn is_public(subnet: &SubnetInfo, tables: &[RouteTableInfo]) -> bool {
    RouteTableInfo::of(&subnet.id, tables).is_some_and(RouteTableInfo::is_public)
}

/// The public subnets, one for each zone, those of `home` first.
fn public_subnets(home: &str, subnets: &[SubnetInfo], tables: &[RouteTableInfo]) -> Vec<String> {
    // `us-east-1a` is in `us-east-1`, and the Local Zone `us-east-1-bos-1a` is in `us-east-1-bos-1`.
    let group = |zone: &str| zone.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned();
    let mut by_zone: BTreeMap<(bool, &str), &str> = BTreeMap::new();
    for subnet in subnets.iter().filter(|subnet| is_public(subnet, tables)) {
        let zone = subnet.availability_zone.as_str();
        if group(zone) == group(home) {
            let lowest = by_zone.entry((zone != home, zone)).or_insert(&subnet.id);
            *lowest = subnet.id.as_str().min(*lowest);
        }
    }
    by_zone.into_values().map(str::to_owned).collect()
}

/// The addresses that the instance's default route gives it on the internet.
async fn egress_addresses(
    aws: &dyn Aws,
    instance: &InstanceInfo,
    tables: &[RouteTableInfo],
) -> aws::Result<BTreeSet<String>> {
    let routes =
        RouteTableInfo::of(&instance.subnet_id, tables).map(|table| table.routes.as_slice()).unwrap_or_default();
    let gateway = routes.iter().find(|route| route.destination == "0.0.0.0/0").map(|route| route.target.as_str());
    match gateway {
        Some(nat) if nat.starts_with("nat-") => aws.nat_gateway_addresses(nat).await,
        Some(internet) if internet.starts_with("igw-") => Ok(instance.public_ip.iter().cloned().collect()),
        _ => Ok(BTreeSet::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{message, settings};
    use super::*;
    use crate::aws::RouteInfo;
    use crate::aws::fake::FakeAws;

    async fn read(aws: &FakeAws, id: &str) -> Result<Value, Diagnostics> {
        let config = Value::object([("instance_id", Value::from(id))]);
        Instance::new(settings(aws)).read(config, Stop::new()).await.map(|(state, _)| state)
    }

    fn strings(value: &Value) -> Vec<&str> {
        value.as_list().unwrap().iter().filter_map(Value::as_str).collect()
    }

    fn move_to_private_subnet(aws: &FakeAws, id: &str) {
        let mut state = aws.state();
        let instance = state.instances.get_mut(id).unwrap();
        (instance.subnet_id, instance.public_ip) = ("subnet-private".to_owned(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_tells_all_that_a_load_balancer_needs() {
        let state = read(&FakeAws::new(), "i-2").await.unwrap();
        let text = |name: &str| state.get(name).as_str().unwrap().to_owned();
        assert_eq!([text("vpc_id"), text("availability_zone"), text("subnet_id")], ["vpc-1", "us-east-1b", "subnet-b"]);
        assert_eq!([text("private_ip"), text("public_ip"), text("state")], ["10.0.2.10", "198.51.100.2", "running"]);
        assert_eq!(strings(state.get("security_group_ids")), ["sg-hosts"]);
        assert_eq!(strings(state.get("public_subnet_ids")), ["subnet-b", "subnet-a", "subnet-c"]);
        assert_eq!(strings(state.get("egress_cidr_blocks")), ["198.51.100.2/32"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_behind_a_nat_gateway_has_its_addresses() {
        let aws = FakeAws::new();
        move_to_private_subnet(&aws, "i-1");
        let state = read(&aws, "i-1").await.unwrap();
        assert_eq!(strings(state.get("egress_cidr_blocks")), ["203.0.113.10/32"]);
        assert_eq!(strings(state.get("public_subnet_ids"))[0], "subnet-a");
        assert!(state.get("public_ip").is_null());
    }

    #[tokio::test(start_paused = true)]
    async fn a_default_route_to_anything_else_tells_no_address() {
        let aws = FakeAws::new();
        move_to_private_subnet(&aws, "i-1");
        let transit = RouteInfo { destination: "0.0.0.0/0".to_owned(), target: "tgw-1".to_owned() };
        aws.state().route_tables.iter_mut().for_each(|(_, table)| {
            if table.main {
                table.routes = vec![transit.clone()];
            }
        });
        assert!(strings(read(&aws, "i-1").await.unwrap().get("egress_cidr_blocks")).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_public_subnets_in_a_zone_the_lowest_id_counts_and_local_zones_do_not() {
        let aws = FakeAws::new();
        {
            let mut state = aws.state();
            let model = state.subnets["subnet-b"].clone();
            for (id, zone) in
                [("subnet-aa", "us-east-1a"), ("subnet-0b", "us-east-1b"), ("subnet-bos", "us-east-1-bos-1a")]
            {
                let subnet = SubnetInfo { id: id.to_owned(), availability_zone: zone.to_owned(), ..model.clone() };
                state.subnets.insert(id.to_owned(), subnet);
                state.route_tables[0].1.subnet_ids.insert(id.to_owned());
            }
        }
        let state = read(&aws, "i-1").await.unwrap();
        assert_eq!(strings(state.get("public_subnet_ids")), ["subnet-a", "subnet-0b", "subnet-c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_is_gone_is_an_error_at_its_id() {
        let aws = FakeAws::new();
        aws.state().instances.get_mut("i-3").unwrap().vpc_id.clear();
        for id in ["i-9", "i-3"] {
            let failure = read(&aws, id).await.unwrap_err();
            assert!(failure.iter().all(|diagnostic| diagnostic.path == Path::of("instance_id")));
            assert!(message(failure).contains(id));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_three_rounds_of_calls_and_changes_nothing() {
        let aws = FakeAws::new();
        move_to_private_subnet(&aws, "i-1");
        read(&aws, "i-1").await.unwrap();
        let operations: Vec<_> = aws.calls().iter().map(|call| call.operation).collect();
        assert_eq!(
            operations,
            ["ec2:DescribeInstances", "ec2:DescribeSubnets", "ec2:DescribeRouteTables", "ec2:DescribeNatGateways"]
        );
        assert_eq!(aws.max_in_flight(), 2);
    }
}
