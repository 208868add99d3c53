//! The user data that a cluster's nodes get, brought to life: its files laid out, deepstream installed as it says, and two
//! real servers started on one real Redis.

use acceptance_tests::deepstream::{self, Clients, Redis, Software};
use acceptance_tests::with_each_cli;
use serde_json::{Value, json};

use crate::cluster::{TYPE, cluster, user_data};
use crate::stack;
use crate::traffic::tell;

#[test]
fn two_real_servers_share_records_and_events_and_survive_a_restart() {
    if let Some(program) = deepstream::missing() {
        tell(&format!("SKIPPED: {program} is missing, so no real deepstream was started (.ci/run installs it)"));
        return;
    }
    with_each_cli(|aws, workspace| {
        let plain = "cache = { transit_encryption = false }\nuser_data_extra = \"echo 'a: b # c'\"";
        workspace.write("main.tf", &cluster(aws.seed(), plain));
        workspace.apply().expect_success();
        let state = workspace.attributes(TYPE, "realtime");
        let data = user_data(aws, &stack::text(&state["nodes"][0]["instance_id"]));
        workspace.destroy().expect_success();

        let software = Software::install(&data);
        assert_eq!(software.config(), stack::text(&state["config_yaml"]));
        let redis = Redis::start();
        let [mut one, other] = [(), ()].map(|()| software.start(&redis));
        one.wait_until_healthy();
        other.wait_until_healthy();
        let [at_one, at_other] = [&one, &other].map(|server| server.address().to_string());
        let clients = Clients::install();
        clients.run(&["cross", &at_one, &at_other, "survivor"]);
        one.restart();
        one.wait_until_healthy();
        let read = clients.run(&["read", &at_one, "survivor"]);
        assert_eq!(serde_json::from_str::<Value>(&read).expect("JSON"), json!({ "value": 42 }));
    });
}
