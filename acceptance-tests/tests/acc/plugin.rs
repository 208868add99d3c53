//! The provider's binary as a process: who may speak to it, what it says where, how it ends, and what it takes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use acceptance_tests::plugin::goplugin::Empty;
use acceptance_tests::plugin::wire::diagnostic::Severity;
use acceptance_tests::plugin::wire::{
    DynamicValue, RawState, apply_resource_change, call_function, configure_provider, get_metadata,
    get_provider_schema, import_resource_state, plan_resource_change, read_resource, stop_provider,
    upgrade_resource_state, validate_provider_config, validate_resource_config,
};
use acceptance_tests::plugin::{Connection, Identity, Outcome, Plugin, Process, signal};
use acceptance_tests::{Account, with_each_cli};
use prost::Message;
use serde_json::{Value, json};

use crate::stack;

/// How long to wait for a process that is to end.
const PATIENCE: Duration = Duration::from_secs(20);

const TYPE_NAME: &str = "codestream_alb";

/// The provider with these arguments, as a person would run it.
fn by_hand(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(acceptance_tests::provider().expect("the provider builds"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().expect("the provider starts")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

async fn schema(connection: &Connection) -> get_provider_schema::Response {
    let answer = connection.provider().get_provider_schema(get_provider_schema::Request {}).await;
    answer.expect("an answer").into_inner()
}

/// Ends the provider as core does.
async fn shut_down(connection: &Connection, plugin: &mut Plugin) {
    connection.controller().shutdown(Empty {}).await.expect("an answer");
    ends(&mut plugin.process);
}

#[track_caller]
fn ends(process: &mut Process) {
    let status = process.end_within(PATIENCE);
    assert!(status.success(), "{status}");
}

/// This client is not served, for a reason that begins like this, and core is served after it.
async fn refuse(mut plugin: Plugin, stranger: Outcome<Connection>, reason: &str) {
    let answer = match stranger {
        Ok(stranger) => stranger.provider().get_metadata(get_metadata::Request {}).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    assert!(answer.is_err(), "a stranger was served: {answer:?}");
    let core = plugin.connect().await;
    schema(&core).await;
    shut_down(&core, &mut plugin).await;
    let refusals = plugin.process.logged("refused a client");
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(stack::text(&refusals[0]["error"]).starts_with(reason), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_without_a_certificate_is_refused_and_core_served_all_the_same() {
    let plugin = Plugin::start(Stdio::null());
    let stranger = plugin.connect_as(None).await;
    refuse(plugin, stranger, "peer sent no certificates").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_with_another_certificate_of_the_same_form_is_refused_and_core_served_all_the_same() {
    let plugin = Plugin::start(Stdio::null());
    let stranger = plugin.connect_as(Some(&Identity::new())).await;
    refuse(plugin, stranger, "invalid peer certificate: ApplicationVerificationFailure").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_in_plaintext_is_refused_and_core_served_all_the_same() {
    let plugin = Plugin::start(Stdio::null());
    let stranger = plugin.connect_in_clear().await;
    refuse(plugin, stranger, "received corrupt message").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn core_is_told_what_the_provider_offers() {
    let plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    let schema = schema(&core).await;
    assert!(schema.diagnostics.is_empty(), "{:?}", schema.diagnostics);
    assert!(schema.provider.is_some());
    let resource = schema.resource_schemas[TYPE_NAME].block.as_ref().expect("attributes");
    assert!(resource.attributes.iter().any(|attribute| attribute.name == "subnet_ids" && attribute.required));
    let metadata = core.provider().get_metadata(get_metadata::Request {}).await.expect("an answer").into_inner();
    let mut named: Vec<&String> = metadata.resources.iter().map(|resource| &resource.type_name).collect();
    let mut described: Vec<&String> = schema.resource_schemas.keys().collect();
    named.sort();
    described.sort();
    assert_eq!(named, described);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_handshake_has_six_fields_and_nothing_else_is_ever_on_standard_output() {
    let mut plugin = Plugin::start(Stdio::null());
    let fields: Vec<&str> = plugin.handshake.split('|').collect();
    let [handshake, protocol, network, socket, kind, certificate] = fields[..] else { panic!("{fields:?}") };
    assert_eq!([handshake, protocol, network, kind], ["1", "6", "unix", "grpc"]);
    assert!(Path::new(socket).is_absolute(), "{socket}");
    // Core takes anything shorter for no certificate.
    assert!(certificate.len() > 50, "{certificate}");

    let core = plugin.connect().await;
    schema(&core).await;
    shut_down(&core, &mut plugin).await;
    assert!(!plugin.process.logged("answered").is_empty());
    let others: Vec<String> = plugin.process.stderr().lines().map(str::to_owned).collect();
    assert!(others.iter().all(|line| line.starts_with("{\"@level\":")), "{others:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_this_user_can_enter_the_directory_of_the_socket_and_it_goes_with_the_process() {
    let mut plugin = Plugin::start(Stdio::null());
    let directory = Path::new(plugin.socket().expect("a socket")).parent().expect("a directory").to_owned();
    let permissions = fs::metadata(&directory).expect("a directory").permissions();
    assert_eq!(permissions.mode() & 0o777, 0o700);
    let core = plugin.connect().await;
    shut_down(&core, &mut plugin).await;
    assert!(!directory.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_process_ends_when_asked_to_though_a_stream_is_open() {
    let mut plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    let mut output = core.stdio().stream_stdio(Empty {}).await.expect("a stream").into_inner();
    shut_down(&core, &mut plugin).await;
    // Core kills the process after two seconds: a stream must not be waited for, and only cut off by then.
    assert_eq!(plugin.process.logged("ending with calls in flight"), Vec::<Value>::new());
    let said = output.message().await;
    assert!(!matches!(said, Ok(Some(_))), "core would show this as unexpected: {said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupt_from_the_terminal_and_the_end_of_a_job_are_left_to_core() {
    let mut plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    for name in ["INT", "TERM"] {
        assert!(signal(name, &plugin.process.id()));
        schema(&core).await;
    }
    // Ends by itself, not by the signal.
    shut_down(&core, &mut plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_was_stopped_goes_on_serving() {
    let mut plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    let stopped = core.provider().stop_provider(stop_provider::Request {}).await.expect("an answer").into_inner();
    assert_eq!(stopped.error, "");
    schema(&core).await;
    shut_down(&core, &mut plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn standard_input_is_left_to_core() {
    let (mut input, mut terminal) = io::pipe().expect("a pipe");
    terminal.write_all(b"yes\n").expect("room in the pipe");
    drop(terminal);
    let mut plugin = Plugin::start(input.try_clone().expect("another end"));
    let core = plugin.connect().await;
    schema(&core).await;
    shut_down(&core, &mut plugin).await;
    let mut left = String::new();
    input.read_to_string(&mut left).expect("text");
    assert_eq!(left, "yes\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_of_more_than_four_mebibytes_pass_both_ways() {
    let plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    let size = 5 << 20;
    let state = json!({ "tags": { "large": "x".repeat(size) } });
    let request = upgrade_resource_state::Request {
        type_name: TYPE_NAME.to_owned(),
        version: schema(&core).await.resource_schemas[TYPE_NAME].version,
        raw_state: Some(RawState { json: state.to_string().into_bytes(), ..RawState::default() }),
    };
    let answer = core.provider().upgrade_resource_state(request).await.expect("an answer").into_inner();
    assert!(answer.diagnostics.is_empty(), "{:?}", answer.diagnostics);
    assert!(answer.upgraded_state.is_some_and(|state| state.msgpack.len() > size));
}

fn noise(random: &mut fastrand::Rng) -> Vec<u8> {
    // Longer than the shortest values, which random bytes could be by chance.
    let mut bytes = vec![0; random.usize(24..200)];
    random.fill(&mut bytes);
    bytes
}

/// Sends random bytes as messages of a call. It fails exactly when they are no such message.
async fn hurl<M: Message + Default>(core: &Connection, rpc: &str, random: &mut fastrand::Rng) {
    for _ in 0..20 {
        let bytes = noise(random);
        let status = core.send(rpc, &bytes).await.expect("an answer");
        assert_eq!(status == "0", M::decode(bytes.as_slice()).is_ok(), "{rpc}: status {status} for {bytes:02x?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn random_bytes_in_place_of_messages_are_refused_and_the_process_lives_on() {
    let mut plugin = Plugin::start(Stdio::null());
    let core = plugin.connect().await;
    let random = &mut fastrand::Rng::with_seed(1);
    hurl::<configure_provider::Request>(&core, "ConfigureProvider", random).await;
    hurl::<validate_resource_config::Request>(&core, "ValidateResourceConfig", random).await;
    hurl::<upgrade_resource_state::Request>(&core, "UpgradeResourceState", random).await;
    hurl::<plan_resource_change::Request>(&core, "PlanResourceChange", random).await;
    hurl::<apply_resource_change::Request>(&core, "ApplyResourceChange", random).await;
    hurl::<import_resource_state::Request>(&core, "ImportResourceState", random).await;
    hurl::<call_function::Request>(&core, "CallFunction", random).await;
    schema(&core).await;
    shut_down(&core, &mut plugin).await;
}

/// The call is answered with an error among its diagnostics.
macro_rules! complains {
    ($call:expr) => {{
        let answer = $call.await.expect("an answer").into_inner();
        let mut diagnostics = answer.diagnostics.iter();
        assert!(diagnostics.any(|diagnostic| diagnostic.severity() == Severity::Error), "{answer:?}");
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn random_bytes_in_place_of_values_are_errors_and_the_process_lives_on() {
    let mut plugin = Plugin::start(Stdio::null());
    let connection = plugin.connect().await;
    let mut core = connection.provider();
    let random = &mut fastrand::Rng::with_seed(2);
    for _ in 0..15 {
        let type_name = TYPE_NAME.to_owned();
        let value = Some(DynamicValue { msgpack: noise(random), json: Vec::new() });
        complains!(core.validate_provider_config(validate_provider_config::Request { config: value.clone() }));
        complains!(core.validate_resource_config(validate_resource_config::Request {
            type_name: type_name.clone(),
            config: value.clone(),
            ..Default::default()
        }));
        complains!(core.upgrade_resource_state(upgrade_resource_state::Request {
            type_name: type_name.clone(),
            raw_state: Some(RawState { json: noise(random), ..RawState::default() }),
            ..Default::default()
        }));
        complains!(core.read_resource(read_resource::Request {
            type_name: type_name.clone(),
            current_state: value.clone(),
            private: noise(random),
            ..Default::default()
        }));
        complains!(core.plan_resource_change(plan_resource_change::Request {
            type_name: type_name.clone(),
            config: value.clone(),
            prior_private: noise(random),
            ..Default::default()
        }));
        complains!(core.apply_resource_change(apply_resource_change::Request {
            type_name,
            planned_state: value,
            planned_private: noise(random),
            ..Default::default()
        }));
    }
    assert!(!plugin.process.stderr().contains("panic: "), "{}", plugin.process.stderr());
    shut_down(&connection, &mut plugin).await;
}

#[test]
fn a_person_who_starts_it_is_told_what_it_is() {
    for environment in [&[][..], &[("TF_PLUGIN_MAGIC_COOKIE", "of something else")][..]] {
        let output = by_hand(&[], environment);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert!(text(&output.stderr).starts_with("This is a plugin"), "{output:?}");
    }
}

#[test]
fn version_and_help_are_answered() {
    let version = by_hand(&["--version"], &[]);
    assert_eq!(text(&version.stdout), concat!("terraform-provider-codestream ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = by_hand(&["--help"], &[]);
    for argument in ["--debug", "--help", "--version"] {
        assert!(text(&help.stdout).contains(argument), "{help:?}");
    }
    for output in [version, help] {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn an_argument_that_is_no_text_is_refused_like_any_other() {
    let mut command = Command::new(acceptance_tests::provider().expect("the provider builds"));
    command.arg(OsStr::from_bytes(b"\xff")).env_clear().stdin(Stdio::null());
    let output = command.output().expect("the provider starts");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).starts_with("Unknown argument"), "{output:?}");
}

#[test]
fn terraform_attaches_to_a_provider_that_is_being_debugged_as_often_as_it_likes() {
    let mut process = Process::start(&["--debug"], &[], Stdio::null());
    let line = process.line();
    let value = line.strip_prefix("TF_REATTACH_PROVIDERS='").and_then(|rest| rest.strip_suffix('\''));
    let value = value.expect("a variable for a shell");
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &with_provider_block(aws, "preflight = \"off\""));
        for _ in 0..2 {
            let before = process.logged("answered").len();
            let mut command = workspace.command(["plan", "-no-color"]);
            let output = command.env("TF_REATTACH_PROVIDERS", value).output().expect("the CLI starts");
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert!(process.logged("answered").len() > before, "it was another process that answered");
        }
    });
    assert!(signal("INT", &process.id()));
    ends(&mut process);
}

/// The HTTP stack with these arguments in the provider block.
fn with_provider_block(aws: &Account, arguments: &str) -> String {
    let block = format!("provider \"codestream\" {{\n{arguments}\n}}");
    stack::http(aws.seed(), "").replace("provider \"codestream\" {}", &block)
}

#[test]
fn terraform_shows_our_log_under_our_name_and_at_its_level() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        let output = workspace.command(["validate"]).env("TF_LOG", "debug").output().expect("the CLI starts");
        let log = text(&output.stderr);
        assert!(log.contains("[DEBUG] provider.terraform-provider-codestream: answered: "), "{log}");
        assert!(!log.contains("\"@message\""), "a line that was not understood: {log}");
    });
}
