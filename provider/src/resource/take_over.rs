//! Taking over a load balancer that something else manages: as much of the state as the first read needs.

use tfplugin::diagnostics::Diagnostics;
use tfplugin::provider::{Imported, MoveRequest};
use tfplugin::schema::Schema;

use super::Composite;
use super::private::Private;

/// The end of the AWS provider's address: Terraform and OpenTofu have it from different hosts.
const AWS_PROVIDER: &str = "/hashicorp/aws";
/// The AWS provider's two names for its load balancer resource.
const LOAD_BALANCERS: [&str; 2] = ["aws_lb", "aws_alb"];

/// A load balancer to take over with all that hangs on it; the first read finds the rest.
pub(super) fn imported(schema: &Schema, arn: &str, name: &str, vpc_id: &str) -> Imported {
    let mut state = schema.null_object();
    state.put("arn", arn);
    state.put("id", arn);
    state.put("name", name);
    state.put("vpc_id", vpc_id);
    let private = Private { imported: true, ..Private::default() };
    Imported { state, private: private.encode(), diagnostics: Diagnostics::new() }
}

/// Takes over what a `moved` block hands on: the state of an `aws_lb` or `aws_alb` of the AWS provider.
///
/// # Errors
/// When it is another type's state, or not that of an Application Load Balancer, or when the resource takes none over.
pub(super) fn moved<C: Composite>(request: &MoveRequest) -> Result<Imported, Diagnostics> {
    let MoveRequest { provider, type_name, state } = request;
    if let Some(remedy) = C::MOVE_REFUSAL {
        return Err(Diagnostics::of_error(
            format!("A {} cannot take this over", C::TYPE_NAME),
            format!("This is the state of the type {type_name} of {provider}. {remedy}"),
        ));
    }
    if !provider.ends_with(AWS_PROVIDER) || !LOAD_BALANCERS.contains(&type_name.as_str()) {
        return Err(refused(format!(
            "It can take over the state of an aws_lb or aws_alb of the provider hashicorp/aws, and this is a {type_name} \
             of {provider}."
        )));
    }
    let attribute = |name: &str| state.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (arn, name) = (attribute("arn"), attribute("name"));
    match attribute("load_balancer_type") {
        "application" if !arn.is_empty() && !name.is_empty() => {
            Ok(imported(C::schema(), arn, name, attribute("vpc_id")))
        }
        "application" => Err(refused(format!(
            "The state of the {type_name} has no ARN or no name, so the load balancer cannot be found."
        ))),
        kind => Err(refused(format!(
            "It can take over Application Load Balancers, and the load_balancer_type of {name:?} is {kind:?}."
        ))),
    }
}

fn refused(reason: String) -> Diagnostics {
    let remedy = "Remove the moved block; an Application Load Balancer can be imported by its name or ARN instead.";
    Diagnostics::of_error("A codestream_alb cannot take this over", format!("{reason} {remedy}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use tfplugin::value::Value;

    use crate::alb::CodestreamAlb;
    use crate::deepstream::DeepstreamCluster;

    use super::*;

    fn schema() -> &'static Schema {
        CodestreamAlb::schema()
    }

    const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";

    fn state() -> Json {
        json!({
            "arn": ARN, "id": ARN, "name": "web", "load_balancer_type": "application", "vpc_id": "vpc-0a",
            "internal": false, "subnets": ["subnet-0a", "subnet-0b"], "access_logs": [],
        })
    }

    fn taken(provider: &str, type_name: &str, state: Json) -> Result<Imported, Diagnostics> {
        let request = MoveRequest { provider: provider.to_owned(), type_name: type_name.to_owned(), state };
        moved::<CodestreamAlb>(&request)
    }

    #[test]
    fn the_aws_providers_load_balancer_is_taken_over_as_an_import_is() {
        for (provider, type_name) in
            [("registry.terraform.io/hashicorp/aws", "aws_lb"), ("registry.opentofu.org/hashicorp/aws", "aws_alb")]
        {
            let taken = taken(provider, type_name, state()).unwrap();
            assert!(Private::decode(&taken.private).imported);
            let Value::Map(attributes) = taken.state else { panic!("{:?}", taken.state) };
            let given: Vec<(&str, &str)> =
                attributes.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
            assert_eq!(given, [("arn", ARN), ("id", ARN), ("name", "web"), ("vpc_id", "vpc-0a")]);
            assert_eq!(attributes.len(), schema().attributes.len());
        }
    }

    #[test]
    fn a_cluster_takes_no_load_balancer_over() {
        let (provider, type_name) = ("registry.terraform.io/hashicorp/aws".to_owned(), "aws_lb".to_owned());
        let refused = moved::<DeepstreamCluster>(&MoveRequest { provider, type_name, state: state() }).unwrap_err();
        let messages: Vec<(&str, &str)> =
            refused.iter().map(|found| (found.summary.as_str(), found.detail.as_str())).collect();
        let [(summary, detail)] = messages[..] else { panic!("{messages:?}") };
        assert_eq!(summary, "A codestream_deepstream_cluster cannot take this over");
        assert!(
            detail.contains("aws_lb of registry.terraform.io") && detail.contains("Remove the moved block"),
            "{detail}"
        );
    }

    #[test]
    fn anything_else_is_refused_by_what_it_is() {
        let with = |name: &str, value: Json| {
            let mut state = state();
            state[name] = value;
            state
        };
        let aws = "registry.terraform.io/hashicorp/aws";
        for (provider, type_name, state, expected) in [
            ("registry.terraform.io/other/aws", "aws_lb", state(), "other/aws"),
            ("registry.terraform.io/hashicorp/awscc", "aws_lb", state(), "hashicorp/awscc"),
            (aws, "aws_elb", state(), "aws_elb"),
            (aws, "aws_lb", with("load_balancer_type", json!("network")), "network"),
            (aws, "aws_lb", with("arn", Json::Null), "no ARN"),
            (aws, "aws_lb", json!([]), "load_balancer_type"),
        ] {
            let refused = taken(provider, type_name, state).unwrap_err();
            let messages: Vec<&str> = refused.iter().map(|diagnostic| diagnostic.detail.as_str()).collect();
            assert!(messages.len() == 1 && messages[0].contains(expected), "{expected}: {messages:?}");
        }
    }
}
