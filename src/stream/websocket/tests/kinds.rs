//! Sessions of each kind: where they name models, what of them is locked, what they are charged for, and how they end.

use super::*;
use crate::policy::Provider;
use crate::usage::{Estimated, Tally};

const GEMINI: &str = r#"{"setup":{"model":"models/gemini-2.5-flash-live"}}"#;

/// A session of a kind, whose request named no model.
fn of(kind: SessionKind, policy: Policy) -> WebSocketRelay {
    named(kind, policy, None)
}

fn named(kind: SessionKind, policy: Policy, model: Option<&str>) -> WebSocketRelay {
    let mut admission = admission(policy, Endpoint::WebSocket(kind));
    admission.prices = admission.policy.limits.max_cost.map(|_| std::sync::Arc::new(prices()));
    let upstream = Upstream { provider: &admission.policy.default_provider, model, beside: None };
    let mut relay = WebSocketRelay::new(&admission, &upstream, 7, &MemoryAccount::default(), at(0));
    relay.start(at(0));
    relay
}

fn prices() -> PriceList {
    let price = |json: &str| serde_json::from_str::<Price>(json).unwrap();
    PriceList::new([
        ("gemini-*".to_owned(), price(r#"{"input_text":1,"input_audio":2,"output_text":4,"output_audio":8}"#)),
        ("gpt-live*".to_owned(), price(r#"{"audio_minute":0.06}"#)),
        ("gpt-realtime-translate".to_owned(), price(r#"{"audio_minute":0.6}"#)),
        ("gpt-5*".to_owned(), price(r#"{"input_text":1,"output_text":10}"#)),
    ])
}

fn ruled(models: &[&str]) -> Policy {
    Policy { models: NameRule::globs(models.iter().copied()), ..testing::policy() }
}

fn locked(fields: &[&str]) -> Policy {
    Policy { lock: Lock::new(fields).unwrap(), ..testing::policy() }
}

fn limited(limits: SessionLimits) -> Policy {
    Policy { limits, ..testing::policy() }
}

/// The code with which the session ends if the client says these, whether whole, cut anywhere, or byte by byte.
fn told_by_client(open: &dyn Fn() -> WebSocketRelay, messages: &[&str]) -> Option<u16> {
    let bytes = messages.iter().flat_map(|message| client_text(message)).collect::<Vec<_>>();
    let ends = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut relay = open();
        pieces.for_each(|piece| drop(relay.client_bytes(piece, at(1))));
        relay.record(Status::Closed, at(1)).close.map(|close| close.code)
    };
    let whole = ends(&mut std::iter::once(bytes.as_slice()));
    for cut in 0..bytes.len() {
        assert_eq!(ends(&mut <[&[u8]; 2]>::from(bytes.split_at(cut)).into_iter()), whole, "{messages:?} cut at {cut}");
    }
    assert_eq!(ends(&mut bytes.chunks(1)), whole, "{messages:?}");
    whole
}

fn tell(relay: &mut WebSocketRelay, sessions: &mut Sessions, event: &str) -> BodyAction {
    relay.upstream_bytes(text_frame(event).as_slice(), &prices(), sessions, at(1))
}

/// The code with which the session ends if the upstream tells this.
fn told_by_upstream(open: &dyn Fn() -> WebSocketRelay, event: &str) -> Option<u16> {
    let mut relay = open();
    tell(&mut relay, &mut sessions(), event);
    relay.record(Status::Closed, at(1)).close.map(|close| close.code)
}

#[test]
fn gemini_names_its_model_in_the_first_message_and_nowhere_else() {
    let open = || of(SessionKind::GeminiLive, ruled(&["gemini-*"]));
    let other = r#"{"setup":{"model":"models/other"}}"#;
    let text = r#"{"clientContent":{"turns":[],"turnComplete":true}}"#;
    for (messages, want) in [
        (&[GEMINI, text][..], None),
        (&[r#"{"setup":{"model":"projects/p/locations/l/publishers/google/models/gemini-live"}}"#], None),
        (&[GEMINI, GEMINI], None),
        (&[other], Some(4403)),
        (&[GEMINI, other], Some(4403)),
        (&[text], Some(4403)),
        (&["{}"], Some(4403)),
        (&[r#"{"setup":{}}"#], Some(4403)),
        (&[r#"{"setup":null}"#], Some(4403)),
        (&[r#"{"setup":{"model":null}}"#], Some(4403)),
        (&[r#"{"setup":{"model":"gemini-a","model":"other"}}"#], Some(1002)),
        (&[r#"{"setup":{"model":"gemini-a"},"setup":{"model":"other"}}"#], Some(1002)),
        (&[r#"{"Setup":{"model":"other"},"setup":{"model":"gemini-a"}}"#], Some(1002)),
        (&[r#"{"setup":{"model":["gemini-a"]}}"#], Some(1002)),
        (&[r#"{"setup":"gemini-a"}"#], Some(1002)),
        (&[r#"{"s\u0065tup":{"m\u006fdel":"other"}}"#], Some(4403)),
    ] {
        assert_eq!(told_by_client(&open, messages), want, "{messages:?}");
    }
    let secret = || named(SessionKind::GeminiLive, ruled(&["gemini-*"]), Some("gemini-a"));
    assert_eq!(told_by_client(&secret, &[text]), None, "the query has named one");
    assert_eq!(told_by_client(&secret, &[other]), Some(4403), "each place is judged");
}

#[test]
fn what_is_locked_of_a_setup_is_locked_in_both_spellings() {
    let open = || of(SessionKind::GeminiLive, locked(&["systemInstruction", "generationConfig.topK"]));
    for (setup, want) in [
        (r#"{"systemInstruction":{"parts":[]}}"#, Some(4403)),
        (r#"{"system_instruction":null}"#, Some(4403)),
        (r#"{"generation_config":{"top_k":1}}"#, Some(4403)),
        (r#"{"generationConfig":{"top_k":1}}"#, Some(4403)),
        (r#"{"generation_config":{"topK":1,"temperature":1}}"#, Some(4403)),
        (r#"{"generation_config":{"temperature":1}}"#, None),
        (r#"{"SystemInstruction":{}}"#, Some(1002)),
    ] {
        assert_eq!(told_by_client(&open, &[&format!(r#"{{"setup":{setup}}}"#)]), want, "{setup}");
    }
    let typed = |types: &'static [&str]| {
        let lock = Lock::default().with_tool_types(types.iter().copied()).unwrap();
        move || of(SessionKind::GeminiLive, Policy { lock: lock.clone(), ..testing::policy() })
    };
    for (tools, functions, search) in [
        (r#"[{"functionDeclarations":[{"name":"f"}]}]"#, None, Some(4403)),
        (r#"[{"function_declarations":[]}]"#, None, Some(4403)),
        (r#"[{"googleSearch":{}}]"#, Some(4403), None),
        (r#"[{"google_search":{}}]"#, Some(4403), None),
        (r#"[{"functionDeclarations":[],"googleSearch":{}}]"#, Some(4403), Some(4403)),
        (r#"[{"codeExecution":{}},{"functionDeclarations":[]}]"#, Some(4403), Some(4403)),
        (r#"["googleSearch"]"#, Some(4403), Some(4403)),
        ("[]", None, None),
        ("null", None, None),
    ] {
        let setup = format!(r#"{{"setup":{{"model":"m","tools":{tools}}}}}"#);
        assert_eq!(told_by_client(&typed(&["function"]), &[&setup]), functions, "{tools}");
        assert_eq!(told_by_client(&typed(&["google_search"]), &[&setup]), search, "{tools}");
    }
}

#[test]
fn gemini_is_told_why_by_the_close_alone() {
    let mut relay = of(SessionKind::GeminiLive, ruled(&["gemini-*"]));
    let setup = client_text(r#"{"setup":{"model":"models/other"}}"#);
    assert_eq!(relay.client_bytes(setup.as_slice(), at(1)), BodyAction::Replace(0, left(1000)));
    let BodyAction::Replace(0, bytes) =
        relay.upstream_bytes(closed(1000).as_slice(), &prices(), &mut sessions(), at(1))
    else {
        panic!("it passed")
    };
    let close = close_sent(&bytes);
    assert_eq!((close.code().value(), close.reason()), (4403, "model_not_allowed"));
}

#[test]
fn a_turn_of_gemini_counts_by_its_last_usage_and_one_that_is_cut_by_that_or_an_estimate() {
    let usage = |prompt: u64, response: u64| {
        let total = prompt + response;
        format!(
            r#""usageMetadata":{{"promptTokenCount":{prompt},"responseTokenCount":{response},"totalTokenCount":{total},"responseTokensDetails":[{{"modality":"AUDIO","tokenCount":{response}}}]}}"#
        )
    };
    let audio = format!(
        r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{}"}}}}]}}}}}}"#,
        "A".repeat(128_000)
    );
    let whole = format!(r#"{{"serverContent":{{"turnComplete":true}},{}}}"#, usage(100, 25));
    let part = format!("{{{}}}", usage(100, 20));
    for (events, responses, tokens, estimated) in [
        (vec![&audio, &part, &whole], 1, 125, 0),
        (vec![&audio, &whole, &audio, &part], 2, 245, 0),
        // Two seconds at 25 tokens, and what the turn before has read.
        (vec![&audio, &whole, &audio], 2, 125 + 100 + 50, 150),
        (vec![&audio], 1, 50, 50),
        (vec![], 0, 0, 0),
    ] {
        let limits = SessionLimits { max_tokens: Some(1_000_000), ..free() };
        let (mut relay, mut sessions) = (of(SessionKind::GeminiLive, limited(limits)), sessions());
        relay.client_bytes(client_text(GEMINI).as_slice(), at(1));
        for event in events {
            assert_eq!(tell(&mut relay, &mut sessions, event), BodyAction::Pass);
        }
        relay.settle(&prices(), &mut sessions, at(2));
        let record = relay.record(Status::Closed, at(2));
        let used = (record.usage.responses, record.usage.total_tokens, record.estimated.tokens);
        // A setup is text that the client has said.
        let said = if estimated == 50 { GEMINI.len().div_ceil(4) as u64 } else { 0 };
        assert_eq!(used, (responses, tokens + said, estimated + said));
        assert_eq!(record.model.as_deref(), Some("gemini-2.5-flash-live"));
    }
}

#[test]
fn without_a_rule_gemini_is_read_until_its_model_is_known_and_refused_for_nothing() {
    let mut relay = of(SessionKind::GeminiLive, testing::policy());
    assert!(relay.meter.inspects_client());
    for message in ["no JSON", r#"{"a":1,"a":2}"#, GEMINI, r#"{"setup":{"model":"models/later"}}"#] {
        assert_eq!(relay.client_bytes(client_text(message).as_slice(), at(1)), BodyAction::Pass);
    }
    assert!(!relay.meter.inspects_client());
    assert_eq!(relay.model(), Some("gemini-2.5-flash-live"));
}

const START: &str = r#"{"type":"session.start","session":{"model":"gpt-live-1"}}"#;

#[test]
fn live_names_its_models_when_it_starts_and_those_that_work_for_it_at_any_time() {
    let open = || of(SessionKind::Live, ruled(&["gpt-live*", "gpt-5"]));
    let delegate = |event: &str, model: &str| {
        format!(
            r#"{{"type":"{event}","session":{{"model":"gpt-live-1","delegation":{{"type":"responses","responses":{{"model":"{model}"}}}}}}}}"#
        )
    };
    let append = r#"{"type":"session.input_audio.append","audio":"AAAA"}"#;
    for (messages, want) in [
        (vec![START.to_owned(), append.to_owned()], None),
        (vec![delegate("session.start", "gpt-5")], None),
        (vec![START.to_owned(), delegate("session.update", "gpt-5")], None),
        (vec![append.to_owned()], Some(4403)),
        (vec![r#"{"type":"session.start","session":{}}"#.to_owned()], Some(4403)),
        (vec![r#"{"type":"session.start"}"#.to_owned()], Some(4403)),
        (vec![r#"{"type":"session.update","session":{"model":"gpt-live-1"}}"#.to_owned()], Some(4403)),
        (vec![delegate("session.start", "o3")], Some(4403)),
        (vec![START.to_owned(), delegate("session.update", "o3")], Some(4403)),
        (vec![START.to_owned(), START.replace("gpt-live-1", "o3")], Some(4403)),
        (vec![START.to_owned(), START.to_owned()], None),
        (vec![START.replace("}}", r#","delegation":{"type":"decisions","decisions":{"model":"o3"}}}}"#)], Some(4403)),
        (vec![START.replace("}}", r#","delegation":null}}"#)], None),
    ] {
        let messages: Vec<_> = messages.iter().map(String::as_str).collect();
        assert_eq!(told_by_client(&open, &messages), want, "{messages:?}");
    }
    let started = |model: &str, delegate: &str| {
        format!(
            r#"{{"type":"session.started","session":{{"id":"live_1","model":"{model}","delegation":{{"responses":{{"model":"{delegate}"}}}}}}}}"#
        )
    };
    let responded =
        r#"{"type":"response.event","event":{"type":"response.created","response":{"id":"r","model":"o3"}}}"#;
    let fork = || of(SessionKind::LiveFork, ruled(&["gpt-live*", "gpt-5"]));
    for open in [&open as &dyn Fn() -> WebSocketRelay, &fork] {
        assert_eq!(told_by_upstream(open, &started("gpt-live-1", "gpt-5-2025-08-07")), None);
        assert_eq!(told_by_upstream(open, &started("o3", "gpt-5")), Some(4403));
        assert_eq!(told_by_upstream(open, &started("gpt-live-1", "o3")), Some(4403));
        assert_eq!(told_by_upstream(open, responded), Some(4403));
    }
    assert_eq!(told_by_client(&fork, &[r#"{"type":"session.start","session":{}}"#]), None);
}

#[test]
fn a_lock_holds_for_live_and_what_works_for_it() {
    let open = || of(SessionKind::Live, locked(&["instructions", "audio.output.voice"]));
    for (message, want) in [
        (r#"{"type":"session.start","session":{"instructions":"x"}}"#, Some(4403)),
        (r#"{"type":"session.start","session":{"audio":{"output":{"voice":"marin"}}}}"#, Some(4403)),
        (r#"{"type":"session.update","session":{"delegation":{"responses":{"instructions":"x"}}}}"#, Some(4403)),
        (r#"{"type":"session.instructions.append","content":"x","delegation_id":null}"#, Some(4403)),
        (r#"{"type":"session.thinking.append","content":"x","delegation_id":null}"#, None),
        (r#"{"type":"session.start","session":{"delegation":{"type":"client"},"audio":{"format":{}}}}"#, None),
        (r#"{"type":"session.start","session":{"delegation":[]}}"#, Some(1002)),
    ] {
        assert_eq!(told_by_client(&open, &[message]), want, "{message}");
    }
    let lock = Lock::default().with_tool_types(["function"]).unwrap();
    let open = || of(SessionKind::Live, Policy { lock: lock.clone(), ..testing::policy() });
    for (tools, want) in [(r#"{"type":"function"}"#, None), (r#"{"type":"mcp"}"#, Some(4403))] {
        let start =
            format!(r#"{{"type":"session.start","session":{{"delegation":{{"responses":{{"tools":[{tools}]}}}}}}}}"#);
        assert_eq!(told_by_client(&open, &[&start]), want, "{tools}");
        let item =
            format!(r#"{{"type":"response.item.create","item":{{"type":"additional_tools","tools":[{tools}]}}}}"#);
        assert_eq!(told_by_client(&open, &[&item]), want, "{tools}");
    }
}

#[test]
fn lives_seconds_are_cumulative_and_never_taken_back_and_what_is_left_is_estimated() {
    let seconds = |event: &str, seconds: &str| format!(r#"{{"type":"{event}","usage":{{"seconds":{seconds}}}}}"#);
    // Two seconds of 24,000 samples.
    let audio = format!(r#"{{"type":"session.input_audio.append","audio":"{}"}}"#, "A".repeat(128_000));
    for (events, said, want, estimated) in [
        (vec!["4.5", "10", "9", "10"], 0, 10_000, 0),
        (vec!["1.5"], 1, 2_000, 500),
        (vec![], 1, 2_000, 2_000),
        (vec!["3"], 1, 3_000, 0),
    ] {
        let limits = SessionLimits { max_cost: Some(MicroUsd(1_000_000)), ..free() };
        let (mut relay, mut sessions) = (of(SessionKind::Live, limited(limits)), sessions());
        relay.client_bytes(client_text(START).as_slice(), at(1));
        tell(&mut relay, &mut sessions, r#"{"type":"session.started","session":{"id":"l","model":"gpt-live-1"}}"#);
        (0..said).for_each(|_| drop(relay.client_bytes(client_text(&audio).as_slice(), at(1))));
        for event in &events {
            assert_eq!(tell(&mut relay, &mut sessions, &seconds("session.usage.updated", event)), BodyAction::Pass);
        }
        relay.settle(&prices(), &mut sessions, at(2));
        let record = relay.record(Status::Closed, at(2));
        let off = record.usage.audio.milliseconds.abs_diff(want);
        assert!(off <= 1 && record.estimated.milliseconds.abs_diff(estimated) <= 1, "{events:?}: {record:?}");
        assert_eq!(record.cost_usd.0, record.usage.audio.milliseconds, "a minute costs 0.06");
    }
    let few = SessionLimits { max_cost: Some(MicroUsd(5_000)), ..free() };
    let open = || of(SessionKind::Live, limited(few));
    let mut relay = open();
    tell(&mut relay, &mut sessions(), r#"{"type":"session.started","session":{"id":"l","model":"gpt-live-1"}}"#);
    tell(&mut relay, &mut sessions(), &seconds("session.closed", "5"));
    assert_eq!(relay.record(Status::Closed, at(1)).close.unwrap().code, 4429);
    for bad in [
        r#"{"type":"session.usage.updated"}"#,
        &seconds("session.usage.updated", "-1"),
        &seconds("session.closed", "\"5\""),
    ] {
        let mut relay = open();
        tell(&mut relay, &mut sessions(), bad);
        assert!(relay.record(Status::Closed, at(1)).incomplete, "{bad}");
    }
}

#[test]
fn a_translation_is_charged_for_as_long_as_the_user_speaks() {
    let audio = format!(r#"{{"type":"session.input_audio_buffer.append","audio":"{}"}}"#, "A".repeat(64_000));
    let heard = r#"{"type":"session.output_audio.delta","delta":"AAAA"}"#;
    let limits = SessionLimits { max_cost: Some(MicroUsd(30_000)), ..free() };
    let model = Some("gpt-realtime-translate");
    let (mut relay, mut sessions) = (named(SessionKind::Translation, limited(limits), model), sessions());
    let seconds = (1..10).find(|_| {
        relay.client_bytes(client_text(&audio).as_slice(), at(1));
        tell(&mut relay, &mut sessions, heard) != BodyAction::Pass
    });
    let record = relay.record(Status::Closed, at(1));
    assert_eq!((seconds, record.close.unwrap().code), (Some(3), 4429), "a cent for each second");
    assert_eq!(record.estimated, Estimated { tokens: 0, milliseconds: record.usage.audio.milliseconds });
    let mut free = named(SessionKind::Translation, testing::policy(), model);
    free.client_bytes(client_text(&audio).as_slice(), at(1));
    tell(&mut free, &mut sessions, heard);
    free.settle(&prices(), &mut sessions, at(1));
    assert_eq!(free.record(Status::Closed, at(1)).usage, Tally::default(), "nothing is estimated without a budget");
}

#[test]
fn a_response_is_of_the_model_that_its_message_names_or_the_upstream_tells() {
    let open = || of(SessionKind::Responses, ruled(&["gpt-5"]));
    for (messages, want) in [
        (&[r#"{"type":"response.create","model":"gpt-5","input":"hi"}"#][..], None),
        (&[r#"{"type":"response.create","prompt":{"id":"pmpt_1"}}"#], None),
        (&[r#"{"type":"response.create","model":"o3"}"#], Some(4403)),
        (&[r#"{"type":"response.create","model":"gpt-5"}"#, r#"{"model":"o3","type":"response.create"}"#], Some(4403)),
        (&[r#"{"type":"response.create","model":"gpt-5","model":"o3"}"#], Some(1002)),
        (&[r#"{"type":"response.steer","response_id":"r","input":[]}"#], None),
    ] {
        assert_eq!(told_by_client(&open, messages), want, "{messages:?}");
    }
    for (model, want) in [("gpt-5", None), ("gpt-5-2025-08-07", None), ("o3", Some(4403)), ("gpt-5-mini", Some(4403))] {
        for event in ["response.created", "response.completed"] {
            let event = format!(r#"{{"type":"{event}","response":{{"id":"r","model":"{model}","usage":null}}}}"#);
            assert_eq!(told_by_upstream(&open, &event), want, "{event}");
        }
    }
}

#[test]
fn under_a_budget_a_response_goes_on_from_none_but_those_of_its_session() {
    let budget = SessionLimits { max_tokens: Some(1_000_000), ..free() };
    let open = || of(SessionKind::Responses, limited(budget));
    for (members, want) in [
        (r#""background":true"#, Some(4403)),
        (r#""background":false"#, None),
        (r#""background":null,"previous_response_id":null,"conversation":null"#, None),
        (r#""conversation":"conv_1""#, Some(4403)),
        (r#""conversation":{"id":"conv_1"}"#, Some(4403)),
        (r#""previous_response_id":"resp_of_another""#, Some(4403)),
        (r#""previous_response_id":5"#, Some(4403)),
    ] {
        let message = format!(r#"{{"type":"response.create","model":"gpt-5",{members}}}"#);
        assert_eq!(told_by_client(&open, &[&message]), want, "{members}");
        let free = || of(SessionKind::Responses, testing::policy());
        assert_eq!(told_by_client(&free, &[&message]), None, "{members}");
    }
    let mut relay = open();
    let done = r#"{"type":"response.completed","response":{"id":"resp_1","model":"gpt-5","usage":{"input_tokens":1,"output_tokens":1}}}"#;
    assert_eq!(tell(&mut relay, &mut sessions(), done), BodyAction::Pass);
    let next = client_text(r#"{"type":"response.create","previous_response_id":"resp_1"}"#);
    assert_eq!(relay.client_bytes(next.as_slice(), at(1)), BodyAction::Pass);
}

#[test]
fn a_transcription_is_judged_when_its_model_is_named_or_told() {
    let open = || of(SessionKind::Transcription, ruled(&["gpt-4o-transcribe"]));
    let update = |model: &str| {
        format!(
            r#"{{"type":"session.update","session":{{"type":"transcription","audio":{{"input":{{"transcription":{{"model":"{model}"}}}}}}}}}}"#
        )
    };
    let former =
        r#"{"type":"transcription_session.update","session":{"input_audio_transcription":{"model":"whisper-1"}}}"#;
    let append = r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#;
    assert_eq!(told_by_client(&open, &[append, &update("gpt-4o-transcribe")]), None);
    assert_eq!(told_by_client(&open, &[&update("gpt-4o-transcribe"), &update("whisper-1")]), Some(4403));
    assert_eq!(told_by_client(&open, &[former]), Some(4403));
    let told = |model: &str| {
        format!(
            r#"{{"type":"session.updated","session":{{"type":"transcription","audio":{{"input":{{"transcription":{{"model":"{model}"}}}}}}}}}}"#
        )
    };
    assert_eq!(told_by_upstream(&open, &told("gpt-4o-transcribe")), None);
    assert_eq!(told_by_upstream(&open, &told("whisper-1")), Some(4403));
    let conversation = || named(SessionKind::Conversation, ruled(&["gpt-realtime"]), Some("gpt-realtime"));
    assert_eq!(told_by_client(&conversation, &[&update("whisper-1")]), Some(4403));
}

#[test]
fn a_deployment_of_azures_has_any_name() {
    let open = || {
        let kind = crate::policy::ProviderKind::AzureOpenAi;
        let default_provider = std::sync::Arc::new(Provider { kind, ..testing::provider() });
        let policy = Policy { default_provider, ..ruled(&["voice-eu"]) };
        named(SessionKind::Conversation, policy, Some("voice-eu"))
    };
    assert_eq!(told_by_upstream(&open, r#"{"type":"session.created","session":{"model":"gpt-realtime"}}"#), None);
}

#[test]
fn events_of_another_kind_say_nothing() {
    let of_others = [
        (SessionKind::Conversation, r#"{"type":"session.usage.updated","usage":{"seconds":5}}"#),
        (
            SessionKind::Conversation,
            r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":5}}"#,
        ),
        (SessionKind::Live, r#"{"type":"response.done","response":{"usage":{"input_tokens":5,"output_tokens":5}}}"#),
        (
            SessionKind::Translation,
            r#"{"type":"response.done","response":{"usage":{"input_tokens":5,"output_tokens":5}}}"#,
        ),
        (SessionKind::Responses, r#"{"type":"session.usage.updated","usage":{"seconds":5}}"#),
        (
            SessionKind::GeminiLive,
            r#"{"type":"response.done","response":{"usage":{"input_tokens":5,"output_tokens":5}}}"#,
        ),
    ];
    for (kind, event) in of_others {
        let mut relay = of(kind, testing::policy());
        let mut sessions = sessions();
        assert_eq!(tell(&mut relay, &mut sessions, event), BodyAction::Pass);
        relay.settle(&prices(), &mut sessions, at(1));
        let record = relay.record(Status::Closed, at(1));
        assert_eq!((record.usage, record.incomplete), (Tally::default(), false), "{kind:?} {event}");
        // What may be of any kind counts.
        let mut other = of(SessionKind::Other, testing::policy());
        tell(&mut other, &mut sessions, r#"{"serverContent":{"modelTurn":{}}}"#);
        tell(&mut other, &mut sessions, event);
        other.settle(&prices(), &mut sessions, at(1));
        assert_ne!(other.record(Status::Closed, at(1)).usage, Tally::default(), "{event}");
    }
}

#[test]
fn a_session_whose_first_message_never_comes_is_idle_from_the_101_on() {
    for kind in SessionKind::ALL {
        let limits = SessionLimits { idle_timeout: Some(Duration::from_secs(5)), ..free() };
        let mut relay = of(kind, limited(limits));
        assert_eq!((1..10).find(|&second| relay.tick(None, at(second))), Some(5), "{kind:?}");
    }
}

#[test]
fn an_update_of_20_megabytes_is_judged_as_it_passes_and_hardly_held() {
    let long = "x".repeat(20 << 20);
    for (kind, message, want) in [
        (SessionKind::Live, format!(r#"{{"type":"session.update","session":{{"x":"{long}","model":"o3"}}}}"#), 4403),
        (SessionKind::GeminiLive, format!(r#"{{"setup":{{"x":"{long}","model":"o3"}}}}"#), 4403),
        (SessionKind::Responses, format!(r#"{{"input":"{long}","type":"response.create","model":"o3"}}"#), 4403),
    ] {
        let all = MemoryAccount::default();
        let admission = admission(ruled(&["gpt-*"]), Endpoint::WebSocket(kind));
        let upstream = Upstream { provider: &admission.policy.default_provider, model: Some("gpt-x"), beside: None };
        let mut relay = WebSocketRelay::new(&admission, &upstream, 7, &all, at(0));
        relay.start(at(0));
        for piece in client_text(&message).chunks(1 << 20) {
            relay.client_bytes(piece, at(1));
            assert!(all.reserved() < 64 << 10, "{} bytes are held", all.reserved());
        }
        assert_eq!(relay.record(Status::Closed, at(1)).close.unwrap().code, want, "{kind:?}");
    }
}
