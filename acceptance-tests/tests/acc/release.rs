//! What `scripts/release` makes: what the registries want of it, and that `init` installs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use acceptance_tests::{platform, provider, python, with_each_cli};
use tempfile::TempDir;

/// Packs a file as the binary for a platform, and prints which zip that is.
const PACK: &str = "
import pathlib, runpy, sys
script, binary, platform = sys.argv[1:]
print(runpy.run_path(script)['pack'](pathlib.Path(binary), b'licenses', platform, 1_000_000_000), end='')
";

/// What Python prints.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("Python starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

#[test]
fn a_release_is_what_the_registries_want_and_is_the_same_each_time() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acc/release.py");
    printed(Command::new(python().expect("Python")).arg(tests).arg(provider().expect("the provider")));
}

#[test]
fn init_installs_the_zip_of_a_release() {
    let target = TempDir::new().expect("a directory");
    let binary = target.path().join("binary");
    fs::write(&binary, "not started").expect("a directory that can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/release");
    let mut pack = Command::new(python().expect("Python"));
    pack.args(["-c", PACK]).arg(script).arg(&binary).arg(platform()).env("CARGO_TARGET_DIR", target.path());
    let zip = printed(&mut pack);
    let zip = Path::new(&zip);

    with_each_cli(|_, workspace| {
        let name = "codestream/codestream";
        for registry in ["registry.terraform.io", "registry.opentofu.org"] {
            let mirror = workspace.directory().join("../.terraform.d/plugins").join(registry).join(name);
            fs::create_dir_all(&mirror).expect("a workspace that can be written");
            fs::copy(zip, mirror.join(zip.file_name().expect("a file"))).expect("a workspace that can be written");
        }
        workspace.write("../cli.tfrc", "");
        let required = format!("required_providers {{\n    codestream = {{ source = \"{name}\" }}\n  }}");
        workspace.write("main.tf", &format!("terraform {{\n  {required}\n}}\n"));
        workspace.run(["init", "-no-color"]).expect_success();

        let version = env!("CARGO_PKG_VERSION");
        let registries = fs::read_dir(workspace.directory().join(".terraform/providers")).expect("providers");
        let registry = registries.map(|entry| entry.expect("a registry").path()).next().expect("a registry");
        let package = registry.join(name).join(version).join(platform());
        let installed = package.join(format!("terraform-provider-codestream_v{version}"));
        let mode = fs::metadata(&installed).expect("the provider is installed").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    });
}
