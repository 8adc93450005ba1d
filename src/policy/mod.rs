//! What holds on a route: its policy, the provider that serves a request, and the model that it is for.

mod call_rules;
mod key_pool;
mod model;
mod provider;
mod resting_keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limit::SessionLimits;
use crate::name_rule::NameRule;
use crate::protocol::{Hide, Lock, Preset};

pub use call_rules::{CallRules, Permission};
pub use key_pool::{Key, KeyPool};
pub use model::{QueryModels, Resolved, in_path, in_query};
pub use provider::{Credential, KeyChoice, Placement, Provider, ProviderKind};
pub use resting_keys::{LONGEST_REST, RestingKeys};

/// What Envoy's route says of its policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// The value of the route's metadata `realtime_byok.policy`, as bytes.
    Metadata(Vec<u8>),
    /// The route has no such metadata; its name, which may be empty.
    Name(Vec<u8>),
    /// The route has no such metadata, and its name does not matter.
    Unnamed,
}

/// What happens to the requests of a route.
pub enum Guard {
    /// They pass as they are: `auth: "off"`.
    Off,
    /// They are admitted under this policy.
    On(Arc<Policy>),
}

/// The rules of one policy.
pub struct Policy {
    /// The name.
    pub name: String,
    /// The provider of requests that name none.
    pub default_provider: Arc<Provider>,
    /// The providers that a model's prefix can name beside it.
    pub other_providers: Vec<Arc<Provider>>,
    /// The models that may be used.
    pub models: NameRule,
    /// Other names for models; a target may begin with a provider's name and a slash.
    pub aliases: Vec<(String, String)>,
    /// What a session may use up.
    pub limits: SessionLimits,
    /// Session fields that a client may not change.
    pub lock: Lock,
    /// Session fields that are set before its client says anything.
    pub preset: Option<Preset>,
    /// Session fields that a client does not get to see.
    pub hide: Hide,
    /// What clients may do with calls.
    pub calls: CallRules,
    /// Whether sessions are followed, and what they use counted.
    pub is_metered: bool,
    /// What becomes of sessions when their tokens are good no more.
    pub token_end: TokenEnd,
}

/// What becomes of a session when the token that it began with is good no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenEnd {
    /// It ends with that.
    #[default]
    EndsSessions,
    /// It goes on.
    Outlived,
}

impl Policy {
    /// Whether a model's name may decide the provider.
    pub fn has_several_providers(&self) -> bool {
        !self.other_providers.is_empty()
    }

    /// Whether any provider of the policy is of this kind.
    pub fn has_kind(&self, kind: impl Fn(&ProviderKind) -> bool) -> bool {
        self.providers().any(|provider| kind(&provider.kind))
    }

    /// Every provider of the policy, the default one first.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        std::iter::once(&self.default_provider).chain(&self.other_providers)
    }
}

/// All policies of a configuration.
#[derive(Default)]
pub struct Policies {
    default: Option<Guard>,
    /// All others.
    named: BTreeMap<Box<[u8]>, Guard>,
}

impl Policies {
    /// All policies that ask for something.
    pub fn guarded(&self) -> impl Iterator<Item = &Policy> {
        self.default.iter().chain(self.named.values()).filter_map(|handling| match handling {
            Guard::On(policy) => Some(&**policy),
            Guard::Off => None,
        })
    }

    /// The policy of a route: the one that its metadata names, else the one of its name, else `default`. What metadata
    /// names must exist.
    pub fn find(&self, route: &Route) -> Option<&Guard> {
        let default = self.default.as_ref();
        let named = |name: &[u8]| if name == b"default" { default } else { self.named.get(name) };
        match route {
            Route::Metadata(name) => named(name),
            Route::Name(name) => named(name).or(default),
            Route::Unnamed => default,
        }
    }

    /// Whether a route's name can decide its policy.
    pub fn need_names(&self) -> bool {
        !self.named.is_empty()
    }
}

impl FromIterator<(String, Guard)> for Policies {
    fn from_iter<I: IntoIterator<Item = (String, Guard)>>(policies: I) -> Self {
        let mut named: BTreeMap<Box<[u8]>, _> =
            policies.into_iter().map(|(name, guard)| (name.into_bytes().into(), guard)).collect();
        Self { default: named.remove(b"default".as_slice()), named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_decides_then_the_name_then_default() {
        let policies = |with_default: bool| -> Policies {
            let names = if with_default { vec!["a", "default"] } else { vec!["a"] };
            names.into_iter().map(|name| (name.to_owned(), Guard::Off)).collect()
        };
        for (route, with_default, found) in [
            (Route::Metadata(b"a".to_vec()), false, true),
            (Route::Metadata(b"b".to_vec()), true, false),
            (Route::Metadata(b"".to_vec()), true, false),
            (Route::Metadata(b"\xff".to_vec()), true, false),
            (Route::Name(b"a".to_vec()), false, true),
            (Route::Name(b"b".to_vec()), true, true),
            (Route::Name(b"\xff".to_vec()), true, true),
            (Route::Name(b"".to_vec()), false, false),
            (Route::Unnamed, true, true),
            (Route::Unnamed, false, false),
        ] {
            assert_eq!(policies(with_default).find(&route).is_some(), found, "{route:?}");
        }
    }
}
