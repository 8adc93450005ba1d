//! Dynamic metadata as Envoy gives it whole: with the types that the bytes of a single property no longer tell.

use prost::{Message, Oneof};
use realtime_byok::host::PropertyPath;

/// `envoy.config.core.v3.Metadata`, its maps as the entries that they are on the wire.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, repeated, tag = "1")]
    filter_metadata: Vec<Namespace>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Struct>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

/// `google.protobuf.Value`, without the kinds that are neither a string nor hold one.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(oneof = "Kind", tags = "3, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(string, tag = "3")]
    String(String),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

/// Whether the property of this path, which begins with `metadata`, is a string.
pub(crate) fn has_string(metadata: &[u8], path: &PropertyPath) -> bool {
    let Ok(metadata) = Metadata::decode(metadata) else { return false };
    let mut segments = path.segments().skip(1);
    let namespace = segments.next().filter(|segment| *segment == "filter_metadata").and(segments.next());
    let named = metadata.filter_metadata.into_iter().find(|known| Some(known.key.as_str()) == namespace);
    let mut found = named.and_then(|namespace| namespace.value).map(Kind::Struct);
    for segment in segments {
        found = match found {
            Some(Kind::Struct(fields)) => {
                fields.fields.into_iter().find(|entry| entry.key == segment).and_then(|entry| entry.value)
            }
            Some(Kind::List(mut list)) => segment
                .parse()
                .ok()
                .filter(|index| *index < list.values.len())
                .map(|index| list.values.swap_remove(index)),
            Some(Kind::String(_)) | None => None,
        }
        .and_then(|value| value.kind);
    }
    matches!(found, Some(Kind::String(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Option<Value> {
        Some(Value { kind: Some(kind) })
    }

    fn fields(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Struct {
        Struct { fields: fields.into_iter().map(|(key, value)| Entry { key: key.into(), value }).collect() }
    }

    #[test]
    fn what_a_property_is_stands_in_the_whole() {
        let text = || value(Kind::String("acmecorp".into()));
        // A number is of a kind that is not read.
        let number = || Some(Value { kind: None });
        let list = Kind::List(List { values: vec![text().unwrap(), number().unwrap()] });
        let corp = fields([("tenant", text()), ("number", number()), ("list", value(list))]);
        let named = fields([("corp", value(Kind::Struct(corp)))]);
        let namespaces =
            [Namespace { key: "other".into(), value: None }, Namespace { key: "jwt".into(), value: Some(named) }];
        let metadata = Metadata { filter_metadata: namespaces.into() }.encode_to_vec();
        for (path, want) in [
            (&["metadata", "filter_metadata", "jwt", "corp", "tenant"][..], true),
            (&["metadata", "filter_metadata", "jwt", "corp", "list", "0"], true),
            (&["metadata", "filter_metadata", "jwt", "corp", "list", "1"], false),
            (&["metadata", "filter_metadata", "jwt", "corp", "list", "2"], false),
            (&["metadata", "filter_metadata", "jwt", "corp", "list", "-1"], false),
            (&["metadata", "filter_metadata", "jwt", "corp", "number"], false),
            (&["metadata", "filter_metadata", "jwt", "corp", "tenant", "x"], false),
            (&["metadata", "filter_metadata", "jwt", "corp"], false),
            (&["metadata", "filter_metadata", "jwt", "tenant"], false),
            (&["metadata", "filter_metadata", "other", "corp", "tenant"], false),
            (&["metadata", "typed_filter_metadata", "jwt", "corp", "tenant"], false),
            (&["metadata"], false),
        ] {
            assert_eq!(has_string(&metadata, &PropertyPath::new(path).unwrap()), want, "{path:?}");
        }
        let path = PropertyPath::new(&["metadata", "filter_metadata", "jwt", "corp", "tenant"]).unwrap();
        assert!(!has_string(b"acmecorp", &path) && !has_string(b"", &path));
    }
}
