//! `cargo bench-peers`: what this provider and the AWS provider cost for the same infrastructure, side by side.
//!
//! Both work against the same local AWS, through the same proxy, installed by `init` from the same kind of mirror, and
//! take turns. The local AWS, the proxy and Terraform share this machine's processors with the providers, so times
//! compare the two on this machine and promise nothing about another one.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to be read")]

mod dialect;
mod figures;
mod life;
mod operation;
mod options;
mod plot;
mod report;
mod usage;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs, thread};

use acceptance_tests::plugin::Plugin;
use acceptance_tests::plugin::wire::get_provider_schema::Request;
use acceptance_tests::{Cli, Failure, Result, aws_provider, released_provider, target_directory};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::dialect::Dialect;
use crate::figures::{Results, median};
use crate::life::Bench;
use crate::options::Options;
use crate::report::Facts;

/// How often the start of our provider is timed: it takes milliseconds, and they vary.
const STARTS: usize = 21;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == usage::STAND_IN
    {
        return usage::stand_in(rest).unwrap_or_else(|failure| stopped(&failure));
    }
    let arguments = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
    match Options::parse(arguments) {
        Ok(Some(options)) => compare(&options).map_or_else(|failure| stopped(&failure), |()| ExitCode::SUCCESS),
        Ok(None) => {
            println!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Err(failure) => stopped(&failure),
    }
}

fn stopped(failure: &Failure) -> ExitCode {
    eprintln!("bench-peers: {failure}");
    ExitCode::FAILURE
}

fn compare(options: &Options) -> Result<()> {
    eprintln!("==> Building the provider in release mode (the first time this takes minutes)");
    let ours = released_provider()?;
    let peer = if options.alone { None } else { aws_provider() };
    if peer.is_none() && !options.alone {
        eprintln!(
            "==> Version 5 of hashicorp/aws is in no provider directory of this machine: ours is measured alone. \
             `terraform providers mirror ~/.terraform.d/plugins` in a configuration that requires it puts it there"
        );
    }
    let directory = TempDir::new().map_err(Failure::during("creating a directory for the mirror"))?;
    // A build while this runs, which can take hours, must not change what is measured.
    let copy = directory.path().join("provider");
    fs::copy(ours, &copy).map_err(Failure::during("copying the provider"))?;
    let cli = Cli::all()?.swap_remove(0);
    eprintln!("==> Timing the start of the provider");
    let facts = Facts {
        processors: thread::available_parallelism().map_or(1, NonZero::get),
        cli: version(&cli)?,
        peer: peer.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
        seconds_to_schema: seconds_to_schema(&copy)?,
        binary_bytes: file_size(&copy)?,
        peer_binary_bytes: peer.as_deref().map(file_size).transpose()?,
    };
    let bench = Bench::new(options, cli, directory.path())?;
    bench.install(Dialect::Ours, &copy)?;
    if let Some(peer) = &peer {
        bench.install(Dialect::Peer, peer)?;
    }
    let dialects = if peer.is_some() { &Dialect::BOTH[..] } else { &[Dialect::Ours][..] };

    let (output, mut results) = (target_directory("bench")?, Results::default());
    for (stacks, runs) in options.stacks_and_runs() {
        for &delay in &options.delays {
            for run in 1..=runs {
                for &dialect in dialects {
                    let what = format!("{stacks} stacks, {} ms a call, {}", delay.as_millis(), dialect.name());
                    eprintln!("==> Run {run} of {runs}: {what}");
                    if let Err(failure) = bench.live(dialect, stacks, delay, &mut results) {
                        eprintln!("    failed: {failure}");
                        results.failures.push(format!("run {run}, {what}: {failure}"));
                    }
                    // Whoever stops a long run keeps what was measured.
                    write(&output, options, &facts, &results)?;
                }
            }
        }
    }
    println!("{}", report::markdown(options, &facts, &results));
    eprintln!("==> Written to {}", output.display());
    if results.failures.is_empty() { Ok(()) } else { Err(Failure::new("something failed; the report lists it")) }
}

fn write(output: &Path, options: &Options, facts: &Facts, results: &Results) -> Result<()> {
    let files: [(&str, String); 3] = [
        ("results.json", report::json(options, facts, results)),
        ("results.md", report::markdown(options, facts, results)),
        ("cost.svg", plot::svg(options, results)?),
    ];
    for (name, text) in files {
        fs::write(output.join(name), text).map_err(Failure::during("writing to target/bench"))?;
    }
    Ok(())
}

/// What the CLI says it is: `Terraform v1.2.3`.
fn version(cli: &Cli) -> Result<String> {
    let mut command = Command::new(&cli.path);
    // Otherwise it asks the network whether there is a newer one.
    command.arg("version").env("CHECKPOINT_DISABLE", "1");
    let output = command.output().map_err(Failure::during("asking for the version of the CLI"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or(cli.name).to_owned())
}

/// The median time from the start of the process until core has the schema.
fn seconds_to_schema(binary: &Path) -> Result<f64> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::during("starting a runtime"))?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let plugin = Plugin::start_binary(binary);
        let answered: Result<Duration> = runtime.block_on(async {
            let connection = plugin.connect().await;
            let answer = connection.provider().get_provider_schema(Request {}).await;
            answer.map_err(Failure::during("asking for the schema"))?;
            Ok(plugin.process.age())
        });
        times.push(answered?.as_secs_f64());
    }
    median(times).ok_or_else(|| Failure::new("no start was timed"))
}

fn file_size(file: &Path) -> Result<u64> {
    Ok(fs::metadata(file).map_err(Failure::during("looking at a provider's binary"))?.len())
}
