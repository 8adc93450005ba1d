//! Objects of usage as each protocol writes them, and what of them is no usage.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::json::matcher::{Bounds, Matcher, OtherCase};
use crate::json::paths::Paths;
use crate::usage::{Tally, Transcription};

/// The members of a usage object that stands in this body.
fn fields(usage: &str) -> Result<UsageFields, UsageError> {
    let paths: Vec<_> = usage_paths()
        .into_iter()
        .map(|(name, field)| (format!("usage.{name}").trim_end_matches('.').to_owned(), field))
        .collect();
    let bounds = Bounds { other_case: OtherCase::Ignored, ..Bounds::default() };
    let (mut matcher, mut fields) = (Matcher::new(Arc::new(Paths::new(&paths)), bounds), UsageFields::default());
    let read = matcher.feed(format!(r#"{{"usage":{usage}}}"#).as_bytes(), &mut |found| {
        fields.set(found.tag, found.value);
        ControlFlow::Continue(())
    });
    read.and_then(|_| matcher.finish()).map(|()| fields).map_err(|_| UsageError::Malformed)
}

/// Input and cached by modality, output, and what was written to a cache; and the flaw.
type Counted = ([u64; 6], [u64; 2], u64, Option<UsageError>);

fn read(json: &str) -> Result<Counted, UsageError> {
    let (ReportedUsage::Response(Tokens { input: i, output: o, cache_write_text }), flaw) = fields(json)?.response()
    else {
        panic!("expected a response");
    };
    let input = [i.text, i.audio, i.image, i.cached_text, i.cached_audio, i.cached_image];
    Ok((input, [o.text, o.audio], cache_write_text, flaw))
}

#[test]
fn all_protocols_read_the_same() {
    for (json, expected) in [
        (
            r#"{"total_tokens":253,"input_tokens":132,"output_tokens":121,
                "input_token_details":{"text_tokens":110,"audio_tokens":13,"image_tokens":9,"cached_tokens":70,
                    "cached_tokens_details":{"text_tokens":64,"audio_tokens":2,"image_tokens":4}},
                "output_token_details":{"text_tokens":30,"audio_tokens":91}}"#,
            ([110, 13, 9, 64, 2, 4], [30, 91], 0),
        ),
        (
            r#"{"input_tokens":75,"input_tokens_details":{"cached_tokens":32,"cache_write_tokens":9},
                "output_tokens":1186,"output_tokens_details":{"reasoning_tokens":1024},"total_tokens":1261}"#,
            ([75, 0, 0, 32, 0, 0], [1186, 0], 9),
        ),
        (
            r#"{"prompt_tokens":50,"completion_tokens":40,"total_tokens":90,
                "prompt_tokens_details":{"cached_tokens":10,"audio_tokens":30},
                "completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":20,
                    "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
            ([20, 30, 0, 10, 0, 0], [20, 20], 0),
        ),
        (
            r#"{"input_tokens":12,"cache_read_input_tokens":2000,"cache_creation_input_tokens":500,"output_tokens":9,
                "cache_creation":{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":0},"service_tier":"standard"}"#,
            ([2512, 0, 0, 2000, 0, 0], [9, 0], 500),
        ),
        (
            r#"{"input_tokens":12,"cache_read_input_tokens":null,"cache_creation_input_tokens":0,"output_tokens":9}"#,
            ([12, 0, 0, 0, 0, 0], [9, 0], 0),
        ),
        // A gateway that tells Anthropic's words beside those of chat completions, which have it all.
        (
            r#"{"prompt_tokens":2512,"completion_tokens":9,"total_tokens":2521,"prompt_tokens_details":{"cached_tokens":2000},
                "cache_read_input_tokens":2000,"cache_creation_input_tokens":500}"#,
            ([2512, 0, 0, 2000, 0, 0], [9, 0], 0),
        ),
    ] {
        let (input, output, cache_write) = expected;
        assert_eq!(read(json), Ok((input, output, cache_write, None)), "{json}");
    }
}

#[test]
fn tokens_of_unreported_modality_are_text() {
    for (json, expected) in [
        (r#"{"input_tokens":9,"output_tokens":4}"#, ([9, 0, 0, 0, 0, 0], [4, 0])),
        (
            r#"{"input_tokens":9,"output_tokens":4,"total_tokens":null,"input_token_details":null,
                "output_token_details":{"audio_tokens":3,"text_tokens":null}}"#,
            ([9, 0, 0, 0, 0, 0], [1, 3]),
        ),
        // More is cached than there is text: the rest was audio, then images.
        (
            r#"{"input_tokens":30,"output_tokens":0,"input_token_details":
                {"text_tokens":5,"audio_tokens":15,"image_tokens":10,"cached_tokens":22}}"#,
            ([5, 15, 10, 5, 15, 2], [0, 0]),
        ),
        (
            r#"{"input_tokens":30,"output_tokens":0,"input_token_details":
                {"audio_tokens":20,"cached_tokens_details":{"audio_tokens":8}}}"#,
            ([10, 20, 0, 0, 8, 0], [0, 0]),
        ),
        // Reasoning counted apart from the completion.
        (
            r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,
                "completion_tokens_details":{"reasoning_tokens":94}}"#,
            ([32, 0, 0, 0, 0, 0], [103, 0]),
        ),
        (r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135}"#, ([32, 0, 0, 0, 0, 0], [103, 0])),
        (
            r#"{"input_tokens":32,"output_tokens":9,"total_tokens":135,"output_tokens_details":{"reasoning_tokens":94}}"#,
            ([32, 0, 0, 0, 0, 0], [103, 0]),
        ),
        (r#"{"input_tokens":9007199254740992,"output_tokens":1.0e1}"#, ([1 << 53, 0, 0, 0, 0, 0], [10, 0])),
    ] {
        let (input, output) = expected;
        assert_eq!(read(json), Ok((input, output, 0, None)), "{json}");
    }
}

#[test]
fn totals_count_as_told_whatever_does_not_add_up() {
    use UsageError::*;
    for (json, input, output, flaw) in [
        (r#"{"input_tokens":132,"output_tokens":121,"total_tokens":252}"#, 132, 121, Exceeded(TOTAL)),
        (r#"{"input_tokens":132,"output_tokens":121,"total_tokens":300}"#, 132, 121, Short(TOTAL)),
        (
            r#"{"input_tokens":132,"output_tokens":121,"total_tokens":300,"output_tokens_details":{"reasoning_tokens":46}}"#,
            132,
            121,
            Short(TOTAL),
        ),
        (
            r#"{"prompt_tokens":132,"completion_tokens":121,"total_tokens":300,
                "completion_tokens_details":{"reasoning_tokens":121}}"#,
            132,
            121,
            Short(TOTAL),
        ),
        (r#"{"prompt_tokens":5,"completion_tokens":5,"total_tokens":9}"#, 5, 5, Exceeded(TOTAL)),
        (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":-1}"#, 5, 5, Negative(TOTAL)),
        (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":"10"}"#, 5, 5, NotANumber(TOTAL)),
        (r#"{"input_tokens":5,"output_tokens":5,"input_token_details":[1]}"#, 5, 5, Malformed),
        (r#"{"input_tokens":5,"output_tokens":5,"output_token_details":7}"#, 5, 5, Malformed),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"image_tokens":"2"}}"#,
            5,
            5,
            NotANumber("image_tokens"),
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"output_tokens_details":{"reasoning_tokens":6}}"#,
            5,
            5,
            Exceeded(OUTPUT),
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_tokens_details":{"cache_write_tokens":6}}"#,
            5,
            5,
            Exceeded("cache_write_tokens"),
        ),
    ] {
        let cache_write = if flaw == Exceeded("cache_write_tokens") { 5 } else { 0 };
        assert_eq!(read(json), Ok(([input, 0, 0, 0, 0, 0], [output, 0], cache_write, Some(flaw))), "{json}");
    }
}

#[test]
fn a_total_that_cannot_be_read_counts_nothing_and_the_other_as_reported() {
    use UsageError::*;
    for (json, input, output, flaw) in [
        (r#"[1,2,3]"#, 0, 0, Malformed),
        (r#""tokens""#, 0, 0, Malformed),
        (r#"{}"#, 0, 0, Missing(INPUT)),
        (r#"{"total_tokens":5,"output_tokens":5}"#, 0, 5, Missing(INPUT)),
        (r#"{"input_tokens":null,"output_tokens":5}"#, 0, 5, Missing(INPUT)),
        (r#"{"input_tokens":5,"total_tokens":5}"#, 5, 0, Missing(OUTPUT)),
        (r#"{"input_tokens":"5","output_tokens":5}"#, 0, 5, NotANumber(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":true}"#, 5, 0, NotANumber(OUTPUT)),
        (r#"{"input_tokens":5.5,"output_tokens":5}"#, 0, 5, NotANumber(INPUT)),
        (r#"{"input_tokens":{},"output_tokens":5}"#, 0, 5, NotANumber(INPUT)),
        (r#"{"input_tokens":-5,"output_tokens":5}"#, 0, 5, Negative(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":-0.5}"#, 5, 0, Negative(OUTPUT)),
        (r#"{"input_tokens":9007199254740993,"output_tokens":5}"#, 0, 5, TooLarge(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":1e300}"#, 5, 0, TooLarge(OUTPUT)),
        (r#"{"input_tokens":5,"output_tokens":1e999}"#, 5, 0, TooLarge(OUTPUT)),
        (
            r#"{"input_tokens":5,"cache_read_input_tokens":-1,"output_tokens":5}"#,
            5,
            5,
            Negative("cache_read_input_tokens"),
        ),
    ] {
        assert_eq!(read(json), Ok(([input, 0, 0, 0, 0, 0], [output, 0], 0, Some(flaw))), "{json}");
    }
    assert_eq!(read(r#"{"input_tokens":1,"input_tokens":2,"output_tokens":1}"#), Err(Malformed));
}

#[test]
fn details_beyond_a_total_are_cut_to_it() {
    use UsageError::*;
    for (json, input, output, flaw) in [
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"text_tokens":3,"audio_tokens":3}}"#,
            [2, 3, 0, 0, 0, 0],
            [5, 0],
            INPUT,
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"text_tokens":9,"audio_tokens":4,"image_tokens":4}}"#,
            [0, 4, 1, 0, 0, 0],
            [5, 0],
            INPUT,
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"output_token_details":{"audio_tokens":6,"text_tokens":6}}"#,
            [5, 0, 0, 0, 0, 0],
            [0, 5],
            OUTPUT,
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":6}}"#,
            [5, 0, 0, 5, 0, 0],
            [5, 0],
            INPUT,
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"audio_tokens":2,
            "cached_tokens_details":{"audio_tokens":3}}}"#,
            [3, 2, 0, 0, 2, 0],
            [5, 0],
            "cached audio_tokens",
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":2,
            "cached_tokens_details":{"text_tokens":3}}}"#,
            [5, 0, 0, 2, 0, 0],
            [5, 0],
            CACHED,
        ),
    ] {
        assert_eq!(read(json), Ok((input, output, 0, Some(Exceeded(flaw)))), "{json}");
    }
}

#[test]
fn what_grows_in_a_stream_counts_as_last_told() {
    let start =
        r#"{"input_tokens":12,"cache_read_input_tokens":2000,"cache_creation_input_tokens":500,"output_tokens":1}"#;
    for later in [
        r#"{"output_tokens":9}"#,
        r#"{"input_tokens":12,"cache_read_input_tokens":2000,"cache_creation_input_tokens":500,"output_tokens":9}"#,
        r#"{"input_tokens":0,"output_tokens":9}"#,
    ] {
        let mut usage = fields(start).unwrap();
        usage.grow(&fields(later).unwrap());
        usage.grow(&fields(r#"{"output_tokens":3}"#).unwrap());
        let (used, flaw) = usage.response();
        assert_eq!((used.tally().input_tokens, used.tally().output_tokens, flaw), (2512, 9, None), "{later}");
    }
}

#[test]
fn transcriptions_are_billed_by_tokens_or_by_seconds() {
    let by_tokens = r#"{"type":"tokens","total_tokens":22,"input_tokens":13,
        "input_token_details":{"text_tokens":0,"audio_tokens":13},"output_tokens":9}"#;
    let (used, flaw) = fields(by_tokens).unwrap().transcription().unwrap();
    assert_eq!(flaw, None);
    let tokens = Tokens {
        input: Input { audio: 13, ..Input::default() },
        output: Output { text: 9, ..Output::default() },
        ..Tokens::default()
    };
    assert_eq!(used, ReportedUsage::Transcription(tokens));
    assert_eq!(used.tally(), Tally::transcription(Transcription { tokens: 22, milliseconds: 0 }));

    for (json, expected) in [
        (r#"{"type":"duration","seconds":3}"#, Ok(3000)),
        (r#"{"type":"duration","seconds":2.7255}"#, Ok(2726)),
        (r#"{"seconds":0.001}"#, Ok(1)),
        (r#"{"type":"duration"}"#, Err(UsageError::Missing(SECONDS))),
        (r#"{"type":"duration","seconds":"3"}"#, Err(UsageError::NotANumber(SECONDS))),
        (r#"{"type":"duration","seconds":-1}"#, Err(UsageError::Negative(SECONDS))),
        (r#"{"type":"duration","seconds":1e17}"#, Err(UsageError::TooLarge(SECONDS))),
        (r#"{"type":"other","seconds":3}"#, Err(UsageError::Missing(INPUT))),
    ] {
        let milliseconds = fields(json)
            .and_then(|fields| fields.transcription())
            .map(|(used, _)| used.tally().transcription.milliseconds);
        assert_eq!(milliseconds, expected, "{json}");
    }
}
