//! From a JSON value to its serde types, with every error at once.
//!
//! serde stops at the first error. So what is wrong is noted and cut out, and the rest is read again, until it fits.

use super::raw::Raw;
use super::tree::{self, Fault, Misfit};
use super::{Errors, Path, Step};
use serde_json::Value;

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
    pub providers: Vec<String>,
    /// Policies.
    pub policies: Vec<String>,
}

impl Shaped {
    /// Whether something was cut out right below a place of what was written, so that it is no wonder what is missed.
    pub fn is_cut_below(&self, path: &Path) -> bool {
        self.cuts.0.iter().any(|cut| cut.parent() == *path)
    }

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
    let declared = Declared { providers: names(value, "providers"), policies: names(value, "policies") };
    loop {
        let Misfit { path, fault } = match tree::read(&tree) {
            Ok(raw) => return Ok(Shaped { raw, errors, declared, cuts }),
            Err(misfit) => misfit,
        };
        let (shown, message) = told(&path, &fault, &tree);
        // Where something was cut out, its absence is not another error.
        if !cuts.contains(&shown) {
            errors.add(&cuts.original(&shown), message);
        }
        if errors.iter().count() >= MAX_ERRORS || !remove(&mut tree, &path) {
            return Err(errors);
        }
        cuts.add(&path);
    }
}

fn names(value: &Value, section: &str) -> Vec<String> {
    value.get(section).and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The place to name, and what to say of it.
fn told(path: &Path, fault: &Fault, tree: &Value) -> (Path, String) {
    match fault {
        Fault::Unfit(expected) => {
            let found = at(tree, path).map_or("nothing", kind);
            let expected = match expected.as_str() {
                "u32" | "u64" => "a whole number from 0",
                "f64" => "a number",
                "a sequence" => "a list",
                expected => expected.strip_prefix("struct ").map_or(expected, |_| "a map"),
            };
            (path.clone(), format!("found {found}, expected {expected}"))
        }
        Fault::Unknown(known) => {
            let above = path.parent();
            let shown = if holds_secret(&above) { above } else { path.clone() };
            (shown, format!("unknown setting; known here: {}", known.join(", ")))
        }
        Fault::Missing(name) => (path.key(name), "missing; it must be given".into()),
    }
}

/// Whether a secret may stand there by mistake, even as a name.
fn holds_secret(place: &Path) -> bool {
    let names = ["key", "tokens", "token", "sealing_keys", "signing_key"];
    place.steps().iter().any(|step| matches!(step, Step::Key(name) if names.contains(&name.as_str())))
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
struct Cuts(Vec<Path>);

impl Cuts {
    /// Notes a cut, given in places of the tree as it is.
    fn add(&mut self, cut: &Path) {
        let place = self.original(cut);
        self.0.push(place);
    }

    fn contains(&self, path: &Path) -> bool {
        self.0.contains(&self.original(path))
    }

    /// An index counts the elements that were cut out before it.
    fn original(&self, path: &Path) -> Path {
        path.steps().iter().fold(Path::default(), |above, step| match step {
            Step::Key(_) => above.join(step.clone()),
            Step::Index(index) => above.index(self.before_cuts(&above, *index)),
        })
    }

    fn before_cuts(&self, list: &Path, index: usize) -> usize {
        let is_cut = |index: &usize| {
            self.0.iter().any(|cut| cut.parent() == *list && cut.steps().last() == Some(&Step::Index(*index)))
        };
        (0..).filter(|index| !is_cut(index)).nth(index).unwrap_or(index)
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
