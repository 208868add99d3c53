//! The URLs under which the host is reached, and what its `codestream-services-config.json` must say then.

use serde_json::json;
use tfplugin::value::Value;

use super::config::Role;

/// Puts everything that follows from the hostname, the protocol and the ports; unknown where one of these is.
pub(crate) fn put_urls(state: &mut Value) {
    let hostname = state.get("hostname").clone();
    let protocol = state.get("protocol").clone();
    for (role, schemes, output) in
        [(Role::Api, ("http", "https"), "api_url"), (Role::Broadcaster, ("ws", "wss"), "broadcaster_url")]
    {
        let mut endpoint = state.get(role.name()).clone();
        let url = url(&hostname, &protocol, endpoint.get("listener_port"), schemes);
        endpoint.put("url", url.clone());
        state.put(role.name(), endpoint);
        state.put(output, url);
    }
    state.put("services_config", services_config(state));
}

fn url(hostname: &Value, protocol: &Value, port: &Value, (plain, tls): (&str, &str)) -> Value {
    if [hostname, protocol, port].iter().any(|part| part.is_unknown()) {
        return Value::Unknown;
    }
    let (Some(hostname), Some(protocol), Some(port)) = (hostname.as_str(), protocol.as_str(), port.as_i64()) else {
        return Value::Null;
    };
    let (scheme, usual) = if protocol == "HTTPS" { (tls, 443) } else { (plain, 80) };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    Value::from(format!("{scheme}://{hostname}{port}"))
}

/// What to change in the host's configuration, in the form of that file.
fn services_config(state: &Value) -> Value {
    let (hostname, api_url) = (state.get("hostname"), state.get("api_url"));
    let ports = Role::ALL.map(|role| state.get(role.name()).get("target_port").clone());
    if [hostname, api_url, &ports[0], &ports[1]].iter().any(|part| part.is_unknown()) {
        return Value::Unknown;
    }
    let (Some(hostname), Some(api_url)) = (hostname.as_str(), api_url.as_str()) else { return Value::Null };
    let mut patch = json!({
        "apiServer": { "publicApiUrl": api_url },
        "broadcastEngine": { "codestreamBroadcaster": { "host": hostname } },
    });
    if state.get("protocol").as_str() == Some("HTTPS") {
        patch["apiServer"]["ignoreHttps"] = json!(false);
        patch["apiServer"]["port"] = json!(ports[0].as_i64());
        patch["broadcastEngine"]["codestreamBroadcaster"]["ignoreHttps"] = json!(false);
        patch["broadcastEngine"]["codestreamBroadcaster"]["port"] = json!(ports[1].as_i64());
        patch["ssl"] = json!({ "certfile": "/opt/config/cert.pem", "keyfile": "/opt/config/key.pem" });
    }
    Value::from(patch.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(protocol: &str, api: i64, broadcaster: i64) -> Value {
        let endpoint =
            |port: i64| Value::object([("listener_port", Value::from(port)), ("target_port", Value::from(port))]);
        let mut state = Value::object([
            ("hostname", Value::from("codestream.example.com")),
            ("protocol", Value::from(protocol)),
            ("api", endpoint(api)),
            ("broadcaster", endpoint(broadcaster)),
        ]);
        put_urls(&mut state);
        state
    }

    #[test]
    fn the_usual_port_is_left_out_of_a_url_and_any_other_is_not() {
        let https = state("HTTPS", 443, 12443);
        assert_eq!(https.get("api_url").as_str(), Some("https://codestream.example.com"));
        assert_eq!(https.get("broadcaster_url").as_str(), Some("wss://codestream.example.com:12443"));
        assert_eq!(state("HTTP", 8080, 12080).get("api_url").as_str(), Some("http://codestream.example.com:8080"));
    }

    #[test]
    fn a_host_behind_https_is_told_to_speak_tls_itself() {
        let patch: serde_json::Value =
            serde_json::from_str(state("HTTPS", 443, 12443).get("services_config").as_str().unwrap()).unwrap();
        assert_eq!(
            patch,
            json!({
                "apiServer": { "publicApiUrl": "https://codestream.example.com", "ignoreHttps": false, "port": 443 },
                "broadcastEngine": {
                    "codestreamBroadcaster": { "host": "codestream.example.com", "ignoreHttps": false, "port": 12443 },
                },
                "ssl": { "certfile": "/opt/config/cert.pem", "keyfile": "/opt/config/key.pem" },
            })
        );
    }

    #[test]
    fn everything_that_needs_an_unknown_hostname_is_unknown() {
        let mut state = state("HTTP", 80, 12080);
        state.put("hostname", Value::Unknown);
        put_urls(&mut state);
        for output in ["api_url", "broadcaster_url", "services_config"] {
            assert!(state.get(output).is_unknown(), "{output}");
        }
    }
}
