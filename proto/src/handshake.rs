//! The go-plugin handshake: what core puts into a plugin's environment, and the one line that the plugin answers.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value, json};

/// What core sets to say that it, and not a person, has started the plugin.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// The registries under whose names core may know a provider.
const HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// The longest directory that leaves room for a socket in it: systems take paths of about 100 bytes, and the part
/// below this directory is 20.
const LONGEST_DIRECTORY: usize = 70;

/// What core says in the environment. `PLUGIN_PROTOCOL_VERSIONS` is not looked at: this crate speaks version 6 only,
/// and core has the better words for it when that will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Whether core has started this process.
    pub(crate) started_by_core: bool,
    /// The one certificate, in PEM, that a client must show; without it core speaks in clear.
    pub(crate) client_certificate: Option<String>,
    /// Where to put the directory of the socket.
    pub(crate) socket_parent: PathBuf,
}

impl Environment {
    /// Reads the environment; an empty variable counts as not set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            started_by_core: variable(COOKIE.0).as_deref() == Some(COOKIE.1),
            client_certificate: variable("PLUGIN_CLIENT_CERT"),
            socket_parent: variable("PLUGIN_UNIX_SOCKET_DIR")
                .map_or_else(|| short_directory(std::env::temp_dir()), PathBuf::from),
        }
    }
}

/// The directory, or one with a short name when its own is too long for the address of a socket.
fn short_directory(directory: PathBuf) -> PathBuf {
    if directory.as_os_str().len() > LONGEST_DIRECTORY { Path::new("/tmp").to_owned() } else { directory }
}

/// The answer to core, to be written to standard output once: version of the handshake, version of the protocol, the
/// path of the socket, the kind of RPC, and the server's certificate in DER, if it has one.
pub(crate) fn line(socket: &str, certificate: Option<&[u8]>) -> String {
    let certificate = certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
    format!("1|6|unix|{socket}|grpc|{certificate}\n")
}

/// The line that makes core attach to this running process instead of starting one of its own, to be pasted into a
/// shell. `provider` is an address in any registry; the line holds for Terraform and for OpenTofu.
pub(crate) fn reattach_line(provider: &str, socket: &str, pid: u32) -> String {
    let source = provider.split_once('/').map_or(provider, |(_host, source)| source);
    // Without `Test`, core would take this for protocol 5, and kill the process when it is done.
    let process = json!({
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": pid,
        "Test": true,
        "Addr": { "Network": "unix", "String": socket },
    });
    let by_provider: Map<String, Value> =
        HOSTS.iter().map(|host| (format!("{host}/{source}"), process.clone())).collect();
    format!("TF_REATTACH_PROVIDERS='{}'\n", Value::Object(by_provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/tmp/plugin/socket";

    fn environment(entries: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| entries.iter().find(|entry| entry.0 == name).map(|entry| entry.1.to_owned())
    }

    #[test]
    fn only_the_right_cookie_means_that_core_has_started_the_plugin() {
        let started = |value: &str| Environment::read(environment(&[(COOKIE.0, value)])).started_by_core;
        assert!(started("d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"));
        assert!(!started("1"));
        assert!(!started(""));
        assert!(!Environment::read(environment(&[])).started_by_core);
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let read = Environment::read(environment(&[("PLUGIN_CLIENT_CERT", ""), ("PLUGIN_UNIX_SOCKET_DIR", "")]));
        assert_eq!(read, Environment::read(environment(&[])));
        assert_eq!(read.client_certificate, None);
    }

    #[test]
    fn core_says_where_the_socket_goes() {
        let read = Environment::read(environment(&[("PLUGIN_UNIX_SOCKET_DIR", "/run/sockets")]));
        assert_eq!(read.socket_parent, Path::new("/run/sockets"));
    }

    #[test]
    fn a_temporary_directory_with_a_long_name_is_not_used() {
        assert_eq!(short_directory("/var/tmp".into()), Path::new("/var/tmp"));
        assert_eq!(short_directory(format!("/{}", "d".repeat(70)).into()), Path::new("/tmp"));
    }

    #[test]
    fn the_line_has_the_certificate_without_padding() {
        assert_eq!(line(SOCKET, Some(&[0xfb, 0xff, 0xfe, 0x01])), "1|6|unix|/tmp/plugin/socket|grpc|+//+AQ\n");
        assert_eq!(line(SOCKET, None), "1|6|unix|/tmp/plugin/socket|grpc|\n");
    }

    #[test]
    fn both_registries_name_the_process_to_attach_to() {
        let line = reattach_line("registry.terraform.io/a/b", SOCKET, 42);
        let value = line.strip_prefix("TF_REATTACH_PROVIDERS='").and_then(|rest| rest.strip_suffix("'\n"));
        let process = json!({
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": 42,
            "Test": true,
            "Addr": { "Network": "unix", "String": "/tmp/plugin/socket" },
        });
        assert_eq!(
            value.and_then(|json| serde_json::from_str(json).ok()),
            Some(json!({ "registry.terraform.io/a/b": process, "registry.opentofu.org/a/b": process })),
            "{line}"
        );
    }
}
