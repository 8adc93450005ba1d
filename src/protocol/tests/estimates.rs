//! How far estimates are off, of conversations whose usage is known.

use super::recorded::load_lines;
use crate::protocol::*;
use crate::usage::*;

/// What is estimated of each response but for its end, beside what that tells: tokens read and written.
fn estimates(name: &str, kind: SessionKind) -> Vec<(Tally, Tokens)> {
    let (mut estimator, mut meter, mut all) = (Estimator::new(kind.row().audio), Meter::new(None), Vec::new());
    for text in load_lines(name) {
        let mut message = UpstreamMessage::of(kind);
        let reported = match message.feed_event(text.as_bytes()) {
            Relevance::Length => Reported::Output(Said::audio_event(text.len() as u64)),
            _ => message.end_event(),
        };
        match &reported {
            Reported::Output(said) => estimator.hear(*said),
            Reported::Session(names) => estimator.set_formats(names.formats),
            _ => {}
        }
        if let MeterEvent::Counted(told) = meter.add(reported, &PriceList::default())
            && told.usage.total_tokens > 0
        {
            all.push((told.usage, estimator.responses(1)));
            estimator.reported(&told.usage, true);
        }
    }
    all
}

/// An estimate in hundredths of what was told.
fn percent(estimated: u64, told: u64) -> u64 {
    estimated * 100 / told.max(1)
}

/// Each response's estimate in hundredths of what its end tells, read and written. A session's first response has nothing to
/// be estimated by in these recordings, which have the upstream's side alone; their texts and audio are cut to a few words
/// and milliseconds, so that what is written comes out far too low, and never too high.
#[test]
fn estimates_of_recorded_conversations_are_off_by_as_much_as_is_said_here() {
    for (name, want) in [
        ("realtime-audio-cached", &[(0, 5), (44, 4), (48, 5)][..]),
        ("realtime-image", &[(0, 9), (93, 9)]),
        ("realtime-cancelled", &[(0, 11), (74, 25), (95, 20)]),
        ("realtime-reasoning", &[(0, 1), (95, 6)]),
        ("realtime-transcription-tokens", &[(0, 7), (76, 7)]),
        ("realtime-unpriced", &[(0, 18)]),
        ("responses-websocket", &[(0, 1), (75, 4)]),
    ] {
        let off = |(told, estimated): &(Tally, Tokens)| {
            let input = percent(estimated.input.tokens(), told.input_tokens);
            (input, percent(estimated.output.tokens(), told.output_tokens))
        };
        let kind = if name.starts_with("responses") { SessionKind::Responses } else { SessionKind::Conversation };
        assert_eq!(estimates(name, kind).iter().map(off).collect::<Vec<_>>(), want, "{name}");
    }
}

/// The same events, with as much text and audio as their usage is of: what is left is what is around them.
#[test]
fn what_an_upstream_says_at_full_length_is_estimated_to_a_few_hundredths() {
    for (format, bytes_per_second) in [("pcm16", 48_000), ("g711_ulaw", 8_000)] {
        let mut estimator = Estimator::new(AudioMeasure::OPENAI);
        let output = Some(AudioFormat::named(format));
        estimator.set_formats(AudioFormats { input: None, output });
        let line = load_lines("realtime-audio-cached").into_iter().find(|line| line.contains("output_audio.delta"));
        let mut event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        for _ in 0..40 {
            event["delta"] = "A".repeat(bytes_per_second / 4 / 3 * 4).into();
            estimator.hear(Said::audio_event(event.to_string().len() as u64));
        }
        let told = 10 * 20;
        assert!(estimator.output().audio.abs_diff(told) <= told / 100 * 2, "{format}: {}", estimator.output().audio);
    }
}
