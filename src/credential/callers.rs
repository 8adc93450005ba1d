//! All callers, and the tokens and identities that they are known by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::caller::Caller;
use super::identity::{Identities, TwoCallers, ValueRule, VerifiedProperty};
use super::properties::Properties;
use crate::host::PropertyPath;
use crate::limit::CallerLimits;
use crate::secret::Digest;

/// When a token is good: from `not_before` on, until `not_after`.
#[derive(Clone, Copy, Default)]
pub struct Validity {
    /// The first moment.
    pub not_before: Option<SystemTime>,
    /// The first moment after.
    pub not_after: Option<SystemTime>,
}

/// One of a caller's tokens.
pub struct Token {
    /// Its owner.
    pub caller: Arc<Caller>,
    /// When it is good.
    pub validity: Validity,
}

/// Why a token does not let anyone in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// No caller has it, or it is not good yet.
    Invalid,
    /// Its time is over.
    Expired,
}

/// All callers, found by the digests of their tokens, or by what Envoy says of a request, in a time that does not depend on
/// their number.
#[derive(Default)]
pub struct Callers {
    tokens: HashMap<Digest, Token>,
    identities: Identities,
    names: HashMap<String, Arc<Caller>>,
}

impl Callers {
    /// Adds a token; gives its owner's name back if somebody has it already.
    ///
    /// # Errors
    ///
    /// The name of the caller that has this token already.
    pub fn insert(&mut self, digest: Digest, token: Token) -> Result<(), String> {
        if let Some(owner) = self.owner(&digest) {
            return Err(owner.to_owned());
        }
        self.names.insert(token.caller.name.clone(), token.caller.clone());
        self.tokens.insert(digest, token);
        Ok(())
    }

    /// Makes a caller known by a property of its requests; gives the name of whoever is known by the same already.
    ///
    /// # Errors
    ///
    /// The name of that caller.
    pub fn insert_identity(&mut self, path: PropertyPath, rule: ValueRule, caller: &Arc<Caller>) -> Result<(), String> {
        self.identities.insert(path, rule, caller.clone())?;
        self.names.insert(caller.name.clone(), caller.clone());
        Ok(())
    }

    /// Whether some are known by what Envoy says of a request.
    pub fn have_identities(&self) -> bool {
        !self.identities.is_empty()
    }

    /// The paths of all properties that may be read of a request.
    pub fn property_paths(&self) -> impl Iterator<Item = &PropertyPath> {
        self.identities.paths().chain(self.names.values().filter_map(|caller| caller.user.as_ref()))
    }

    /// The caller that Envoy says a request is of, and by what.
    ///
    /// # Errors
    ///
    /// [`TwoCallers`] if it says that of several.
    pub fn identified(
        &self,
        properties: &mut Properties<'_>,
    ) -> Result<Option<(&Arc<Caller>, VerifiedProperty)>, TwoCallers> {
        self.identities.find(properties)
    }

    /// Whether the caller of this name is known by that.
    pub fn has_identity(&self, property: &VerifiedProperty, caller: &str) -> bool {
        self.identities.has(caller, property)
    }

    /// The caller of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Caller>> {
        self.names.get(name)
    }

    /// The name of whoever has the token of this digest.
    pub fn owner(&self, digest: &Digest) -> Option<&str> {
        self.tokens.get(digest).map(|token| token.caller.name.as_str())
    }

    /// All callers' names, and what each may use up.
    pub fn limits(&self) -> impl Iterator<Item = (&str, CallerLimits)> {
        self.names.iter().map(|(name, caller)| (name.as_str(), caller.limits))
    }

    /// When the token of this digest is good, if the caller of this name has it.
    pub fn validity(&self, digest: &Digest, caller: &str) -> Option<Validity> {
        self.tokens.get(digest).filter(|token| token.caller.name == caller).map(|token| token.validity)
    }

    /// `token` with its digest, if it is good. `now` is asked only for one that has a window.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] from `not_after` on; [`TokenError::Invalid`] before `not_before`, and for a token that
    /// nobody has.
    pub fn find(&self, token: &[u8], now: impl FnOnce() -> SystemTime) -> Result<(&Token, Digest), TokenError> {
        let digest = Digest::of(token);
        let token = self.tokens.get(&digest).ok_or(TokenError::Invalid)?;
        match token.validity {
            Validity { not_before: None, not_after: None } => {}
            bounded => bounded.check(now())?,
        }
        Ok((token, digest))
    }
}

impl Validity {
    /// Whether a token is good at this time.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] before its window, [`TokenError::Expired`] behind it.
    pub fn check(self, now: SystemTime) -> Result<(), TokenError> {
        if self.not_before.is_some_and(|start| now < start) {
            Err(TokenError::Invalid)
        } else if self.not_after.is_some_and(|end| now >= end) {
            Err(TokenError::Expired)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;

    fn caller(name: &str) -> Arc<Caller> {
        Arc::new(Caller { name: name.into(), ..testing::caller() })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_good_within_its_window() {
        let mut callers = Callers::default();
        let validity = Validity { not_before: Some(at(10)), not_after: Some(at(20)) };
        callers.insert(Digest::of(b"token"), Token { caller: caller("a"), validity }).unwrap();
        for (token, now, want) in [
            ("token", 9, Err(TokenError::Invalid)),
            ("token", 10, Ok("a")),
            ("token", 19, Ok("a")),
            ("token", 20, Err(TokenError::Expired)),
            ("toke", 15, Err(TokenError::Invalid)),
            ("tokens", 15, Err(TokenError::Invalid)),
            ("", 15, Err(TokenError::Invalid)),
        ] {
            let found = callers.find(token.as_bytes(), || at(now)).map(|(token, _)| token.caller.name.as_str());
            assert_eq!(found, want, "{token} {now}");
        }
    }

    #[test]
    fn a_token_has_one_owner() {
        let mut callers = Callers::default();
        let token = |name| Token { caller: caller(name), validity: Validity::default() };
        assert_eq!(callers.insert(Digest::of(b"t"), token("a")), Ok(()));
        assert_eq!(callers.insert(Digest::of(b"t"), token("b")), Err("a".into()));
    }
}
