//! Every fault at every AWS call of every operation of a `codestream_deepstream_cluster`.

use serde_json::json;

use super::{Tested, full, quiet_changes, rolling_changes, small, update};
use crate::resource::testing::faults::{Operation, try_all, try_pairs};

#[test]
fn a_create_converges_after_every_fault() {
    try_all::<Tested>(&[
        Operation::new("small create", None, Some(small())),
        Operation::new("full create", None, Some(full())),
        Operation::new("small create in a slow AWS", None, Some(small())).in_slow_aws(),
    ]);
}

#[test]
fn a_delete_converges_after_every_fault() {
    try_all::<Tested>(&[
        Operation::new("small delete", Some(small()), None),
        Operation::new("full delete", Some(full()), None),
    ]);
}

#[test]
fn a_replacement_converges_after_every_fault() {
    let internal = update("replacement", small(), &json!({"scheme": "internal"}));
    try_all::<Tested>(&[Operation { replaces: true, cuts: true, ..internal }]);
}

#[test]
fn a_rolling_change_converges_after_every_fault() {
    let replaced = update("port in a slow AWS", small(), &json!({"port": 7020})).in_slow_aws();
    try_all::<Tested>(&rolling_changes().into_iter().chain([replaced]).collect::<Vec<_>>());
}

#[test]
fn a_quiet_change_converges_after_every_fault() {
    try_all::<Tested>(&quiet_changes());
}

#[tokio::test(start_paused = true)]
async fn two_faults_in_a_row_converge_too() {
    try_pairs::<Tested>(&[
        Operation::new("small create", None, Some(small())),
        update("version", small(), &json!({"deepstream_version": "7.0.1"})),
    ])
    .await;
}
