//! The matcher against values read by serde_json, at every cut.

mod walk;

use super::*;

/// Paths whose tags are themselves.
fn paths(paths: &[&'static str]) -> Arc<Paths<&'static str>> {
    Arc::new(Paths::new(&paths.iter().map(|path| (*path, *path)).collect::<Vec<_>>()))
}

/// What is found, as "path = value".
fn found<'a>(
    paths: &Arc<Paths<&'static str>>,
    bounds: Bounds,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<String>, Unreadable> {
    let (mut matcher, mut all) = (Matcher::new(paths.clone(), bounds), Vec::new());
    for piece in pieces {
        let read = matcher.feed(piece, &mut |found| {
            all.push(format!("{} = {:?} {:?} {:?}", found.tag, found.value, found.span, found.member));
            ControlFlow::Continue(())
        });
        assert_eq!(read?, ControlFlow::Continue(()));
    }
    matcher.finish().map(|()| all)
}

/// The same without its places, read whole and byte by byte.
fn values(json: &str, inspected: &[&'static str], bounds: Bounds) -> Result<Vec<String>, Unreadable> {
    let inspected = paths(inspected);
    let whole = found(&inspected, bounds, [json.as_bytes()]);
    assert_eq!(found(&inspected, bounds, json.as_bytes().chunks(1)), whole, "{json:.200}");
    let bare = |found: String| found.rsplitn(3, ' ').last().unwrap_or_default().to_owned();
    whole.map(|all| all.into_iter().map(bare).collect())
}

fn strict(json: &str, inspected: &[&'static str]) -> Result<Vec<String>, Unreadable> {
    values(json, inspected, Bounds::default())
}

#[test]
fn values_are_found_at_their_paths_and_nowhere_else() {
    let json = r#"{"x":{"type":"no"},"y":["type",{"type":1}],"ty\u0070e":"a\u002eb\n","session":{"type":0,
        "audio":{"output":{"voice":"é"},"type":"no"}},"choices":[{"delta":{"content":"1"}},{"delta":{}},
        {"delta":{"content":null},"content":2}],"n":-1.50e3,"t":true,"empty":{ },"list":[ 1],"items":[],"type ":3}"#;
    let inspected = [
        "type",
        "session.audio.output.voice",
        "session.type",
        "choices[].delta.content",
        "choices[].delta",
        "n",
        "t",
        "empty",
        "list",
        "list[]",
        "items",
        "absent.at.all",
        "",
    ];
    let want = [
        r#"type = Text("a.b\n")"#,
        r#"session.type = Number("0")"#,
        r#"session.audio.output.voice = Text("é")"#,
        r#"choices[].delta.content = Text("1")"#,
        "choices[].delta = Object { is_empty: false }",
        "choices[].delta = Object { is_empty: true }",
        "choices[].delta.content = Null",
        "choices[].delta = Object { is_empty: false }",
        r#"n = Number("-1.50e3")"#,
        "t = Bool(true)",
        "empty = Object { is_empty: true }",
        r#"list[] = Number("1")"#,
        "list = Array { is_empty: false }",
        "items = Array { is_empty: true }",
        " = Object { is_empty: false }",
    ];
    assert_eq!(strict(json, &inspected).unwrap(), want);
}

#[test]
fn what_leaves_no_place_for_a_path_blocks_it() {
    for (json, want) in [
        (r#"{"a":null}"#, vec!["a.b = Blocked(Null)", "a.c[].d = Blocked(Null)"]),
        (r#"{"a":"b"}"#, vec!["a.b = Blocked(String)", "a.c[].d = Blocked(String)"]),
        (r#"{"a":7}"#, vec!["a.b = Blocked(Number)", "a.c[].d = Blocked(Number)"]),
        (r#"{"a":[{"b":1}]}"#, vec!["a.b = Blocked(Array)", "a.c[].d = Blocked(Array)"]),
        (r#"{"a":{"c":{"d":1}}}"#, vec!["a.c[].d = Blocked(Object)"]),
        (
            r#"{"a":{"c":[true,{"d":1},[]]}}"#,
            vec!["a.c[].d = Blocked(Bool)", r#"a.c[].d = Number("1")"#, "a.c[].d = Blocked(Array)"],
        ),
        (r#"{"a":{"b":{"c":1},"c":[]}}"#, vec!["a.b = Object { is_empty: false }"]),
        ("{}", vec![]),
    ] {
        assert_eq!(strict(json, &["a.b", "a.c[].d"]).unwrap(), want, "{json}");
    }
}

#[test]
fn names_that_no_path_knows_are_heard_of_where_that_is_asked_for() {
    for (json, want) in [
        (r#"{"g":{"a":1},"x":2}"#, vec![r#"g.a = Number("1")"#]),
        (
            r#"{"g":{"\u0062":{"c":[]},"a":{},"":null}}"#,
            vec![r#"g.* = Name("b")"#, "g.a = Object { is_empty: true }", r#"g.* = Name("")"#],
        ),
    ] {
        assert_eq!(strict(json, &["g.a", "g.*"]).unwrap(), want, "{json}");
    }
    assert_eq!(strict(r#"{"a":{"b":1}}"#, &["*"]).unwrap(), [r#"* = Name("a")"#]);
    assert_eq!(strict(r#"{"g":1}"#, &["g.*"]).unwrap(), Vec::<String>::new());
}

#[test]
fn one_value_may_have_several_tags() {
    let several = Arc::new(Paths::new(&[("model", 1), ("model", 2)]).with("model.x", 3).unwrap());
    let mut tags = Vec::new();
    let read = Matcher::new(several, Bounds::default()).feed(br#"{"model":"m"}"#, &mut |found| {
        tags.push(found.tag);
        ControlFlow::Continue(())
    });
    assert_eq!((read, tags), (Ok(ControlFlow::Continue(())), vec![1, 2, 3]));
}

#[test]
fn inspected_names_stand_once_and_in_their_own_case() {
    let repeated = |name: &str| Err(Unreadable::Repeated(name.into()));
    let other_case = |name: &str| Err(Unreadable::OtherCase(name.into()));
    for (json, want) in [
        (r#"{"type":1,"type":1}"#, repeated("type")),
        (r#"{"type":1,"ty\u0070e":1}"#, repeated("type")),
        (r#"{"session":{},"session":{}}"#, repeated("session")),
        (r#"{"session":{"voice":1,"x":0,"voice":1}}"#, repeated("voice")),
        (r#"{"items":[{"voice":1},{"voice":1,"voice":2}]}"#, repeated("voice")),
        (r#"{"type":1,"Type":1}"#, other_case("type")),
        (r#"{"TYPE":1}"#, other_case("type")),
        (r#"{"\u0054ype":1}"#, other_case("type")),
        (r#"{"ſession":{}}"#, other_case("session")),
        (r#"{"\u017fession":{}}"#, other_case("session")),
        (r#"{"session":{"VOICE":1}}"#, other_case("voice")),
        (r#"{"items":[{"Voice":1}]}"#, other_case("voice")),
        (r#"{"session":{"to\u212Aen":1}}"#, other_case("token")),
        (r#"{"x":1,"x":2,"X":3,"session":{"type":1,"Type":2,"x":{"voice":1,"voice":2,"Voice":3}}}"#, Ok(vec![])),
        (r#"{"items":[{"x":1},{"x":1}],"typé":1,"types":1,"typ":1,"":1,"session":{"tokén":1}}"#, Ok(vec![])),
    ] {
        let inspected = ["type", "session.voice", "session.token", "items[].voice"];
        let read = strict(json, &inspected).map(|_| Vec::<String>::new());
        assert_eq!(read, want, "{json}");
        if let Err(Unreadable::OtherCase(_)) = want {
            let bounds = Bounds { other_case: OtherCase::Ignored, ..Bounds::default() };
            assert!(values(json, &inspected, bounds).is_ok(), "{json}");
        }
    }
}

#[test]
fn any_number_of_names_is_watched() {
    let names: Vec<String> = (0..200).map(|name| format!("name{name}")).collect();
    let many = names.iter().fold(Paths::new::<&str>(&[]), |paths, name| paths.with(name, ()).unwrap());
    let many = Arc::new(many);
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
    for repeated in [0, 63, 64, 127, 199] {
        let json = format!("{{{},\"name{repeated}\":1}}", members.join(","));
        let mut matcher = Matcher::new(many.clone(), Bounds::default());
        let read = matcher.feed(json.as_bytes(), &mut |_| ControlFlow::Continue(()));
        assert_eq!(read, Err(Unreadable::Repeated(names[repeated].as_str().into())));
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    for (json, want) in [
        (r#"{"a":"\ud83d\ude00"}"#, Ok(r#"a = Text("😀")"#)),
        (r#"{"a":"x\uD83D\uDE00y"}"#, Ok(r#"a = Text("x😀y")"#)),
        (r#"{"a":"\\ud800"}"#, Ok(r#"a = Text("\\ud800")"#)),
        (r#"{"a":"\ud800"}"#, Ok("a = NotText")),
        (r#"{"a":"\udc00"}"#, Ok("a = NotText")),
        (r#"{"a":"\ude00\ud83d"}"#, Ok("a = NotText")),
        (r#"{"a":"\ud83d\ud83d\ude00"}"#, Ok("a = NotText")),
        (r#"{"a":"\ud83d\u0061"}"#, Ok("a = NotText")),
        (r#"{"a":"\ud83dx\ude00"}"#, Ok("a = NotText")),
        (r#"{"a":"\ud83d\n"}"#, Ok("a = NotText")),
        (r#"{"b":"\ud800","a":1}"#, Ok(r#"a = Number("1")"#)),
        (r#"{"b":{"\ud800":1},"a":1}"#, Ok(r#"a = Number("1")"#)),
        (r#"{"\ud800":1,"a":1}"#, Err(Unreadable::NotJson { at: 1 })),
        (r#"{"a\ud800":1,"a":1}"#, Err(Unreadable::NotJson { at: 1 })),
    ] {
        assert_eq!(strict(json, &["a"]), want.map(|want: &str| vec![want.to_owned()]), "{json}");
    }
}

#[test]
fn what_is_long_is_counted_and_not_kept() {
    let long = "x\\u00e9€".repeat(1_000_000);
    let (json, paths) = (format!(r#"{{"b":"{long}","a":"{long}","n":{}}}"#, "9".repeat(10_000)), paths(&["a", "n"]));
    let (mut matcher, mut values, mut most) = (Matcher::new(paths, Bounds::default()), Vec::new(), 0);
    for piece in json.as_bytes().chunks(10_007) {
        let read = matcher.feed(piece, &mut |found| {
            values.push(format!("{:?}", found.value));
            ControlFlow::Continue(())
        });
        assert!(read.is_ok());
        most = most.max(matcher.held());
    }
    assert_eq!(matcher.finish(), Ok(()));
    assert_eq!(values, ["Long { bytes: 6000000 }", "Long { bytes: 10000 }"]);
    assert!(most <= 8192, "{most}");
}

#[test]
fn the_bounds_are_exact() {
    let bounds = Bounds { depth: 2, text: 12, ..Bounds::default() };
    for (json, want) in [
        (r#"{"name":"123456789012"}"#, Ok(r#"name = Text("123456789012")"#)),
        (r#"{"name":"1234567890123"}"#, Ok("name = Long { bytes: 13 }")),
        (r#"{"name":"\u00e9\n\u00e9\n\u00e9\n\u00e9\n"}"#, Ok(r#"name = Text("é\né\né\né\n")"#)),
        (r#"{"name":"\u00e9\n\u00e9\n\u00e9\n\u00e9\n\n"}"#, Ok("name = Long { bytes: 13 }")),
        (r#"{"name":123456789012}"#, Ok(r#"name = Number("123456789012")"#)),
        (r#"{"name":1234567890123}"#, Ok("name = Long { bytes: 13 }")),
        (r#"{"name":[]}"#, Ok("name = Array { is_empty: true }")),
        (r#"{"name":[[]]}"#, Err(Unreadable::TooDeep)),
    ] {
        assert_eq!(values(json, &["name"], bounds), want.map(|want: &str| vec![want.to_owned()]), "{json}");
    }
    // Names have room enough to be told apart whatever is kept of values.
    assert_eq!(
        values(r#"{"name":"x"}"#, &["name"], Bounds { text: 0, ..bounds }),
        Ok(vec![r#"name = Text("x")"#.to_owned()])
    );
    let long = format!(r#"{{"{}":1,"name":2}}"#, "n".repeat(100_000));
    assert_eq!(values(&long, &["name"], bounds), Ok(vec![r#"name = Number("2")"#.to_owned()]));
}

#[test]
fn depth_takes_a_bit_each() {
    let deep = |depth| format!(r#"{{"b":{}{},"a":1}}"#, "[".repeat(depth), "]".repeat(depth));
    let bounds = Bounds { depth: u16::MAX, ..Bounds::default() };
    let mut matcher = Matcher::new(paths(&["a"]), bounds);
    let json = deep(60_000);
    let (opening, rest) = json.split_at(60_000);
    assert!(matcher.feed(opening.as_bytes(), &mut |_| ControlFlow::Continue(())).is_ok());
    assert!(matcher.held() <= 20_000, "{}", matcher.held());
    assert!(matcher.feed(rest.as_bytes(), &mut |_| ControlFlow::Continue(())).is_ok());
    assert_eq!(matcher.finish(), Ok(()));
    assert_eq!(strict(&deep(1023), &["a"]).unwrap(), [r#"a = Number("1")"#]);
    for open in ["[", r#"{"a":"#, r#"[{"b":"#] {
        let bomb = format!(r#"{{"a":{}"#, open.repeat(1_000_000));
        assert_eq!(strict(&bomb, &["a"]), Err(Unreadable::TooDeep), "{open}");
    }
}

#[test]
fn what_is_no_object_is_told_apart() {
    for json in ["[]", " 1", "\"{}\"", "null", "true", "[{\"a\":1}]", "-1", "\"a\\u0061\""] {
        assert_eq!(strict(json, &["a"]), Err(Unreadable::NotAnObject), "{json}");
    }
    for (json, at) in [
        ("", 0),
        ("{", 1),
        ("{}{}", 2),
        ("{} x", 3),
        ("\u{feff}{}", 0),
        ("{\"a\":1,}", 7),
        ("nul", 3),
        ("-", 1),
        (" -x", 2),
        ("\"\u{1}\"", 1),
    ] {
        assert_eq!(strict(json, &["a"]), Err(Unreadable::NotJson { at }), "{json}");
    }
}

#[test]
fn an_error_stays_and_so_does_a_break() {
    let mut matcher = Matcher::new(paths(&["a"]), Bounds::default());
    let error = Err(Unreadable::Repeated("a".into()));
    assert_eq!(matcher.feed(br#"{"a":1,"a":2"#, &mut |_| ControlFlow::Continue(())), error);
    assert_eq!(matcher.feed(b"}", &mut |_| ControlFlow::Continue(())), error);
    assert_eq!(matcher.finish().map(|()| ControlFlow::Continue(())), error);

    let mut matcher = Matcher::new(paths(&["a", "b"]), Bounds::default());
    let mut tags = Vec::new();
    let read = matcher.feed(br#"{"a":1,"b":2,,,"#, &mut |found| {
        tags.push(found.tag);
        ControlFlow::Break(())
    });
    assert_eq!((read, tags), (Ok(ControlFlow::Break(())), vec!["a"]));
    assert!(matcher.finish().is_err());
}

#[test]
fn paths_have_no_empty_names() {
    for bad in [".", "a.", ".a", "a..b", "[]", "a.[]", "a*"] {
        assert_eq!(Paths::new::<&str>(&[]).with(bad, ()).err(), Some(super::super::paths::InvalidPath(bad.to_owned())));
    }
}

#[test]
fn it_goes_between_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Matcher<&str>>();
    sync::<Paths<&str>>();
}
