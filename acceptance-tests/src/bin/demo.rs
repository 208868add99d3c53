//! `cargo demo`: real Terraform plans, applies, plans again and destroys a CodeStream load balancer, in HTTP and in
//! HTTPS form, in a local AWS.
#![allow(clippy::print_stdout, reason = "a demonstration is there to be watched")]

use std::process::ExitCode;

use acceptance_tests::{Account, Cli, Failure, Result, Workspace};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match demonstrate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("\nThe demo stopped: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Result<()> {
    let cli = Cli::all()?.swap_remove(0);
    println!("==> Starting a local AWS (the first time this installs moto, about half a minute)");
    let account = Account::new()?;
    let seed = account.seed();
    println!("    VPC {} with three public subnets, a NAT gateway, instances and certificates", seed.vpc_id);
    println!("==> Building the provider (the first time this takes minutes)");
    let values = json!({
        "subnet_ids": seed.public_subnet_ids[..2],
        "instance_ids": seed.instance_ids[..1],
        "instance_cidr_blocks": [format!("{}/32", seed.nat_public_ip)],
    });
    show(&cli, &account, "HTTP", "examples/demo/http", &values)?;
    let mut values = values;
    values["certificate_arn"] = json!(seed.certificate_arn);
    values["hostname"] = json!(seed.hostname);
    show(&cli, &account, "HTTPS", "examples/demo/https", &values)?;
    println!("\n==> Done: both were created, found unchanged by a second plan, and destroyed.");
    Ok(())
}

/// The life of one example, from its first plan to its destruction.
fn show(cli: &Cli, account: &Account, form: &str, example: &str, values: &Value) -> Result<()> {
    let workspace = Workspace::new(cli, account)?;
    workspace.copy(example);
    workspace.write("terraform.tfvars.json", &values.to_string());
    account.proxy().clear_calls();

    println!("\n==> {form}: {example}");
    step(&workspace, &["plan"], "what would be created?")?;
    step(&workspace, &["apply", "-auto-approve"], "create it, and wait until every target is healthy")?;
    step(&workspace, &["output"], "what a user needs next")?;
    step(
        &workspace,
        &["plan", "-detailed-exitcode"],
        "is it what the configuration says? (exit code 0: nothing to do)",
    )?;
    step(&workspace, &["destroy", "-auto-approve"], "remove it")?;

    let (all, changes) = (account.proxy().calls().len(), account.proxy().mutating_calls().len());
    println!("\n==> {form}: {all} AWS calls, {changes} of them changes");
    for (action, count) in account.proxy().counts() {
        println!("    {count:>4}  {action}");
    }
    Ok(())
}

/// Runs the CLI with its output on the terminal.
fn step(workspace: &Workspace, arguments: &[&str], what: &str) -> Result<()> {
    let command = arguments.join(" ");
    println!("\n==> {command}: {what}\n");
    let status = workspace.command(arguments).status().map_err(|error| Failure::new(format!("{command}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{command}: {status}"))) }
}
