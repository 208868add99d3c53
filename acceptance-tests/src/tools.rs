//! The programs a test needs besides its own: terraform or tofu, Python with moto, and the provider's binary.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fmt};

const PROVIDER: &str = "terraform-provider-codestream";
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Why the surroundings of a test could not be set up: what was missing or failed, and what to do about it.
#[derive(Clone)]
pub struct Failure(String);

/// The result of setting something up.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err`: says what was being done when the error came.
    pub fn during<E: Error>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Tests show failures through `expect`, that is with `Debug`: the message must stay readable there.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failure {}

/// A program that runs HCL.
#[derive(Clone, Debug)]
pub struct Cli {
    /// `terraform` or `tofu`.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl Cli {
    /// Every CLI on the `PATH`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn all() -> Result<Vec<Self>> {
        let found: Vec<Self> =
            ["terraform", "tofu"].into_iter().filter_map(|name| find(name).map(|path| Self { name, path })).collect();
        if found.is_empty() {
            return Err(Failure::new(
                "neither `terraform` nor `tofu` is on the PATH, and the tests run them for real; get one from \
                 https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install",
            ));
        }
        Ok(found)
    }
}

/// HAProxy, which Debian installs where not everybody looks.
///
/// # Errors
///
/// When it is not on this machine.
pub fn haproxy() -> Result<PathBuf> {
    let elsewhere = || Some(PathBuf::from("/usr/sbin/haproxy")).filter(|file| file.is_file());
    find("haproxy").or_else(elsewhere).ok_or_else(|| {
        Failure::new("`haproxy` is neither on the PATH nor in /usr/sbin (on Debian: apt-get install haproxy)")
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The root of this repository.
pub(crate) fn workspace_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where the local AWS keeps its virtual environment and its log: `target/local-aws`.
pub(crate) fn local_aws_directory() -> Result<PathBuf> {
    target_directory("local-aws")
}

/// The directory of this name in cargo's target directory, made when it is not there.
///
/// # Errors
///
/// When it cannot be made.
pub fn target_directory(name: &str) -> Result<PathBuf> {
    // We run as target/<profile>/demo or target/<profile>/deps/acc-<hash>.
    let program = env::current_exe().map_err(Failure::during("finding this program"))?;
    let target = program
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"))
        .and_then(Path::parent)
        .ok_or_else(|| Failure::new(format!("{} is not in a target directory", program.display())))?;
    let directory = target.join(name);
    fs::create_dir_all(&directory).map_err(Failure::during("creating a directory in target"))?;
    Ok(directory)
}

/// Python with the packages of `requirements.txt`, in a virtual environment that the first caller makes.
///
/// # Errors
///
/// When Python or a package is missing.
pub fn python() -> Result<PathBuf> {
    let directory = local_aws_directory()?;
    let lock = File::create(directory.join("lock")).map_err(Failure::during("creating target/local-aws/lock"))?;
    // Other test processes wait here while one installs.
    lock.lock().map_err(Failure::during("locking target/local-aws/lock"))?;
    let environment = directory.join("venv");
    let python = environment.join("bin/python");
    let installed = environment.join("installed-requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    if environment.exists() {
        fs::remove_dir_all(&environment).map_err(Failure::during("removing an outdated target/local-aws/venv"))?;
    }
    let system = find("python3").ok_or_else(|| {
        Failure::new(
            "`python3` is not on the PATH; the local AWS is written in it (on Debian: apt-get install python3)",
        )
    })?;
    run(
        Command::new(&system).args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]),
        "the local AWS needs Python 3.11 or newer",
    )?;
    run(
        Command::new(&system).args(["-m", "venv"]).arg(&environment),
        "Python could not make a virtual environment (on Debian: apt-get install python3-venv)",
    )?;
    run(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "--requirement",
            ])
            .arg(workspace_root().join("acceptance-tests/requirements.txt")),
        "pip could not install the local AWS; it needs a package index, on the network or configured for pip",
    )?;
    fs::write(&installed, REQUIREMENTS).map_err(Failure::during("writing to target/local-aws/venv"))?;
    Ok(python)
}

fn run(command: &mut Command, advice: &str) -> Result<()> {
    let output = command.output().map_err(Failure::during(advice))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{advice}\n{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))))
}

/// The provider's binary, brought up to date once in this process.
///
/// # Errors
/// When it does not build.
pub fn provider() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf>> = OnceLock::new();
    // The whole workspace with a test target selects the features that `cargo test` selects. The package alone would
    // select fewer and compile the AWS SDK a second time.
    let arguments = ["--workspace", "--bin", PROVIDER, "--test", "acc"];
    let release = if cfg!(debug_assertions) { None } else { Some("--release") };
    BINARY.get_or_init(|| build_provider(arguments.into_iter().chain(release))).clone()
}

/// The provider's binary as users install it, built as the README says: what is measured has the features and the
/// profile of that build and no other.
///
/// # Errors
///
/// When it does not build.
pub fn released_provider() -> Result<PathBuf> {
    build_provider(["--release", "--locked", "--package", PROVIDER])
}

fn build_provider<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_root()).args(["build", "--message-format=json-render-diagnostics"]).args(arguments);
    let output = cargo.output().map_err(Failure::during("starting cargo to build the provider"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("the provider does not build:\n{errors}")));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == PROVIDER)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Failure::new("cargo built the provider but named no binary"))
}

/// A directory of providers, laid out as `terraform providers mirror` does it, with version 5 of `hashicorp/aws` for
/// this machine; `None` when there is none where Terraform keeps providers.
#[must_use]
pub fn aws_provider_mirror() -> Option<PathBuf> {
    let cache = env::var_os("TF_PLUGIN_CACHE_DIR").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".terraform.d/plugins"));
    let shared = ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", "/opt/tf-plugins"];
    cache
        .into_iter()
        .chain(home)
        .chain(shared.map(PathBuf::from))
        .find(|directory| aws_provider_in(directory).is_some())
}

/// The binary of the AWS provider that [`aws_provider_mirror`] has.
#[must_use]
pub fn aws_provider() -> Option<PathBuf> {
    aws_provider_in(&aws_provider_mirror()?)
}

fn aws_provider_in(directory: &Path) -> Option<PathBuf> {
    let entries = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
    entries(directory.join("registry.terraform.io/hashicorp/aws"))
        .flat_map(|version| entries(version.path().join(platform())))
        .find(|file| file.file_name().to_string_lossy().starts_with("terraform-provider-aws_v5"))
        .map(|file| file.path())
}

/// This machine, as the directories of providers call it: `linux_amd64`.
#[must_use]
pub fn platform() -> String {
    let system = if env::consts::OS == "macos" { "darwin" } else { env::consts::OS };
    let machine = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}_{machine}")
}
