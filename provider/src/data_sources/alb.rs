//! `codestream_alb` as a data source: a load balancer that somebody manages, or nobody, and how its targets are.
//!
//! It finds and reads what there is as an import of the resource does.

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::provider::{DataSource, ImportRequest, ReadRequest, Resource, Stop};
use tfplugin::schema::{Attribute, Check, Kind, Mode, Schema};
use tfplugin::value::Value;

use crate::alb::Alb as AlbResource;
use crate::aws::{Aws, TargetHealth, is_application};
use crate::diagnose;
use crate::settings::Shared;

/// Arguments of the resource that AWS has no trace of.
const WITHOUT_TRACE: [&str; 6] =
    ["dns_record", "instance_security_group_id", "on_unhealthy", "tags", "timeouts", "wait_for_healthy"];

/// The roles of the target groups: the names of the attributes that describe them.
const ROLES: [&str; 2] = ["api", "broadcaster"];

const ARN: Check = Check::Form("must be the ARN of an Application Load Balancer", |value| {
    let is_arn = value.starts_with("arn:") && is_application(value);
    if is_arn { Ok(()) } else { Err("it is no such ARN".to_owned()) }
});

/// The data source.
pub(super) struct Alb {
    settings: Shared,
    resource: AlbResource,
    schema: Schema,
}

impl Alb {
    pub(super) fn new(settings: Shared) -> Self {
        let resource = AlbResource::new(settings.clone());
        let schema = schema(resource.schema());
        Self { settings, resource, schema }
    }

    /// The state of the resource, were it imported.
    async fn state(&self, id: &str, stop: Stop) -> Result<Option<Value>, Diagnostics> {
        let imported = self.resource.import(ImportRequest { id: Some(id.to_owned()), identity: None }).await?;
        let request = ReadRequest { state: imported.state, private: imported.private, stop };
        self.resource.described(&request).await
    }
}

/// The schema of the resource, with everything computed but the two arguments that find a load balancer.
fn schema(resource: &Schema) -> Schema {
    let exported = resource.attributes.iter().filter(|attribute| !WITHOUT_TRACE.contains(&attribute.name));
    let attributes = exported.map(|attribute| match attribute.name {
        "name" => Attribute::string("name")
            .optional_computed()
            .describe("Name of the load balancer. Give either this or `arn`."),
        "arn" => Attribute::string("arn")
            .optional_computed()
            .check(ARN)
            .describe("ARN of the load balancer. Give either this or `name`."),
        "hostname" => Attribute::string("hostname").computed().describe(
            "The DNS name that AWS gives the load balancer, also in the URLs: AWS does not know which other names \
             lead to it.",
        ),
        "tags_all" => Attribute::string_map("tags_all").computed().describe("The tags of the load balancer."),
        _ => computed(attribute),
    });
    let text = |name, description: &str| Attribute::string(name).computed().describe(description);
    let targets = vec![
        text("role", "`api` or `broadcaster`: the target group it is in."),
        text("instance_id", "The instance."),
        Attribute::number("port").computed().describe("The port that it is registered on."),
        text("state", "`healthy`, `unhealthy`, `initial`, `draining`, `unused` or `unavailable`."),
        text("reason", "AWS's reason code, like `Target.Timeout`; null when it is healthy."),
        text("description", "AWS's words for the reason; null when it is healthy."),
    ];
    let health = [
        Attribute::object_list("targets", targets)
            .computed()
            .describe("The registered targets as they are now, by role, instance and port."),
        Attribute::bool("healthy").computed().describe(
            "Whether both target groups have targets, and all of them, save those that are draining, are healthy now.",
        ),
    ];
    Schema::new(
        "The load balancer of a CodeStream On-Prem host: everything that the resource `codestream_alb` exports, and \
         the health of its targets, for `check` blocks and postconditions. It may have been made by this provider or \
         by anything else, as long as it listens on the ports that CodeStream's documentation names.",
        attributes.chain(health).collect(),
    )
}

fn computed(attribute: &Attribute) -> Attribute {
    let kind = match &attribute.kind {
        Kind::Plain(r#type) => Kind::Plain(r#type.clone()),
        Kind::Nested(nesting, attributes) => Kind::Nested(*nesting, attributes.iter().map(computed).collect()),
    };
    Attribute { kind, mode: Mode::Computed, default: None, checks: Vec::new(), ..attribute.clone() }
}

#[async_trait]
impl DataSource for Alb {
    fn type_name(&self) -> &'static str {
        "codestream_alb"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        let (name, arn) = (config.get("name"), config.get("arn"));
        let mut diagnostics = Diagnostics::new();
        if name.is_null() && arn.is_null() {
            diagnostics.error("Which load balancer?", "Give the name or the ARN of the load balancer.");
        } else if name.as_str().is_some() && arn.as_str().is_some() {
            diagnostics.error_at(
                Path::of("arn"),
                "The load balancer is named twice",
                "Give either the name or the ARN of the load balancer, not both.",
            );
        }
        diagnostics
    }

    async fn read(&self, config: Value, stop: Stop) -> Result<(Value, Diagnostics), Diagnostics> {
        let aws = super::aws(&self.settings)?;
        let id = config.get("arn").as_str().or_else(|| config.get("name").as_str()).unwrap_or_default();
        let Some(state) = self.state(id, stop).await? else {
            return Err(Diagnostics::of_error(
                "The load balancer is gone",
                format!("The load balancer {id} was deleted while it was being read."),
            ));
        };
        let [api, broadcaster] = ROLES.map(|role| targets(aws.as_ref(), &state, role));
        let (api, broadcaster) =
            tokio::try_join!(api, broadcaster).map_err(|error| diagnose::failed("read", id, &error))?;
        let healthy = is_healthy(&api) && is_healthy(&broadcaster);
        let targets: Vec<Value> = [(ROLES[0], api), (ROLES[1], broadcaster)]
            .into_iter()
            .flat_map(|(role, targets)| targets.into_iter().map(move |target| target_value(role, target)))
            .collect();
        let attributes = self.schema.attributes.iter().map(|attribute| match attribute.name {
            "targets" => ("targets", Value::List(targets.clone())),
            "healthy" => ("healthy", Value::Bool(healthy)),
            "tags_all" => ("tags_all", tags(&state)),
            name => (name, state.get(name).clone()),
        });
        Ok((Value::object(attributes), Diagnostics::new()))
    }
}

/// The load balancer's tags. Those of one that no apply has tagged are only in the arguments of its import.
fn tags(state: &Value) -> Value {
    let found = [state.get("tags_all"), state.get("tags")].into_iter().find(|tags| !tags.is_null());
    found.cloned().unwrap_or_else(|| Value::object::<&str>([]))
}

/// The targets of a role, in order.
async fn targets(aws: &dyn Aws, state: &Value, role: &str) -> crate::aws::Result<Vec<TargetHealth>> {
    let Some(arn) = state.get(role).get("target_group_arn").as_str() else { return Ok(Vec::new()) };
    let mut targets = aws.target_health(arn).await?;
    targets.sort_by(|one, other| (&one.id, one.port).cmp(&(&other.id, other.port)));
    Ok(targets)
}

fn is_healthy(targets: &[TargetHealth]) -> bool {
    let mut staying = targets.iter().filter(|target| target.state != "draining").peekable();
    staying.peek().is_some() && staying.all(|target| target.state == "healthy")
}

fn target_value(role: &str, target: TargetHealth) -> Value {
    Value::object([
        ("role", Value::from(role)),
        ("instance_id", Value::from(target.id)),
        ("port", Value::from(i64::from(target.port))),
        ("state", Value::from(target.state)),
        ("reason", Value::from(target.reason)),
        ("description", Value::from(target.description)),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::tests::{message, settings};
    use super::*;
    use crate::aws::fake::{FakeAws, Verdict, cert_arn};
    use crate::aws::{ActionInfo, HealthCheck, ListenerSettings, NewLoadBalancer, NewTargetGroup, Tags};

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    /// A stack as somebody made it by hand, without any tags, with `i-1` and `i-2` in both groups: its ARN.
    async fn stack(aws: &FakeAws) -> String {
        let new = NewLoadBalancer {
            name: "by-hand".to_owned(),
            scheme: "internet-facing".to_owned(),
            ip_address_type: "ipv4".to_owned(),
            subnet_ids: set(&["subnet-a", "subnet-b"]),
            security_groups: set(&["sg-hosts"]),
            tags: Tags::new(),
        };
        let arn = aws.create_load_balancer(&new).await.unwrap().arn;
        for port in [443, 12_443] {
            let health_check = HealthCheck {
                protocol: "HTTPS".to_owned(),
                port: "traffic-port".to_owned(),
                path: "/no-auth/status".to_owned(),
                matcher: "200".to_owned(),
                interval: 15,
                timeout: 5,
                healthy_threshold: 5,
                unhealthy_threshold: 2,
            };
            let group = NewTargetGroup {
                name: format!("by-hand-{port}"),
                protocol: "HTTPS".to_owned(),
                port,
                vpc_id: "vpc-1".to_owned(),
                health_check,
                tags: Tags::new(),
            };
            let group = aws.create_target_group(&group).await.unwrap();
            let listener = ListenerSettings {
                port,
                protocol: "HTTPS".to_owned(),
                ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
                certificate_arn: Some(cert_arn(1)),
                mutual_authentication: None,
                action: ActionInfo::Forward(vec![(group.clone(), 1)]),
            };
            aws.create_listener(&arn, &listener, &Tags::new()).await.unwrap();
            aws.register_targets(&group, &set(&["i-1", "i-2"])).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(200)).await;
        arn
    }

    async fn read(aws: &FakeAws, argument: &str, value: &str) -> Result<Value, Diagnostics> {
        let config = Value::object([(argument, Value::from(value))]);
        Alb::new(settings(aws)).read(config, Stop::new()).await.map(|(state, _)| state)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_without_tags_is_found_by_name_and_by_arn() {
        let aws = FakeAws::new();
        let arn = stack(&aws).await;
        let state = read(&aws, "name", "by-hand").await.unwrap();
        assert_eq!(state, read(&aws, "arn", &arn).await.unwrap());
        assert_eq!((state.get("arn").as_str(), state.get("protocol").as_str()), (Some(arn.as_str()), Some("HTTPS")));
        assert_eq!(state.get("certificate_arn").as_str(), Some(cert_arn(1).as_str()));
        assert_eq!(state.get("broadcaster").get("listener_port").as_i64(), Some(12_443));
        assert_eq!(state.get("api").get("target_group_name").as_str(), Some("by-hand-443"));
        assert_eq!(state.get("instance_ids"), &Value::set(["i-1", "i-2"]));
        assert_eq!(state.get("topology").get("listeners").as_list().map(<[_]>::len), Some(2));
        assert!(state.is_wholly_known());
    }

    #[tokio::test(start_paused = true)]
    async fn the_tags_of_a_stack_made_by_hand_are_told() {
        let aws = FakeAws::new();
        let arn = stack(&aws).await;
        assert_eq!(read(&aws, "arn", &arn).await.unwrap().get("tags_all"), &Value::object::<&str>([]));
        let tags = Tags::from([("team".to_owned(), "one".to_owned())]);
        aws.add_tags(&arn, &tags).await.unwrap();
        let told = Value::object([("team", Value::from("one"))]);
        assert_eq!(read(&aws, "arn", &arn).await.unwrap().get("tags_all"), &told);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stack_whose_targets_are_addresses_is_told_although_it_cannot_be_imported() {
        let aws = FakeAws::new();
        stack(&aws).await;
        for group in aws.state().target_groups.values_mut() {
            group.info.target_type = "ip".to_owned();
        }
        let told = read(&aws, "name", "by-hand").await.unwrap();
        assert_eq!(told.get("api").get("target_group_name").as_str(), Some("by-hand-443"));
    }

    #[tokio::test(start_paused = true)]
    async fn every_target_is_listed_and_one_unhealthy_one_shows() {
        let aws = FakeAws::new();
        stack(&aws).await;
        assert_eq!(read(&aws, "name", "by-hand").await.unwrap().get("healthy"), &Value::Bool(true));
        aws.set_verdict("i-2", Some(12_443), Verdict::Unhealthy("Target.Timeout"));
        tokio::time::advance(Duration::from_secs(60)).await;
        let state = read(&aws, "name", "by-hand").await.unwrap();
        assert_eq!(state.get("healthy"), &Value::Bool(false));
        let targets = state.get("targets").as_list().unwrap();
        let shown: Vec<_> = targets
            .iter()
            .map(|target| {
                let text = |name: &str| target.get(name).as_str().unwrap_or_default().to_owned();
                (text("role"), text("instance_id"), target.get("port").as_i64(), text("state"), text("reason"))
            })
            .map(|(role, id, port, state, reason)| format!("{role} {id}:{} {state} {reason}", port.unwrap_or(0)))
            .collect();
        assert_eq!(
            shown,
            [
                "api i-1:443 healthy ",
                "api i-2:443 healthy ",
                "broadcaster i-1:12443 healthy ",
                "broadcaster i-2:12443 unhealthy Target.Timeout",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_without_targets_is_not_healthy() {
        let aws = FakeAws::new();
        let arn = stack(&aws).await;
        let groups = aws.target_groups_of(&arn).await.unwrap();
        aws.deregister_targets(&groups[0].arn, &set(&["i-1", "i-2"])).await.unwrap();
        assert_eq!(read(&aws, "name", "by-hand").await.unwrap().get("healthy"), &Value::Bool(false));
    }

    #[tokio::test(start_paused = true)]
    async fn reading_changes_nothing() {
        let aws = FakeAws::new();
        stack(&aws).await;
        let made = aws.calls().len();
        read(&aws, "name", "by-hand").await.unwrap();
        assert!(aws.calls()[made..].iter().all(|call| !call.mutating));
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_balancer_that_is_not_there_is_an_error_that_names_it() {
        let failure = read(&FakeAws::new(), "name", "nowhere").await.unwrap_err();
        assert!(message(failure).contains("nowhere"));
    }

    #[tokio::test]
    async fn either_the_name_or_the_arn_is_given() {
        let source = Alb::new(Shared::default());
        let fails = async |name: Value, arn: Value| {
            source.validate(&Value::object([("name", name), ("arn", arn)])).await.has_errors()
        };
        let given = || Value::from("a");
        assert!(fails(Value::Null, Value::Null).await && fails(given(), given()).await);
        assert!(!fails(given(), Value::Null).await && !fails(Value::Null, given()).await);
        assert!(!fails(Value::Unknown, given()).await && !fails(Value::Unknown, Value::Null).await);
    }

    #[test]
    fn all_that_the_resource_exports_is_there() {
        let source = Alb::new(Shared::default());
        let resource = AlbResource::new(Shared::default());
        let exports = resource.schema().attributes.iter().filter(|attribute| attribute.mode == Mode::Computed);
        for attribute in exports {
            let found = source.schema().attribute(attribute.name).map(Attribute::r#type);
            assert_eq!(found, Some(attribute.r#type()), "{}", attribute.name);
        }
    }
}
