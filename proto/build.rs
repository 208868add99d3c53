//! Generates the wire types and the server half of the services. The protobuf compiler is a Rust library: nobody
//! needs `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["tfplugin6.proto", "goplugin.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    tonic_prost_build::configure()
        .build_client(false)
        // Of what this crate does not serve, core is told that it is not implemented.
        .generate_default_stubs(true)
        .compile_fds(protox::compile(files, ["."])?)?;
    Ok(())
}
