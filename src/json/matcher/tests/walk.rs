//! The matcher against a walk through the tree that another parser makes.

use std::fmt;

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;
use crate::json::testing::{damaged, is_accepted_elsewhere, json, object, pieces};

/// A value as another parser reads it, with all members in their order and as often as they stand there.
#[derive(Debug)]
enum Naive {
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Scalar(Tree),
}

impl<'de> serde::Deserialize<'de> for Naive {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Naive;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Naive, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Naive::Object(members))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Naive, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Naive::Array(all))
            }

            fn visit_unit<E>(self) -> Result<Naive, E> {
                Ok(Naive::Scalar(Tree::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Naive, E> {
                Ok(Naive::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Naive, E> {
                Ok(Naive::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Naive, E> {
                Ok(Naive::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Naive, E> {
                Ok(Naive::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Naive, E> {
                Ok(Naive::Scalar(value.into()))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// A path's tag, and what is left of it.
type Wanted = (&'static str, Vec<&'static str>);

/// What is found by walking a tree, path by path.
fn walk(value: &Naive, wanted: &[Wanted], all: &mut Vec<String>) -> Result<(), Unreadable> {
    let below = |first: &str| -> Vec<Wanted> {
        let starts = wanted.iter().filter(|(_, rest)| rest.first() == Some(&first));
        starts.map(|(tag, rest)| (*tag, rest[1..].to_vec())).collect()
    };
    let whatever_case = |name: &str| name.to_lowercase().to_uppercase();
    let names: Vec<&str> =
        wanted.iter().filter_map(|(_, rest)| rest.first().copied()).filter(|name| *name != "[]").collect();
    let (shown, kind) = match value {
        Naive::Object(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                if names.contains(&name.as_str()) {
                    if members[..at].iter().any(|(earlier, _)| earlier == name) {
                        return Err(Unreadable::Repeated(name.as_str().into()));
                    }
                    walk(member, &below(name), all)?;
                } else if let Some(other) = names.iter().find(|other| whatever_case(other) == whatever_case(name)) {
                    return Err(Unreadable::OtherCase((*other).into()));
                }
            }
            (format!("Object {{ is_empty: {} }}", members.is_empty()), Kind::Object)
        }
        Naive::Array(items) => {
            for item in items.iter().filter(|_| !below("[]").is_empty()) {
                walk(item, &below("[]"), all)?;
            }
            (format!("Array {{ is_empty: {} }}", items.is_empty()), Kind::Array)
        }
        Naive::Scalar(Tree::Null) => ("Null".into(), Kind::Null),
        Naive::Scalar(Tree::Bool(value)) => (format!("Bool({value})"), Kind::Bool),
        Naive::Scalar(Tree::String(text)) => (format!("Text({text:?})"), Kind::String),
        Naive::Scalar(number) => (format!("Number({number})"), Kind::Number),
    };
    for (tag, rest) in wanted {
        let is_blocked = match (rest.first(), kind) {
            (None, _) => {
                all.push(format!("{tag} = {shown}"));
                continue;
            }
            (Some(&"[]"), kind) => kind != Kind::Array,
            (Some(_), kind) => kind != Kind::Object,
        };
        if is_blocked {
            all.push(format!("{tag} = Blocked({kind:?})"));
        }
    }
    Ok(())
}

const WALKED: [&str; 12] = ["a", "b", "a.b", "a.b.c", "a.a", "b.sk", "c[]", "c[].a", "c[][].b", "sk.a", "sk[].sk", ""];

fn walked(json: &str) -> Result<Vec<String>, Unreadable> {
    let wanted = WALKED.map(|path| {
        let items = path.replace("[]", ".[]");
        (path, items.split('.').filter(|name| !name.is_empty()).map(|name| &*name.to_owned().leak()).collect())
    });
    let mut all = Vec::new();
    walk(&serde_json::from_str(json).unwrap(), &wanted, &mut all)?;
    all.sort();
    Ok(all)
}

/// What the matcher finds, told as `walk` does.
fn matched<'a>(json: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, Unreadable> {
    let (mut matcher, mut all) = (Matcher::new(paths(&WALKED), Bounds::default()), Vec::new());
    for piece in pieces {
        let read = matcher.feed(piece, &mut |Found { tag, value, span, member }| {
            let at = |span: Range<u64>| &json[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()];
            let written: Tree = serde_json::from_str(at(span.clone())).unwrap();
            let shown = match (value, &written) {
                (Value::Number(number), _) => {
                    assert_eq!(number, at(span.clone()));
                    format!("Number({written})")
                }
                (Value::Text(text), Tree::String(written)) => {
                    assert_eq!(text, written);
                    format!("{value:?}")
                }
                (value, _) => format!("{value:?}"),
            };
            if !tag.is_empty() && !tag.contains("[]") {
                let member = at(member).trim_start_matches(',');
                assert!(member.ends_with(at(span)), "{member}");
                assert!(serde_json::from_str::<Naive>(&format!("{{{member}}}")).is_ok(), "{member}");
            }
            all.push(format!("{tag} = {shown}"));
            ControlFlow::Continue(())
        });
        assert_eq!(read?, ControlFlow::Continue(()));
    }
    matcher.finish()?;
    all.sort();
    Ok(all)
}

proptest! {
    #[test]
    fn an_object_is_accepted_where_another_parser_accepts_it(text in damaged()) {
        let read = found(&paths(&["other", "names"]), Bounds::default(), [&text[..]]);
        let is_object = text.trim_ascii_start().first() == Some(&b'{');
        let wanted = is_object && is_accepted_elsewhere(&text);
        // A name that is no text is refused, and so is one in another case; the rest is judged alike.
        let lossy = String::from_utf8_lossy(&text).to_lowercase();
        prop_assert!(read.is_err() || wanted, "{:?}", read);
        prop_assert!(read.is_ok() || !wanted || lossy.contains(r"\ud"), "{:?}", read);
    }

    #[test]
    fn what_is_found_is_what_a_walk_through_a_tree_finds(
        json in prop_oneof![object(), json()],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let want = match json.trim_start().starts_with('{') {
            true => walked(&json),
            false => Err(Unreadable::NotAnObject),
        };
        let whole = matched(&json, [json.as_bytes()]);
        let is_same = match (&whole, &want) {
            // A name that cannot be read is refused before it is compared.
            (Err(Unreadable::NotJson { .. }), _) => json.to_lowercase().contains(r"\ud"),
            _ => whole == want,
        };
        prop_assert!(is_same, "{} gave {:?}, not {:?}", json, whole, want);
        prop_assert_eq!(&matched(&json, json.as_bytes().chunks(1)), &whole);
        prop_assert_eq!(&matched(&json, pieces(json.as_bytes(), &cuts)), &whole);
    }

    #[test]
    fn what_is_found_is_what_a_pointer_points_to(json in object(), cut in any::<prop::sample::Index>()) {
        let inspected = paths(&["a", "a.b", "a.b.c", "b.sk", "c"]);
        let mut matcher = Matcher::new(inspected, Bounds::default());
        let mut spans = std::collections::BTreeMap::new();
        let (head, tail) = json.as_bytes().split_at(cut.index(json.len() + 1));
        for piece in [head, tail] {
            let read = matcher.feed(piece, &mut |found| {
                if !matches!(found.value, Value::Blocked(_)) {
                    spans.insert(found.tag, found.span);
                }
                ControlFlow::Continue(())
            });
            if read.is_err() {
                return Ok(());
            }
        }
        prop_assert_eq!(matcher.finish(), Ok(()));
        let tree: Tree = serde_json::from_str(&json).unwrap();
        for path in ["a", "a.b", "a.b.c", "b.sk", "c"] {
            let want = tree.pointer(&format!("/{}", path.replace('.', "/")));
            let span = spans.get(path).map(|span| usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap());
            let read = span.map(|span| serde_json::from_str::<Tree>(&json[span]).unwrap());
            prop_assert_eq!(read.as_ref(), want, "{} in {}", path, &json);
        }
    }
}
