//! Budgets, and messages of any size.

use super::*;

/// More than any side would hold.
const LONG: usize = 3 << 20;

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
fn what_a_long_event_used_counts_and_draws_on_the_budget() {
    let limited = SessionLimits { max_tokens: Some(10), ..free() };
    let event = format!(
        r#"{{"type":"response.completed","response":{{"instructions":"{}","usage":{{"input_tokens":9,"output_tokens":4}}}}}}"#,
        "x".repeat(LONG)
    );
    let event = text_frame(&event);
    for (limits, is_ended) in [(limited, true), (free(), false)] {
        for reads in [event.len(), 100_000] {
            let all = MemoryAccount::default();
            let mut relay = relay(limits, &[], NameRule::Any);
            relay.reservation = all.reservation();
            let mut last = BodyAction::Pass;
            for read in event.chunks(reads) {
                assert_eq!(last, BodyAction::Pass);
                last = relay.upstream_bytes(read, &prices(), &mut sessions(), at(1));
                assert!(all.reserved() < 16 << 10, "{} bytes are held", all.reserved());
            }
            let record = relay.record(Status::Open, at(1));
            assert_eq!((record.usage.total_tokens, record.incomplete, all.reserved()), (13, false, 0));
            match last {
                BodyAction::Pass => assert!(!is_ended),
                BodyAction::Replace(_, bytes) => {
                    assert!(is_ended);
                    assert_eq!(event_and_close(&bytes), ("budget_exceeded".into(), 4429));
                }
            }
        }
    }
}

#[test]
fn a_long_message_of_the_clients_passes_as_it_comes_and_its_end_when_it_is_judged() {
    let padding = "x".repeat(LONG);
    let audio = format!(r#"{{"type":"input_audio_buffer.append","audio":"{padding}"}}"#);
    let image = format!(r#"{{"type":"conversation.item.create","item":{{"content":[{{"image_url":"{padding}"}}]}}}}"#);
    let locked = format!(r#"{{"session":{{"padding":"{padding}","tools":[]}},"type":"session.update"}}"#);
    for (message, code) in [(&audio, None), (&image, None), (&locked, Some(4403)), (&padding, Some(1002))] {
        let bytes = client_text(message);
        for reads in [bytes.len(), 100_000] {
            let all = MemoryAccount::default();
            let mut relay = relay(free(), &["tools"], NameRule::Any);
            relay.reservation = all.reservation();
            let mut actions = Vec::new();
            for read in bytes.chunks(reads) {
                actions.push(relay.client_bytes(read, at(1)));
                assert!(all.reserved() < 16 << 10, "{} bytes are held", all.reserved());
            }
            assert_eq!(all.reserved(), 0);
            let last = actions.pop().unwrap();
            assert!(actions.iter().all(|action| *action == BodyAction::Pass));
            let held = if actions.is_empty() { left(1000) } else { vec![] };
            assert_eq!(last, code.map_or(BodyAction::Pass, |_| BodyAction::Replace(0, held)), "{message:.40}");
            assert_eq!(relay.record(Status::Closed, at(1)).close.map(|close| close.code), code);
        }
    }
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
