//! `cargo docs`: writes the documentation in `docs/`. With `--check` it only says whether that is current.
#![allow(clippy::print_stdout, reason = "it says what it did")]

use std::env;
use std::process::ExitCode;

use acceptance_tests::{Documentation, Failure, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write(),
        ["--check"] => check(),
        _ => Err(Failure::new("usage: cargo docs [--check]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<()> {
    let documentation = Documentation::new()?;
    for page in documentation.outdated()? {
        println!("{page}");
    }
    documentation.write()
}

fn check() -> Result<()> {
    let outdated = Documentation::new()?.outdated()?;
    if outdated.is_empty() {
        return Ok(());
    }
    let pages: Vec<String> = outdated.into_iter().collect();
    Err(Failure::new(format!("not as `cargo docs` writes it:\n{}", pages.join("\n"))))
}
