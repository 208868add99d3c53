//! The provider's process: everything is in the library.

use std::process::ExitCode;
use std::sync::Arc;

use terraform_provider_codestream::{ADDRESS, Codestream, NAME, VERSION};
use tfplugin::serve::{Plugin, run};

fn main() -> ExitCode {
    let plugin = Plugin { name: NAME, address: ADDRESS, version: VERSION };
    run(plugin, Arc::new(Codestream::new()), std::env::args().skip(1))
}
