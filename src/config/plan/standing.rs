//! What a session stands on: the token or the identity that it began with, and whether a configuration still has that.

use std::sync::Arc;
use std::time::SystemTime;

use super::Plan;
use crate::client_secret::sealing::KeyId;
use crate::credential::{Caller, VerifiedProperty};
use crate::policy::{Policy, TokenEnd};
use crate::secret::Digest;

/// What a session stands on.
pub struct Standing {
    caller: Arc<Caller>,
    policy: Arc<Policy>,
    token: BeganWith,
    lasts: Lasts,
}

/// What a session began with.
pub enum BeganWith {
    /// A token of its caller's, which is over at this time.
    Token(Digest, Option<SystemTime>),
    /// A client secret that this key has sealed.
    ClientSecret(KeyId),
    /// What Envoy said of its caller.
    Identity(VerifiedProperty),
}

/// How long a session may last, as far as its token goes.
enum Lasts {
    /// It is no matter of the token.
    Always,
    /// Until then.
    Until(SystemTime),
    /// No longer.
    NoMore,
}

impl Standing {
    /// A session of this caller's begins under this policy.
    pub fn new(caller: Arc<Caller>, policy: Arc<Policy>, token: BeganWith) -> Self {
        let end = match token {
            BeganWith::Token(_, end) => end,
            BeganWith::ClientSecret(_) | BeganWith::Identity(_) => None,
        };
        let lasts = Lasts::under(policy.token_end, end);
        Self { caller, policy, token, lasts }
    }

    /// This configuration takes the place of the one under which it began, or of a later one.
    pub fn judge(&mut self, plan: &Plan) {
        if matches!(self.lasts, Lasts::NoMore) {
            return;
        }
        let policy = plan.policies.guarded().find(|policy| policy.name == self.policy.name);
        let token_end = policy.map_or(self.policy.token_end, |policy| policy.token_end);
        let caller = &self.caller.name;
        let end = policy.and_then(|_| match self.token {
            BeganWith::Token(ref digest, _) => plan.callers.validity(digest, caller).map(|validity| validity.not_after),
            BeganWith::ClientSecret(key) => {
                let has_key = plan.secrets.as_ref().is_some_and(|secrets| secrets.keys.has(key));
                (has_key && plan.callers.named(caller).is_some()).then_some(None)
            }
            BeganWith::Identity(ref property) => plan.callers.has_identity(property, caller).then_some(None),
        });
        self.lasts = match (end, token_end) {
            (None, TokenEnd::EndsSessions) => Lasts::NoMore,
            (end, token_end) => Lasts::under(token_end, end.flatten()),
        };
    }

    /// Whether the session must end.
    pub fn is_over(&self, now: SystemTime) -> bool {
        match self.lasts {
            Lasts::Always => false,
            Lasts::Until(end) => now >= end,
            Lasts::NoMore => true,
        }
    }
}

impl Lasts {
    fn under(token_end: TokenEnd, end: Option<SystemTime>) -> Self {
        match (token_end, end) {
            (TokenEnd::EndsSessions, Some(end)) => Self::Until(end),
            (TokenEnd::EndsSessions, None) | (TokenEnd::Outlived, _) => Self::Always,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};
    use sha2::Digest as _;

    use super::*;
    use crate::client_secret::sealing::SealingKey;
    use crate::config::load;
    use crate::credential::Properties;
    use crate::host::Property;
    use crate::host::fake::FakeHost;
    use crate::policy::Route;

    const TOKEN: &str = "token-of-the-web-app";
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER_KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: u64 = 1_767_225_600;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// `web-app` with these tokens, the policy `voice` of this session, and these sealing keys.
    fn configuration(tokens: Value, session: Value, keys: &[&str]) -> Value {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "value": key })).collect();
        json!({
            "providers": { "openai": { "kind": "openai", "key": "external" } },
            "callers": { "web-app": { "tokens": tokens }, "other": { "tokens": [{ "value": "token-of-another-one" }] } },
            "policies": { "voice": { "provider": "openai", "session": session } },
            "client_secrets": { "sealing_keys": keys },
        })
    }

    fn plan(configuration: &Value) -> Arc<Plan> {
        let variable = |name: &str| (name == "MOVED").then(|| TOKEN.to_owned());
        load(configuration.to_string().as_bytes(), &variable)
            .unwrap_or_else(|errors| panic!("{errors:?}"))
            .instance
            .plan()
            .unwrap()
            .clone()
    }

    fn tokens(more: Value) -> Value {
        let mut token = json!({ "value": TOKEN });
        token.as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
        json!([token])
    }

    fn began(plan: &Plan, token: BeganWith) -> Standing {
        let caller = plan.callers.named("web-app").unwrap().clone();
        let Some(crate::policy::Guard::On(policy)) = plan.policies.find(&Route::Metadata(b"voice".to_vec())) else {
            panic!("there is a policy");
        };
        Standing::new(caller, policy.clone(), token)
    }

    fn with_token(plan: &Plan) -> Standing {
        let (token, digest) = plan.callers.find(TOKEN.as_bytes(), || at(0)).ok().unwrap();
        began(plan, BeganWith::Token(digest, token.validity.not_after))
    }

    fn with_secret(plan: &Plan) -> Standing {
        let key = SealingKey::from_base64(KEY.as_bytes()).ok().unwrap();
        began(plan, BeganWith::ClientSecret(key.id()))
    }

    #[test]
    fn a_session_lasts_as_long_as_its_caller_is_known_by_what_envoy_said() {
        let by = |identity: Value, session: Value| {
            let mut configuration = configuration(json!([]), session, &[]);
            configuration["callers"]["web-app"]["identities"] =
                json!([{ "property": ["peer"], "equals": "a" }, identity]);
            configuration
        };
        let equals = |value| json!({ "property": ["jwt", "tenant"], "equals": value });
        let host = FakeHost::new().with_property("jwt\0tenant", Property::String(b"acme".to_vec()));
        let none = || json!({});
        for (after, want) in [
            (by(equals("acme"), none()), false),
            (by(json!({ "property": ["jwt", "tenant"], "glob": "ac*" }), none()), false),
            (by(equals("other"), none()), true),
            (by(json!({ "property": ["jwt", "org"], "equals": "acme" }), none()), true),
            (by(equals("other"), json!({ "outlive_token": true })), false),
        ] {
            let started = plan(&by(equals("acme"), none()));
            let identified = started.callers.identified(&mut Properties::new(&host));
            let (_, property) = identified.ok().flatten().unwrap();
            let mut standing = began(&started, BeganWith::Identity(property));
            standing.judge(&plan(&after));
            assert_eq!(standing.is_over(at(0)), want, "{after}");
        }
    }

    #[test]
    fn a_session_lasts_until_its_token_is_over() {
        let ends = json!({ "not_after": "2026-01-01T00:00:00Z" });
        for (token, session, before, from) in [
            (json!({}), json!({}), false, false),
            (ends.clone(), json!({}), false, true),
            (ends, json!({ "outlive_token": true }), false, false),
        ] {
            let standing = with_token(&plan(&configuration(tokens(token), session, &[])));
            assert_eq!((standing.is_over(at(NEW_YEAR - 1)), standing.is_over(at(NEW_YEAR))), (before, from));
        }
    }

    #[test]
    fn a_configuration_that_keeps_the_token_ends_nothing() {
        let none = json!({});
        let hex: String = sha2::Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
        let started = plan(&configuration(tokens(json!({})), none.clone(), &[KEY]));
        for kept in [
            tokens(json!({})),
            json!([{ "env": "MOVED" }]),
            json!([{ "base64": "dG9rZW4tb2YtdGhlLXdlYi1hcHA=" }]),
            json!([{ "sha256": hex }]),
            json!([{ "value": "another-token-in-front" }, { "value": TOKEN }]),
        ] {
            let mut standing = with_token(&started);
            standing.judge(&plan(&configuration(kept.clone(), none.clone(), &[])));
            assert!(!standing.is_over(at(NEW_YEAR)), "{kept}");
        }
    }

    #[test]
    fn a_configuration_without_its_token_caller_or_policy_ends_it() {
        let before = configuration(tokens(json!({})), json!({}), &[KEY]);
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut after = before.clone();
            change(&mut after);
            after
        };
        for (after, token, secret) in [
            (before.clone(), false, false),
            (
                changed(&|after| after["callers"]["web-app"]["tokens"] = json!([{ "value": "another-token" }])),
                true,
                false,
            ),
            (changed(&|after| drop(after["callers"].as_object_mut().unwrap().remove("web-app"))), true, true),
            (
                changed(&|after| {
                    let callers = after["callers"].as_object_mut().unwrap();
                    let caller = callers.remove("web-app").unwrap();
                    callers.insert("renamed".into(), caller);
                }),
                true,
                true,
            ),
            (changed(&|after| after["policies"] = json!({ "other": { "provider": "openai" } })), true, true),
            (changed(&|after| after["policies"]["voice"] = json!({ "auth": "off" })), true, true),
            (changed(&|after| after["client_secrets"] = json!({})), false, true),
            (changed(&|after| after["client_secrets"]["sealing_keys"] = json!([{ "value": OTHER_KEY }])), false, true),
            (
                changed(&|after| {
                    after["client_secrets"]["sealing_keys"] = json!([{ "value": OTHER_KEY }, { "value": KEY }]);
                }),
                false,
                false,
            ),
            (changed(&|after| after["policies"]["voice"]["session"] = json!({ "outlive_token": true })), false, false),
        ] {
            let (started, next) = (plan(&before), plan(&after));
            for (mut standing, want) in [(with_token(&started), token), (with_secret(&started), secret)] {
                standing.judge(&next);
                assert_eq!(standing.is_over(at(NEW_YEAR)), want, "{after}");
            }
        }
    }

    #[test]
    fn the_new_configuration_says_until_when_the_token_is_good_and_whether_that_matters() {
        let (none, outlives) = (json!({}), json!({ "outlive_token": true }));
        let (new_year, later) =
            (json!({ "not_after": "2026-01-01T00:00:00Z" }), json!({ "not_after": "2027-01-01T00:00:00Z" }));
        let other = json!([{ "value": "another-token" }]);
        for (before, after, want) in [
            ((&none, &none), Some((tokens(new_year.clone()), &none)), true),
            ((&new_year, &none), Some((tokens(later), &none)), false),
            ((&new_year, &none), Some((tokens(none.clone()), &none)), false),
            ((&new_year, &none), Some((tokens(new_year.clone()), &outlives)), false),
            ((&none, &none), Some((other.clone(), &outlives)), false),
            ((&none, &outlives), Some((other.clone(), &none)), true),
            ((&none, &outlives), Some((other, &outlives)), false),
            // The policy is gone: what it said when the session began holds.
            ((&none, &outlives), None, false),
        ] {
            let started = plan(&configuration(tokens(before.0.clone()), before.1.clone(), &[]));
            let next = match &after {
                Some((tokens, session)) => configuration(tokens.clone(), (*session).clone(), &[]),
                None => json!({
                    "providers": { "openai": { "kind": "openai", "key": "external" } },
                    "policies": { "other": { "provider": "openai" } },
                }),
            };
            let mut standing = with_token(&started);
            standing.judge(&plan(&next));
            assert_eq!(standing.is_over(at(NEW_YEAR)), want, "{next}");
        }
    }

    #[test]
    fn what_one_configuration_has_ended_no_later_one_lets_go_on() {
        let before = plan(&configuration(tokens(json!({})), json!({}), &[]));
        let without = plan(&configuration(json!([{ "value": "another-token" }]), json!({}), &[]));
        let mut standing = with_token(&before);
        standing.judge(&without);
        standing.judge(&before);
        assert!(standing.is_over(at(0)));
    }
}
