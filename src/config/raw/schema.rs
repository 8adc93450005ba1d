//! The JSON Schema of what is read by hand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Auth, Key, Lock, LockRules, Named, Preset, SecretSource, SecretText, Span, Time};

macro_rules! text_schema {
    ($type:ty, $name:literal, inline: $inline:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }

            fn inline_schema() -> bool {
                $inline
            }
        }
    };
}

text_schema!(SecretText, "SecretText", inline: true, {"type": "string", "minLength": 1});
text_schema!(Auth, "Auth", inline: true, {"const": "off"});
text_schema!(Span, "Duration", inline: false, {
    "type": "string",
    "description": "A duration: `90s`, `30m`, `2h`, `1h 30m`. Longer than none.",
    "pattern": "^[0-9]+ ?[a-z]+( ?[0-9]+ ?[a-z]+)*$"
});
text_schema!(Preset, "Preset", inline: true, {"type": "object", "minProperties": 1});
text_schema!(Time, "Time", inline: false, {
    "type": "string",
    "description": "A time in UTC (RFC 3339): `2027-05-01T00:00:00Z`.",
    "format": "date-time"
});

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Lock {
    fn schema_name() -> Cow<'static, str> {
        "Lock".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (fields, rules) = (generator.subschema_for::<Vec<String>>(), generator.subschema_for::<LockRules>());
        json_schema!({
            "description": "Fields alone, a change of which ends the session, or a map.",
            "anyOf": [fields, rules]
        })
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = generator.subschema_for::<SecretSource>();
        json_schema!({
            "description": "A secret, or the word `external`: then a later filter of Envoy's adds the credential.",
            "anyOf": [{"const": "external"}, source]
        })
    }
}
