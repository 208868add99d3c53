//! What others change behind the provider's back: each change shows in the plan, and one apply repairs it.

use tfplugin::value::Value;

use super::core::Core;
use super::faults::{Subject, unlike};
use super::settle;
use crate::aws::fake::State;

/// What somebody does, and the argument or output at which it must show.
pub(crate) struct Mutation {
    pub(crate) what: &'static str,
    pub(crate) shows: &'static str,
    pub(crate) mutate: fn(&mut State),
}

pub(crate) fn mutation(what: &'static str, shows: &'static str, mutate: fn(&mut State)) -> Mutation {
    Mutation { what, shows, mutate }
}

/// Makes each of the mutations of a stack that this configuration has built.
pub(crate) async fn each_shows_and_is_repaired<S: Subject>(
    base: &Core<S::Kind>,
    config: &Value,
    mutations: &[Mutation],
) {
    let mut failed = Vec::new();
    for mutation in mutations {
        let wrong = repaired::<S>(base, config, mutation).await;
        if !wrong.is_empty() {
            failed.push(format!("{}:\n  {}", mutation.what, wrong.join("\n  ")));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), mutations.len(), failed.join("\n"));
}

/// What is wrong after a mutation and one apply.
async fn repaired<S: Subject>(base: &Core<S::Kind>, config: &Value, mutation: &Mutation) -> Vec<String> {
    let mut core = base.fork();
    let (before, arn) = (S::picture(&core), core.state().get("arn").clone());
    (mutation.mutate)(&mut core.aws.state());
    if S::picture(&core) == before {
        return vec!["the mutation changes nothing".to_owned()];
    }
    let mut wrong = Vec::new();
    let shown = core.changes(config).await;
    if !shown.iter().any(|path| path.starts_with(mutation.shows)) {
        wrong.push(format!("does not show at {:?}, but at {shown:?}", mutation.shows));
    }
    if shown.iter().any(|path| path.contains("forces replacement")) {
        wrong.push(format!("replaces the load balancer: {shown:?}"));
    }
    wrong.extend(core.apply(Some(config)).await.faults());
    wrong.extend(core.changes(config).await.into_iter().map(|path| format!("still to do: {path}")));
    settle().await;
    wrong.extend(unlike(&before, &S::picture(&core)));
    if *core.state().get("arn") != arn {
        wrong.push("another load balancer".to_owned());
    }
    wrong
}
