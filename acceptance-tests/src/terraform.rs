//! Terraform or OpenTofu in a directory of its own, with our provider in place and nothing of the user's environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::local_aws::Account;
use crate::tools::{self, Cli, Failure, Result};

const PLAN: &str = "plan.tfplan";

/// A directory with a configuration and its state.
pub struct Workspace {
    cli: Cli,
    // The configuration is in `stack`; the CLI's settings and home directory are beside it.
    root: TempDir,
    endpoint: String,
    region: String,
}

impl Workspace {
    /// An empty workspace whose provider works in this account.
    ///
    /// # Errors
    ///
    /// When the provider does not build or the directory cannot be written.
    pub fn new(cli: &Cli, account: &Account) -> Result<Self> {
        let provider = tools::provider()?;
        let directory = json!(provider.parent().unwrap_or(Path::new("/")));
        let installation = format!(
            "  dev_overrides {{\n    \
             \"registry.terraform.io/codestream/codestream\" = {directory}\n    \
             \"registry.opentofu.org/codestream/codestream\" = {directory}\n  }}\n  direct {{}}\n"
        );
        Self::with_installation(cli, account, &installation)
    }

    /// An empty workspace in which `init` installs every provider from a directory laid out as `terraform providers
    /// mirror` does it, as it does for users. Ours must be in it, too.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written.
    pub fn with_mirror(cli: &Cli, account: &Account, mirror: &Path) -> Result<Self> {
        let installation = format!("  filesystem_mirror {{\n    path = {}\n  }}\n", json!(mirror));
        Self::with_installation(cli, account, &installation)
    }

    fn with_installation(cli: &Cli, account: &Account, installation: &str) -> Result<Self> {
        let root = TempDir::new().map_err(Failure::during("creating a workspace"))?;
        fs::create_dir(root.path().join("stack")).map_err(Failure::during("creating a workspace"))?;
        let settings = format!("provider_installation {{\n{installation}}}\n");
        fs::write(root.path().join("cli.tfrc"), settings).map_err(Failure::during("creating a workspace"))?;
        let endpoint = account.proxy().url();
        Ok(Self { cli: cli.clone(), root, endpoint, region: account.seed().region.clone() })
    }

    /// Another empty workspace with the same CLI and account.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn another(&self, account: &Account) -> Result<Self> {
        Self::new(&self.cli, account)
    }

    /// The directory of the configuration.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.root.path().join("stack")
    }

    /// Writes a file of the configuration, in place of the one of that name.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.directory().join(file), text).expect("a workspace that can be written");
    }

    /// Copies the files of a directory of this repository, for example `examples/demo/http`.
    ///
    /// # Panics
    ///
    /// When there is no such directory.
    pub fn copy(&self, directory: &str) {
        for entry in fs::read_dir(tools::workspace_root().join(directory)).expect("a directory of this repository") {
            let file = entry.expect("a directory that can be read");
            fs::copy(file.path(), self.directory().join(file.file_name())).expect("a workspace that can be written");
        }
    }

    /// The CLI with these arguments, ready to run.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.cli.path);
        command
            .args(arguments)
            .current_dir(self.directory())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root.path())
            .env("TMPDIR", self.root.path())
            .env("TF_CLI_CONFIG_FILE", self.root.path().join("cli.tfrc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("CHECKPOINT_DISABLE", "1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", &self.region)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs the CLI with these arguments to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use = "assert how the command ended"]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        let mut command = self.command(arguments);
        let output = command.output().expect("a CLI that was found can be started");
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        Output {
            command: format!("{} {}", self.cli.name, arguments.join(" ")),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Installs the providers of a configuration that needs others beside ours, once, from a directory laid out as
    /// `terraform providers mirror` does it. Ours need not be in it.
    ///
    /// # Panics
    ///
    /// When the workspace cannot be written.
    #[must_use = "assert how the command ended"]
    pub fn init(&self, mirror: &Path) -> Output {
        let provider = tools::provider().expect("the provider that this workspace was made with");
        let own = self.root.path().join("mirror");
        for host in ["registry.terraform.io", "registry.opentofu.org"] {
            // `init` wants every provider to be somewhere, although the development override is what runs.
            let package = own.join(host).join("codestream/codestream/0.0.1").join(tools::platform());
            fs::create_dir_all(&package).expect("a workspace that can be written");
            let binary = package.join("terraform-provider-codestream_v0.0.1");
            std::os::unix::fs::symlink(&provider, binary).expect("a workspace that can be written");
        }
        let [own, mirror] = [own.as_path(), mirror].map(|directory| format!("-plugin-dir={}", directory.display()));
        self.run(["init", "-no-color", own.as_str(), mirror.as_str()])
    }

    /// Plans, and keeps the plan for [`planned`](Self::planned). Exit code 0 means no changes, 2 means some.
    #[must_use = "assert how the command ended"]
    pub fn plan(&self) -> Output {
        self.run(["plan", "-no-color", "-detailed-exitcode", "-out", PLAN])
    }

    /// Plans and applies at once.
    #[must_use = "assert how the command ended"]
    pub fn apply(&self) -> Output {
        self.run(["apply", "-no-color", "-auto-approve"])
    }

    /// Destroys everything.
    #[must_use = "assert how the command ended"]
    pub fn destroy(&self) -> Output {
        self.run(["destroy", "-no-color", "-auto-approve"])
    }

    /// Imports by the `import` command.
    #[must_use = "assert how the command ended"]
    pub fn import(&self, address: &str, id: &str) -> Output {
        self.run(["import", "-no-color", address, id])
    }

    /// The plan of the last [`plan`](Self::plan), in the JSON form that policy tools read.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    #[must_use]
    pub fn planned(&self) -> Value {
        json_of(self.run(["show", "-json", PLAN]))
    }

    /// The outputs, by name.
    ///
    /// # Panics
    ///
    /// When there is no state.
    #[track_caller]
    #[must_use]
    pub fn outputs(&self) -> Value {
        let outputs = json_of(self.run(["output", "-json"]));
        let values = outputs.as_object().into_iter().flatten();
        values.map(|(name, output)| (name.clone(), output["value"].clone())).collect()
    }

    /// The attributes of a managed resource in the state file, read without starting the provider; for a resource
    /// with `for_each`, those of its first instance.
    ///
    /// # Panics
    ///
    /// When the state has no such resource.
    #[track_caller]
    #[must_use]
    pub fn attributes(&self, kind: &str, name: &str) -> Value {
        let state = fs::read_to_string(self.directory().join("terraform.tfstate")).expect("a state");
        let state: Value = serde_json::from_str(&state).expect("a state in JSON");
        let mut resources = state["resources"].as_array().into_iter().flatten();
        let resource = resources.find(|resource| resource["type"] == kind && resource["name"] == name);
        let resource = resource.expect("the resource is in the state");
        resource["instances"][0]["attributes"].clone()
    }
}

/// What a CLI says without the frame around its messages, in one line.
#[must_use]
pub fn unframed(said: &str) -> String {
    said.replace(['│', '╷', '╵'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn json_of(output: Output) -> Value {
    serde_json::from_str(&output.expect_success().stdout).expect("JSON")
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The command succeeded.
    ///
    /// # Panics
    ///
    /// When it did not, with all that it said.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// The plan has no changes.
    ///
    /// # Panics
    ///
    /// When it has, or there is none.
    #[track_caller]
    pub fn expect_no_changes(self) -> Self {
        self.expect_code(0)
    }

    /// The plan has changes.
    ///
    /// # Panics
    ///
    /// When it has not, or there is none.
    #[track_caller]
    pub fn expect_changes(self) -> Self {
        self.expect_code(2)
    }

    /// The command failed with an error that contains this text. Line breaks and the frame around the text do not
    /// count.
    ///
    /// # Panics
    ///
    /// When it succeeded, or failed in another way.
    #[track_caller]
    pub fn expect_error(self, text: &str) -> Self {
        let said = unframed(&self.stderr);
        assert!(self.code == Some(1) && said.contains(text), "expected the error {text:?}\n{}", self.report());
        self
    }

    #[track_caller]
    fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{}", self.report());
        self
    }

    fn report(&self) -> String {
        format!("{}: exit code {:?}\n{}\n{}", self.command, self.code, self.stdout, self.stderr)
    }
}
