//! Every fault at every AWS call of every operation of a `codestream_deepstream_cluster`.

use super::{Tested, full, quiet_changes, rolling_changes, small};
use crate::resource::testing::faults::{Operation, try_all};

#[test]
fn a_create_converges_after_every_fault() {
    try_all::<Tested>(&[
        Operation::new("small create", None, Some(small())),
        Operation::new("full create", None, Some(full())),
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
fn a_rolling_change_converges_after_every_fault() {
    try_all::<Tested>(&rolling_changes());
}

#[test]
fn a_quiet_change_converges_after_every_fault() {
    try_all::<Tested>(&quiet_changes());
}
