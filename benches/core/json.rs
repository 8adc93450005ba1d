//! Bytes a second of JSON: a matcher of the paths that a policy with a lock watches, and of those that tell usage, against
//! the bare events of another streaming parser.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use json_event_parser::{JsonEvent, LowLevelJsonParser};
use realtime_byok::json::matcher::{Bounds, Matcher};
use realtime_byok::json::paths::Paths;

const PATHS: [&str; 12] = [
    "type",
    "event_id",
    "session",
    "session.instructions",
    "session.tools",
    "session.model",
    "session.audio.output.voice",
    "response",
    "response.id",
    "response.status",
    "response.usage.input_tokens",
    "response.usage.output_tokens",
];

/// How many values are found.
fn matched(paths: &Arc<Paths<usize>>, text: &[u8]) -> usize {
    let mut matcher = Matcher::new(paths.clone(), Bounds::default());
    let mut found = 0;
    let read = matcher.feed(text, &mut |value| {
        found += value.tag;
        ControlFlow::Continue(())
    });
    assert!(read.is_ok() && matcher.finish().is_ok());
    found
}

/// How many events there are.
fn parsed(text: &[u8]) -> usize {
    let (mut parser, mut at, mut events) = (LowLevelJsonParser::new(), 0, 0);
    loop {
        let read = parser.parse_next(text.get(at..).unwrap_or_default(), true);
        at += read.consumed_bytes;
        match read.event {
            Some(Ok(JsonEvent::Eof) | Err(_)) | None => return events,
            Some(Ok(event)) => {
                black_box(event);
                events += 1;
            }
        }
    }
}

fn json(criterion: &mut Criterion) {
    let recorded = include_str!("../../tests/fixtures/recorded/realtime-audio-cached.jsonl");
    let event = |name: &str| {
        recorded.lines().find(|line| line.contains(&format!("\"type\":\"{name}\""))).unwrap_or_default().to_owned()
    };
    let append = |length: usize| format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, "A".repeat(length));
    let texts = [
        ("audio append of 6.4 KB", append(6400)),
        ("audio append of 1 MB", append(1 << 20)),
        ("session.created", event("session.created")),
        ("response.done", event("response.done")),
    ];
    let paths = Arc::new(Paths::new(&PATHS.map(|path| (path, 1))));
    let mut group = criterion.benchmark_group("json");
    for (name, text) in &texts {
        assert_ne!(matched(&paths, text.as_bytes()), 0);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("matcher", name), |bencher| {
            bencher.iter(|| matched(&paths, black_box(text.as_bytes())));
        });
        group.bench_function(BenchmarkId::new("json-event-parser", name), |bencher| {
            bencher.iter(|| parsed(black_box(text.as_bytes())));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = json
}
criterion_main!(benches);
