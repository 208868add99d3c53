//! What is left of an apply, whatever becomes of it.

use std::pin::pin;

use super::*;

#[tokio::test]
async fn a_panic_in_apply_keeps_what_was_there() {
    let (server, _) = start();
    let failed = apply(&server, apply_of(&thing("before"), &thing("panic"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["The provider crashed"]);
    assert!(failed.diagnostics[0].detail.contains("on purpose"));
    assert_eq!(received(failed.new_state.as_ref()), thing("before"));
    assert_eq!(failed.private, b"kept");
    let failed = apply(&server, apply_of(&Value::Null, &thing("panic"))).await;
    assert_eq!(received(failed.new_state.as_ref()), Value::Null);
}

#[tokio::test]
async fn an_apply_that_cannot_be_read_keeps_what_was_there() {
    let (server, _) = start();
    let broken =
        apply_resource_change::Request { planned_state: bytes(b"\x80"), ..apply_of(&thing("before"), &thing("a")) };
    let failed = apply(&server, broken).await;
    assert_eq!(summaries(&failed.diagnostics), ["Cannot read the planned state"]);
    assert_eq!(received(failed.new_state.as_ref()), thing("before"));
    assert_eq!(failed.private, b"kept");
}

#[tokio::test]
async fn stop_ends_what_is_in_flight_and_nothing_later() {
    let (server, thing_type) = start();
    let waiting = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { apply(&server, apply_of(&Value::Null, &thing("wait for stop"))).await })
    };
    thing_type.started.notified().await;
    let answer = server.stop_provider(Request::new(stop_provider::Request::default())).await.unwrap().into_inner();
    assert_eq!(answer.error, "");
    let stopped = waiting.await.unwrap();
    assert_eq!(summaries(&stopped.diagnostics), ["Stopped"]);
    assert_eq!(received(stopped.new_state.as_ref()), thing("wait for stop"));
    assert!(!server.stop().is_cancelled());
    let later = apply(&server, apply_of(&Value::Null, &thing("a"))).await;
    assert_eq!(summaries(&later.diagnostics), [""; 0]);
}

#[tokio::test]
async fn a_read_is_given_up_on_a_stop_whatever_it_waits_for() {
    let (server, thing_type) = start();
    let waiting = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { read(&server, "probe_thing", &thing("wait for ever")).await })
    };
    thing_type.started.notified().await;
    server.stop_provider(Request::new(stop_provider::Request::default())).await.unwrap();
    assert_eq!(summaries(&waiting.await.unwrap().diagnostics), ["Stopped"]);
}

#[tokio::test]
async fn an_apply_goes_on_when_core_hangs_up() {
    let (server, thing_type) = start();
    {
        let mut call = pin!(apply(&server, apply_of(&Value::Null, &thing("wait for gate"))));
        tokio::select! {
            _ = &mut call => panic!("nothing has opened the gate"),
            () = thing_type.started.notified() => {}
        }
    }
    thing_type.gate.notify_one();
    thing_type.finished.notified().await;
}

#[tokio::test]
async fn a_failed_create_answers_with_what_it_made() {
    let (server, _) = start();
    let failed = apply(&server, apply_of(&Value::Null, &thing("fail"))).await;
    assert_eq!(summaries(&failed.diagnostics), ["It failed"]);
    assert_eq!(received(failed.new_state.as_ref()), thing("fail"));
    assert_eq!(failed.private, b"new");
}

#[tokio::test]
async fn a_faulty_state_after_apply_is_saved_as_far_as_it_goes() {
    let (server, _) = start();
    let unknown = apply(&server, apply_of(&Value::Null, &thing("leave unknown"))).await;
    assert_eq!(summaries(&unknown.diagnostics), ["The provider left values unknown"]);
    assert!(unknown.diagnostics[0].detail.contains(": id."), "{}", unknown.diagnostics[0].detail);
    assert_eq!(received(unknown.new_state.as_ref()).get("name"), &Value::from("leave unknown"));
    assert_eq!(received(unknown.new_state.as_ref()).get("id"), &Value::Null);

    let wrong = apply(&server, apply_of(&Value::Null, &thing("wrong type"))).await;
    assert_eq!(summaries(&wrong.diagnostics), ["The provider answered with a wrong value"]);
    assert_eq!(wrong.diagnostics[0].attribute, Some(convert::path(&Path::of("size"))));
    assert_eq!(received(wrong.new_state.as_ref()).get("id"), &Value::from("id of wrong type"));

    let unnamed = apply(&server, apply_of(&Value::Null, &thing("panic over identity"))).await;
    assert_eq!(summaries(&unnamed.diagnostics), ["The provider crashed"]);
    assert_eq!(received(unnamed.new_state.as_ref()), thing("panic over identity"));
}

#[tokio::test]
async fn a_destroy_is_planned_and_applied_as_null() {
    let (server, _) = start();
    let planned = plan(&server, plan_of(&thing("a"), &Value::Null)).await;
    assert_eq!(summaries(&planned.diagnostics), [""; 0]);
    assert_eq!(received(planned.planned_state.as_ref()), Value::Null);
    assert_eq!(planned.planned_private, b"kept");
    assert_eq!(planned.planned_identity, None);
    let applied = apply(&server, apply_of(&thing("a"), &Value::Null)).await;
    assert_eq!(received(applied.new_state.as_ref()), Value::Null);
    assert_eq!(applied.new_identity, None);
}
