//! A provider that is killed, and a Terraform that is interrupted, at every call of a create and of a destroy: the
//! next command finds what there is, finishes what was begun, and leaves nothing behind.
//!
//! Processes are found in `/proc`.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, OnceLock};

use acceptance_tests::plugin::signal;
use acceptance_tests::{Account, Call, Cli, Fault, Rule, Seed, Workspace, eventually, with_each_cli};
use serde_json::{Value, json};

use crate::{cluster, stack};

/// What is created and destroyed.
struct Subject {
    kind: &'static str,
    resource: &'static str,
    /// Its `name`.
    name: &'static str,
    configuration: fn(&Seed) -> String,
    /// Everything in the account that it could leave behind.
    inventory: fn(&Account) -> Value,
}

const ALB: Subject = Subject {
    kind: "codestream_alb",
    resource: "onprem",
    name: "codestream-alb",
    configuration: |seed| stack::http(seed, ""),
    inventory: stack::inventory,
};

const CLUSTER: Subject = Subject {
    kind: cluster::TYPE,
    resource: "realtime",
    name: "realtime",
    configuration: |seed| cluster::cluster(seed, ""),
    inventory: cluster::inventory,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The provider is killed and AWS never gets the call.
    KillBefore,
    /// The provider is killed when AWS has done what the call asks for.
    KillAfter,
    /// Ctrl-C, which reaches Terraform and the provider, when AWS has done what the call asks for.
    Interrupt,
}

/// A blow, and the call at which it falls: the first is 0.
#[derive(Clone, Copy, Debug)]
struct Hit {
    call: usize,
    blow: Blow,
}

impl Hit {
    /// Makes it happen. `terraform` is the process to hit, to be set once that is known.
    fn rule(self, terraform: Arc<OnceLock<u32>>) -> Rule {
        let fault = if self.blow == Blow::KillBefore { Fault::Reset } else { Fault::None };
        Rule::on_any(fault).after(self.call).then(move |_| {
            let terraform = *terraform.wait();
            if self.blow == Blow::Interrupt {
                signal("INT", &format!("-{terraform}"));
            } else {
                for provider in children(terraform) {
                    signal("KILL", &provider);
                }
            }
        })
    }
}

/// The processes that this one has started; those of Terraform are providers.
fn children(parent: u32) -> Vec<String> {
    let is_child = |stat: &str| {
        // The second field is the program's name, in parentheses and with anything in it; the parent is the fourth.
        let after_name = stat.rsplit_once(") ").map(|(_, fields)| fields);
        after_name.and_then(|fields| fields.split(' ').nth(1)) == Some(parent.to_string().as_str())
    };
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter(|process| fs::read_to_string(process.path().join("stat")).is_ok_and(|stat| is_child(&stat)))
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Starts a command in a group of its own, so that an interrupt reaches all of it and nothing else.
fn start(workspace: &Workspace, command: &str) -> Child {
    let mut command = workspace.command([command, "-no-color", "-auto-approve"]);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("a CLI that was found can be started")
}

/// A kill before and after each of these calls. Before a call that only reads is where the call before it has ended.
fn kills(calls: &[Call]) -> Vec<Hit> {
    let both = [Blow::KillBefore, Blow::KillAfter];
    let blows = |call: &Call| if call.is_mutating() { &both[..] } else { &both[1..] };
    let hits = calls.iter().enumerate();
    hits.flat_map(|(index, call)| blows(call).iter().map(move |&blow| Hit { call: index, blow })).collect()
}

/// More calls than this are not all hit: every life of a cluster takes seconds.
const FEW: usize = 40;

/// A kill after each of these calls; of many, after each that changes something and after every fourth of the others,
/// which leave AWS as the call before them did.
fn some_kills(calls: &[Call]) -> Vec<Hit> {
    let stride = if calls.len() > FEW { 4 } else { 1 };
    let (mutating, reading): (Vec<usize>, Vec<usize>) = (0..calls.len()).partition(|index| calls[*index].is_mutating());
    let mut hit: Vec<usize> = reading.into_iter().step_by(stride).chain(mutating).collect();
    hit.sort_unstable();
    hit.into_iter().map(|call| Hit { call, blow: Blow::KillAfter }).collect()
}

/// An interrupt at each of these calls.
fn interrupts(calls: &[Call]) -> Vec<Hit> {
    (0..calls.len()).map(|call| Hit { call, blow: Blow::Interrupt }).collect()
}

/// The changes that only a cluster makes. What an interrupt at the others leads to, the load balancer shows.
const OF_A_CLUSTER: [&str; 6] = [
    "CreateCacheSubnetGroup",
    "CreateReplicationGroup",
    "RunInstances",
    "TerminateInstances",
    "DeleteReplicationGroup",
    "DeleteCacheSubnetGroup",
];

/// An interrupt where the first change of each of those kinds is among these calls.
fn some_interrupts(calls: &[Call]) -> Vec<Hit> {
    let firsts = OF_A_CLUSTER.iter().filter_map(|action| calls.iter().position(|call| call.action == *action));
    firsts.map(|call| Hit { call, blow: Blow::Interrupt }).collect()
}

/// A stack in an account that has other things, too.
struct Trial<'a> {
    subject: &'a Subject,
    aws: &'a Account,
    workspace: &'a Workspace,
    /// The account without the stack.
    empty: Value,
}

impl Trial<'_> {
    /// Runs a command of which a call is hit.
    fn hit(&self, command: &str, hit: Hit) {
        self.aws.proxy().clear_calls();
        let terraform = Arc::new(OnceLock::new());
        self.aws.proxy().inject(hit.rule(Arc::clone(&terraform)));
        let child = start(self.workspace, command);
        terraform.set(child.id()).expect("nobody else sets it");
        let output = child.wait_with_output().expect("its output");
        self.aws.proxy().clear_faults();

        // Calls side by side vary in number: the last hit of a loop may find nothing to hit.
        let happened = self.aws.proxy().calls().len() > hit.call;
        let codes = match hit.blow {
            _ if !happened => 0..=0,
            // Which it is depends on whether there was anything left to do.
            Blow::Interrupt => 0..=1,
            Blow::KillBefore | Blow::KillAfter => 1..=1,
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{}\n{said}", output.status);
        let Subject { kind, resource, inventory, .. } = self.subject;
        if hit.blow == Blow::Interrupt && inventory(self.aws) != self.empty {
            assert!(self.workspace.attributes(kind, resource).is_object(), "{said}");
        }
    }

    /// Creates the stack in spite of a hit.
    fn create(&self, hit: Option<&Hit>) {
        if let Some(hit) = hit {
            self.hit("apply", *hit);
        }
        // The last calls of a create. Once all are made nothing tells the stack from a finished one of somebody else's.
        let finished = self.aws.proxy().calls().iter().any(|call| call.action == "RemoveTags" && call.reached_aws);
        let again = self.workspace.apply();
        if finished && again.code != Some(0) {
            let Subject { kind, resource, name, .. } = self.subject;
            again.expect_error(&format!("terraform import ADDRESS {name}"));
            self.workspace.import(&format!("{kind}.{resource}"), name).expect_success();
            self.workspace.apply().expect_success();
        } else {
            again.expect_success();
        }
        self.workspace.plan().expect_no_changes();
    }

    /// Destroys the stack in spite of a hit.
    fn destroy(&self, hit: Option<&Hit>) {
        if let Some(hit) = hit {
            self.hit("destroy", *hit);
        }
        self.workspace.destroy().expect_success();
        assert_eq!((self.subject.inventory)(self.aws), self.empty);
    }
}

/// Creates and destroys a stack over and over, until all of the calls of either were hit that are to be.
#[allow(clippy::print_stderr, reason = "the number of cases is a result of the test")]
fn hit_calls(subject: &Subject, aws: &Account, workspace: &Workspace, hits: impl Fn(&[Call]) -> Vec<Hit>) {
    // Nothing to wait for: what counts is in the calls.
    aws.configure(json!({ "initial_describes": 0, "draining_describes": 0, "deleting_describes": 0 }));
    let configuration = (subject.configuration)(aws.seed());
    let quiet = "provider \"codestream\" {\n  preflight = \"off\"\n}";
    workspace.write("main.tf", &configuration.replace("provider \"codestream\" {}", quiet));
    let trial = Trial { subject, aws, workspace, empty: (subject.inventory)(aws) };

    workspace.apply().expect_success();
    let calls = aws.proxy().calls();
    let creates = hits(&calls);
    aws.proxy().clear_calls();
    workspace.destroy().expect_success();
    let destroys = hits(&aws.proxy().calls());
    eprintln!("{} calls of a create, {} of a destroy", calls.len(), aws.proxy().calls().len());

    for life in 0..creates.len().max(destroys.len()) {
        let (create, destroy) = (creates.get(life), destroys.get(life));
        eprintln!("create: {create:?}, destroy: {destroy:?}");
        trial.create(create);
        trial.destroy(destroy);
    }
    eprintln!("{} cases of a create, {} of a destroy", creates.len(), destroys.len());
}

#[test]
fn a_provider_may_be_killed_at_any_call_and_nothing_is_lost() {
    with_each_cli(|aws, workspace| hit_calls(&ALB, aws, workspace, kills));
}

#[test]
fn terraform_may_be_interrupted_at_any_call_and_nothing_is_lost() {
    with_each_cli(|aws, workspace| hit_calls(&ALB, aws, workspace, interrupts));
}

/// Hits a cluster with one CLI: what each makes of a provider that dies or stops, the load balancer shows.
fn hit_calls_of_a_cluster(hits: impl Fn(&[Call]) -> Vec<Hit>) {
    let cli = Cli::all().expect("a CLI to test with").remove(0);
    let aws = Account::new().expect("an AWS account");
    let workspace = Workspace::new(&cli, &aws).expect("a workspace");
    hit_calls(&CLUSTER, &aws, &workspace, hits);
}

#[test]
fn a_provider_may_be_killed_while_it_makes_or_ends_a_cluster_and_nothing_is_lost() {
    hit_calls_of_a_cluster(some_kills);
}

#[test]
fn terraform_may_be_interrupted_while_it_makes_or_ends_a_cluster_and_nothing_is_lost() {
    hit_calls_of_a_cluster(some_interrupts);
}

/// Whether a process runs. One that has ended stays in `/proc` until it is waited for, but without a program.
fn runs(process: &str) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).is_ok()
}

#[test]
fn a_provider_ends_with_a_terraform_that_is_killed_and_the_next_apply_finishes_its_create() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        let (terraform, providers) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        aws.proxy().inject(Rule::on("CreateLoadBalancer", Fault::None).then({
            let (terraform, providers) = (Arc::clone(&terraform), Arc::clone(&providers));
            move |_| {
                let terraform: u32 = *terraform.wait();
                let _ = providers.set(children(terraform));
                signal("KILL", &terraform.to_string());
            }
        }));
        let child = start(workspace, "apply");
        terraform.set(child.id()).expect("nobody else sets it");
        assert_eq!(child.wait_with_output().expect("its output").status.code(), None, "killed");
        let providers = providers.get().expect("a call was made");
        assert!(!providers.is_empty());
        eventually("no provider runs", async || !providers.iter().any(|provider| runs(provider)));
        workspace.apply().expect_success();
        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}

/// AWS does what each kind of changing call asks for, and the answer to the first of them is lost.
#[test]
fn lost_answers_are_made_up_for() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        let arguments = format!("dns_record = {{ zone_id = {} }}\nidle_timeout =", json!(aws.seed().zone_id));
        let configuration = |idle_timeout: u16| stack::https(aws.seed(), &format!("{arguments} {idle_timeout}"));
        let mut lost = 0;
        for (text, command) in [
            (configuration(60), ["apply", "-no-color", "-auto-approve"]),
            (configuration(90), ["apply", "-no-color", "-auto-approve"]),
            (configuration(90), ["destroy", "-no-color", "-auto-approve"]),
        ] {
            workspace.write("main.tf", &text);
            for action in [
                "CreateSecurityGroup",
                "AuthorizeSecurityGroupIngress",
                "RevokeSecurityGroupEgress",
                "CreateTargetGroup",
                "ModifyTargetGroupAttributes",
                "RegisterTargets",
                "CreateLoadBalancer",
                "ModifyLoadBalancerAttributes",
                "CreateListener",
                "ChangeResourceRecordSets",
                "RemoveTags",
                "DeleteTags",
                "DeleteLoadBalancer",
                "DeleteTargetGroup",
                "DeleteSecurityGroup",
            ] {
                aws.proxy().inject(Rule::on(action, Fault::LoseResponse));
            }
            aws.proxy().clear_calls();
            workspace.run(command).expect_success();
            lost += aws.proxy().calls().iter().filter(|call| call.reached_aws && call.status.is_none()).count();
            aws.proxy().clear_faults();
        }
        assert_eq!(lost, 17, "every action once, two of them in two commands");
        assert_eq!(stack::inventory(aws), before);
    });
}
