//! Bytes and messages a second: the skip path, as most of a voice session takes it, against reading each message as a
//! policy with a lock does.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use realtime_byok::protocol::{ClientMessage, Lock, SessionKind};
use realtime_byok::ws::{Event, Follower, FrameHeader, Interest, OpCode, Sender, mask};
use std::hint::black_box;

const FIRST: u16 = 128;

type Follow = fn(Sender, &[u8]) -> u64;

/// What Envoy hands over at once under load.
const READ: usize = 64 * 1024;

/// A megabyte of one message over and over, and how many times it is in there.
fn stream(sender: Sender, payload: &str) -> (Vec<u8>, u64) {
    let mask = (sender == Sender::Client).then_some([0x37, 0xfa, 0x21, 0x3d]);
    let mut payload = payload.as_bytes().to_vec();
    let header = FrameHeader { fin: true, opcode: OpCode::Text, mask, length: payload.len() as u64 };
    if let Some(key) = mask {
        mask::apply(key, 0, &mut payload);
    }
    let mut frame = Vec::new();
    header.encode(&mut frame);
    frame.append(&mut payload);
    let messages = (1 << 20) / frame.len() + 1;
    (frame.repeat(messages), messages as u64)
}

/// Follows the bytes as they come. Returns how many messages passed.
fn skip(sender: Sender, bytes: &[u8]) -> u64 {
    let mut follower = Follower::new(sender, FIRST);
    for read in bytes.chunks(READ) {
        let mut pass = follower.pass(read);
        while pass
            .next(&mut |piece| {
                black_box(piece);
                Interest::Skip
            })
            .is_some()
        {}
    }
    follower.counts().messages
}

/// Follows the bytes as they come, and reads all that is in them.
fn judge(sender: Sender, bytes: &[u8]) -> u64 {
    let lock = Lock::new(["instructions", "tools", "audio.output.voice"]).unwrap_or_default();
    let (mut follower, mut message) =
        (Follower::new(sender, 4096), ClientMessage::new(&lock, SessionKind::Conversation));
    for read in bytes.chunks(READ) {
        let mut pass = follower.pass(read);
        while let Some(event) = pass.next(&mut |piece| {
            message.feed(piece);
            Interest::Stream
        }) {
            let whole = std::mem::replace(&mut message, ClientMessage::new(&lock, SessionKind::Conversation));
            assert!(event == Event::MessageEnd && black_box(whole.finish()).is_ok());
        }
    }
    follower.counts().messages
}

fn follower(criterion: &mut Criterion) {
    let audio = "A".repeat(6400);
    let delta = format!(r#"{{"type":"response.output_audio.delta","delta":"{audio}"}}"#);
    let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
    let small = r#"{"type":"response.output_text.delta","event_id":"event_1","delta":"Hi"}"#;
    let streams = [
        ("audio from the server", Sender::Server, delta.as_str()),
        ("audio from the client", Sender::Client, append.as_str()),
        ("small from the server", Sender::Server, small),
        ("small from the client", Sender::Client, small),
    ];
    let mut group = criterion.benchmark_group("follower");
    for (name, sender, payload) in streams {
        let (bytes, messages) = stream(sender, payload);
        group.throughput(Throughput::ElementsAndBytes { elements: messages, bytes: bytes.len() as u64 });
        let paths: [(&str, Follow); 2] = [("skip", skip), ("judge", judge)];
        for (path, follow) in paths {
            group.bench_function(BenchmarkId::new(path, name), |bencher| {
                bencher.iter(|| {
                    let followed = follow(sender, black_box(&bytes));
                    assert_eq!(followed, messages);
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = follower
}
criterion_main!(benches);
