//! A provider that is killed, and a Terraform that is interrupted, at every call of a create and of a destroy: the
//! next command finds what there is, finishes what was begun, and leaves nothing behind.
//!
//! Processes are found in `/proc`.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use acceptance_tests::plugin::signal;
use acceptance_tests::{Account, Call, Fault, Rule, Workspace, with_each_cli};
use serde_json::{Value, json};

use crate::stack;

const ADDRESS: &str = "codestream_alb.onprem";

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

/// A kill before and after each of these calls. Before a call that only reads is where the call before it has ended.
fn kills(calls: &[Call]) -> Vec<Hit> {
    let both = [Blow::KillBefore, Blow::KillAfter];
    let blows = |call: &Call| if call.is_mutating() { &both[..] } else { &both[1..] };
    let hits = calls.iter().enumerate();
    hits.flat_map(|(index, call)| blows(call).iter().map(move |&blow| Hit { call: index, blow })).collect()
}

/// An interrupt at each of these calls.
fn interrupts(calls: &[Call]) -> Vec<Hit> {
    (0..calls.len()).map(|call| Hit { call, blow: Blow::Interrupt }).collect()
}

/// A stack in an account that has other things, too.
struct Trial<'a> {
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
        let child = self
            .workspace
            .command([command, "-no-color", "-auto-approve"])
            // A group of its own, so that an interrupt reaches all of it and nothing else.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a CLI that was found can be started");
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
        if hit.blow == Blow::Interrupt && stack::inventory(self.aws) != self.empty {
            assert!(self.workspace.attributes("codestream_alb", "onprem").is_object(), "{said}");
        }
    }

    /// Creates the stack in spite of a hit.
    fn create(&self, hit: Option<&Hit>) {
        if let Some(hit) = hit {
            self.hit("apply", *hit);
        }
        // The last call of a create. From there on nothing tells the stack from a finished one of somebody else's.
        let finished = self.aws.proxy().calls().iter().any(|call| call.action == "RemoveTags" && call.reached_aws);
        let again = self.workspace.apply();
        if finished && again.code != Some(0) {
            again.expect_error("terraform import ADDRESS codestream-alb");
            self.workspace.import(ADDRESS, "codestream-alb").expect_success();
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
        assert_eq!(stack::inventory(self.aws), self.empty);
    }
}

/// Creates and destroys a stack over and over, until each call of either was hit in every way.
#[allow(clippy::print_stderr, reason = "the number of cases is a result of the test")]
fn hit_every_call(hits: impl Fn(&[Call]) -> Vec<Hit>) {
    with_each_cli(|aws, workspace| {
        // Nothing to wait for: what counts is in the calls.
        aws.configure(json!({ "initial_describes": 0, "draining_describes": 0 }));
        let configuration = stack::http(aws.seed(), "");
        let quiet = "provider \"codestream\" {\n  preflight = \"off\"\n}";
        workspace.write("main.tf", &configuration.replace("provider \"codestream\" {}", quiet));
        let trial = Trial { aws, workspace, empty: stack::inventory(aws) };

        workspace.apply().expect_success();
        let creates = hits(&aws.proxy().calls());
        aws.proxy().clear_calls();
        workspace.destroy().expect_success();
        let destroys = hits(&aws.proxy().calls());

        for life in 0..creates.len().max(destroys.len()) {
            let (create, destroy) = (creates.get(life), destroys.get(life));
            eprintln!("create: {create:?}, destroy: {destroy:?}");
            trial.create(create);
            trial.destroy(destroy);
        }
        eprintln!("{} cases of a create, {} of a destroy", creates.len(), destroys.len());
    });
}

#[test]
fn a_provider_may_be_killed_at_any_call_and_nothing_is_lost() {
    hit_every_call(kills);
}

#[test]
fn terraform_may_be_interrupted_at_any_call_and_nothing_is_lost() {
    hit_every_call(interrupts);
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
