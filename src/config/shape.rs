//! From a document to its settings, with every error at once.

use super::decode::{Decode, Decoder, MAX_ERRORS};
use super::document::Document;
use super::error::Errors;
use super::omitted::Omitted;
use super::path::Path;
use super::raw::Raw;

/// The shape of a configuration, and what was wrong with the rest of it.
pub(crate) struct Decoded {
    /// What fits.
    pub raw: Raw,
    /// What did not.
    pub errors: Errors,
    /// The names of all providers and policies, those included that did not fit, so that nobody is told twice.
    pub declared: Declared,
    omitted: Omitted,
}

/// Names that a configuration declares, whether or not what they stand for is right.
#[derive(Default)]
pub(crate) struct Declared {
    /// Providers.
    pub providers: Vec<String>,
    /// Policies.
    pub policies: Vec<String>,
}

impl Decoded {
    /// Whether something was cut out right below a place of what was written, so that it is no wonder what is missed.
    pub(crate) fn is_omitted_below(&self, path: &Path) -> bool {
        self.omitted.are_below(path)
    }

    /// A place in what fits, as a place in what was written.
    pub(crate) fn original(&self, path: &Path) -> Path {
        self.omitted.original(path)
    }
}

/// Reads `value`; fails outright only if it is not a map, or more is wrong than anybody would read.
pub(crate) fn read(value: &Document) -> Result<Decoded, Errors> {
    let declared = Declared { providers: names(value, "providers"), policies: names(value, "policies") };
    let mut reader = Decoder::default();
    match Raw::read(value, &mut reader) {
        Some(raw) if reader.errors.iter().count() < MAX_ERRORS => {
            Ok(Decoded { raw, errors: reader.errors, declared, omitted: reader.omitted })
        }
        _ => Err(reader.errors),
    }
}

fn names(value: &Document, section: &str) -> Vec<String> {
    match value.member(section) {
        Some(Document::Map(members)) => members.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(value: serde_json::Value) -> Vec<String> {
        let value = crate::config::document::Document::from_json(value.to_string().as_bytes()).unwrap();
        let errors = match read(&value) {
            Ok(shaped) => shaped.errors,
            Err(errors) => errors,
        };
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_error_is_found_at_once_each_at_its_path() {
        let found = errors(json!({
            "gatway": {},
            "gateway": {"header": 7, "strip_headers": ["a", 1, "b", false]},
            "providers": {
                "a": {"key": {"env": "A"}},
                "b": {"kind": "openia", "key": {"env": "B"}},
                "c": {"kind": "openai", "keys": [{"key": {"env": "C"}}, {"name": "x", "key": {"env": "C"}, "weight": -1}]},
            },
            "policies": {"p": {"provider": "c", "meter": "yes", "modles": []}, "q": {"auth": false}},
            "callers": {"w": {"tokens": [{"env": "T", "not_after": "tomorrow"}]}},
        }));
        for want in [
            "gatway: unknown setting; known here: gateway, providers,",
            "gateway.header: found a number, expected a string",
            "gateway.strip_headers[1]: found a number, expected a string",
            "gateway.strip_headers[3]: found a boolean, expected a string",
            "providers.a.kind: missing; it must be given",
            "providers.b.kind: found a string, expected one of openai, azure_openai, xai",
            "providers.c.keys[0].name: missing; it must be given",
            "providers.c.keys[1].weight: found a number, expected a whole number from 0",
            "policies.p.meter: found a string, expected a boolean",
            "policies.p.modles: unknown setting; known here: auth, provider,",
            "policies.q.auth: found a boolean, expected \"off\" in quotes",
            "callers.w.tokens[0].not_after: found a string, expected a time such as 2027-05-01T00:00:00Z",
        ] {
            assert_eq!(found.iter().filter(|error| error.starts_with(want)).count(), 1, "{want} in {found:#?}");
        }
        assert_eq!(found.len(), 12, "{found:#?}");
    }

    #[test]
    fn no_error_quotes_a_value() {
        for value in [
            json!({"providers": {"a": {"kind": "sk-secret", "key": "sk-secret"}}}),
            json!({"providers": {"a": {"kind": "openai", "key": "sk-secret"}}}),
            json!({"providers": {"a": {"kind": "openai", "key": {"sk-secret": null}}}}),
            json!({"providers": {"a": {"kind": "openai", "key": {"value": ["sk-secret"]}}}}),
            json!({"providers": {"a": {"kind": "openai", "key": ["sk-secret"]}}}),
            json!({"providers": "sk-secret, expected sk-secret"}),
            json!({"callers": {"a": {"tokens": "sk-secret"}}}),
            json!({"callers": {"a": {"tokens": ["sk-secret"]}}}),
            json!({"callers": {"a": {"tokens": [{"env": {"sk-secret": 1}}]}}}),
            json!("sk-secret"),
        ] {
            let found = errors(value.clone());
            assert!(!found.is_empty(), "{value}");
            assert!(!found.concat().contains("sk-secret"), "{found:?}");
        }
    }
}
