//! Budgets, and messages that are too long for what is held of them.

use super::*;
use crate::memory::WORKER_MAX;

#[test]
fn a_spent_budget_ends_the_session_behind_the_message_that_spent_it() {
    for limits in
        [SessionLimits { max_tokens: Some(110), ..free() }, SessionLimits { max_cost: Some(MicroUsd(560)), ..free() }]
    {
        let mut relay = relay(limits, &[], NameRule::Any);
        let (first, second) = (done("r1", 100, 10), done("r2", 1, 1));
        let both = [first.clone(), second].concat();
        let BodyAction::Replace(from, bytes) = relay.upstream_bytes(both.as_slice(), &prices(), &mut sessions(), at(1))
        else {
            panic!("the second message passed")
        };
        assert_eq!((from, event_and_close(&bytes)), (first.len(), ("budget_exceeded".into(), 4429)));
        let more = done("r3", 1, 1);
        assert_eq!(
            relay.upstream_bytes(more.as_slice(), &prices(), &mut sessions(), at(1)),
            BodyAction::Replace(0, vec![])
        );
        assert_eq!(relay.client_bytes(client_text("{}").as_slice(), at(1)), BodyAction::Replace(0, left(1000)));
        assert_eq!(relay.client_bytes(client_text("{}").as_slice(), at(1)), BodyAction::Replace(0, vec![]));
        assert!(!relay.tick(None, at(2)) && relay.tick(None, at(3)));
        assert_eq!(relay.record(Status::Closed, at(3)).close.unwrap().code, 4429);
    }
}

#[test]
fn a_budget_that_cannot_be_kept_ends_the_session() {
    let limited = SessionLimits { max_tokens: Some(1000), ..free() };
    for (limits, is_ended) in [(limited, true), (free(), false)] {
        let mut relay = relay(limits, &[], NameRule::Any);
        let repeated = "x".repeat(MAX_MESSAGE);
        let event =
            text_frame(&format!(r#"{{"type":"response.completed","response":{{"instructions":"{repeated}"}}}}"#));
        let action = relay.upstream_bytes(event.as_slice(), &prices(), &mut sessions(), at(1));
        assert!(relay.record(Status::Open, at(1)).incomplete);
        match action {
            BodyAction::Pass => assert!(!is_ended, "what is not counted draws on no budget"),
            BodyAction::Replace(from, bytes) => {
                assert_eq!((is_ended, from), (true, 0));
                assert_eq!(event_and_close(&bytes), ("budget_exceeded".into(), 4429));
            }
        }
    }
}

#[test]
fn a_long_message_of_the_upstreams_goes_on_unread_where_sessions_hold_too_much_together() {
    let event = format!(r#"{{"type":"response.done","response":{{"padding":"{}"}}}}"#, "x".repeat(2 * UNACCOUNTED_MAX));
    let event = text_frame(&event);
    let (head, rest) = event.split_at(event.len() - 10);
    let limited = SessionLimits { max_tokens: Some(1000), ..free() };
    for (limits, is_ended) in [(limited, true), (free(), false)] {
        let all = MemoryAccount::default();
        let mut others = all.reservation();
        others.hold(WORKER_MAX);
        let mut relay = relay(limits, &[], NameRule::Any);
        relay.reservation = all.reservation();
        assert_eq!(relay.upstream_bytes(head, &prices(), &mut sessions(), at(1)), BodyAction::Pass);
        assert_eq!((all.reserved(), relay.record(Status::Open, at(1)).incomplete), (WORKER_MAX, true));
        match relay.upstream_bytes(rest, &prices(), &mut sessions(), at(1)) {
            BodyAction::Pass => assert!(!is_ended, "what is not counted draws on no budget"),
            BodyAction::Replace(from, bytes) => {
                assert_eq!((is_ended, from), (true, rest.len()));
                assert_eq!(event_and_close(&bytes), ("budget_exceeded".into(), 4429));
            }
        }
    }
}

#[test]
fn a_long_message_that_must_be_read_ends_its_session_where_sessions_hold_too_much_together() {
    let long = client_text(&" ".repeat(2 * UNACCOUNTED_MAX));
    let all = MemoryAccount::default();
    let mut others = all.reservation();
    others.hold(WORKER_MAX);
    let mut relay = relay(free(), &["instructions"], NameRule::Any);
    relay.reservation = all.reservation();
    assert_eq!(relay.client_bytes(&long[..UNACCOUNTED_MAX / 2], at(1)), BodyAction::Pass);
    assert_eq!(
        relay.client_bytes(&long[UNACCOUNTED_MAX / 2..2 * UNACCOUNTED_MAX], at(1)),
        BodyAction::Replace(0, vec![])
    );
    assert_eq!(all.reserved(), WORKER_MAX);
    drop(relay);
    assert_eq!(all.reserved(), WORKER_MAX);
}

#[test]
fn what_a_response_used_counts_though_its_client_hears_no_more_of_it() {
    let mut relay = relay(free(), &[], NameRule::Any);
    let started = text_frame(r#"{"type":"response.created","response":{"id":"r1"}}"#);
    relay.upstream_bytes(started.as_slice(), &prices(), &mut sessions(), at(1));
    assert!(relay.record(Status::Closed, at(1)).incomplete, "a response is under way");
    assert!(!relay.tick(Some(Ending::Stopped), at(1)));
    let BodyAction::Replace(0, bytes) =
        relay.upstream_bytes(done("r1", 100, 10).as_slice(), &prices(), &mut sessions(), at(1))
    else {
        panic!("the client was not told")
    };
    assert_eq!(event_and_close(&bytes).1, 4410);
    let dropped = relay.upstream_bytes(done("r2", 7, 3).as_slice(), &prices(), &mut sessions(), at(2));
    assert_eq!(dropped, BodyAction::Replace(0, vec![]));
    let record = relay.record(Status::Closed, at(2));
    assert_eq!((record.usage.responses, record.usage.total_tokens, record.incomplete), (2, 120, false));
}

#[test]
fn what_follows_in_the_read_that_spends_the_budget_counts_too() {
    let mut relay = relay(SessionLimits { max_tokens: Some(110), ..free() }, &[], NameRule::Any);
    let both = [done("r1", 100, 10), done("r2", 1, 1)].concat();
    relay.upstream_bytes(both.as_slice(), &prices(), &mut sessions(), at(1));
    assert_eq!(relay.record(Status::Closed, at(1)).usage.total_tokens, 112);
}

#[test]
fn a_message_that_must_be_read_and_is_too_long_is_refused() {
    let long = client_text(&"x".repeat(MAX_MESSAGE + 1));
    let mut locked = relay(free(), &["tools"], NameRule::Any);
    assert_eq!(locked.client_bytes(long.as_slice(), at(1)), BodyAction::Replace(0, left(1000)));
    assert_eq!(locked.record(Status::Closed, at(1)).close.unwrap().code, 1009);
    let mut open = relay(free(), &[], NameRule::Any);
    assert_eq!(open.client_bytes(long.as_slice(), at(1)), BodyAction::Pass);
}
