//! `cargo demo`: real Terraform plans, applies, plans again and destroys a CodeStream load balancer, in HTTP and in
//! HTTPS form, in a local AWS; while each is there, a client reaches a server through it.
#![allow(clippy::print_stdout, reason = "a demonstration is there to be watched")]

use std::process::ExitCode;
use std::time::Duration;

use acceptance_tests::{Account, Cli, Client, DataPlane, Failure, Host, Result, Site, Workspace, haproxy, runtime};
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
    let traffic = Traffic::start(&account)?;
    println!("==> Building the provider (the first time this takes minutes)");
    let values = json!({
        "subnet_ids": seed.public_subnet_ids[..2],
        "instance_ids": seed.instance_ids[..1],
        "client_cidr_blocks": ["127.0.0.1/32"],
        "instance_cidr_blocks": [format!("{}/32", seed.nat_public_ip)],
    });
    let mut served = show(&cli, &account, traffic.as_ref(), &HTTP, &values)?;
    let mut values = values;
    values["certificate_arn"] = json!(seed.certificate_arn);
    values["hostname"] = json!(seed.hostname);
    served.extend(show(&cli, &account, traffic.as_ref(), &HTTPS, &values)?);
    println!("\n==> Done: both were created, found unchanged by a second plan, and destroyed.");
    match traffic {
        Some(_) => println!("    While they were there, a client on this machine was served:"),
        None => println!("    No client was served: that takes HAProxy."),
    }
    for line in served {
        println!("    {line}");
    }
    Ok(())
}

/// One of the two examples.
struct Form {
    name: &'static str,
    example: &'static str,
    /// The listeners' ports: the API's and the Broadcaster's.
    ports: [u16; 2],
}

const HTTP: Form = Form { name: "HTTP", example: "examples/demo/http", ports: [80, 12080] };
const HTTPS: Form = Form { name: "HTTPS", example: "examples/demo/https", ports: [443, 12443] };

/// Makes the load balancers serve: a server in place of the instance, and HAProxy in place of AWS.
struct Traffic {
    plane: DataPlane,
    _host: Host,
}

impl Traffic {
    /// `None`, and a word about it, on a machine without HAProxy.
    fn start(account: &Account) -> Result<Option<Self>> {
        if let Err(missing) = haproxy() {
            println!("    The load balancers will not serve: {missing}");
            return Ok(None);
        }
        println!("==> Starting a server in place of the instance, and HAProxy in place of AWS's load balancers");
        // Draining takes 60 seconds of AWS.
        let plane = DataPlane::start(account, Duration::from_millis(50))?;
        let host = Host::start("The CodeStream host")?;
        for (port, address) in host.addresses() {
            plane.serve(&account.seed().instance_ids[0], *port, *address);
        }
        Ok(Some(Self { plane, _host: host }))
    }

    /// Makes a request and opens a WebSocket through the load balancer; what came back.
    fn try_out(&self, form: &Form) -> Result<Vec<String>> {
        let [api, broadcaster] = form.ports;
        let text = "Hello through the load balancer";
        runtime().block_on(async {
            let client = Client::default();
            let answer = client.get(self.site(api)?, "/no-auth/status").await?;
            client.socket(self.site(broadcaster)?).await?.echo(text).await?;
            Ok(vec![
                format!("{} {api}: GET /no-auth/status -> {} {:?}", form.name, answer.status, answer.body),
                format!("{} {broadcaster}: WebSocket {text:?} -> {text:?}", form.name),
            ])
        })
    }

    fn site(&self, port: u16) -> Result<Site> {
        let missing = || Failure::new(format!("the load balancer does not listen on {port}"));
        self.plane.site("codestream-alb", port).ok_or_else(missing)
    }
}

/// The life of one example, from its first plan to its destruction; what a client was served.
fn show(cli: &Cli, account: &Account, traffic: Option<&Traffic>, form: &Form, values: &Value) -> Result<Vec<String>> {
    let Form { name, example, .. } = form;
    let workspace = Workspace::new(cli, account)?;
    workspace.copy(example);
    workspace.write("terraform.tfvars.json", &values.to_string());
    account.proxy().clear_calls();

    println!("\n==> {name}: {example}");
    step(&workspace, &["plan"], "what would be created?")?;
    step(&workspace, &["apply", "-auto-approve"], "create it, and wait until every target is healthy")?;
    step(&workspace, &["output"], "what a user needs next")?;
    step(
        &workspace,
        &["plan", "-detailed-exitcode"],
        "is it what the configuration says? (exit code 0: nothing to do)",
    )?;
    let served = traffic.map(|traffic| traffic.try_out(form)).transpose()?.unwrap_or_default();
    if !served.is_empty() {
        println!("\n==> does it serve?\n");
    }
    for line in &served {
        println!("{line}");
    }
    step(&workspace, &["destroy", "-auto-approve"], "remove it")?;

    let (all, changes) = (account.proxy().calls().len(), account.proxy().mutating_calls().len());
    println!("\n==> {name}: {all} AWS calls, {changes} of them changes");
    for (action, count) in account.proxy().counts() {
        println!("    {count:>4}  {action}");
    }
    Ok(served)
}

/// Runs the CLI with its output on the terminal.
fn step(workspace: &Workspace, arguments: &[&str], what: &str) -> Result<()> {
    let command = arguments.join(" ");
    println!("\n==> {command}: {what}\n");
    let status = workspace.command(arguments).status().map_err(|error| Failure::new(format!("{command}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{command}: {status}"))) }
}
