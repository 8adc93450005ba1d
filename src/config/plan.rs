//! The plan: a configuration whose names resolve and whose secrets are there, valid by construction. An instance in front
//! of others has its own, in `presenter`.

mod caller;
mod client_secret;
mod gateway;
mod identity;
mod limits;
mod policy;
mod presenter;
mod provider;
mod secret;
mod session_fields;
mod standing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::decode::{Declared, Decoded};
use super::error::Errors;
use super::found;
use super::path::Path;
use super::raw::Raw;
use crate::client_secret::sealing::SealingKeys;
use crate::credential::{Callers, GatewaySettings, Presenter, Strip, Validity};
use crate::name_rule::NameRule;
use crate::policy::Policies;
use crate::secret::Digest;
use crate::usage::PriceList;
use secret::{SecretReader, Variables};

pub use standing::{BeganWith, Standing};

/// Everything that the filter goes by.
pub struct Plan {
    /// Where gateway tokens are looked for.
    pub gateway: GatewaySettings,
    /// What goes no further.
    pub strip: Strip,
    /// Who may come in.
    pub callers: Callers,
    /// What holds on which route.
    pub policies: Policies,
    /// Client secrets, if there is a key for them.
    pub secrets: Option<Secrets>,
    /// What models cost.
    pub prices: Arc<PriceList>,
    /// The control API, if there is one.
    pub control: Option<Control>,
}

/// Which of the configurations that a worker had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigurationId(pub(crate) u32);

/// One of the configurations that a worker had, under which streams begin.
#[derive(Clone)]
pub struct Configuration {
    /// Which one.
    pub id: ConfigurationId,
    /// What it says.
    pub instance: Instance,
}

/// What the filter is where it stands in a chain.
#[derive(Clone)]
pub enum Instance {
    /// The gateway.
    Gateway(Arc<Plan>),
    /// One in front of it, which only copies credentials.
    Presenter(Arc<Presenter>),
}

/// Where sessions are listed and stopped, and by whom.
pub struct Control {
    /// The path that it lives under, without a slash at its end.
    pub path: String,
    /// The token's digest.
    pub token: Digest,
    /// When the token is good.
    pub validity: Validity,
}

/// Client secrets: what seals and opens them, and whether they are minted here.
pub struct Secrets {
    /// The first seals, all open.
    pub keys: SealingKeys,
    /// Whether and how they are minted.
    pub minting: MintMode,
    /// The longest that one may be good.
    pub max_ttl: Duration,
}

/// How client secrets are minted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MintMode {
    /// They are not.
    Off,
    /// Around the upstream's own.
    Sealed,
    /// By the gateway alone.
    Local,
}

/// What a configuration says, and its warnings.
pub struct Planned {
    /// What the filter is by it.
    pub instance: Instance,
    /// What is right, but not wise.
    pub warnings: Vec<String>,
}

/// Builds the plan of what fits.
///
/// # Errors
///
/// All that is wrong, what did not decode included.
pub(crate) fn build(decoded: Decoded, variable: Variables<'_>) -> Result<Planned, Errors> {
    let mut errors = Errors::default();
    let mut warnings = Vec::new();
    let reader = SecretReader { variable, errors: &mut errors, warnings: &mut warnings };
    let mut builder = Builder { reader, declared: &decoded.declared };
    let instance = match &decoded.raw.present {
        Some(raw) => Instance::Presenter(Arc::new(builder.presenter(&Path::default().key("present"), raw))),
        None => Instance::Gateway(Arc::new(builder.plan(&decoded.raw))),
    };
    let mut all = decoded.errors.clone();
    for error in errors.iter() {
        let path = decoded.original(&error.path);
        if !decoded.is_omitted_below(&path) {
            all.add(&path, error.message.clone());
        }
    }
    if all.is_empty() { Ok(Planned { instance, warnings }) } else { Err(all) }
}

impl Instance {
    /// What a gateway goes by.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        match self {
            Self::Gateway(plan) => Some(plan),
            Self::Presenter(_) => None,
        }
    }
}

pub(super) struct Builder<'a> {
    pub(super) reader: SecretReader<'a>,
    pub(super) declared: &'a Declared,
}

impl Builder<'_> {
    fn plan(&mut self, raw: &Raw) -> Plan {
        let top = Path::default();
        self.refuse_what_is_not_in_force(raw);
        let gateway = self.gateway(&top.key("gateway"), &raw.gateway);
        let mut providers = Vec::new();
        for (name, provider) in &raw.providers.0 {
            let provider = self.provider(&top.key("providers").key(name), name, provider);
            providers.extend(provider.map(Arc::new));
        }
        let policies = raw
            .policies
            .0
            .iter()
            .filter_map(|(name, policy)| {
                let handling = self.policy(&top.key("policies").key(name), name, policy, &providers)?;
                Some((name.clone(), handling))
            })
            .collect();
        let strip = self.strip(&top.key("gateway").key("strip_headers"), raw);
        let callers = self.callers(&top.key("callers"), &raw.callers.0);
        let secrets = self.client_secrets(&top.key("client_secrets"), &raw.client_secrets);
        let prices = Arc::new(self.prices(&top.key("prices"), raw.prices.as_ref()));
        let control = raw.control.as_ref().and_then(|raw| self.control(&top.key("control"), raw, &callers));
        Plan { gateway, strip, callers, policies, secrets, prices, control }
    }

    pub(super) fn error(&mut self, path: &Path, message: impl Into<String>) {
        self.reader.errors.add(path, message);
    }

    pub(super) fn warn(&mut self, path: &Path, message: impl fmt::Display) {
        self.reader.warn(path, message);
    }

    /// What is understood and not done yet must not be taken for done.
    fn refuse_what_is_not_in_force(&mut self, raw: &Raw) {
        let top = Path::default();
        for (name, is_given) in [("quota", raw.quota.is_some()), ("events", raw.events.is_some())] {
            if is_given {
                self.error(&top.key(name), "this version does not do this yet; remove it");
            }
        }
    }

    /// Globs of models' names.
    pub(super) fn models(&mut self, path: &Path, patterns: Option<&Vec<String>>) -> NameRule {
        for (index, pattern) in patterns.into_iter().flatten().enumerate().filter(|(_, pattern)| is_like_regex(pattern))
        {
            let message = format!(
                "{} looks like a regular expression; this is a glob: * stands for any characters, ? for one, all others for \
                 themselves",
                found::text(pattern)
            );
            self.warn(&path.index(index), message);
        }
        self.globs(path, patterns)
    }

    pub(super) fn globs(&mut self, path: &Path, patterns: Option<&Vec<String>>) -> NameRule {
        let Some(patterns) = patterns else { return NameRule::Any };
        for (index, pattern) in patterns.iter().enumerate() {
            if pattern.is_empty() {
                self.error(&path.index(index), "empty; expected a glob such as gpt-realtime*");
            }
        }
        NameRule::globs(patterns)
    }
}

/// Whether a glob has what no model's name has, and regular expressions have.
fn is_like_regex(glob: &str) -> bool {
    glob.contains(['^', '$', '|', '\\', '(', ')', '[', ']', '{', '}']) || glob.contains(".*") || glob.contains(".+")
}

pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
