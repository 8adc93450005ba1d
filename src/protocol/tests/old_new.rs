//! What was read whole before, and now as it comes.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::usage::{Meter, PriceList};

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0..200_u64).prop_map(Value::from),
        1 => Just(json!(null)),
        1 => Just(json!(1.5)),
        1 => Just(json!(-3)),
        1 => Just(json!("7")),
        1 => Just(json!(u64::MAX)),
        1 => Just(json!([1])),
    ]
}

fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let members = prop::collection::btree_map(prop::sample::select(names), number(), 0..names.len());
    let members =
        members.prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    prop_oneof![12 => members, 1 => Just(json!(null)), 1 => Just(json!([])), 1 => Just(json!({}))]
}

const SUMS: &[&str] = &["total_tokens", "input_tokens", "prompt_tokens", "output_tokens", "completion_tokens"];
const INPUT: &[&str] = &["text_tokens", "audio_tokens", "image_tokens", "cached_tokens"];
const OUTPUT: &[&str] = &["text_tokens", "audio_tokens", "reasoning_tokens"];
const DETAILS: [&str; 6] = [
    "input_token_details",
    "input_tokens_details",
    "prompt_tokens_details",
    "output_token_details",
    "output_tokens_details",
    "completion_tokens_details",
];

prop_compose! {
    fn usage()(
        mut sums in object(SUMS),
        inputs in prop::collection::vec(prop::option::weighted(0.3, (object(INPUT), prop::option::of(object(INPUT)))), 3),
        outputs in prop::collection::vec(prop::option::weighted(0.3, object(OUTPUT)), 3),
        kind in prop::option::weighted(0.3, prop::sample::select(vec![json!("tokens"), json!("duration"), json!(1), json!(null)])),
        seconds in prop::option::weighted(0.2, number()),
    ) -> Value {
        let Value::Object(members) = &mut sums else { return sums };
        for (details, name) in inputs.into_iter().zip(DETAILS) {
            if let Some((mut details, cached)) = details {
                if let (Value::Object(details), Some(cached)) = (&mut details, cached) {
                    details.insert("cached_tokens_details".into(), cached);
                }
                members.insert(name.into(), details);
            }
        }
        for (details, name) in outputs.into_iter().zip(&DETAILS[3..]) {
            members.extend(details.map(|details| ((*name).to_owned(), details)));
        }
        members.extend(kind.map(|kind| ("type".to_owned(), kind)));
        members.extend(seconds.map(|seconds| ("seconds".to_owned(), seconds)));
        sums
    }
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "é", "", "completed", "failed", "list", "response", "chat.completion"])
            .prop_map(Value::from),
        1 => Just(json!(null)),
        1 => Just(json!(7)),
        1 => Just(json!("x".repeat(257))),
    ]
}

prop_compose! {
    fn made()(
        id in prop::option::of(text()), status in prop::option::of(text()), model in prop::option::of(text()),
        object in prop::option::of(text()), usage in prop::option::weighted(0.8, usage()), other in text(),
    ) -> Value {
        let members = [("id", id), ("status", status), ("model", model), ("object", object), ("usage", usage)];
        let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        members.chain([("other".to_owned(), json!({"usage": other}))]).collect()
    }
}

prop_compose! {
    fn session()(
        id in prop::option::of(text()), model in prop::option::of(text()),
        present in prop::option::of(text()), former in prop::option::of(text()), shape in 0..6_u8,
    ) -> Value {
        let transcription = |model: Option<Value>| model.map_or(json!({}), |model| json!({"model": model}));
        let mut session = json!({"input_audio_transcription": transcription(former)});
        match shape {
            0 => session["audio"] = json!(null),
            1 => session["audio"] = json!({"input": {"transcription": null}}),
            2 => session["audio"] = json!({"input": {}}),
            3 => session["input_audio_transcription"] = json!(null),
            _ => session["audio"] = json!({"input": {"transcription": transcription(present)}}),
        }
        if let Some(id) = id { session["id"] = id; }
        if let Some(model) = model { session["model"] = model; }
        session
    }
}

const TYPES: [&str; 9] = [
    "session.created",
    "transcription_session.updated",
    "response.created",
    "response.done",
    "response.failed",
    "conversation.item.input_audio_transcription.completed",
    "transcript.text.done",
    "response.output_audio.delta",
    "session.create",
];

proptest! {
    #[test]
    fn events_come_to_the_same(
        kind in prop::sample::select(&TYPES[..]), made in made(), session in session(),
        event_id in text(), item_id in text(), index in number(), parts in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut event = json!({"type": kind, "event_id": event_id, "item_id": item_id, "content_index": index});
        if parts & 3 != 0 { event["response"] = made.clone(); }
        if parts & 12 != 0 { event["session"] = session; }
        if let Some(usage) = made.get("usage") { event["usage"] = usage.clone(); }
        let text = match parts >> 4 {
            0 => event.to_string().replace(":", ": ").replace("usage", "us\\u0061ge"),
            1 => { let text = event.to_string(); text[..text.len() - 1 - cut.index(5)].to_owned() }
            _ => event.to_string(),
        };
        let prices = PriceList::default();
        let (mut before, mut now) = (Meter::new(Some("m")), Meter::new(Some("m")));
        for _ in 0..2 {
            prop_assert_eq!(now.event(text.as_bytes(), &prices), before.old_event(text.as_bytes(), &prices), "{}", &text);
        }
        prop_assert_eq!((now.tally(), now.model(), now.upstream_id()), (before.tally(), before.model(), before.upstream_id()));
    }

    #[test]
    fn bodies_come_to_the_same(made in made()) {
        let text = made.to_string();
        let prices = PriceList::default();
        let (mut before, mut now) = (Meter::new(Some("m")), Meter::new(Some("m")));
        prop_assert_eq!(now.body(text.as_bytes(), &prices), before.old_body(text.as_bytes(), &prices), "{}", &text);
        prop_assert_eq!((now.tally(), now.model()), (before.tally(), before.model()));
    }
}
