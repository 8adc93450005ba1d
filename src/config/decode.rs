//! From a document to its settings: what fits is decoded, what does not is reported and left out.

use super::document::Document;
use super::error::{ConfigError, Errors};
use super::found;
use super::omitted::Omitted;
use super::path::{Path, Step};
use super::raw::Raw;
use super::unknown_setting::unknown_settings;
use crate::spelling::{did_you_mean, meant};

/// Errors beyond this many are not worth reading.
const MAX_ERRORS: usize = 100;

/// The shape of a configuration, and what was wrong with the rest of it.
pub(crate) struct Decoded {
    /// What fits.
    pub raw: Raw,
    /// What did not.
    pub errors: Errors,
    /// The names of all providers and policies, those included that did not fit, so that nothing is reported twice.
    pub declared: Declared,
    omitted: Omitted,
}

/// What a configuration declares, whether or not it is right.
#[derive(Default)]
pub(crate) struct Declared {
    /// Providers.
    pub providers: Vec<String>,
    /// Policies.
    pub policies: Vec<String>,
    /// Whether there are prices.
    pub has_prices: bool,
    /// Settings that stand beside `present`.
    pub beside_present: Vec<String>,
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

/// Decodes all settings that fit.
///
/// # Errors
///
/// Only if the document is not a map, or more is wrong than anybody would read; else [`Decoded`] has what is wrong.
pub(crate) fn decode(value: &Document) -> Result<Decoded, Errors> {
    let has_prices = match value.member("prices") {
        None => false,
        Some(Document::Map(prices)) => !prices.is_empty(),
        Some(_) => true,
    };
    let beside_present = match value {
        Document::Map(members) => {
            members.iter().map(|(name, _)| name).filter(|name| *name != "present").cloned().collect()
        }
        _ => Vec::new(),
    };
    let (providers, policies) = (names(value, "providers"), names(value, "policies"));
    let declared = Declared { providers, policies, has_prices, beside_present };
    let mut decoder = Decoder::default();
    match Raw::decode(value, &mut decoder) {
        Some(raw) if decoder.errors.iter().count() < MAX_ERRORS => {
            Ok(Decoded { raw, errors: decoder.errors, declared, omitted: decoder.omitted })
        }
        _ => Err(decoder.errors),
    }
}

/// What a value can be decoded as.
pub(crate) trait Decode: Sized {
    /// Decodes a value; none if it does not fit, which the decoder then knows.
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self>;

    /// What holds where nothing is given; none if something must be.
    fn absent() -> Option<Self> {
        None
    }
}

/// Where in a document is being decoded, and what did not fit so far.
#[derive(Default)]
pub(super) struct Decoder {
    location: Path,
    /// What is wrong, in the order of the places.
    pub errors: Errors,
    /// What is left out for it.
    pub omitted: Omitted,
}

impl Decoder {
    /// Tells that `value` does not fit, but not what it is, since it may be a secret.
    pub(crate) fn unfit<T>(&mut self, value: &Document, expected: &str) -> Option<T> {
        self.not_found(value.kind(), expected)
    }

    /// Tells that `value` does not fit, and what it is: for kinds, times, numbers and the like.
    pub(crate) fn unfit_shown<T>(&mut self, value: &Document, expected: &str) -> Option<T> {
        self.not_found(&found::value(value), expected)
    }

    /// Tells that `value` does not fit, and what it is if no secret stands there.
    pub(crate) fn unfit_text<T>(&mut self, value: &Document, expected: &str) -> Option<T> {
        if holds_secret(&self.location) { self.unfit(value, expected) } else { self.unfit_shown(value, expected) }
    }

    /// The index of a string among those that may stand there.
    pub(crate) fn choice(&mut self, value: &Document, names: &[&str]) -> Option<usize> {
        let mut expected = format!("one of {}", names.join(", "));
        match value {
            Document::String(text) => {
                if let Some(index) = names.iter().position(|name| name == text) {
                    return Some(index);
                }
                let is_first_word =
                    |name: &&&str| name.strip_prefix(text.as_str()).is_some_and(|rest| rest.starts_with('_'));
                let meant = meant(text, names.iter().copied()).or_else(|| names.iter().find(is_first_word).copied());
                expected.extend(meant.map(did_you_mean));
            }
            // YAML 1.1 reads a bare off as false.
            Document::Bool(false) if names.contains(&"off") => expected.push_str("; off needs quotes"),
            _ => {}
        }
        self.unfit_shown(value, &expected)
    }

    /// The members of a map that has no others than those that are known.
    pub(super) fn map<'v>(&mut self, value: &'v Document, known: &[&str]) -> Option<&'v Document> {
        let location = self.location.clone();
        for (member, ConfigError { path, message }) in unknown_settings(&location, self.members(value)?, known) {
            self.report(path, message);
            self.omitted.add(member);
        }
        Some(value)
    }

    /// The member `name` of a map, or what holds without it.
    pub(crate) fn member<T: Decode>(&mut self, map: &Document, name: &str) -> Option<T> {
        let decoded = map.member(name).and_then(|value| self.below(Step::Key(name.to_owned()), value));
        decoded.or_else(T::absent)
    }

    /// A member that must be given.
    pub(super) fn given<T>(&mut self, name: &str, member: Option<T>) -> Option<T> {
        if member.is_none() {
            let location = self.location.key(name);
            // What was given and did not fit has been reported.
            if !self.omitted.contains(&location) {
                self.report(location, "missing; it must be given".to_owned());
            }
        }
        member
    }

    /// All members of a map that fit, whatever their names.
    pub(crate) fn named<T: Decode>(&mut self, value: &Document) -> Option<Vec<(String, T)>> {
        let mut decoded = Vec::new();
        for (name, member) in self.members(value)? {
            decoded.extend(self.below(Step::Key(name.clone()), member).map(|member| (name.clone(), member)));
        }
        Some(decoded)
    }

    /// All elements of a list that fit.
    pub(crate) fn list<T: Decode>(&mut self, value: &Document) -> Option<Vec<T>> {
        let Document::List(elements) = value else { return self.unfit_text(value, "a list") };
        let mut decoded = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            decoded.extend(self.below::<T>(Step::Index(index), element));
        }
        Some(decoded)
    }

    fn members<'v>(&mut self, value: &'v Document) -> Option<&'v [(String, Document)]> {
        if let Document::Map(members) = value { Some(members) } else { self.unfit(value, "a map") }
    }

    fn below<T: Decode>(&mut self, step: Step, value: &Document) -> Option<T> {
        self.location.enter(step);
        let decoded = T::decode(value, self);
        if decoded.is_none() {
            self.omitted.add(self.location.clone());
        }
        self.location.leave();
        decoded
    }

    fn not_found<T>(&mut self, found: &str, expected: &str) -> Option<T> {
        self.report(self.location.clone(), format!("found {found}, expected {expected}"));
        None
    }

    fn report(&mut self, location: Path, message: String) {
        if self.errors.iter().count() < MAX_ERRORS {
            self.errors.insert(&self.location, location, message);
        }
    }
}

/// Whether a secret may stand there, or a text that is one by mistake.
fn holds_secret(location: &Path) -> bool {
    let names = ["key", "keys", "tokens", "token", "sealing_keys", "signing_key"];
    location.steps().iter().any(|step| matches!(step, Step::Key(name) if names.contains(&name.as_str())))
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
        let errors = match decode(&value) {
            Ok(decoded) => decoded.errors,
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
            "gateway.header: found 7, expected a string",
            "gateway.strip_headers[1]: found 1, expected a string",
            "gateway.strip_headers[3]: found false, expected a string",
            "providers.a.kind: missing; it must be given",
            "providers.b.kind: found \"openia\", expected one of openai, azure_openai, xai",
            "providers.c.keys[0].name: missing; it must be given",
            "providers.c.keys[1].weight: found -1, expected a whole number from 0",
            "policies.p.meter: found \"yes\", expected a boolean",
            "policies.p.modles: unknown setting; known here: auth, provider,",
            "policies.q.auth: found false, expected \"off\" in quotes",
            "callers.w.tokens[0].not_after: found \"tomorrow\", expected a time such as 2027-05-01T00:00:00Z",
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
