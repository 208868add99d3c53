//! The provider's process: everything is in the library.

use std::process::ExitCode;
use std::sync::Arc;

use terraform_provider_codestream::{ADDRESS, Codestream, NAME, VERSION};
use tfplugin::serve::{Plugin, run};

fn main() -> ExitCode {
    let plugin = Plugin { name: NAME, address: ADDRESS, version: VERSION };
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    run(plugin, Arc::new(Codestream::new()), arguments)
}
