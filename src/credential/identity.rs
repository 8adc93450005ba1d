//! Who Envoy says it is: the callers that are known by properties of a request, without a token.

use std::collections::HashMap;
use std::sync::Arc;

use wildmatch::WildMatch;

use super::caller::Caller;
use super::properties::Properties;
use crate::host::PropertyPath;

/// What a property must be for a request to be its caller's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueRule {
    /// This string.
    Equals(String),
    /// A string that this glob matches.
    Glob(String),
}

/// A property that a request had, and whose request it therefore was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedProperty {
    path: PropertyPath,
    value: String,
}

/// Two callers are both known by what Envoy says of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TwoCallers;

/// All properties that callers are known by. Each is read once, however many callers it may be.
#[derive(Default)]
pub(super) struct Identities(Vec<KnownBy>);

struct KnownBy {
    path: PropertyPath,
    equals: HashMap<String, Arc<Caller>>,
    globs: Vec<(WildMatch, Arc<Caller>)>,
}

impl Identities {
    /// Makes a caller known by a property.
    ///
    /// # Errors
    ///
    /// The name of the caller that is known by the same already.
    pub(super) fn insert(&mut self, path: PropertyPath, rule: ValueRule, caller: Arc<Caller>) -> Result<(), String> {
        let at = self.0.iter().position(|known| known.path == path).unwrap_or_else(|| {
            self.0.push(KnownBy { path, equals: HashMap::new(), globs: Vec::new() });
            self.0.len() - 1
        });
        let Some(known) = self.0.get_mut(at) else { return Ok(()) };
        let taken = match &rule {
            ValueRule::Equals(value) => known.equals.get(value),
            ValueRule::Glob(glob) => {
                let glob = WildMatch::new(glob);
                known.globs.iter().find(|(known, _)| *known == glob).map(|(_, owner)| owner)
            }
        };
        if let Some(owner) = taken {
            return Err(owner.name.clone());
        }
        match rule {
            ValueRule::Equals(value) => drop(known.equals.insert(value, caller)),
            ValueRule::Glob(glob) => known.globs.push((WildMatch::new(&glob), caller)),
        }
        Ok(())
    }

    /// The paths of all properties.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PropertyPath> {
        self.0.iter().map(|known| &known.path)
    }

    /// Whether nobody is known by anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The caller that the properties of a request are those of, and the first by which it is known.
    ///
    /// # Errors
    ///
    /// [`TwoCallers`] if they are those of several.
    pub(super) fn find<'a>(
        &'a self,
        properties: &mut Properties<'_>,
    ) -> Result<Option<(&'a Arc<Caller>, VerifiedProperty)>, TwoCallers> {
        let mut found: Option<(&'a Arc<Caller>, VerifiedProperty)> = None;
        for known in &self.0 {
            let Some(value) = properties.at(&known.path).text() else { continue };
            for caller in known.callers(value) {
                match &found {
                    Some((other, _)) if other.name != caller.name => return Err(TwoCallers),
                    Some(_) => {}
                    None => {
                        found = Some((caller, VerifiedProperty { path: known.path.clone(), value: value.to_owned() }))
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether a caller of this name is known by that.
    pub(super) fn has(&self, caller: &str, VerifiedProperty { path, value }: &VerifiedProperty) -> bool {
        let known = self.0.iter().find(|known| known.path == *path);
        known.is_some_and(|known| known.callers(value).any(|known| known.name == caller))
    }
}

impl KnownBy {
    /// The callers that are known by this value.
    fn callers(&self, value: &str) -> impl Iterator<Item = &Arc<Caller>> {
        let globs = self.globs.iter().filter(|(glob, _)| glob.matches(value)).map(|(_, caller)| caller);
        self.equals.get(value).into_iter().chain(globs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::host::Property;
    use crate::host::fake::FakeHost;
    use crate::testing;

    fn caller(name: &str) -> Arc<Caller> {
        Arc::new(Caller { name: name.into(), ..testing::caller() })
    }

    fn path(path: &str) -> PropertyPath {
        PropertyPath::new(&path.split('.').collect::<Vec<_>>()).unwrap()
    }

    /// Callers by tenants and by certificates.
    fn identities() -> Identities {
        let mut identities = Identities::default();
        for (name, at, rule) in [
            ("acme", "jwt.tenant", ValueRule::Equals("acme".into())),
            ("acme", "peer.uri", ValueRule::Glob("spiffe://a/*".into())),
            ("other", "jwt.tenant", ValueRule::Equals("other".into())),
            ("batch", "jwt.tenant", ValueRule::Glob("batch-?".into())),
            ("other", "peer.uri", ValueRule::Glob("spiffe://*/backend".into())),
        ] {
            identities.insert(path(at), rule, caller(name)).unwrap();
        }
        identities
    }

    fn text(text: &str) -> Property {
        Property::String(text.into())
    }

    /// The name of whoever a request with these properties is, and how many were read.
    fn found(properties: &[(&str, Property)]) -> (Result<Option<String>, TwoCallers>, usize) {
        let host = properties
            .iter()
            .cloned()
            .fold(FakeHost::new(), |host, (path, value)| host.with_property(&path.replace('.', "\0"), value));
        let found =
            identities().find(&mut Properties::new(&host)).map(|found| found.map(|(caller, _)| caller.name.clone()));
        (found, host.reads.load(Ordering::Relaxed))
    }

    #[test]
    fn a_request_is_whoever_its_properties_say_and_each_is_read_once() {
        let long = format!("spiffe://a/{}", "x".repeat(2048));
        for (properties, want) in [
            (&[("jwt.tenant", text("acme"))][..], Ok(Some("acme"))),
            (&[("jwt.tenant", text("batch-1"))], Ok(Some("batch"))),
            (&[("peer.uri", text("spiffe://a/ns"))], Ok(Some("acme"))),
            (&[("peer.uri", text("spiffe://a/ns")), ("jwt.tenant", text("acme"))], Ok(Some("acme"))),
            (&[("peer.uri", text("spiffe://a/ns")), ("jwt.tenant", text("other"))], Err(TwoCallers)),
            (&[("peer.uri", text("spiffe://a/backend"))], Err(TwoCallers)),
            (&[("jwt.tenant", text("Acme"))], Ok(None)),
            (&[("jwt.tenant", text("acme "))], Ok(None)),
            (&[("jwt.tenant", text(""))], Ok(None)),
            (&[("jwt.tenant", Property::Other)], Ok(None)),
            (&[("jwt.tenant", Property::String(b"acme\xff".to_vec()))], Ok(None)),
            (&[("peer.uri", text("spiffe://a/x\0"))], Ok(None)),
            (&[("peer.uri", text(&long))], Ok(None)),
            (&[("jwt", text("acme"))], Ok(None)),
            (&[], Ok(None)),
        ] {
            let want = (want.map(|name: Option<&str>| name.map(str::to_owned)), 2);
            let found = found(properties);
            assert_eq!(found.0, want.0, "{properties:?}");
            // A second caller may be found before all is read.
            assert!(found.1 == 2 || found.0.is_err(), "{properties:?}");
        }
    }

    #[test]
    fn one_value_is_one_callers() {
        let mut identities = identities();
        for (at, rule, want) in [
            ("jwt.tenant", ValueRule::Equals("acme".into()), Err("acme".to_owned())),
            ("jwt.tenant", ValueRule::Glob("batch-?".into()), Err("batch".to_owned())),
            ("jwt.tenant", ValueRule::Glob("acme".into()), Ok(())),
            ("jwt.sub", ValueRule::Equals("acme".into()), Ok(())),
        ] {
            assert_eq!(identities.insert(path(at), rule.clone(), caller("new")), want, "{at} {rule:?}");
        }
    }

    #[test]
    fn what_a_caller_was_known_by_is_known_as_long_as_it_says_that_of_it() {
        let identities = identities();
        let property = |at, value: &str| VerifiedProperty { path: path(at), value: value.into() };
        for (caller, property, want) in [
            ("acme", property("jwt.tenant", "acme"), true),
            ("acme", property("peer.uri", "spiffe://a/ns"), true),
            ("other", property("jwt.tenant", "acme"), false),
            ("acme", property("jwt.tenant", "batch-1"), false),
            ("acme", property("jwt.sub", "acme"), false),
        ] {
            assert_eq!(identities.has(caller, &property), want, "{caller} {property:?}");
        }
    }
}
