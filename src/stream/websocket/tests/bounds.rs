//! Budgets, and messages of any size.

use super::*;
use crate::memory::Reservation;

/// More than any side would hold.
const LONG: usize = 3 << 20;

/// What is held at most of a session and of one message of each side.
const MOST: usize = 6 << 10;

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
            let mut relay = relay_in(&all, limits, &[], NameRule::Any);
            let idle = all.reserved();
            let mut last = BodyAction::Pass;
            for read in event.chunks(reads) {
                assert_eq!(last, BodyAction::Pass);
                last = relay.upstream_bytes(read, &prices(), &mut sessions(), at(1));
                assert!(all.reserved() < MOST, "{} bytes are held", all.reserved());
            }
            let record = relay.record(Status::Open, at(1));
            assert_eq!((record.usage.total_tokens, record.incomplete, all.reserved()), (13, false, idle));
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
            let mut relay = relay_in(&all, free(), &["tools"], NameRule::Any);
            let idle = all.reserved();
            let mut actions = Vec::new();
            for read in bytes.chunks(reads) {
                actions.push(relay.client_bytes(read, at(1)));
                assert!(all.reserved() < MOST, "{} bytes are held", all.reserved());
            }
            assert_eq!(all.reserved(), idle);
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

/// A session in an account that others have overdrawn.
fn crowded(memory: &MemoryAccount) -> (WebSocketRelay, Reservation) {
    let others = memory.reserve(memory.limit());
    (relay_in(memory, free(), &["tools"], NameRule::Any), others)
}

#[test]
fn in_an_overdrawn_account_a_message_that_needs_more_than_a_share_ends_its_session() {
    let message = format!(r#"{{"type":"session.update","session":{{"model":"{}","voice":"ash"}}}}"#, "x".repeat(2000));
    for reads in [100, 1900] {
        let memory = MemoryAccount::default();
        let (mut session, _others) = crowded(&memory);
        let idle = memory.reserved();
        let bytes = client_text(&message);
        let actions: Vec<_> = bytes.chunks(reads).map(|read| session.client_bytes(read, at(1))).collect();
        assert_eq!(actions.last(), Some(&BodyAction::Replace(0, vec![])), "nothing that was not judged is complete");
        assert_eq!(memory.reserved(), idle, "what it held is given back");
        let told = session.upstream_bytes(text_frame("{}").as_slice(), &prices(), &mut sessions(), at(1));
        let BodyAction::Replace(0, told) = told else { panic!("the client was not told") };
        assert_eq!(event_and_close(&told), ("overloaded".into(), 1009));
        let record = session.record(Status::Closed, at(1));
        assert_eq!(record.close.map(|close| (close.code, close.reason)), Some((1009, "overloaded".into())));
        drop(session);
        assert_eq!(memory.reserved(), memory.limit());
    }
}

#[test]
fn in_an_overdrawn_account_what_was_held_before_and_ordinary_messages_go_on() {
    let memory = MemoryAccount::default();
    let long = client_text(&format!(r#"{{"type":"session.update","session":{{"model":"{}"}}}}"#, "x".repeat(2000)));
    let mut before = relay_in(&memory, free(), &["tools"], NameRule::Any);
    assert_eq!(before.client_bytes(&long[..1900], at(1)), BodyAction::Pass);
    let (mut session, _others) = crowded(&memory);
    assert_eq!(before.client_bytes(&long[1900..], at(1)), BodyAction::Pass);
    let ordinary = client_text(r#"{"type":"session.update","session":{"voice":"ash","instructions":"Be brief."}}"#);
    let deltas = text_frame(&format!(r#"{{"delta":"{}","type":"response.output_audio.delta"}}"#, "A".repeat(9000)));
    for cut in 0..ordinary.len() {
        for read in [&ordinary[..cut], &ordinary[cut..]] {
            assert_eq!(session.client_bytes(read, at(1)), BodyAction::Pass);
        }
        for read in [&deltas[..cut], &deltas[cut..]] {
            assert_eq!(session.upstream_bytes(read, &prices(), &mut sessions(), at(1)), BodyAction::Pass);
        }
    }
    let counted = done("r1", 100, 10);
    counted.chunks(7).for_each(|read| {
        session.upstream_bytes(read, &prices(), &mut sessions(), at(1));
    });
    let record = session.record(Status::Open, at(1));
    assert_eq!((record.usage.total_tokens, record.close, record.incomplete), (110, None, false));
}
