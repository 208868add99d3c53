//! The provider where `scripts/install` puts it: `init` finds it there and locks it, without a development override.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance_tests::{provider, with_each_cli};

use crate::stack;

/// Installs the provider in a home directory: the files that it now has there.
fn install(binary: &Path, home: &Path) -> Vec<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install");
    let output = Command::new(script).arg("--binary").arg(binary).env("HOME", home).output();
    let output = output.expect("a script that can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect()
}

#[test]
fn an_installed_provider_is_found_locked_and_planned_with() {
    let binary = provider().expect("the provider");
    with_each_cli(|aws, workspace| {
        let installed = install(&binary, &workspace.directory().join(".."));
        // No settings: the home directory is where the CLI looks first.
        workspace.write("../cli.tfrc", "");
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.run(["init", "-no-color"]).expect_success();
        let lock = fs::read_to_string(workspace.directory().join(".terraform.lock.hcl")).expect("a lock file");
        assert!(lock.contains("\"h1:"), "{lock}");
        let planned = workspace.plan().expect_changes();
        assert!(!planned.stdout.contains("development overrides"), "{}", planned.stdout);

        let initialised = workspace.directory().join(".terraform");
        fs::remove_dir_all(&initialised).expect("a workspace that can be written");
        workspace.run(["init", "-no-color", "-lockfile=readonly"]).expect_success();

        for file in &installed {
            let mut file = OpenOptions::new().append(true).open(file).expect("an installed provider");
            file.write_all(b"tampered with").expect("a file that can be written");
        }
        fs::remove_dir_all(&initialised).expect("a workspace that can be written");
        let refused = workspace.run(["init", "-no-color"]);
        refused.expect_error("doesn't match any of the checksums previously recorded in the dependency lock file");
    });
}
