//! From a JSON value to its serde types, with every error at once.
//!
//! serde stops at the first error. So what is wrong is noted and cut out, and the rest is read again, until it fits. What
//! serde says of a value that it found is never passed on, as the value may be a secret: the place and the kind of the
//! value are looked up in the tree instead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_path_to_error::Segment;

use super::path::Step;
use super::{Errors, Path, raw::Raw};

/// Errors beyond this many are not worth reading.
const MAX_ERRORS: usize = 100;

/// The shape of a configuration, and what was wrong with the rest of it.
pub struct Shaped {
    /// What fits.
    pub raw: Raw,
    /// What did not.
    pub errors: Errors,
    /// The names of all providers and policies, those included that did not fit, so that nobody is told twice.
    pub declared: Declared,
    cuts: Cuts,
}

/// Names that a configuration declares, whether or not what they stand for is right.
#[derive(Default)]
pub struct Declared {
    /// Providers.
    pub providers: BTreeSet<String>,
    /// Policies.
    pub policies: BTreeSet<String>,
}

impl Shaped {
    /// A place in what fits, as a place in what was written.
    pub fn original(&self, path: &Path) -> Path {
        self.cuts.original(path)
    }
}

/// Reads `value`; fails outright only if it is not an object.
pub fn read(value: &Value) -> Result<Shaped, Errors> {
    let mut tree = value.clone();
    let mut errors = Errors::default();
    let mut cuts = Cuts::default();
    let names = |section: &str| {
        value.get(section).and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
    };
    let declared = Declared { providers: names("providers"), policies: names("policies") };
    loop {
        let error = match serde_path_to_error::deserialize(&tree) {
            Ok(raw) => return Ok(Shaped { raw, errors, declared, cuts }),
            Err(error) => error,
        };
        let place = Path::from_steps(error.path().iter().filter_map(step));
        let message = error.inner().to_string();
        let Fault { cut, shown, message } = fault(&place, &message, &tree);
        if !cuts.contains(&cut) {
            errors.add(&cuts.original(&shown), message);
        }
        let is_missing = at(&tree, &cut).is_none();
        let cut = if is_missing { place } else { cut };
        if errors.iter().count() >= MAX_ERRORS || !remove(&mut tree, &cut) {
            return Err(errors);
        }
        cuts.add(cut);
    }
}

/// What to cut, what to say of it, and of which place.
struct Fault {
    cut: Path,
    shown: Path,
    message: String,
}

fn fault(place: &Path, message: &str, tree: &Value) -> Fault {
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if message.starts_with("unknown field `") {
        let known = expected.map(|fields| fields.trim_start_matches("one of ").replace('`', "")).unwrap_or_default();
        let above = place.parent();
        return Fault {
            shown: if holds_secret(&above) { above } else { place.clone() },
            cut: place.clone(),
            message: format!("unknown setting; known here: {known}"),
        };
    }
    if let Some(name) = quoted(message, "missing field `") {
        return Fault { shown: place.key(name), cut: place.key(name), message: "missing; it must be given".into() };
    }
    let found = at(tree, place).map_or("nothing", kind);
    let message = match expected {
        Some("u32" | "u64") => format!("found {found}, expected a whole number from 0"),
        Some("f64") => format!("found {found}, expected a number"),
        Some(expected) => format!("found {found}, expected {}", expected.replace('`', "\"")),
        None => message.to_owned(),
    };
    Fault { shown: place.clone(), cut: place.clone(), message }
}

/// Whether a secret may stand there by mistake, even as a name.
fn holds_secret(place: &Path) -> bool {
    let names = ["key", "tokens", "token", "sealing_keys", "signing_key"];
    place.steps().iter().any(|step| matches!(step, Step::Key(name) if names.contains(&name.as_str())))
}

fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(before)?;
    rest.strip_suffix('`')
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn at<'a>(tree: &'a Value, path: &Path) -> Option<&'a Value> {
    path.steps().iter().try_fold(tree, |value, step| match step {
        Step::Key(name) => value.get(name),
        Step::Index(index) => value.get(index),
    })
}

fn remove(tree: &mut Value, path: &Path) -> bool {
    let Some((last, above)) = path.steps().split_last() else { return false };
    let parent = above.iter().try_fold(tree, |value, step| match step {
        Step::Key(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(index),
    });
    match (parent, last) {
        (Some(Value::Object(map)), Step::Key(name)) => map.remove(name).is_some(),
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    }
}

/// What was cut out, in places of the tree as it was written.
#[derive(Default)]
struct Cuts {
    places: BTreeSet<Path>,
    elements: BTreeMap<Path, BTreeSet<usize>>,
}

impl Cuts {
    /// Notes a cut, given in places of the tree as it is.
    fn add(&mut self, cut: Path) {
        let place = self.original(&cut);
        if let Some(Step::Index(index)) = place.steps().last() {
            self.elements.entry(place.parent()).or_default().insert(*index);
        }
        self.places.insert(place);
    }

    fn contains(&self, path: &Path) -> bool {
        self.places.contains(&self.original(path))
    }

    /// An index counts the elements that were cut out before it.
    fn original(&self, path: &Path) -> Path {
        path.steps().iter().fold(Path::default(), |above, step| match step {
            Step::Key(_) => above.join(step.clone()),
            Step::Index(index) => {
                let cut = self.elements.get(&above).into_iter().flatten();
                let index = cut.fold(*index, |index, &gone| if gone <= index { index + 1 } else { index });
                above.index(index)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(value: Value) -> Vec<String> {
        let errors = match read(&value) {
            Ok(shaped) => shaped.errors,
            Err(errors) => errors,
        };
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_error_is_found_at_once_each_at_its_place() {
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
            "providers.b.kind: found a string, expected one of \"openai\", \"azure_openai\"",
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
