//! What Envoy may say of a request for it to be a caller's, or a user's: properties, none of which a client can write.

use std::sync::Arc;

use super::Builder;
use crate::config::{Path, found, raw};
use crate::credential::{Caller, Callers, LONGEST_PROPERTY, ValueRule, is_name};
use crate::host::PropertyPath;

/// Attributes that say what a client has sent.
const WRITTEN_BY_CLIENTS: &str = "request";

/// Attributes of the peer's address, which a proxy in front may have told in a header.
const ADDRESS: &str = "source";

impl Builder<'_> {
    pub(super) fn identity(&mut self, path: &Path, raw: &raw::Identity, caller: &Arc<Caller>, callers: &mut Callers) {
        let property = self.property(&path.key("property"), &raw.property);
        let rule = self.value_rule(path, raw);
        let (Some(property), Some(rule)) = (property, rule) else { return };
        if let Err(owner) = callers.insert_identity(property, rule, caller) {
            self.error(path, format!("caller \"{owner}\" has this identity already"));
        }
    }

    fn value_rule(&mut self, path: &Path, raw: &raw::Identity) -> Option<ValueRule> {
        let (name, value, rule) = match (&raw.equals, &raw.glob) {
            (Some(value), None) => ("equals", value, ValueRule::Equals(value.clone())),
            (None, Some(glob)) => ("glob", glob, ValueRule::Glob(glob.clone())),
            (given, _) => {
                let found = if given.is_some() { "several" } else { "none" };
                self.error(path, format!("found {found} of equals and glob, expected one"));
                return None;
            }
        };
        if is_name(value) {
            return Some(rule);
        }
        let expected =
            format!("expected 1 to {LONGEST_PROPERTY} bytes without control characters: no other value is read");
        self.error(&path.key(name), format!("found {}, {expected}", found::text(value)));
        None
    }

    /// The path of a property.
    pub(super) fn property(&mut self, path: &Path, segments: &[String]) -> Option<PropertyPath> {
        let property = PropertyPath::new(segments);
        match segments.first().map(String::as_str) {
            None => self.error(path, "empty; expected a path such as [connection, uri_san_peer_certificate]"),
            Some(WRITTEN_BY_CLIENTS) => {
                self.error(
                    path,
                    "clients write what stands below `request`, headers among it: it says nothing of who they are",
                );
                return None;
            }
            Some(ADDRESS) => {
                let warning = "Envoy may have this address from `x-forwarded-for`, which clients can write: see \
                               `use_remote_address` and `xff_num_trusted_hops` of its HTTP connection manager";
                self.warn(path, warning);
            }
            Some(_) if property.is_none() => self.error(path, "a segment is empty or holds a NUL"),
            Some(_) => {}
        }
        property
    }
}
