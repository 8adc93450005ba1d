//! JSON for tests: made, damaged, cut, and judged by another parser.

use proptest::prelude::*;

/// White space of any kind.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{0,3}"]
}

/// A string as some writer would write it: plain, escaped where it need not be, or with what would mislead a reader.
pub(crate) fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z{}\\[\\],:é€\u{1f600}/ \u{7f}]{1,12}",
        1 => prop::sample::select(vec![
            r#"\""#, r"\\", r"\/", r"\n", r"\b\f\r\t", r"\u0022", r"\u005C", r"\u007b", r"\u00e9", r"\ud83d\ude00",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Names that are often the same, or the same but for their case or spelling.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["\"a\"", "\"b\"", "\"c\"", "\"sk\""]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["\"A\"", r#""\u0061""#, "\"B\"", "\"ſk\"", "\"s\u{212a}\"", "\"\"", r#""\u0041""#])
            .prop_map(str::to_owned),
        1 => string(),
    ]
}

/// A JSON text.
pub(crate) fn json() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec!["null", "true", "false", "0", "-1", "12.50", "-0.0e-3", "1E+2", "10000"]);
    let leaf = prop_oneof![string(), plain.prop_map(str::to_owned)];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let values = prop::collection::vec((space(), inner.clone(), space()), 0..4);
        let members = prop::collection::vec((space(), name(), space(), space(), inner, space()), 0..5);
        let listed =
            |items: Vec<String>, space: &str| if items.is_empty() { space.to_owned() } else { items.join(",") };
        prop_oneof![
            1 => (values, space()).prop_map(move |(values, space)| {
                let values = values.into_iter().map(|(a, value, b)| [a, value, b].concat()).collect();
                format!("[{}]", listed(values, &space))
            }),
            3 => (members, space()).prop_map(move |(members, space)| {
                let member = |(a, name, b, c, value, d)| [a, name, b, ":".into(), c, value, d].concat();
                format!("{{{}}}", listed(members.into_iter().map(member).collect(), &space))
            }),
        ]
    })
}

/// An object.
pub(crate) fn object() -> impl Strategy<Value = String> {
    prop::collection::vec((name(), json()), 0..5).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// JSON, JSON with something put in or taken out, or what looks like some.
pub(crate) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let put = prop::collection::vec(
        prop_oneof![3 => prop::sample::select(&b"\"\\{}[],:a0.-eE+u \n"[..]), 1 => any::<u8>()],
        0..3,
    );
    let spoilt = (json(), any::<prop::sample::Index>(), put, 0..3_usize).prop_map(|(json, at, put, cut)| {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        bytes
    });
    let alike = r#"([\[\]{},:" \n\\]|\\u[0-9a-fD]{3,4}|[0-9.eE+-]{1,4}|true|null|fals|a|é|\x01){0,12}"#;
    prop_oneof![
        1 => json().prop_map(String::into_bytes),
        4 => spoilt,
        1 => alike.prop_map(String::into_bytes),
        1 => alike.prop_map(|text| format!("[\"{text}\"]").into_bytes()),
    ]
}

/// `bytes` cut at these places.
pub(crate) fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

/// Whether serde_json accepts it. In what it ignores it takes halves of surrogate pairs too, as RFC 8259 does.
pub(crate) fn is_accepted_elsewhere(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}
