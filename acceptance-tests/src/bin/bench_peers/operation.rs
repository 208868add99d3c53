//! The operations that are measured, and how quick AWS's own rules let each of them be.

use std::time::Duration;

use serde::Serialize;

/// How many resources Terraform works on at a time, unless it is told otherwise.
const PARALLELISM: usize = 10;

/// One command, in the order in which a life has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// `validate`.
    Validate,
    /// `plan` of what is not there.
    PlanCreate,
    /// `apply` of that plan.
    Apply,
    /// `plan` of what is as it should be.
    NoOpPlan,
    /// `apply` of a plan, made before and not measured, that changes the idle timeout.
    Update,
    /// `destroy`, with the refresh and the plan that it begins with.
    Destroy,
}

impl Operation {
    pub(crate) const ALL: [Self; 6] =
        [Self::Validate, Self::PlanCreate, Self::Apply, Self::NoOpPlan, Self::Update, Self::Destroy];

    /// How often one life has it. What changes nothing can be measured more than once.
    pub(crate) fn repeats(self) -> usize {
        match self {
            Self::Validate | Self::PlanCreate | Self::NoOpPlan => 3,
            Self::Apply | Self::Update | Self::Destroy => 1,
        }
    }

    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::PlanCreate => "plan for create",
            Self::Apply => "apply of that plan",
            Self::NoOpPlan => "no-op plan",
            Self::Update => "update of one attribute",
            Self::Destroy => "destroy",
        }
    }

    /// The longest chain of calls for one stack of which each needs what the one before answered or did.
    pub(crate) fn forced_calls(self) -> u32 {
        match self {
            // Nothing is asked, and of what is not there nothing has to be.
            Self::Validate | Self::PlanCreate => 0,
            // CreateSecurityGroup gives the id that CreateLoadBalancer needs, and DescribeLoadBalancers has to see it
            // active. The target groups, the rules, the targets and the listeners, which need the load balancer's ARN,
            // fit beside these.
            Self::Apply => 3,
            // The state has the identifiers of everything, so all can be read side by side.
            Self::NoOpPlan => 1,
            // ModifyLoadBalancerAttributes.
            Self::Update => 1,
            // The refresh as above; then DeleteLoadBalancer, which takes the listeners along; a security group and
            // target groups cannot be deleted while it uses them.
            Self::Destroy => 3,
        }
    }

    /// The least time that the operation takes with a provider and a Terraform that take none: the forced calls, for
    /// ten stacks at a time, and in an apply the time until the load balancer is active.
    pub(crate) fn limit(self, stacks: usize, delay: Duration, provisioning: Duration) -> Duration {
        let rounds = u32::try_from(stacks.div_ceil(PARALLELISM)).unwrap_or(u32::MAX);
        let waiting = if self == Self::Apply { provisioning } else { Duration::ZERO };
        (delay * self.forced_calls() + waiting) * rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_forced_calls_and_the_provisioning_for_ten_stacks_at_a_time() {
        let (delay, provisioning) = (Duration::from_millis(80), Duration::from_secs(20));
        let limit = |operation: Operation, stacks| operation.limit(stacks, delay, provisioning).as_millis();
        assert_eq!(limit(Operation::Apply, 1), 20_240);
        assert_eq!(limit(Operation::Apply, 10), 20_240);
        assert_eq!(limit(Operation::Apply, 11), 40_480);
        assert_eq!(limit(Operation::NoOpPlan, 100), 800);
        assert_eq!(limit(Operation::Validate, 100), 0);
    }
}
