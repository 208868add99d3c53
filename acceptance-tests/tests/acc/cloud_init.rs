//! The user data that a cluster's nodes get, held against the schema that cloud-init comes with.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acceptance_tests::{python, with_each_cli};
use serde_json::{Value, json};

use crate::cluster::{cluster, user_data};
use crate::stack;

/// Where the schema is in Debian's package of cloud-init.
const SCHEMA: &str = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json";

/// Prints what is wrong with the configuration on standard input, as JSON. The schema lets keys be there that no module of
/// cloud-init reads; those are wrong as well.
const CHECK: &str = r#"
import json, sys
from jsonschema import Draft4Validator
with open(sys.argv[1]) as file:
    schema = json.load(file)
config = json.load(sys.stdin)
wrong = [f"{error.json_path}: {error.message}" for error in Draft4Validator(schema).iter_errors(config)]
known = {key for module in schema["$defs"].values() for key in module.get("properties", {})}
wrong += [f"$.{key}: no module reads it" for key in config if key not in known]
print(json.dumps(wrong))
"#;

/// The schema, from a package that is unpacked the first time and not installed: an installed cloud-init would set this
/// machine up when it starts again. `None` where there is no such package.
fn schema() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cloud-init");
    let schema = directory.join(SCHEMA);
    if !schema.exists() {
        fs::create_dir_all(&directory).expect("a directory that can be written");
        let silent = |command: &mut Command| {
            let output = command.current_dir(&directory).output();
            output.is_ok_and(|output| output.status.success())
        };
        silent(Command::new("apt-get").args(["download", "cloud-init"])).then_some(())?;
        let files = fs::read_dir(&directory).expect("a directory that can be read");
        let package =
            files.flatten().map(|file| file.path()).find(|path| path.extension().is_some_and(|it| it == "deb"))?;
        assert!(silent(Command::new("dpkg-deb").arg("--extract").arg(package).arg(".")), "the package is one");
    }
    schema.exists().then_some(schema)
}

/// What is wrong with a configuration of cloud-init.
#[track_caller]
fn faults(schema: &Path, config: &Value) -> Vec<String> {
    let mut process = Command::new(python().expect("Python"))
        .args(["-c", CHECK])
        .arg(schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = process.stdin.take().expect("it was asked for");
    input.write_all(config.to_string().as_bytes()).expect("Python reads");
    drop(input);
    let output = process.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).expect("a list of faults")
}

#[test]
fn the_user_data_of_nodes_is_what_cloud_init_takes() {
    let Some(schema) = schema() else {
        // Not by a macro: a test that passes keeps what those print to itself.
        let _ =
            writeln!(io::stderr(), "SKIPPED: cloud-init's schema. Where apt-get has a package of it, the test runs.");
        return;
    };
    with_each_cli(|aws, workspace| {
        let plain = "user_data_extra = \"echo 'a: b # c'\"\ndeepstream_config = { logLevel = 2 }";
        workspace.write("main.tf", &cluster(aws.seed(), plain));
        workspace.apply().expect_success();
        let state = workspace.attributes("codestream_deepstream_cluster", "realtime");
        let data = user_data(aws, &stack::text(&state["nodes"][0]["instance_id"]));
        workspace.destroy().expect_success();

        // JSON is YAML.
        let config = data.strip_prefix("#cloud-config\n").expect("a cloud-config");
        let config: Value = serde_json::from_str(config).expect("JSON");
        assert_eq!(faults(&schema, &config), Vec::<String>::new(), "{config}");

        let mut spoilt = config;
        spoilt["write_files"][0]["permissions"] = json!(644);
        spoilt["runcmds"] = json!([]);
        let faults = faults(&schema, &spoilt);
        assert!(faults.len() == 2 && faults[0].starts_with("$.write_files[0].permissions: "), "{faults:?}");
    });
}
