//! The plan: a configuration whose names resolve and whose secrets are there, valid by construction.

mod caller;
mod limits;
mod secret;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::error::Errors;
use super::path::Path;
use super::raw::{self, Raw, SecretMode};
use super::shape::{Declared, Decoded};
use crate::client_secret::sealing::{SealingKey, SealingKeyError, SealingKeys};
use crate::credential::{Callers, GatewaySlot, Strip, Validity};
use crate::http::is_token;
use crate::name_rule::NameRule;
use crate::policy::{Credential, Guard, Key, KeyPool, Placement, Policies, Policy, Provider, ProviderKind};
use crate::secret::Digest;
use crate::usage::PriceList;
use secret::{SecretReader, Variables};

/// Everything that the filter goes by.
pub struct Plan {
    /// Where gateway tokens are looked for.
    pub gateway: GatewaySlot,
    /// What goes no further.
    pub strip: Strip,
    /// Who may come in.
    pub callers: Callers,
    /// What holds on which route.
    pub policies: Policies,
    /// Client secrets, if there is a key for them.
    pub secrets: Option<Secrets>,
    /// What models cost.
    pub prices: PriceList,
    /// The control API, if there is one.
    pub control: Option<Control>,
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

/// A plan, and what its configuration should be told of.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What is right, but not wise.
    pub warnings: Vec<String>,
}

/// The longest that a client secret is good, where the configuration does not say.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(600);

/// Headers that carry the message itself, or that the filter sets.
const RESERVED_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-realtime-byok-provider",
];

/// Headers that the filter reads for what they say.
const READ_HEADERS: [&str; 3] = ["content-encoding", "content-type", "origin"];

/// Builds the plan of what fits; all errors, those of the shape included, come together.
pub(crate) fn build(shaped: Decoded, variable: Variables<'_>) -> Result<Planned, Errors> {
    let mut errors = Errors::default();
    let mut warnings = Vec::new();
    let reader = SecretReader { variable, errors: &mut errors, warnings: &mut warnings };
    let mut builder = Builder { reader, declared: &shaped.declared };
    let plan = builder.plan(&shaped.raw);
    let mut all = shaped.errors.clone();
    for error in errors.iter() {
        let path = shaped.original(&error.path);
        if !shaped.is_omitted_below(&path) {
            all.add(&path, error.message.clone());
        }
    }
    if all.is_empty() { Ok(Planned { plan, warnings }) } else { Err(all) }
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
        let secrets = self.secrets(&top.key("client_secrets"), &raw.client_secrets);
        let prices = self.prices(&top.key("prices"), raw.prices.as_ref());
        let control = raw.control.as_ref().and_then(|raw| self.control(&top.key("control"), raw, &callers));
        Plan { gateway, strip, callers, policies, secrets, prices, control }
    }

    pub(super) fn error(&mut self, path: &Path, message: impl Into<String>) {
        self.reader.errors.add(path, message);
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

    fn gateway(&mut self, path: &Path, raw: &raw::Gateway) -> GatewaySlot {
        self.header_name(&path.key("header"), &raw.header);
        if READ_HEADERS.contains(&raw.header.to_ascii_lowercase().as_str()) {
            self.error(&path.key("header"), format!("{} says something else, and cannot hold the token", raw.header));
        }
        if !is_token(raw.subprotocol.as_bytes()) {
            self.error(&path.key("subprotocol"), "not a token (RFC 9110 section 5.6.2)");
        }
        GatewaySlot::new(&raw.header, &raw.subprotocol, raw.accept_provider_slot)
    }

    fn strip(&mut self, path: &Path, raw: &Raw) -> Strip {
        let mut headers = Vec::new();
        for (index, name) in raw.gateway.strip_headers.iter().enumerate() {
            self.header_name(&path.index(index), name);
            headers.push(name.to_ascii_lowercase());
        }
        let custom = raw.providers.0.iter().filter_map(|(_, provider)| provider.header.as_ref());
        headers.extend(custom.map(|header| header.name.to_ascii_lowercase()));
        let params = raw.providers.0.iter().filter_map(|(_, provider)| provider.query.as_ref());
        Strip { headers, params: params.map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn header_name(&mut self, path: &Path, name: &str) {
        if !is_token(name.as_bytes()) {
            self.error(path, "not a header name (RFC 9110 section 5.1)");
        } else if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            self.error(path, format!("{name} carries the message itself, and cannot be used here"));
        }
    }

    fn provider(&mut self, path: &Path, name: &str, raw: &raw::Provider) -> Option<Provider> {
        if name.is_empty() || name.contains('/') {
            self.error(
                path,
                "a provider's name stands before a slash in a model's: it must have characters, and no slash",
            );
        }
        let kind = self.kind(path, raw);
        let account = self.account(path, raw);
        let credential = self.credential(path, raw, kind.as_ref());
        Some(Provider { name: name.to_owned(), kind: kind?, credential: credential?, account })
    }

    fn kind(&mut self, path: &Path, raw: &raw::Provider) -> Option<ProviderKind> {
        if raw.kind != raw::ProviderKind::Custom {
            for (name, is_given) in [("header", raw.header.is_some()), ("query", raw.query.is_some())] {
                if is_given {
                    self.error(&path.key(name), "only a provider of kind \"custom\" has this");
                }
            }
        }
        match raw.kind {
            raw::ProviderKind::OpenAi => Some(ProviderKind::OpenAi),
            raw::ProviderKind::AzureOpenAi => Some(ProviderKind::AzureOpenAi),
            raw::ProviderKind::Xai => Some(ProviderKind::Xai),
            raw::ProviderKind::Gemini => Some(ProviderKind::Gemini),
            raw::ProviderKind::Anthropic => Some(ProviderKind::Anthropic),
            raw::ProviderKind::Custom => self.placement(path, raw).map(ProviderKind::Custom),
        }
    }

    fn placement(&mut self, path: &Path, raw: &raw::Provider) -> Option<Placement> {
        match (&raw.header, &raw.query) {
            (Some(header), None) => {
                let path = path.key("header");
                self.header_name(&path.key("name"), &header.name);
                if !header.prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                    self.error(&path.key("prefix"), "holds a character that a header value cannot");
                }
                let name = Cow::Owned(header.name.to_ascii_lowercase());
                Some(Placement::Header { name, prefix: Cow::Owned(header.prefix.clone()) })
            }
            (None, Some(query)) if query.is_empty() => {
                self.error(&path.key("query"), "empty; expected a parameter's name");
                None
            }
            (None, Some(query)) => {
                if !matches!(raw.key, Some(raw::Key::External)) {
                    let path = path.key("query");
                    let warning = format!("{path}: a log of the whole path shows this key; log it without its query");
                    self.reader.warnings.push(warning);
                }
                Some(Placement::Query(query.clone()))
            }
            _ => {
                self.error(path, "a provider of kind \"custom\" needs one of header and query");
                None
            }
        }
    }

    fn account(&mut self, path: &Path, raw: &raw::Provider) -> Vec<(&'static str, String)> {
        let mut account = Vec::new();
        let settings =
            [("organization", "openai-organization", &raw.organization), ("project", "openai-project", &raw.project)];
        for (name, header, value) in settings {
            let Some(value) = value else { continue };
            if raw.kind != raw::ProviderKind::OpenAi {
                self.error(&path.key(name), "only a provider of kind \"openai\" has this");
            } else if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.error(&path.key(name), "not an identifier such as org-a1b2");
            }
            account.push((header, value.clone()));
        }
        account
    }

    fn credential(&mut self, path: &Path, raw: &raw::Provider, kind: Option<&ProviderKind>) -> Option<Credential> {
        match (&raw.key, &raw.keys) {
            (Some(raw::Key::External), None) => Some(Credential::External),
            (Some(raw::Key::Held(source)), None) => {
                let secret = self.reader.key(&path.key("key"), source)?;
                let placement = kind?.placement();
                let key = Key { value: placement.value(&secret), weight: 1 };
                Some(Credential::Keys(placement, KeyPool::new(key, Vec::new())))
            }
            (None, Some(keys)) => self.pool(&path.key("keys"), keys, kind?.placement()),
            _ => {
                self.error(path, "needs one of key and keys");
                None
            }
        }
    }

    fn pool(&mut self, path: &Path, raw: &[raw::PoolKey], placement: Placement) -> Option<Credential> {
        let mut names: Vec<&str> = Vec::new();
        let mut keys = Vec::new();
        for (index, raw) in raw.iter().enumerate() {
            let path = path.index(index);
            if names.contains(&raw.name.as_str()) {
                self.error(&path.key("name"), format!("the pool has a key named \"{}\" already", raw.name));
            }
            names.push(&raw.name);
            if raw.weight == 0 {
                self.error(&path.key("weight"), "found 0, expected at least 1");
            }
            match &raw.key {
                raw::Key::External => self.error(&path.key("key"), "a key of a pool cannot be external"),
                raw::Key::Held(source) => {
                    let secret = self.reader.key(&path.key("key"), source);
                    keys.extend(secret.map(|secret| Key { value: placement.value(&secret), weight: raw.weight }));
                }
            }
        }
        if raw.is_empty() {
            self.error(path, "found no key, expected at least one");
        }
        let mut keys = keys.into_iter();
        let first = keys.next()?;
        Some(Credential::Keys(placement, KeyPool::new(first, keys.collect())))
    }

    fn policy(&mut self, path: &Path, name: &str, raw: &raw::Policy, providers: &[Arc<Provider>]) -> Option<Guard> {
        if raw.auth == Some(raw::Auth::Off) {
            let others = [raw.provider.is_some(), raw.providers.is_some(), raw.models.is_some()].contains(&true)
                || [raw.session.is_some(), raw.lock.is_some(), raw.meter.is_some()].contains(&true);
            if others || !raw.aliases.0.is_empty() {
                self.error(path, "with auth \"off\" requests pass as they are; remove the other settings");
            }
            return Some(Guard::Off);
        }
        let names = self.provider_names(path, raw);
        for (from, to) in &raw.aliases.0 {
            if from.is_empty() || to.is_empty() {
                self.error(&path.key("aliases").key(from), "empty; expected a model's name on both sides");
            }
        }
        let models = self.globs(&path.key("models"), raw.models.as_ref());
        let mut chosen = names.iter().filter_map(|name| providers.iter().find(|known| known.name == *name)).cloned();
        let limits = self.session_limits(&path.key("session"), raw.session.as_ref());
        let policy = Policy {
            name: name.to_owned(),
            default_provider: chosen.next()?,
            other_providers: chosen.collect(),
            models,
            aliases: raw.aliases.0.clone(),
            limits,
            lock: self.lock(&path.key("lock"), raw.lock.as_ref()),
            is_metered: self.metered(path, raw),
        };
        let is_unknown = |provider: &&Arc<Provider>| matches!(provider.kind, ProviderKind::Gemini);
        if (limits.max_tokens.is_some() || limits.max_cost.is_some())
            && let Some(provider) = policy.providers().find(is_unknown)
        {
            let warning = format!(
                "{}: what sessions use at \"{}\" is not known, so that its tokens and dollars limit nothing",
                path.key("session"),
                provider.name
            );
            self.reader.warnings.push(warning);
        }
        Some(Guard::On(Arc::new(policy)))
    }

    fn provider_names(&mut self, path: &Path, raw: &raw::Policy) -> Vec<String> {
        let named: Vec<(Path, &String)> = match (&raw.provider, &raw.providers) {
            (Some(name), None) => vec![(path.key("provider"), name)],
            (None, Some(names)) => {
                let path = path.key("providers");
                names.iter().enumerate().map(|(index, name)| (path.index(index), name)).collect()
            }
            _ => {
                self.error(path, "needs one of provider and providers, or auth: \"off\"");
                return Vec::new();
            }
        };
        if named.is_empty() {
            self.error(&path.key("providers"), "found no provider, expected at least one");
        }
        let mut seen: Vec<&String> = Vec::new();
        for (path, name) in &named {
            if !self.declared.providers.contains(*name) {
                let known = listed(&self.declared.providers);
                self.error(path, format!("no provider is named \"{name}\"; known: {known}"));
            } else if seen.contains(name) {
                self.error(path, format!("\"{name}\" is listed already"));
            }
            seen.push(name);
        }
        named.into_iter().map(|(_, name)| name.clone()).collect()
    }

    fn secrets(&mut self, path: &Path, raw: &raw::ClientSecrets) -> Option<Secrets> {
        let mut keys = Vec::new();
        for (index, source) in raw.sealing_keys.iter().enumerate() {
            keys.extend(self.sealing_key(&path.key("sealing_keys").index(index), source));
        }
        let minting = match raw.mode {
            SecretMode::Off => MintMode::Off,
            SecretMode::Sealed => MintMode::Sealed,
            SecretMode::Local => MintMode::Local,
        };
        if minting != MintMode::Off && raw.sealing_keys.is_empty() {
            self.error(&path.key("sealing_keys"), "found no key, expected at least one: openssl rand -base64 32");
        }
        let max_ttl = raw.max_ttl.map_or(DEFAULT_MAX_TTL, |span| span.0);
        if minting == MintMode::Off && raw.max_ttl.is_some() {
            self.error(&path.key("max_ttl"), "does nothing while mode is off; remove it");
        }
        if max_ttl < Duration::from_secs(1) {
            self.error(&path.key("max_ttl"), "found less than a second, expected a duration such as 10m");
        }
        let mut keys = keys.into_iter();
        let keys = SealingKeys::new(keys.next()?, keys.collect());
        Some(Secrets { keys, minting, max_ttl })
    }

    fn sealing_key(&mut self, path: &Path, source: &raw::SecretSource) -> Option<SealingKey> {
        let text = self.reader.sealing_key(path, source)?;
        match SealingKey::from_base64(text.expose()) {
            Ok(key) => Some(key),
            Err(SealingKeyError::NotBase64) => {
                self.error(path, "not base64; expected 32 bytes in base64: openssl rand -base64 32");
                None
            }
            Err(SealingKeyError::Length(length)) => {
                self.error(path, format!("found {length} bytes, expected 32 in base64: openssl rand -base64 32"));
                None
            }
        }
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

pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
