//! Whole WebSocket sessions through the ABI: recorded streams, every way to end, and many at random, in any cut.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, vm};
use crate::host::{Exchange, Vm, golden};

const OPERATOR: &str = "token-of-the-operator";
const APPEND: &str = r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#;
const CREATE: &str = r#"{"type":"response.create"}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","event_id":"event_1","delta":"Hi"}"#;
const CREATED: &str = r#"{"type":"session.created","session":{"id":"sess_1","model":"gpt-realtime-2025-08-28"}}"#;
const LOCKED: &str = r#"{"type":"session.update","session":{"instructions":"x"}}"#;
const ESCAPED: &str = r#"{"session":{"instructions":"x"},"ty\u0070e":"session.update"}"#;
const OTHER_MODEL: &str = r#"{"type":"session.update","session":{"type":"realtime","model":"gpt-5"}}"#;
const VOICE: &str = r#"{"type":"session.update","session":{"audio":{"output":{"voice":"marin"}}}}"#;
const TWICE: &str = r#"{"type":"x","type":"session.update"}"#;

/// What happens in a session.
#[derive(Clone, Debug)]
enum Step {
    /// Bytes of the client's.
    Client(Vec<u8>),
    /// Bytes of the upstream's.
    Upstream(Vec<u8>),
    /// Seconds pass.
    Wait(u64),
    /// The operator stops all sessions.
    Stop,
}

/// A plugin with a policy for each way to end a session.
fn conversing() -> Vm {
    let prices: Value = serde_json::from_str(&recorded("prices.json")).unwrap();
    vm(json!({
        "control": { "path": "/realtime-byok", "token": { "value": OPERATOR } },
        "prices": prices,
        "policies": {
            "free": { "provider": "openai" },
            "unmetered": { "provider": "openai", "meter": false },
            "brief": { "provider": "openai", "session": { "max_duration": "5s", "idle_timeout": "3s" } },
            "small": { "provider": "openai", "session": { "max_tokens": 110 } },
            "cheap": { "provider": "openai", "session": { "max_cost_usd": 0.0005 } },
            "locked": { "provider": "openai", "lock": ["instructions", "audio.output.voice"] },
            "tooled": { "provider": "openai", "tool_types": ["function"] },
            "modelled": { "provider": "openai", "models": ["gpt-realtime*"] },
        },
    }))
}

/// A recorded file, wherever it lies.
fn recorded(file: &str) -> String {
    let packages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folders =
        packages.flat_map(|package| ["tests/fixtures/recorded", "tests/recorded"].map(|path| package.join(path)));
    let path = folders.map(|folder| folder.join(file)).find(|path| path.is_file());
    std::fs::read_to_string(path.unwrap_or_else(|| panic!("no {file}"))).unwrap()
}

/// A frame of either side; a client's is masked.
pub fn frame(is_client: bool, first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let (bit, mask): (u8, &[u8]) = if is_client { (0x80, &MASK) } else { (0, &[]) };
    let length = match payload.len() {
        length @ 0..126 => vec![bit | u8::try_from(length).unwrap()],
        length @ 126..0x1_0000 => [&[bit | 126], u16::try_from(length).unwrap().to_be_bytes().as_slice()].concat(),
        length => [&[bit | 127], u64::try_from(length).unwrap().to_be_bytes().as_slice()].concat(),
    };
    let key = |index: usize| if is_client { MASK[index % 4] } else { 0 };
    let payload: Vec<_> = payload.iter().enumerate().map(|(index, byte)| byte ^ key(index)).collect();
    [&[first], length.as_slice(), mask, payload.as_slice()].concat()
}

fn client(text: &str) -> Step {
    Step::Client(frame(true, 0x81, text.as_bytes()))
}

fn upstream(text: &str) -> Step {
    Step::Upstream(frame(false, 0x81, text.as_bytes()))
}

fn close(is_client: bool, code: u16, reason: &str) -> Vec<u8> {
    frame(is_client, 0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn done(id: &str, input: u32, output: u32) -> Step {
    upstream(&format!(
        r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","usage":{{"total_tokens":{},"input_tokens":{input},"output_tokens":{output},"input_token_details":{{"text_tokens":{input},"audio_tokens":0}},"output_token_details":{{"text_tokens":{output},"audio_tokens":0}}}}}}}}"#,
        input + output
    ))
}

/// Opens a session at a path, or at `/v1/realtime` with a query.
fn open(vm: &Vm, policy: &str, target: &str) -> Exchange {
    let path = if target.starts_with('/') { "" } else { "/v1/realtime" };
    let exchange = vm.upgrade(&format!("{path}{target}")).with_policy(policy).authenticated().send();
    exchange.upstream();
    exchange.respond(101, ACCEPTED);
    exchange
}

fn ask(vm: &Vm, method: &str) -> Value {
    let request = vm
        .request(method, "/realtime-byok/sessions?caller=web-app")
        .line("authorization", format!("Bearer {OPERATOR}"));
    serde_json::from_slice(&request.send().refusal().body).unwrap()
}

/// Plays the steps, cut into pieces of this size, and shows the record that comes of it.
fn play(vm: &Vm, policy: &str, query: &str, steps: &[Step], size: usize) -> Value {
    let exchange = open(vm, policy, query);
    for step in steps {
        match step {
            Step::Client(bytes) => bytes.chunks(size).for_each(|piece| exchange.send_chunk(piece, false)),
            Step::Upstream(bytes) => bytes.chunks(size).for_each(|piece| exchange.send_upstream(piece)),
            Step::Wait(seconds) => vm.wait(Duration::from_secs(*seconds)),
            Step::Stop => drop(ask(vm, "DELETE")),
        }
    }
    drop(exchange);
    vm.wait(Duration::from_secs(1));
    ask(vm, "GET")["data"][0].clone()
}

#[test]
fn a_recorded_session_is_counted_however_it_is_cut() {
    let vm = conversing();
    for (name, query) in [
        ("realtime-audio-cached", "?model=gpt-realtime"),
        ("realtime-image", "?model=gpt-realtime"),
        ("realtime-cancelled", "?model=gpt-realtime"),
        ("realtime-reasoning", "?model=gpt-realtime"),
        ("realtime-transcription-tokens", "?model=gpt-realtime"),
        ("realtime-transcription-seconds", "?intent=transcription"),
        ("realtime-bad-usage", "?model=gpt-realtime"),
        ("realtime-unpriced", "?model=gpt-realtime"),
        ("azure-deployment", "?deployment=voice-eu&model=voice-eu"),
        ("xai-voice", "?model=grok-voice-latest"),
        ("realtime-translation", "/v1/realtime/translations?model=gpt-realtime-translate"),
        ("responses-websocket", "/v1/responses"),
        ("live", "/v1/live/sessions"),
        ("gemini-live", "//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"),
    ] {
        let mut steps: Vec<_> = recorded(&format!("{name}.jsonl")).lines().map(upstream).collect();
        steps.insert(0, client(r#"{"setup":{"model":"models/gemini-2.5-flash-live"}}"#));
        let want: Value = serde_json::from_str(&recorded(&format!("{name}.json"))).unwrap();
        let check = |size| {
            let record = play(&vm, "free", query, &steps, size);
            assert_eq!((&record["usage"], &record["cost_usd"]), (&want["usage"], &want["cost_usd"]), "{name} {size}");
        };
        check(usize::MAX);
        [1, 7, 1000].into_iter().for_each(|size| golden::case(size, || check(size)));
    }
}

#[test]
fn each_way_to_end_is_told_to_both_sides_and_recorded() {
    let vm = conversing();
    let end = |policy: &str, steps: &[Step], by: &str, code: u16| {
        let record = play(&vm, policy, "?model=gpt-realtime", steps, usize::MAX);
        assert_eq!(
            (&record["close"]["by"], &record["close"]["code"]),
            (&by.into(), &code.into()),
            "{policy} {steps:?}"
        );
        golden::case(0, || drop(play(&vm, policy, "?model=gpt-realtime", steps, 3)));
    };
    let echo = || Step::Upstream(close(false, 1000, ""));
    end("free", &[client(APPEND), echo()], "upstream", 1000);
    end("free", &[Step::Client(close(true, 4001, "bye")), Step::Upstream(close(false, 4001, "bye"))], "client", 4001);
    end("free", &[upstream(CREATED), Step::Stop, Step::Wait(1), upstream(DELTA), Step::Wait(4)], "gateway", 4410);
    end("free", &[Step::Stop, Step::Wait(1), client(APPEND), echo()], "gateway", 4410);
    end("brief", &[Step::Wait(2), client(APPEND), Step::Wait(3), upstream(DELTA), Step::Wait(4)], "gateway", 4408);
    end("brief", &[Step::Wait(9)], "gateway", 4408);
    end("small", &[done("r1", 100, 10), upstream(DELTA), client(APPEND), Step::Wait(4)], "gateway", 4429);
    end("cheap", &[done("r1", 100, 10), done("r2", 1, 1), echo()], "gateway", 4429);
    for text in [LOCKED, ESCAPED, VOICE] {
        end("locked", &[client(CREATE), client(text), upstream(DELTA), Step::Wait(4)], "gateway", 4403);
        end("locked", &[client(text), echo()], "gateway", 4403);
    }
    end("locked", &[client(TWICE), upstream(DELTA)], "gateway", 1002);
    end("modelled", &[client(OTHER_MODEL), upstream(DELTA)], "gateway", 4403);
    let unmasked = Step::Client(frame(false, 0x81, b"{}"));
    end("free", &[client(APPEND), unmasked, upstream(DELTA), Step::Upstream(close(false, 1002, ""))], "gateway", 1002);
    let reserved = Step::Upstream(frame(false, 0xf1, b"{}"));
    end("free", &[upstream(DELTA), reserved, client(APPEND), Step::Wait(4)], "gateway", 1002);
    let not_text = Step::Upstream(frame(false, 0x81, b"\xff"));
    end("free", &[upstream(CREATED), not_text, echo()], "upstream", 1000);
}

#[test]
fn a_tool_of_another_type_ends_the_session() {
    let vm = conversing();
    let echo = || Step::Upstream(close(false, 1000, ""));
    let tool =
        |name: &str| client(&format!(r#"{{"type":"session.update","session":{{"tools":[{{"type":"{name}"}}]}}}}"#));
    for (steps, by, code) in [
        (vec![tool("function"), echo()], "upstream", 1000),
        (vec![tool("function"), tool("mcp"), upstream(DELTA), Step::Wait(4)], "gateway", 4403),
        (vec![tool("mcp"), echo()], "gateway", 4403),
    ] {
        let record = play(&vm, "tooled", "?model=gpt-realtime", &steps, usize::MAX);
        assert_eq!((&record["close"]["by"], &record["close"]["code"]), (&by.into(), &code.into()), "{steps:?}");
    }
}

/// Sessions at random that are the same each time, since only what they come to is recorded.
fn random_sessions(policy: &str) {
    let vm = conversing();
    let texts = [APPEND, CREATE, DELTA, CREATED, LOCKED, ESCAPED, OTHER_MODEL, VOICE, TWICE, "{", "[]", "{}"];
    let fragments = |is_client: bool| {
        select(texts.to_vec()).prop_map(move |text| {
            let (head, tail) = text.as_bytes().split_at(text.len() / 2);
            let ping = frame(is_client, 0x89, b"p");
            [frame(is_client, 0x01, head), ping, frame(is_client, 0x80, tail)].concat()
        })
    };
    let damaged = prop_oneof![vec(any::<u8>(), 1..8), Just(vec![0x88, 0]), Just(vec![0x81]), Just(vec![0xc1, 0x80])];
    let step = prop_oneof![
        6 => select(texts.to_vec()).prop_map(client),
        6 => select(texts.to_vec()).prop_map(upstream),
        4 => (0..4_u32, 0..80_u32, 0..9_u32).prop_map(|(id, input, output)| done(&format!("r{id}"), input, output)),
        2 => fragments(true).prop_map(Step::Client),
        2 => fragments(false).prop_map(Step::Upstream),
        3 => (0..4_u64).prop_map(Step::Wait),
        1 => damaged.clone().prop_map(Step::Client),
        1 => damaged.prop_map(Step::Upstream),
        1 => any::<bool>().prop_map(|is_client| match close(is_client, 1000, "") {
            bytes if is_client => Step::Client(bytes),
            bytes => Step::Upstream(bytes),
        }),
        1 => Just(Step::Stop),
    ];
    let session = (vec(step, 1..14), prop_oneof![Just(usize::MAX), 1..40_usize]);
    let mut random = TestRunner::deterministic();
    for index in 0..64 {
        let (steps, size) = session.new_tree(&mut random).unwrap().current();
        golden::case(index, || drop(play(&vm, policy, "?model=gpt-realtime", &steps, size)));
    }
}

#[test]
fn sessions_at_random_without_a_rule() {
    random_sessions("free");
}

#[test]
fn sessions_at_random_that_are_not_metered() {
    random_sessions("unmetered");
}

#[test]
fn sessions_at_random_with_little_time() {
    random_sessions("brief");
}

#[test]
fn sessions_at_random_with_few_tokens() {
    random_sessions("small");
}

#[test]
fn sessions_at_random_under_a_lock() {
    random_sessions("locked");
}

#[test]
fn sessions_at_random_under_a_rule_on_models() {
    random_sessions("modelled");
}
