//! `merge_services_config`: of any two texts, split at a zero byte, the merge is JSON that says what the patch says,
//! and merging once more changes nothing.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use terraform_provider_codestream::Codestream;
use tfplugin::provider::{Function, Provider};
use tfplugin::value::Value;

static MERGE: LazyLock<Arc<dyn Function>> = LazyLock::new(|| {
    let provider = Codestream::new();
    let merge = provider.functions().iter().find(|function| function.name() == "merge_services_config");
    Arc::clone(merge.expect("the function"))
});

fn merged(existing: &str, patch: &str) -> Option<String> {
    let merged = MERGE.call(&[existing.into(), patch.into()]).ok()?;
    let Value::String(text) = merged else { panic!("{merged:?}") };
    Some(text)
}

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let Some((existing, patch)) = input.split_once('\0') else { return };
    let Some(once) = merged(existing, patch) else { return };
    assert_eq!(merged(&once, patch).as_deref(), Some(once.as_str()));
    // Nothing is to be changed by what is there already.
    assert_eq!(merged(existing, existing).as_deref(), Some(existing));
});
