//! The command line.

use std::collections::BTreeSet;
use std::iter;
use std::time::Duration;

use acceptance_tests::{Failure, Result};

/// What `--help` says.
pub(crate) const HELP: &str = "\
Measures this provider and version 5 of hashicorp/aws side by side, against a local AWS.

    cargo bench-peers [--stacks 1,10,50,100] [--delay 0,80] [--runs 5,3,1] [--provisioning 20] [--https] [--alone]

  --stacks LIST        how many load balancers, each with listeners, target groups and a security group
  --delay LIST         milliseconds that each call to AWS takes longer
  --runs LIST          how often: a number for each of --stacks, from the least on, the last one for all that follow;
                       3 for all, unless it is given; the tables have the medians. What changes nothing is measured
                       three times in each run
  --provisioning SECS  how long a new load balancer is not yet active
  --https              HTTPS listeners rather than HTTP ones
  --alone              leave the AWS provider out, even if it is installed

The AWS provider sleeps for a minute in each create, and Terraform makes ten resources at a time: the defaults take
hours. Each measured life of a set of stacks is written to target/bench/ at once: results.json, results.md, cost.svg.";

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The numbers of stacks.
    pub(crate) stacks: BTreeSet<usize>,
    /// What is added to each call.
    pub(crate) delays: BTreeSet<Duration>,
    /// How often, for each number of stacks; the last one holds for those that follow, too.
    pub(crate) runs: Vec<usize>,
    /// How long a new load balancer is `provisioning`.
    pub(crate) provisioning: Duration,
    /// Whether the listeners are HTTPS ones.
    pub(crate) https: bool,
    /// Whether the peer is left out.
    pub(crate) alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stacks: BTreeSet::from([1, 10, 50, 100]),
            delays: [0, 80].map(Duration::from_millis).into(),
            runs: vec![3],
            provisioning: Duration::from_secs(20),
            https: false,
            alone: false,
        }
    }
}

impl Options {
    /// Reads the arguments; `None` when help is asked for.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| Failure::new(format!("{flag} needs a value")));
            match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--https" => options.https = true,
                "--alone" => options.alone = true,
                "--stacks" => options.stacks = numbers(&value()?)?.into_iter().map(|number| number as usize).collect(),
                "--delay" => {
                    let delays = numbers(&value()?)?;
                    options.delays = delays.into_iter().map(|millis| Duration::from_millis(millis.into())).collect();
                }
                "--runs" => options.runs = numbers(&value()?)?.into_iter().map(|number| number as usize).collect(),
                "--provisioning" => options.provisioning = Duration::from_secs(number(&value()?)?.into()),
                other => return Err(Failure::new(format!("there is no option {other}; --help lists them"))),
            }
        }
        if options.stacks.contains(&0) || options.runs.contains(&0) {
            return Err(Failure::new("nothing is to be measured: --stacks and --runs are at least 1"));
        }
        if options.runs.len() > options.stacks.len() {
            return Err(Failure::new("--runs has more numbers than --stacks"));
        }
        Ok(Some(options))
    }

    /// Each number of stacks, from the least on, and how often it is measured.
    pub(crate) fn stacks_and_runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let last = self.runs.last().copied().unwrap_or_default();
        self.stacks.iter().copied().zip(self.runs.iter().copied().chain(iter::repeat(last)))
    }
}

fn numbers(list: &str) -> Result<Vec<u32>> {
    list.split(',').map(number).collect()
}

fn number(text: &str) -> Result<u32> {
    text.trim().parse().map_err(|_| Failure::new(format!("{text:?} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn each_option_changes_what_it_names_and_nothing_else() {
        assert_eq!(parse("").unwrap(), Some(Options::default()));
        let line = "--stacks 10,1 --delay 5 --runs 4,2 --provisioning 0 --https --alone";
        let expected = Options {
            stacks: BTreeSet::from([1, 10]),
            delays: BTreeSet::from([Duration::from_millis(5)]),
            runs: vec![4, 2],
            provisioning: Duration::ZERO,
            https: true,
            alone: true,
        };
        assert_eq!(parse(line).unwrap(), Some(expected));
        assert_eq!(parse("--runs 2 --help").unwrap(), None);
    }

    #[test]
    fn the_last_number_of_runs_holds_for_all_stacks_that_follow() {
        let runs = |line| parse(line).unwrap().unwrap().stacks_and_runs().collect::<Vec<_>>();
        assert_eq!(runs("--stacks 50,1,10,100 --runs 5,3,1"), [(1, 5), (10, 3), (50, 1), (100, 1)]);
        assert_eq!(runs("--stacks 1,10"), [(1, 3), (10, 3)]);
    }

    #[test]
    fn a_line_that_cannot_be_measured_is_refused() {
        for line in [
            "--stacks",
            "--stacks 0",
            "--stacks 1,x",
            "--runs 0",
            "--runs 1,0",
            "--stacks 1 --runs 2,1",
            "--delay -1",
            "--peers",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
