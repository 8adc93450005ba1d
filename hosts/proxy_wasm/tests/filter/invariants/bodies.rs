//! A held body gives the same result however it is cut.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof};
use proptest::sample::select;
use serde_json::{Value, json};

use super::check;
use crate::fixture::vm;
use crate::host::Fate;

fn body() -> impl Strategy<Value = Vec<u8>> {
    let bodies = [
        r#"{"model":"gpt"}"#,
        r#" { "a" : [1, {"model":"x"}] , "model" : "azure/gpt-é" , "b":"\u0041" } "#,
        r#"{"mod\u0065l":"fast","n":null}"#,
        r#"{"model":"o3"}"#,
        r#"{"model":"gpt","model":"gpt"}"#,
        r#"{"messages":[]}"#,
        r#"{"model":"#,
        "",
    ];
    prop_oneof![4 => select(bodies.to_vec()).prop_map(|body| body.into()), 1 => vec(any::<u8>(), 0..40)]
}

#[test]
fn a_body_cut_anywhere_comes_to_the_same() {
    let policy = |models: Value| {
        vm(json!({
            "providers": { "azure": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
            "policies": { "default": {
                "provider": null, "providers": ["openai", "azure"], "models": models,
                "aliases": { "fast": "azure/gpt-mini" },
            } },
        }))
    };
    let vms = [policy(Value::Null), policy(json!(["gpt*"])), vm(json!({}))];
    check((0..3_usize, body(), vec(any::<u16>(), 0..6), any::<bool>()), |(index, body, cuts, has_trailers)| {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) % (body.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([body.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| &body[start..end]).collect();
        let request = vms[index].post("/v1/chat/completions", &body).authenticated();
        let cut = request.clone().chunks(&pieces);
        let cut = if has_trailers { cut.trailer("x-last", "1") } else { cut };
        let mut want = request.send().fate();
        if let (Fate::Forwarded(message), true) = (&mut want, has_trailers) {
            message.trailers.add("x-last", "1");
        }
        prop_assert_eq!(cut.send().fate(), want, "{:?}", pieces);
        Ok(())
    });
}
