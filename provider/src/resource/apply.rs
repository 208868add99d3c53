//! Creating, changing and deleting.

use std::sync::Arc;
use std::time::Duration;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::provider::{ApplyResponse, Stop};
use tfplugin::value::Value;
use tokio::time::Instant;
use tracing::{debug, info};

use super::config::OnUnhealthy;
use super::find::{self, find_known, find_names, new_resource_id, owner_of, take_over};
use super::managed::refuse_protected;
use super::private::{Applied, Private};
use super::{Common, Composite, tags_of};
use crate::aws::{Aws, AwsError, SubnetInfo, Tags, VpcInfo};
use crate::diagnose::{self, Operation};
use crate::stack::apply::{Outcome, apply};
use crate::stack::observe::Found;
use crate::stack::ownership::Owner;
use crate::stack::plan::{Purpose, plan};
use crate::stack::run::Context;
use crate::stack::wait::Limits;
use crate::stack::{Desired, Node, NodeId, Observed};

/// One operation on one stack.
struct Change {
    aws: Arc<dyn Aws>,
    owner: Owner,
    /// The user's tags.
    tags: Tags,
    purpose: Purpose,
    limits: Limits,
}

/// What is asked for one operation before anything is touched.
struct Asking<'a> {
    verb: &'static str,
    stack: &'a str,
    stop: &'a Stop,
}

impl Asking<'_> {
    /// The answer, unless the user asks to stop before it comes.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, AwsError>>) -> Result<T, Diagnostics> {
        let answer = Box::pin(answer);
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| diagnose::failed(self.verb, self.stack, &error)),
            () = self.stop.cancelled() => Err(diagnose::stopped()),
        }
    }
}

pub(super) async fn create<C: Composite>(
    aws: Arc<dyn Aws>,
    planned: &Value,
    private: &[u8],
    stop: Stop,
) -> Result<ApplyResponse, Diagnostics> {
    let config = known_config::<C>(planned)?;
    let limits = limits(config.timeouts.create, stop);
    let owner = find::owner::<C>(&config.name, new_resource_id());
    let asking = Asking { verb: "create", stack: &config.name, stop: &limits.stop };
    let planned = &asking.ask(C::complete(aws.as_ref(), planned)).await?;
    let private = Private::decode(private);
    let vpc = asking.ask(vpc_of(aws.as_ref(), &config, planned, private.vpc())).await?;
    let is_free = private.name_is_free;
    let mut found = asking.ask(find_names::<C>(aws.as_ref(), &config, &owner, vpc.clone(), is_free)).await?;
    found.observed.vpc = vpc;
    let tags = tags_of(planned.get("tags_all"));
    let wanted = wanted::<C>(planned, &found, &tags)?;
    refuse_taken(&wanted, &found, &config.name)?;
    if !found.interrupted.is_empty() {
        info!(stack = config.name, "finishing a create that was interrupted");
        // What a stop leaves out here, the next create takes over.
        asking.ask(take_over(aws.as_ref(), &owner, &wanted, &mut found)).await?;
    }
    let change = Change { aws, owner, tags, purpose: Purpose::Create, limits };
    if cannot_become(&found.observed, &wanted) {
        let outcome = change.run(&Desired::default(), found).await;
        if !outcome.failed.is_empty() || !outcome.observed.is_gone() {
            return Ok(change.respond::<C>(Operation::Create, planned, outcome, OnUnhealthy::Error));
        }
        found = Found { observed: Observed { vpc: outcome.observed.vpc, ..Observed::default() }, ..Found::default() };
    }
    let outcome = change.run(&wanted, found).await;
    Ok(change.respond::<C>(Operation::Create, planned, outcome, config.on_unhealthy))
}

pub(super) async fn update<C: Composite>(
    aws: Arc<dyn Aws>,
    prior: &Value,
    planned: &Value,
    private: &[u8],
    stop: Stop,
) -> Result<ApplyResponse, Diagnostics> {
    let config = known_config::<C>(planned)?;
    let limits = limits(config.timeouts.update, stop);
    let private = Private::decode(private);
    let asking = Asking { verb: "update", stack: &config.name, stop: &limits.stop };
    let planned = &asking.ask(C::complete(aws.as_ref(), planned)).await?;
    let owner = asking.ask(owner_of::<C>(aws.as_ref(), prior, &private)).await?;
    let purpose = find::Purpose::Change;
    let mut found = asking.ask(find_known::<C>(aws.as_ref(), prior, &private, &owner, purpose, Some(&config))).await?;
    let subnets = asking.ask(subnets(aws.as_ref(), &config, &found.observed)).await?;
    let wanted_subnets = subnets.iter().filter(|subnet| config.subnet_ids.contains(&subnet.id));
    diagnose::refuse_other_vpc(wanted_subnets, &found.observed.vpc.id)?;
    found.observed.zones = subnets.into_iter().map(|subnet| (subnet.id, subnet.availability_zone)).collect();
    let tags = tags_of(planned.get("tags_all"));
    let wanted = wanted::<C>(planned, &found, &tags)?;
    refuse_taken(&wanted, &found, &config.name)?;
    diagnose::refuse_foreign(&wanted, &found)?;
    let routed = wanted.records().filter(|(id, _)| found.observed.routed.contains(*id));
    let routed = diagnose::refuse_routed(routed.map(|(_, record)| record));
    if routed.has_errors() {
        return Err(routed);
    }
    let change = Change { aws, owner, tags, purpose: Purpose::Change, limits };
    let outcome = change.run(&wanted, found).await;
    let mut response = change.respond::<C>(Operation::Update, planned, outcome, config.on_unhealthy);
    if let Some(state) = response.state.as_ref().filter(|_| !response.diagnostics.has_errors()) {
        let mut otherwise = Vec::new();
        find_otherwise(planned, state, "", &mut otherwise);
        response.diagnostics.extend(diagnose::not_as_planned(&config.name, &otherwise));
    }
    Ok(response)
}

pub(super) async fn delete<C: Composite>(
    aws: Arc<dyn Aws>,
    prior: &Value,
    private: &[u8],
    stop: Stop,
) -> Result<ApplyResponse, Diagnostics> {
    let name = prior.get("name").as_str().unwrap_or_default();
    let timeout = C::common(prior).map_or(Duration::from_secs(60 * 60), |config| config.timeouts.delete);
    let limits = limits(timeout, stop);
    let private = Private::decode(private);
    let asking = Asking { verb: "delete", stack: name, stop: &limits.stop };
    let owner = asking.ask(owner_of::<C>(aws.as_ref(), prior, &private)).await?;
    let found = asking.ask(find_known::<C>(aws.as_ref(), prior, &private, &owner, find::Purpose::Change, None)).await?;
    refuse_taken(&Desired::default(), &found, name)?;
    if found.observed.is_protected() {
        return Err(refuse_protected::<C>(name, "deleted"));
    }
    let warnings = diagnose::warn_of_foreign(&found.observed.foreign);
    let change = Change { aws, owner, tags: tags_of(prior.get("tags_all")), purpose: Purpose::Change, limits };
    let outcome = change.run(&Desired::default(), found).await;
    let mut response = change.respond::<C>(Operation::Delete, prior, outcome, OnUnhealthy::Error);
    let mut diagnostics = warnings;
    diagnostics.extend(std::mem::take(&mut response.diagnostics));
    Ok(ApplyResponse { diagnostics, ..response })
}

impl Change {
    async fn run(&self, wanted: &Desired, found: Found) -> Outcome {
        let steps = plan(wanted, &found.observed, &self.owner, self.purpose);
        debug!(stack = self.owner.stack, "plan:\n{steps}");
        let context = Context {
            aws: self.aws.clone(),
            owner: self.owner.clone(),
            tags: self.tags.clone(),
            records: wanted.record_names(),
            purpose: self.purpose,
            limits: self.limits.clone(),
        };
        apply(&steps, found.observed, &Arc::new(context)).await
    }

    /// The answer for an outcome. What exists is in it, whatever failed.
    fn respond<C: Composite>(
        &self,
        operation: Operation,
        base: &Value,
        outcome: Outcome,
        on_unhealthy: OnUnhealthy,
    ) -> ApplyResponse {
        let lenient = on_unhealthy == OnUnhealthy::Warn;
        let diagnostics = diagnose::outcome(operation, &self.owner.stack, &outcome, lenient);
        if outcome.observed.is_gone() {
            return ApplyResponse { diagnostics, ..ApplyResponse::default() };
        }
        let record = base.get("dns_record");
        let key = record.get("zone_id").as_str().zip(record.get("name").as_str());
        let applied = Applied {
            tags: self.tags.clone(),
            dns_record: key.map(|(zone_id, name)| (zone_id.to_owned(), name.to_lowercase())),
            ports: outcome
                .observed
                .listeners()
                .map(|(_, listener)| (listener.port, listener.role.to_owned()))
                .collect(),
        };
        ApplyResponse {
            state: Some(C::state(base, &outcome.observed, Some(&applied))),
            private: Private::of(&self.owner.resource_id, &outcome.observed, Some(applied)).encode(),
            diagnostics,
        }
    }
}

/// Finds what a plan told and is otherwise now: what others deleted since has another identifier.
fn find_otherwise(planned: &Value, state: &Value, at: &str, found: &mut Vec<String>) {
    match (planned, state) {
        (Value::Unknown, _) => {}
        (Value::Map(entries), Value::Map(_)) => {
            for (name, planned) in entries {
                let dot = if at.is_empty() { "" } else { "." };
                find_otherwise(planned, state.get(name), &format!("{at}{dot}{name}"), found);
            }
        }
        (Value::List(elements), Value::List(others)) if elements.len() == others.len() => {
            for (index, (planned, state)) in elements.iter().zip(others).enumerate() {
                find_otherwise(planned, state, &format!("{at}[{index}]"), found);
            }
        }
        (planned, state) if planned == state => {}
        _ => found.push(at.to_owned()),
    }
}

/// The limits of an operation that begins now.
fn limits(timeout: Duration, stop: Stop) -> Limits {
    Limits { deadline: Instant::now() + timeout, stop }
}

/// A configuration at apply: everything in it is known by then.
fn known_config<C: Composite>(planned: &Value) -> Result<Common, Diagnostics> {
    C::common(planned).ok_or_else(|| diagnose::bug("the planned configuration is not wholly known at apply"))
}

/// The graph that is wanted.
fn wanted<C: Composite>(planned: &Value, found: &Found, tags: &Tags) -> Result<Desired, Diagnostics> {
    let wanted = C::desired(planned, &found.observed.vpc.id, tags);
    wanted.ok_or_else(|| diagnose::bug("the planned configuration is not wholly known at apply"))
}

/// The VPC of the stack with its address blocks, asked for when the plan found none.
async fn vpc_of(aws: &dyn Aws, config: &Common, planned: &Value, found: VpcInfo) -> Result<VpcInfo, AwsError> {
    let mut id = planned.get("vpc_id").as_str().unwrap_or_default().to_owned();
    if id.is_empty() {
        let subnets = aws.subnets(&config.subnet_ids).await?;
        id = subnets.into_iter().next().map(|subnet| subnet.vpc_id).unwrap_or_default();
    }
    if found.id == id && !found.cidr_blocks.is_empty() {
        return Ok(found);
    }
    let known = VpcInfo { id: id.clone(), ..VpcInfo::default() };
    Ok(aws.vpc(&id).await?.unwrap_or(known))
}

/// The subnets that are there and those wanted, when they differ.
async fn subnets(aws: &dyn Aws, config: &Common, observed: &Observed) -> Result<Vec<SubnetInfo>, AwsError> {
    let there =
        observed.balancer(&NodeId::LoadBalancer).map(|balancer| balancer.subnet_ids.clone()).unwrap_or_default();
    if there == config.subnet_ids {
        return Ok(Vec::new());
    }
    aws.subnets(&there.union(&config.subnet_ids).cloned().collect()).await
}

/// Whether what an interrupted create left differs in something that AWS does not let change.
fn cannot_become(observed: &Observed, wanted: &Desired) -> bool {
    wanted.nodes.iter().any(|(id, node)| match (observed.nodes.get(id).map(|existing| &existing.node), node) {
        (Some(Node::LoadBalancer(there)), Node::LoadBalancer(wanted)) => there.scheme != wanted.scheme,
        (Some(Node::SecurityGroup(there)), Node::SecurityGroup(wanted)) => there.vpc_id != wanted.vpc_id,
        (Some(Node::TargetGroup(there)), Node::TargetGroup(wanted)) => {
            (&there.vpc_id, there.port, &there.protocol) != (&wanted.vpc_id, wanted.port, &wanted.protocol)
        }
        _ => false,
    })
}

/// Refuses a graph of which a part is somebody else's already.
fn refuse_taken(wanted: &Desired, found: &Found, stack: &str) -> Result<(), Diagnostics> {
    let taken = wanted.nodes.keys().filter(|id| !found.observed.nodes.contains_key(*id));
    let mut diagnostics = Diagnostics::new();
    for id in taken {
        if let Some(taken) = found.taken.get(id) {
            diagnose::taken(&mut diagnostics, id, taken, stack);
        }
    }
    for (id, candidates) in &found.ambiguous {
        diagnose::ambiguous(&mut diagnostics, id, candidates, stack);
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(diagnostics) }
}
