//! What is measured of an operation, and the arithmetic on it.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance_tests::Call;
use serde::Serialize;

use crate::dialect::Dialect;
use crate::operation::Operation;

/// What one command cost, or the median of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// From its start to its end.
    pub(crate) wall_seconds: f64,
    /// Processor time of all the processes of the provider that it started.
    pub(crate) provider_seconds: f64,
    /// Processor time of these and of Terraform.
    pub(crate) total_seconds: f64,
    /// Processor time of the local AWS.
    pub(crate) aws_seconds: f64,
    /// The most memory that one process of the provider had resident.
    pub(crate) memory_bytes: f64,
    /// How many API calls were made.
    pub(crate) calls: f64,
    /// How many of them were [looks](is_look) at a load balancer that was being provisioned.
    pub(crate) looks: f64,
    /// The [longest chain](longest_chain) of the others.
    pub(crate) chain: f64,
}

impl Cost {
    /// The median of each figure by itself; `None` of nothing.
    pub(crate) fn median_of(costs: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| median(costs.iter().map(figure).collect());
        Some(Self {
            wall_seconds: of(|cost| cost.wall_seconds)?,
            provider_seconds: of(|cost| cost.provider_seconds)?,
            total_seconds: of(|cost| cost.total_seconds)?,
            aws_seconds: of(|cost| cost.aws_seconds)?,
            memory_bytes: of(|cost| cost.memory_bytes)?,
            calls: of(|cost| cost.calls)?,
            looks: of(|cost| cost.looks)?,
            chain: of(|cost| cost.chain)?,
        })
    }
}

/// What an operation was measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    /// What was added to each call.
    pub(crate) delay: Duration,
    /// How many stacks there were.
    pub(crate) stacks: usize,
    /// What was done.
    pub(crate) operation: Operation,
}

/// Everything that was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Results {
    costs: BTreeMap<Case, BTreeMap<Dialect, Vec<Cost>>>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// Adds the cost of one run.
    pub(crate) fn add(&mut self, case: Case, dialect: Dialect, cost: Cost) {
        self.costs.entry(case).or_default().entry(dialect).or_default().push(cost);
    }

    /// The cases of which there is something, in the order of a table.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        self.costs.keys().copied()
    }

    /// The cost of each run.
    pub(crate) fn runs(&self, case: Case, dialect: Dialect) -> &[Cost] {
        self.costs.get(&case).and_then(|costs| costs.get(&dialect)).map_or(&[], Vec::as_slice)
    }

    /// The median of the runs.
    pub(crate) fn median(&self, case: Case, dialect: Dialect) -> Option<Cost> {
        Cost::median_of(self.runs(case, dialect))
    }
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// When a call was answered.
pub(crate) fn end(call: &Call) -> Duration {
    call.started + call.duration.unwrap_or_default()
}

/// Whether a call, one of these, describes load balancers while one of them is being provisioned. Their number depends
/// on how often a provider looks, not on how many calls need one another. The look that finds it active is not one.
pub(crate) fn is_look(call: &Call, calls: &[Call], provisioning: Duration) -> bool {
    // The end of a call is when AWS saw it: the delay that is added to calls comes before.
    call.action == "DescribeLoadBalancers"
        && calls
            .iter()
            .filter(|other| other.action == "CreateLoadBalancer")
            .map(end)
            .any(|created| call.started >= created && end(call) < created + provisioning)
}

/// The most calls, given as their start and end, of which each began after the one before had ended: so many round
/// trips the operation waited for, whatever else went on beside them.
pub(crate) fn longest_chain(mut calls: Vec<(Duration, Duration)>) -> usize {
    // Of the calls that can come next, the one that ends first leaves the most room for others.
    calls.sort_by_key(|&(_, end)| end);
    let (mut length, mut last) = (0, Duration::ZERO);
    for (start, end) in calls {
        if length == 0 || start >= last {
            length += 1;
            last = end;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 100.0]), Some(3.5));
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let run = |wall, calls| Cost { wall_seconds: wall, calls, ..Cost::default() };
        let median = Cost::median_of(&[run(1.0, 30.0), run(2.0, 10.0), run(9.0, 20.0)]).unwrap();
        assert_eq!((median.wall_seconds, median.calls), (2.0, 20.0));
        assert_eq!(Cost::median_of(&[]), None);
    }

    #[test]
    fn only_looks_at_a_load_balancer_that_is_not_yet_active_are_told_apart() {
        let call = |action: &str, started, duration| Call {
            sequence: 0,
            service: "elasticloadbalancing".to_owned(),
            action: action.to_owned(),
            started: Duration::from_millis(started),
            duration: Some(Duration::from_millis(duration)),
            reached_aws: true,
            status: Some(200),
            error: None,
        };
        let calls = [
            call("DescribeLoadBalancers", 0, 80),
            call("CreateLoadBalancer", 100, 100),
            call("DescribeLoadBalancers", 200, 80),
            call("DescribeTargetGroups", 300, 80),
            call("DescribeLoadBalancers", 5_000, 80),
            call("DescribeLoadBalancers", 20_190, 80),
        ];
        let looks = |provisioning| calls.iter().map(|call| is_look(call, &calls, provisioning)).collect::<Vec<_>>();
        assert_eq!(looks(Duration::from_secs(20)), [false, false, true, false, true, false]);
        assert_eq!(looks(Duration::ZERO), [false; 6]);
    }

    #[test]
    fn the_longest_chain_counts_only_calls_that_waited_for_one_another() {
        let chain = |calls: &[(u64, u64)]| {
            let at = Duration::from_millis;
            longest_chain(calls.iter().map(|&(start, end)| (at(start), at(end))).collect())
        };
        assert_eq!(chain(&[]), 0);
        assert_eq!(chain(&[(0, 10), (0, 10), (1, 9)]), 1, "side by side");
        assert_eq!(chain(&[(20, 30), (0, 10), (10, 20)]), 3, "one after the other, logged in another order");
        assert_eq!(chain(&[(0, 100), (5, 10), (12, 20), (25, 30)]), 3, "three beside a long one");
        assert_eq!(chain(&[(0, 10), (5, 15), (12, 22), (16, 26), (30, 31)]), 3);
    }
}
