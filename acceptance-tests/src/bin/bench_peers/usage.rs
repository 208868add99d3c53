//! What a provider's processes use: their processor time and the most memory they had resident.
//!
//! Where Terraform looks for the provider there is a script that runs this program in its place, as its stand-in. That
//! starts the real provider with everything it was given, waits for its end, and writes down what the system says of
//! ended children, which is exact however short a process lives. Looking into `/proc` from outside
//! would miss the end of every process, and processes that live shorter than the pause between two looks. The script
//! and the stand-in cost a few milliseconds for each start, for both providers alike; neither counts as the provider's.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{fs, process};

use acceptance_tests::{Failure, Result, platform};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

/// The first argument that makes this program a stand-in; the provider's binary and the directory for what it used
/// follow, and then the provider's own arguments.
pub(crate) const STAND_IN: &str = "stand-in-for-provider";

/// What processes used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) processor: Duration,
    /// The most memory that one of them had resident, in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// What the children of this process used that have ended and were waited for, with their own such children.
    pub(crate) fn of_children() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Failure::during("asking what a process used"))?;
        let time = (usage.user_time() + usage.system_time()).num_microseconds();
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Ok(Self {
            processor: Duration::from_micros(u64::try_from(time).unwrap_or_default()),
            memory: u64::try_from(usage.max_rss()).unwrap_or_default() * unit,
        })
    }

    /// What these used together: the time of all, the memory of the largest.
    fn sum(usages: impl IntoIterator<Item = Self>) -> Self {
        usages.into_iter().fold(Self::default(), |sum, next| Self {
            processor: sum.processor + next.processor,
            memory: sum.memory.max(next.memory),
        })
    }
}

/// Runs a provider in Terraform's view, and leaves what it used in the directory.
pub(crate) fn stand_in(arguments: &[OsString]) -> Result<ExitCode> {
    let [provider, directory, rest @ ..] = arguments else {
        return Err(Failure::new("a stand-in needs the provider's binary and a directory"));
    };
    let file = Path::new(directory).join(process::id().to_string());
    // Empty until the provider has ended: so a stand-in that was killed is noticed.
    fs::write(&file, "").map_err(Failure::during("writing what a provider used"))?;
    let status = Command::new(provider).args(rest).status().map_err(Failure::during("starting a provider"))?;
    let usage = serde_json::to_string(&Usage::of_children()?).map_err(Failure::during("writing what was used"))?;
    fs::write(&file, usage).map_err(Failure::during("writing what a provider used"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Takes what stand-ins have left in the directory since the last time; `None` when one was killed before its provider
/// had ended, so that what was used is not known.
pub(crate) fn take(directory: &Path) -> Result<Option<Usage>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).map_err(Failure::during("reading what providers used"))? {
        let file = entry.map_err(Failure::during("reading what providers used"))?.path();
        texts.push(fs::read_to_string(&file).map_err(Failure::during("reading what a provider used"))?);
        fs::remove_file(&file).map_err(Failure::during("removing what a provider used"))?;
    }
    let usages: Option<Vec<Usage>> = texts.iter().map(|text| serde_json::from_str(text).ok()).collect();
    Ok(usages.map(Usage::sum))
}

/// Puts a stand-in for the provider, which is this program or a copy of it, into a mirror, under the provider's address
/// and version. What it used goes into the directory.
pub(crate) fn install(
    mirror: &Path,
    source: &str,
    version: &str,
    program: &Path,
    provider: &Path,
    directory: &Path,
) -> Result<()> {
    let package = mirror.join(source).join(version).join(platform());
    fs::create_dir_all(&package).map_err(Failure::during("creating a mirror"))?;
    // Beside the script, so that Terraform checks the whole package before each command, as it does for users.
    symlink(provider, package.join("measured")).map_err(Failure::during("filling a mirror"))?;
    let text = script(&[program, Path::new(STAND_IN), provider, directory]);
    let name = source.rsplit('/').next().unwrap_or(source);
    let file = package.join(format!("terraform-provider-{name}_v{version}"));
    fs::write(&file, text).map_err(Failure::during("filling a mirror"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(Failure::during("filling a mirror"))
}

/// A script that becomes this command, with the script's own arguments after it.
fn script(command: &[&Path]) -> String {
    let words: Vec<String> =
        command.iter().map(|word| format!("'{}'", word.display().to_string().replace('\'', r"'\''"))).collect();
    format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_several_processes_used_is_the_time_of_all_and_the_memory_of_the_largest() {
        let usage = |millis, memory| Usage { processor: Duration::from_millis(millis), memory };
        assert_eq!(Usage::sum([usage(5, 70), usage(10, 90), usage(1, 80)]), usage(16, 90));
    }

    #[test]
    fn a_stand_in_passes_on_the_arguments_and_the_exit_code_and_leaves_what_was_used() {
        let directory = TempDir::new().unwrap();
        let arguments = ["/bin/sh", directory.path().to_str().unwrap(), "-c", r#"exit "$0""#, "7"];
        let code = stand_in(&arguments.map(OsString::from)).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(7)));
        assert!(take(directory.path()).unwrap().unwrap().memory > 0);
        assert_eq!(take(directory.path()).unwrap(), Some(Usage::default()), "it was taken");
    }

    #[test]
    fn a_stand_in_that_was_killed_is_noticed_once() {
        let directory = TempDir::new().unwrap();
        let whole = serde_json::to_string(&Usage::default()).unwrap();
        for (name, text) in [("1", ""), ("2", whole.as_str())] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        assert_eq!(take(directory.path()).unwrap(), None);
        assert_eq!(take(directory.path()).unwrap(), Some(Usage::default()), "nothing of it is left");
    }

    #[test]
    fn a_script_runs_whatever_the_path_has_in_it() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("it's a script");
        fs::write(&file, script(&[Path::new("/bin/echo"), Path::new("it's"), Path::new("$HOME")])).unwrap();
        let output = Command::new("/bin/sh").arg(&file).arg("two words").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's $HOME two words\n");
    }
}
