//! Generates the client's half of the plugin protocol, for the tests that stand in for Terraform core.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = "../proto";
    let files = ["tfplugin6.proto", "goplugin.proto"].map(|file| format!("{directory}/{file}"));
    for file in &files {
        println!("cargo::rerun-if-changed={file}");
    }
    tonic_prost_build::configure()
        .build_server(false)
        // The tests bring their own connections: core's TLS is none that tonic can do.
        .build_transport(false)
        .compile_fds(protox::compile(files, [directory])?)?;
    Ok(())
}
