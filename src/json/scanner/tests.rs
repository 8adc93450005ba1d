//! The scanner against serde_json, and what it refuses.

use proptest::prelude::*;

use super::*;
use crate::json::testing::{damaged, is_accepted_elsewhere, json, pieces};

/// The tokens of a text that comes in these pieces, with names and strings put together again.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, ScanError> {
    let (mut scanner, mut tokens) = (Scanner::new(1024), Vec::new());
    let mut bytes = Vec::new();
    for mut piece in pieces {
        while let Some(token) = scanner.next(&mut piece)? {
            match token {
                Token::Piece { bytes: more, ends, of } => {
                    bytes.extend_from_slice(more);
                    if ends {
                        tokens.push(format!("{of:?} {} at {}", String::from_utf8_lossy(&bytes), scanner.start()));
                        bytes.clear();
                    }
                }
                Token::Unit { unit, .. } => bytes.extend(format!("<{unit:x}>").bytes()),
                other => tokens.push(format!("{other:?} to {}", scanner.position())),
            }
        }
    }
    scanner.finish()?;
    // A number at the top has no other end.
    if !bytes.is_empty() {
        tokens.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(tokens)
}

fn error(text: &[u8]) -> Option<u64> {
    match read([text]) {
        Ok(_) => None,
        Err(ScanError::NotJson { at }) => Some(at),
        Err(ScanError::TooDeep) => Some(u64::MAX),
    }
}

#[test]
fn tokens_come_in_their_order_with_their_places() {
    let json = r#" { "a" : [1 , {"b":"]\n\u00e9"}] , "\u0061":true,"é":-1.5e+3,"":{ },"n":null} "#;
    let want = [
        "Open(Object) to 2",
        "Name a at 3",
        "Open(Array) to 10",
        "Number 1 at 10",
        "Open(Object) to 15",
        "Name b at 15",
        "String ]\n<e9> at 19",
        "Close { container: Object, is_empty: false } to 31",
        "Close { container: Array, is_empty: false } to 32",
        "Name <61> at 35",
        "Literal(True) to 48",
        "Name é at 49",
        "Number -1.5e+3 at 54",
        "Name  at 62",
        "Open(Object) to 66",
        "Close { container: Object, is_empty: true } to 68",
        "Name n at 69",
        "Literal(Null) to 77",
        "Close { container: Object, is_empty: false } to 78",
    ];
    assert_eq!(read([json.as_bytes()]).unwrap(), want);
    assert_eq!(read(json.as_bytes().chunks(1)).unwrap(), want);
}

#[test]
fn errors_say_where() {
    for (json, at) in [
        ("", 0),
        ("  ", 2),
        ("nul", 3),
        ("nulL", 3),
        ("nullx", 4),
        ("{} {}", 3),
        (r#"{"a": x}"#, 6),
        (r#"{"a""#, 4),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":1 "b":2}"#, 7),
        (r#"{a:1}"#, 1),
        ("{,}", 1),
        ("[,1]", 1),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("[1}", 2),
        ("{]", 1),
        ("]", 0),
        (",", 0),
        ("1,", 1),
        ("\"a\nb\"", 2),
        ("\"\u{7f}\u{1f}\"", 2),
        (r#""\x""#, 2),
        (r#""\u00g0""#, 5),
        (r#""\u+123""#, 3),
        ("01", 1),
        ("-", 1),
        ("-a", 1),
        ("1.", 2),
        ("1.e", 2),
        ("1e+", 3),
        ("+1", 0),
        (".5", 0),
        ("1-1", 1),
        (" [\"a", 4),
        ("[é]", 1),
        ("\u{feff}{}", 0),
        ("{}\u{c}", 2),
        ("NaN", 0),
        ("'a'", 0),
    ] {
        assert_eq!(error(json.as_bytes()), Some(at), "{json:?}");
        let bytewise = read(json.as_bytes().chunks(1));
        assert_eq!(bytewise.err(), Some(ScanError::NotJson { at }), "{json:?} byte by byte");
    }
}

#[test]
fn strings_must_be_utf8_wherever_they_are_cut() {
    for (bytes, at) in [
        (&b"\"\xff\""[..], Some(1)),
        (b"\"\x80\"", Some(1)),
        (b"\"\xc0\xaf\"", Some(1)),
        (b"\"\xc3\"", Some(2)),
        (b"\"\xe0\x80\x80\"", Some(2)),
        (b"\"\xed\xa0\x80\"", Some(2)),
        (b"\"\xf0\x8f\xbf\xbf\"", Some(2)),
        (b"\"\xf4\x90\x80\x80\"", Some(2)),
        (b"\"\xf5\x80\x80\x80\"", Some(1)),
        (b"\"\xe2\x82\\n\"", Some(3)),
        (b"\"\xe2\x82\"", Some(3)),
        ("\"é€😀\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\"".as_bytes(), None),
        (b"{\"a\xff\":1}", Some(3)),
    ] {
        assert_eq!(error(bytes), at, "{bytes:?}");
        assert_eq!(read(bytes.chunks(1)).is_ok(), at.is_none(), "{bytes:?}");
    }
}

#[test]
fn an_error_stays() {
    let mut scanner = Scanner::new(8);
    let error = Err(ScanError::NotJson { at: 1 });
    assert_eq!(scanner.next(&mut &b"[}"[..]), Ok(Some(Token::Open(Container::Array))));
    assert_eq!(scanner.next(&mut &b"}"[..]), error);
    assert_eq!(scanner.next(&mut &b"]"[..]), error);
    assert_eq!(scanner.finish().map(|()| None), error);
}

#[test]
fn depth_costs_a_bit_each_and_has_its_bound() {
    let deep = |open: &str, close: &str, depth| [open.repeat(depth), "0".into(), close.repeat(depth)].concat();
    for (open, close, each) in [("[", "]", 1), (r#"{"a":"#, "}", 1), (r#"[{"a":"#, "}]", 2)] {
        for depth in [1, 63, 64, 65, 128, 129, 500, 512] {
            let text = deep(open, close, depth);
            for (max_depth, want) in [(each * depth, Ok(())), (each * depth - 1, Err(ScanError::TooDeep))] {
                let mut scanner = Scanner::new(u16::try_from(max_depth).unwrap());
                let mut rest = text.as_bytes();
                let read = loop {
                    match scanner.next(&mut rest) {
                        Ok(Some(_)) => {}
                        Ok(None) => break scanner.finish(),
                        Err(error) => break Err(error),
                    }
                };
                assert_eq!(read, want, "{depth} times {open}");
                assert!(scanner.held() <= 256);
            }
        }
    }
    assert_eq!(error(b"[{]"), Some(2));
    assert_eq!(error(&[&b"[".repeat(70)[..], b"}"].concat()), Some(70));
    assert_eq!(read(["[".repeat(1_000_000).as_bytes()]), Err(ScanError::TooDeep));
}

/// What is given where the values of these names are skipped, or what is in them.
fn heard(json: &str, skipped: &str, emptied: &str) -> String {
    let (mut scanner, mut given, mut is_emptied) = (Scanner::new(64), String::new(), false);
    for piece in json.as_bytes().chunks(1) {
        let mut piece = piece;
        let mut name = String::new();
        while let Some(token) = scanner.next(&mut piece).unwrap() {
            match token {
                Token::Piece { of: Part::Name, bytes, ends } => {
                    name.push_str(str::from_utf8(bytes).unwrap());
                    given.push_str(&name);
                    if ends {
                        let name = given.chars().last().unwrap().to_string();
                        is_emptied = emptied.contains(&name);
                        if skipped.contains(&name) {
                            scanner.skip_value();
                        }
                    }
                }
                Token::Piece { bytes, .. } => given.push_str(str::from_utf8(bytes).unwrap()),
                Token::Unit { .. } => given.push('u'),
                Token::Literal(_) => given.push('l'),
                Token::Open(_) => {
                    given.push('(');
                    if std::mem::take(&mut is_emptied) {
                        scanner.skip_inside();
                    }
                }
                Token::Close { is_empty, .. } => given.push(if is_empty { '0' } else { ')' }),
            }
        }
    }
    assert_eq!(scanner.finish(), Ok(()), "{json}");
    given
}

#[test]
fn what_is_skipped_gives_no_tokens_and_what_follows_does() {
    for value in
        ["1", "-0.5e1", "\"x\\u0000\"", "\"\"", "true", "null", "{}", "[]", "[[],{\"e\":[{}]},1]", "{\"d\":{}}"]
    {
        let json = format!(r#"{{"a":{value},"b":{{"a":{value}}},"c":[2]}}"#);
        assert_eq!(heard(&json, "a", ""), "(ab(a)c(2))", "{json}");
        let nested = value.starts_with(['{', '[']);
        let emptied = if !nested { None } else { Some(if value.len() == 2 { "(0" } else { "()" }) };
        if let Some(emptied) = emptied {
            assert_eq!(heard(&json, "", "a"), format!("(a{emptied}b(a{emptied})c(2))"), "{json}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_another_parser_accepts(text in damaged()) {
        prop_assert_eq!(error(&text).is_none(), is_accepted_elsewhere(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn json_is_accepted(text in json()) {
        prop_assert_eq!(error(text.as_bytes()), None, "{}", text);
    }

    #[test]
    fn cuts_change_nothing(text in damaged(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let whole = read([&text[..]]);
        prop_assert_eq!(&read(text.chunks(1)), &whole);
        prop_assert_eq!(&read(pieces(&text, &cuts)), &whole);
    }
}
