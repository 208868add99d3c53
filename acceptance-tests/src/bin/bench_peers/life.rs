//! One life of a set of stacks, from `validate` to `destroy`, and what each operation of it costs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use acceptance_tests::{Account, Cli, Failure, Result, Workspace};
use serde_json::json;

use crate::dialect::{Dialect, Wanted};
use crate::figures::{Case, Cost, Results, end, is_look, longest_chain};
use crate::operation::Operation;
use crate::options::Options;
use crate::usage::{self, Usage};

const PLAN: &str = "bench.tfplan";

/// What every life needs.
pub(crate) struct Bench<'a> {
    options: &'a Options,
    cli: Cli,
    mirror: PathBuf,
    usage: PathBuf,
    // A copy of this program: a build while it runs, which can take hours, must not change what is measured.
    program: PathBuf,
}

impl<'a> Bench<'a> {
    /// Without a provider so far; its files are in the directory.
    pub(crate) fn new(options: &'a Options, cli: Cli, directory: &Path) -> Result<Self> {
        let [mirror, usage, program] = ["mirror", "usage", "stand-in"].map(|name| directory.join(name));
        fs::create_dir(&usage).map_err(Failure::during("creating a directory for what providers use"))?;
        let this = env::current_exe().map_err(Failure::during("finding this program"))?;
        fs::copy(this, &program).map_err(Failure::during("copying this program"))?;
        Ok(Self { options, cli, mirror, usage, program })
    }

    /// Makes this binary the provider of a dialect.
    pub(crate) fn install(&self, dialect: Dialect, binary: &Path) -> Result<()> {
        usage::install(&self.mirror, dialect.source(), "5.0.0", &self.program, binary, &self.usage)
    }

    /// Measures each operation, in an account of its own. One whose provider was killed is listed as a failure, and the
    /// life goes on.
    pub(crate) fn live(&self, dialect: Dialect, stacks: usize, delay: Duration, results: &mut Results) -> Result<()> {
        let account = Account::new()?;
        // Targets are healthy and drained at the first look: waiting for them is what only ours does.
        account.configure(json!({
            "provisioning_seconds": self.options.provisioning.as_secs_f64(),
            "initial_describes": 0,
            "draining_describes": 0,
        }));
        account.proxy().set_latency(delay);
        let workspace = Workspace::with_mirror(&self.cli, &account, &self.mirror)?;
        let write = |idle_timeout| {
            let wanted = Wanted { seed: account.seed(), stacks, https: self.options.https, idle_timeout };
            workspace.write("main.tf", &dialect.configuration(wanted));
        };
        write(300);
        run(&workspace, &["init"])?;
        for operation in Operation::ALL {
            if operation == Operation::Update {
                write(301);
                run(&workspace, &["plan", "-out", PLAN])?;
            }
            for _ in 0..operation.repeats() {
                let case = Case { delay, stacks, operation };
                self.record(&workspace, &account, case, dialect, results)?;
            }
        }
        Ok(())
    }

    /// Measures one operation, and adds it to the results.
    fn record(
        &self,
        workspace: &Workspace,
        account: &Account,
        case: Case,
        dialect: Dialect,
        results: &mut Results,
    ) -> Result<()> {
        let Case { delay, stacks, operation } = case;
        let Some(cost) = self.measure(workspace, account, arguments(operation))? else {
            let failure = format!(
                "{stacks} stacks, {} ms a call, {}, {}: the provider was killed before it had ended, so what it used is \
                 not known",
                delay.as_millis(),
                dialect.name(),
                operation.name()
            );
            eprintln!("    {failure}");
            results.failures.push(failure);
            return Ok(());
        };
        eprintln!(
            "    {}: {:.2} s, {} calls in a chain of {}",
            operation.name(),
            cost.wall_seconds,
            cost.calls,
            cost.chain
        );
        results.add(case, dialect, cost);
        Ok(())
    }

    /// Runs a command, and says what it cost; `None` when its provider was killed.
    fn measure(&self, workspace: &Workspace, account: &Account, arguments: &[&str]) -> Result<Option<Cost>> {
        // Commands that were not measured have left something, too.
        usage::take(&self.usage)?;
        account.proxy().clear_calls();
        let (before, aws_before) = (Usage::of_children()?, account.processor_seconds());
        let start = Instant::now();
        run(workspace, arguments)?;
        let wall = start.elapsed();
        let total = Usage::of_children()?.processor.saturating_sub(before.processor);
        let Some(provider) = usage::take(&self.usage)? else { return Ok(None) };
        let calls = account.proxy().calls();
        let others = calls.iter().filter(|call| !is_look(call, &calls, self.options.provisioning));
        let times: Vec<_> = others.map(|call| (call.started, end(call))).collect();
        Ok(Some(Cost {
            wall_seconds: wall.as_secs_f64(),
            provider_seconds: provider.processor.as_secs_f64(),
            total_seconds: total.as_secs_f64(),
            aws_seconds: account.processor_seconds() - aws_before,
            memory_bytes: provider.memory as f64,
            calls: calls.len() as f64,
            looks: (calls.len() - times.len()) as f64,
            chain: longest_chain(times) as f64,
        }))
    }
}

fn arguments(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Validate => &["validate"],
        Operation::PlanCreate => &["plan", "-out", PLAN],
        Operation::Apply | Operation::Update => &["apply", PLAN],
        // With this flag a plan that has changes ends with another exit code: it would not be what is measured.
        Operation::NoOpPlan => &["plan", "-detailed-exitcode"],
        Operation::Destroy => &["destroy", "-auto-approve"],
    }
}

/// Runs the CLI, which must succeed.
fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    // `apply` takes its options before the plan.
    let (command, rest) = arguments.split_first().ok_or_else(|| Failure::new("no command"))?;
    let output = workspace.run([*command, "-no-color"].iter().chain(rest));
    if output.code == Some(0) {
        return Ok(());
    }
    Err(Failure::new(format!("{}: exit code {:?}\n{}{}", output.command, output.code, output.stdout, output.stderr)))
}
