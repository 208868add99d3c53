//! The user data of a node: what cloud-init does at its first boot.
//!
//! deepstream comes from npm. Of its dependencies one is served by GitHub only, and is used only by an HTTP server
//! that we do not configure: an empty package stands in for it. Secrets are not in here; the nodes read them from SSM.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::config_yaml::{Server, config_yaml};

/// The newest version of deepstream that the tests prove.
pub(crate) const DEFAULT_VERSION: &str = "7.0.2";
/// deepstream's connectors to Redis.
const CACHE_REDIS: &str = "2.0.9";
const CLUSTERNODE_REDIS: &str = "1.0.1";
/// Stands for the host of a cache that is still to be made. The domain `invalid` is nobody's (RFC 2606).
pub(crate) const CACHE_HOST: &str = "cache.codestream.invalid";
/// What EC2 takes, in bytes before they are encoded ("Run commands when you launch an EC2 instance").
pub(crate) const LIMIT: usize = 16 * 1024;

/// The first port that takes no privilege to listen on.
const FIRST_FREE_PORT: u16 = 1024;

const HOME: &str = "/opt/deepstream";
const CONFIG: &str = "/etc/deepstream/config.yml";
const ENVIRONMENT: &str = "/etc/deepstream/env";

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) version: String,
    pub(crate) server: Server,
    /// What the user merges over the server's configuration.
    pub(crate) overrides: Map<String, Json>,
    /// The SSM parameter with the token of Redis.
    pub(crate) auth_token_parameter: Option<String>,
    /// A script to run before deepstream starts.
    pub(crate) extra: Option<String>,
}

impl Boot {
    /// The text of `config.yml`.
    pub(crate) fn config_yaml(&self) -> String {
        config_yaml(&self.server, &self.overrides)
    }

    /// The user data. Where it names [`CACHE_HOST`], the host of the cache is to be put ([`with_cache`]).
    pub(crate) fn user_data(&self) -> String {
        let cloud_config = json!({ "write_files": self.files(), "runcmd": self.commands() });
        format!("#cloud-config\n{}\n", plain(&cloud_config.to_string()))
    }

    fn files(&self) -> Vec<Json> {
        let file = |path: &str, permissions: &str, content: &str| json!({ "path": path, "permissions": permissions, "content": content });
        let package = json!({
            "private": true,
            "dependencies": {
                "@deepstream/server": self.version,
                "@deepstream/cache-redis": CACHE_REDIS,
                "@deepstream/clusternode-redis": CLUSTERNODE_REDIS,
            },
            "overrides": { "uWebSockets.js": "file:./uws-stub" },
        });
        let mut files = vec![
            file(&format!("{HOME}/package.json"), "0644", &package.to_string()),
            file(
                &format!("{HOME}/uws-stub/package.json"),
                "0644",
                &json!({ "name": "uWebSockets.js", "version": "0.0.0" }).to_string(),
            ),
            file(CONFIG, "0644", &self.config_yaml()),
            file("/etc/systemd/system/deepstream.service", "0644", &self.unit()),
        ];
        if let Some(parameter) = &self.auth_token_parameter {
            files.push(file(&format!("{HOME}/fetch-auth-token"), "0755", &fetch_auth_token(parameter)));
        }
        if let Some(extra) = &self.extra {
            files.push(file(&format!("{HOME}/extra"), "0755", extra));
        }
        files
    }

    fn commands(&self) -> Vec<Json> {
        let mut commands = vec![
            json!(["dnf", "install", "-y", "nodejs22", "nodejs22-npm"]),
            json!(["useradd", "--system", "--home-dir", HOME, "deepstream"]),
            json!(["npm-22", "install", "--prefix", HOME, "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]),
        ];
        if self.extra.is_some() {
            commands.push(json!(["/bin/bash", format!("{HOME}/extra")]));
        }
        commands.push(json!(["systemctl", "daemon-reload"]));
        commands.push(json!(["systemctl", "enable", "--now", "deepstream.service"]));
        commands
    }

    /// The server exits whenever Redis refuses a connection, and ends in good order on SIGINT only. Its option for the
    /// configuration file does not work in every version; the variable does, and takes a file.
    fn unit(&self) -> String {
        let fetch = if self.auth_token_parameter.is_some() {
            format!("ExecStartPre=+{HOME}/fetch-auth-token\n")
        } else {
            String::new()
        };
        let privilege =
            if self.server.port < FIRST_FREE_PORT { "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" } else { "" };
        format!(
            "[Unit]\n\
             Description=deepstream realtime server\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             User=deepstream\n\
             {privilege}\
             WorkingDirectory={HOME}\n\
             Environment=DEEPSTREAM_CONFIG_DIRECTORY={CONFIG}\n\
             EnvironmentFile=-{ENVIRONMENT}\n\
             {fetch}\
             ExecStart=/usr/bin/node-22 {HOME}/node_modules/@deepstream/server/dist/bin/deepstream start\n\
             KillSignal=SIGINT\n\
             Restart=always\n\
             RestartSec=2\n\
             LimitNOFILE=65536\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        )
    }
}

/// Writes the token of Redis where systemd reads the server's environment, for root alone. systemd takes what is
/// between single quotes literally, and a token of ElastiCache has none in it.
fn fetch_auth_token(parameter: &str) -> String {
    format!(
        "#!/bin/sh\n\
         set -eu\n\
         umask 077\n\
         metadata=http://169.254.169.254/latest\n\
         session=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \"$metadata/api/token\")\n\
         region=$(curl -sf -H \"X-aws-ec2-metadata-token: $session\" \"$metadata/meta-data/placement/region\")\n\
         token=$(aws ssm get-parameter --region \"$region\" --name '{parameter}' --with-decryption \
         --query Parameter.Value --output text)\n\
         printf \"REDIS_AUTH_TOKEN='%s'\\n\" \"$token\" > {ENVIRONMENT}\n"
    )
}

/// The text with the host of the cache in it.
pub(crate) fn with_cache(text: &str, host: &str) -> String {
    text.replace(CACHE_HOST, host)
}

/// A digest in hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// JSON that is YAML as well: without the characters that YAML does not print.
fn plain(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::config_yaml::{DEFAULT_HEALTH_CHECK_PATH, DEFAULT_PORT, Redis};
    use super::*;

    fn boot(auth: bool) -> Boot {
        let redis = Redis { host: CACHE_HOST.to_owned(), port: 6379, transit_encryption: true, auth };
        Boot {
            version: DEFAULT_VERSION.to_owned(),
            server: Server {
                port: DEFAULT_PORT,
                health_check_path: DEFAULT_HEALTH_CHECK_PATH.to_owned(),
                redis: Some(redis),
            },
            overrides: Map::new(),
            auth_token_parameter: auth.then(|| "/deepstream/token".to_owned()),
            extra: None,
        }
    }

    fn parsed(user_data: &str) -> Json {
        serde_json::from_str(user_data.strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    fn content(user_data: &str, path: &str) -> Option<String> {
        let parsed = parsed(user_data);
        let file = parsed["write_files"].as_array()?.iter().find(|file| file["path"] == path)?;
        file["content"].as_str().map(str::to_owned)
    }

    #[test]
    fn the_files_hold_what_they_are_for() {
        let user_data = boot(false).user_data();
        assert_eq!(content(&user_data, CONFIG), Some(boot(false).config_yaml()));
        let package: Json =
            serde_json::from_str(&content(&user_data, "/opt/deepstream/package.json").unwrap()).unwrap();
        assert_eq!(package["dependencies"]["@deepstream/server"], DEFAULT_VERSION);
        assert_eq!(package["overrides"]["uWebSockets.js"], "file:./uws-stub");
        assert!(content(&user_data, "/opt/deepstream/uws-stub/package.json").is_some());
        let unit = content(&user_data, "/etc/systemd/system/deepstream.service").unwrap();
        for line in ["KillSignal=SIGINT", "Restart=always", "StartLimitIntervalSec=0"] {
            assert!(unit.lines().any(|other| other == line), "{line} in {unit}");
        }
        assert!(!unit.contains("ExecStartPre"));
    }

    #[test]
    fn the_token_is_fetched_at_each_start_by_its_parameters_name() {
        let user_data = boot(true).user_data();
        let unit = content(&user_data, "/etc/systemd/system/deepstream.service").unwrap();
        let lines: Vec<&str> = unit.lines().collect();
        let position = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
        assert!(position("ExecStartPre=+/opt/deepstream/fetch-auth-token") < position("ExecStart=/usr/bin/node-22"));
        let script = content(&user_data, "/opt/deepstream/fetch-auth-token").unwrap();
        assert!(script.starts_with("#!/bin/sh\n") && script.contains("--name '/deepstream/token'"), "{script}");
        assert!(script.ends_with("printf \"REDIS_AUTH_TOKEN='%s'\\n\" \"$token\" > /etc/deepstream/env\n"), "{script}");
    }

    #[test]
    fn only_on_a_port_that_takes_a_privilege_deepstream_has_it() {
        for (port, privileged) in [(80, true), (1023, true), (1024, false), (DEFAULT_PORT, false)] {
            let boot = boot(false);
            let user_data = Boot { server: Server { port, ..boot.server }, ..boot }.user_data();
            let unit = content(&user_data, "/etc/systemd/system/deepstream.service").unwrap();
            let line = "User=deepstream\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nWorkingDirectory=";
            assert_eq!(unit.contains(line), privileged, "{port}: {unit}");
            assert_eq!(unit.contains("Capabilities"), privileged, "{port}: {unit}");
        }
    }

    #[test]
    fn a_script_of_the_users_runs_before_deepstream_starts() {
        let extra = Some("#!/bin/bash\necho \"a: b # c\u{7f}\"\n".to_owned());
        let user_data = Boot { extra: extra.clone(), ..boot(false) }.user_data();
        assert_eq!(content(&user_data, "/opt/deepstream/extra"), extra);
        assert!(!user_data.contains('\u{7f}'));
        let commands = parsed(&user_data)["runcmd"].as_array().unwrap().clone();
        let position = |word: &str| commands.iter().position(|command| command.to_string().contains(word)).unwrap();
        assert!(position("npm-22") < position("/extra") && position("/extra") < position("enable"));
    }

    #[test]
    fn the_cache_is_named_when_it_is_known_and_the_whole_fits() {
        let user_data = with_cache(&boot(true).user_data(), "master.web.x1.use1.cache.amazonaws.com");
        assert!(!user_data.contains(CACHE_HOST));
        assert_eq!(user_data.matches("master.web.x1.use1.cache.amazonaws.com").count(), 2);
        assert!(user_data.len() < LIMIT / 3, "{}", user_data.len());
    }

    #[test]
    fn a_digest_is_in_hexadecimal() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
