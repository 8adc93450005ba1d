//! Budgets, and messages that are too long for what is held of them.

use super::*;

#[test]
fn a_spent_budget_ends_the_session_behind_the_message_that_spent_it() {
    for limits in
        [SessionLimits { max_tokens: Some(110), ..free() }, SessionLimits { max_cost: Some(MicroUsd(560)), ..free() }]
    {
        let mut live = live(limits, &[], Globs::All);
        let (first, second) = (done("r1", 100, 10), done("r2", 1, 1));
        let both = [first.clone(), second].concat();
        let Relay::Replace(from, bytes) = live.upstream_bytes(both.as_slice(), &prices(), &process(), at(1)) else {
            panic!("the second message passed")
        };
        assert_eq!((from, told(&bytes)), (first.len(), ("budget_exceeded".into(), 4429)));
        let more = done("r3", 1, 1);
        assert_eq!(live.upstream_bytes(more.as_slice(), &prices(), &process(), at(1)), Relay::Replace(0, vec![]));
        assert_eq!(live.client_bytes(client_text("{}").as_slice(), at(1)), Relay::Replace(0, left(1000)));
        assert_eq!(live.client_bytes(client_text("{}").as_slice(), at(1)), Relay::Replace(0, vec![]));
        assert!(!live.tick(None, at(2)) && live.tick(None, at(3)));
        assert_eq!(live.record(Status::Closed, at(3)).close.unwrap().code, 4429);
    }
}

#[test]
fn a_budget_that_cannot_be_kept_ends_the_session() {
    let limited = SessionLimits { max_tokens: Some(1000), ..free() };
    for (limits, is_ended) in [(limited, true), (free(), false)] {
        let mut live = live(limits, &[], Globs::All);
        let repeated = "x".repeat(MAX_MESSAGE);
        let event =
            text_frame(&format!(r#"{{"type":"response.completed","response":{{"instructions":"{repeated}"}}}}"#));
        let relay = live.upstream_bytes(event.as_slice(), &prices(), &process(), at(1));
        assert!(live.record(Status::Open, at(1)).incomplete);
        match relay {
            Relay::Pass => assert!(!is_ended, "what is not counted draws on no budget"),
            Relay::Replace(from, bytes) => {
                assert_eq!((is_ended, from), (true, 0));
                assert_eq!(told(&bytes), ("budget_exceeded".into(), 4429));
            }
        }
    }
}

#[test]
fn a_long_message_of_the_upstreams_goes_on_unread_where_sessions_hold_too_much_together() {
    let event = format!(r#"{{"type":"response.done","response":{{"padding":"{}"}}}}"#, "x".repeat(2 * MAX_UNSHARED));
    let event = text_frame(&event);
    let (head, rest) = event.split_at(event.len() - 10);
    let limited = SessionLimits { max_tokens: Some(1000), ..free() };
    for (limits, is_ended) in [(limited, true), (free(), false)] {
        let all = Rc::new(Cell::new(MAX_TOGETHER));
        let mut live = live(limits, &[], Globs::All);
        live.reserved = Reserved::new(all.clone());
        assert_eq!(live.upstream_bytes(head, &prices(), &process(), at(1)), Relay::Pass);
        assert_eq!((all.get(), live.record(Status::Open, at(1)).incomplete), (MAX_TOGETHER, true));
        match live.upstream_bytes(rest, &prices(), &process(), at(1)) {
            Relay::Pass => assert!(!is_ended, "what is not counted draws on no budget"),
            Relay::Replace(from, bytes) => {
                assert_eq!((is_ended, from), (true, rest.len()));
                assert_eq!(told(&bytes), ("budget_exceeded".into(), 4429));
            }
        }
    }
}

#[test]
fn a_long_message_that_must_be_read_ends_its_session_where_sessions_hold_too_much_together() {
    let long = client_text(&" ".repeat(2 * MAX_UNSHARED));
    let all = Rc::new(Cell::new(MAX_TOGETHER));
    let mut live = live(free(), &["instructions"], Globs::All);
    live.reserved = Reserved::new(all.clone());
    assert_eq!(live.client_bytes(&long[..MAX_UNSHARED / 2], at(1)), Relay::Pass);
    assert_eq!(live.client_bytes(&long[MAX_UNSHARED / 2..2 * MAX_UNSHARED], at(1)), Relay::Replace(0, vec![]));
    assert_eq!(all.get(), MAX_TOGETHER);
    drop(live);
    assert_eq!(all.get(), MAX_TOGETHER);
}

#[test]
fn what_a_response_used_counts_though_its_client_hears_no_more_of_it() {
    let mut live = live(free(), &[], Globs::All);
    let started = text_frame(r#"{"type":"response.created","response":{"id":"r1"}}"#);
    live.upstream_bytes(started.as_slice(), &prices(), &process(), at(1));
    assert!(live.record(Status::Closed, at(1)).incomplete, "a response is under way");
    assert!(!live.tick(Some(Ending::Stopped), at(1)));
    let Relay::Replace(0, bytes) = live.upstream_bytes(done("r1", 100, 10).as_slice(), &prices(), &process(), at(1))
    else {
        panic!("the client was not told")
    };
    assert_eq!(told(&bytes).1, 4410);
    let dropped = live.upstream_bytes(done("r2", 7, 3).as_slice(), &prices(), &process(), at(2));
    assert_eq!(dropped, Relay::Replace(0, vec![]));
    let record = live.record(Status::Closed, at(2));
    assert_eq!((record.usage.responses, record.usage.total_tokens, record.incomplete), (2, 120, false));
}

#[test]
fn what_follows_in_the_read_that_spends_the_budget_counts_too() {
    let mut live = live(SessionLimits { max_tokens: Some(110), ..free() }, &[], Globs::All);
    let both = [done("r1", 100, 10), done("r2", 1, 1)].concat();
    live.upstream_bytes(both.as_slice(), &prices(), &process(), at(1));
    assert_eq!(live.record(Status::Closed, at(1)).usage.total_tokens, 112);
}

#[test]
fn a_message_that_must_be_read_and_is_too_long_is_refused() {
    let long = client_text(&"x".repeat(MAX_MESSAGE + 1));
    let mut locked = live(free(), &["tools"], Globs::All);
    assert_eq!(locked.client_bytes(long.as_slice(), at(1)), Relay::Replace(0, left(1000)));
    assert_eq!(locked.record(Status::Closed, at(1)).close.unwrap().code, 1009);
    let mut open = live(free(), &[], Globs::All);
    assert_eq!(open.client_bytes(long.as_slice(), at(1)), Relay::Pass);
}
