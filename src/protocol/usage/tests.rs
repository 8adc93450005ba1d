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

fn read(json: &str) -> Result<([u64; 6], [u64; 2]), UsageError> {
    let ReportedUsage::Response(Tokens { input: i, output: o }) = fields(json)?.response()? else {
        panic!("expected a response");
    };
    Ok(([i.text, i.audio, i.image, i.cached_text, i.cached_audio, i.cached_image], [o.text, o.audio]))
}

#[test]
fn all_protocols_read_the_same() {
    for (json, expected) in [
        (
            r#"{"total_tokens":253,"input_tokens":132,"output_tokens":121,
                "input_token_details":{"text_tokens":110,"audio_tokens":13,"image_tokens":9,"cached_tokens":70,
                    "cached_tokens_details":{"text_tokens":64,"audio_tokens":2,"image_tokens":4}},
                "output_token_details":{"text_tokens":30,"audio_tokens":91}}"#,
            ([110, 13, 9, 64, 2, 4], [30, 91]),
        ),
        (
            r#"{"input_tokens":75,"input_tokens_details":{"cached_tokens":32,"cache_write_tokens":0},
                "output_tokens":1186,"output_tokens_details":{"reasoning_tokens":1024},"total_tokens":1261}"#,
            ([75, 0, 0, 32, 0, 0], [1186, 0]),
        ),
        (
            r#"{"prompt_tokens":50,"completion_tokens":40,"total_tokens":90,
                "prompt_tokens_details":{"cached_tokens":10,"audio_tokens":30},
                "completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":20,
                    "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
            ([20, 30, 0, 10, 0, 0], [20, 20]),
        ),
    ] {
        assert_eq!(read(json), Ok(expected), "{json}");
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
        (r#"{"input_tokens":9007199254740992,"output_tokens":1.0e1}"#, ([1 << 53, 0, 0, 0, 0, 0], [10, 0])),
    ] {
        assert_eq!(read(json), Ok(expected), "{json}");
    }
}

#[test]
fn usage_that_cannot_be_is_rejected() {
    use UsageError::*;
    for (json, expected) in [
        (r#"[1,2,3]"#, Malformed),
        (r#""tokens""#, Malformed),
        (r#"{"input_tokens":1,"output_tokens":1,"input_token_details":[1]}"#, Malformed),
        (r#"{"input_tokens":1,"input_tokens":2,"output_tokens":1}"#, Malformed),
        (r#"{}"#, Missing(INPUT)),
        (r#"{"total_tokens":5,"output_tokens":5}"#, Missing(INPUT)),
        (r#"{"input_tokens":null,"output_tokens":5}"#, Missing(INPUT)),
        (r#"{"input_tokens":5,"total_tokens":5}"#, Missing(OUTPUT)),
        (r#"{"input_tokens":"5","output_tokens":5}"#, NotANumber(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":true}"#, NotANumber(OUTPUT)),
        (r#"{"input_tokens":5.5,"output_tokens":5}"#, NotANumber(INPUT)),
        (r#"{"input_tokens":{},"output_tokens":5}"#, NotANumber(INPUT)),
        (r#"{"input_tokens":-5,"output_tokens":5}"#, Negative(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":-0.5}"#, Negative(OUTPUT)),
        (r#"{"input_tokens":9007199254740993,"output_tokens":5}"#, TooLarge(INPUT)),
        (r#"{"input_tokens":5,"output_tokens":1e300}"#, TooLarge(OUTPUT)),
        (r#"{"input_tokens":5,"output_tokens":1e999}"#, TooLarge(OUTPUT)),
        (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":-1}"#, Negative(TOTAL)),
        (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":9}"#, Exceeded(TOTAL)),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"text_tokens":3,"audio_tokens":3}}"#,
            Exceeded(INPUT),
        ),
        (r#"{"input_tokens":5,"output_tokens":5,"output_token_details":{"audio_tokens":6}}"#, Exceeded(OUTPUT)),
        (r#"{"input_tokens":5,"output_tokens":5,"output_tokens_details":{"reasoning_tokens":6}}"#, Exceeded(OUTPUT)),
        (r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":6}}"#, Exceeded(INPUT)),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"audio_tokens":2,
            "cached_tokens_details":{"audio_tokens":3}}}"#,
            Exceeded("audio_tokens"),
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":2,
            "cached_tokens_details":{"text_tokens":3}}}"#,
            Exceeded(CACHED),
        ),
        (
            r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"image_tokens":"2"}}"#,
            NotANumber("image_tokens"),
        ),
    ] {
        assert_eq!(read(json), Err(expected), "{json}");
    }
}

#[test]
fn transcriptions_are_billed_by_tokens_or_by_seconds() {
    let by_tokens = r#"{"type":"tokens","total_tokens":22,"input_tokens":13,
        "input_token_details":{"text_tokens":0,"audio_tokens":13},"output_tokens":9}"#;
    let used = fields(by_tokens).unwrap().transcription().unwrap();
    let tokens =
        Tokens { input: Input { audio: 13, ..Input::default() }, output: Output { text: 9, ..Output::default() } };
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
        let milliseconds =
            fields(json).and_then(|fields| fields.transcription()).map(|used| used.tally().transcription.milliseconds);
        assert_eq!(milliseconds, expected, "{json}");
    }
}
