//! The configuration as it is written: types without any judgement beyond their shape.
//!
//! With the feature `schema` they also give the JSON Schema, whose descriptions are the comments here.

mod identity;
mod members;
#[cfg(feature = "schema")]
mod one_of;
mod policy;
#[cfg(feature = "schema")]
mod schema;
mod session_fields;
mod value;

pub use policy::{Auth, Calls, Permission, Policy, SessionLimits};
pub use session_fields::{Lock, LockRules, OnChange, Preset};
pub use value::{Named, SecretText, Span, Time};

pub use identity::{Identity, Present, User};

/// The configuration of the realtime-byok filter.
#[derive(Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
pub struct Raw {
    /// Where clients put their gateway token.
    pub gateway: Gateway,
    /// The providers, by name. A model may begin with the name of one and a slash: `azure-eu/gpt-realtime`.
    pub providers: Named<Provider>,
    /// Who may come in, by name; names go to logs and metrics.
    pub callers: Named<Caller>,
    /// What holds on a route, by name. A route's policy is the one that its metadata names at `realtime_byok.policy`,
    /// else the one of the route's name, else `default`; without any of them requests are refused.
    pub policies: Named<Policy>,
    /// What models cost, in USD per million tokens, by glob; the longest glob that matches wins.
    pub prices: Option<Named<Price>>,
    /// Secrets for clients that are worthless elsewhere.
    pub client_secrets: ClientSecrets,
    /// The control API.
    pub control: Option<Control>,
    /// Quotas in the mesh's rate-limit service. Refused by this version.
    pub quota: Option<Quota>,
    /// Events to a backend. Refused by this version.
    pub events: Option<Events>,
    /// Makes this an instance in front of others, which has no other setting.
    pub present: Option<Present>,
}

/// Where clients put their gateway token.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
pub struct Gateway {
    /// The header that takes a token: `Bearer <token>` or the bare token. Never sent on.
    pub header: String,
    /// The WebSocket subprotocol that takes a token: `<name>.<token>`, or `<name>-base64url.<token in base64url>` for
    /// tokens with characters that a subprotocol may not hold. Never sent on.
    pub subprotocol: String,
    /// Whether a token is also read where SDKs put the provider's API key: `authorization`, `api-key`, `api_key`,
    /// `x-api-key`, `x-goog-api-key`, the subprotocols `openai-insecure-api-key.` and `xai-client-secret.`, and Google's
    /// query parameter `key`. These are never sent on, whatever this says.
    pub accept_provider_slot: bool,
    /// More request headers that never reach a provider.
    pub strip_headers: Vec<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            header: "cf-aig-authorization".into(),
            subprotocol: "cf-aig-authorization".into(),
            accept_provider_slot: true,
            strip_headers: Vec::new(),
        }
    }
}

/// A provider and its credential: exactly one of `key` and `keys`, and with kind `custom` exactly one of `header` and
/// `query`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = one_of::one_key))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Provider {
    /// What it is, which decides where its key goes.
    pub kind: ProviderKind,
    /// Its key. Either this or `keys`.
    pub key: Option<Key>,
    /// A pool of at least one key, instead of `key`; one is drawn for every request, at random by weight.
    pub keys: Option<Vec<PoolKey>>,
    /// Only with `keys`: how long a key rests that the provider has refused (401, 403) or that is over its rate (429), as long as
    /// another is left; twice as long each time that this goes on, up to 10 minutes. Without this: 30 seconds.
    pub cool_down: Option<Span>,
    /// Only with kind `openai`: sent as `openai-organization`.
    pub organization: Option<String>,
    /// Only with kind `openai`: sent as `openai-project`.
    pub project: Option<String>,
    /// Only with kind `custom`: the header that takes the key. Either this or `query`. A client's own header of this name
    /// is never sent on.
    pub header: Option<CustomHeader>,
    /// Only with kind `custom`: the query parameter that takes the key, instead of `header`. A client's own parameter of
    /// this name is never sent on.
    pub query: Option<String>,
}

/// The kinds of providers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum ProviderKind {
    /// OpenAI: `authorization: Bearer <key>`, and `openai-organization`, `openai-project` where configured.
    #[cfg_attr(feature = "schema", schemars(rename = "openai"))]
    OpenAi,
    /// OpenAI's models on Azure: `api-key: <key>`.
    #[cfg_attr(feature = "schema", schemars(rename = "azure_openai"))]
    AzureOpenAi,
    /// xAI: `authorization: Bearer <key>`.
    Xai,
    /// Google's Gemini: `x-goog-api-key: <key>`.
    Gemini,
    /// Anthropic: `x-api-key: <key>`.
    Anthropic,
    /// Any other: as `header` or `query` says.
    Custom,
}

/// The header of a `custom` provider.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct CustomHeader {
    /// The header's name.
    pub name: String,
    /// What stands before the key, with the space between them: `"Token "`.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub prefix: String,
}

/// One key of a pool.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct PoolKey {
    /// Its name, unique in the pool.
    pub name: String,
    /// The key, which in a pool cannot be `external`.
    pub key: Key,
    /// Its share of the requests, beside those of the others.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[cfg_attr(feature = "schema", schemars(default = "one"))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// Where a key comes from: `external`, or one of `env`, `value` and `base64`.
pub enum Key {
    /// A later filter adds the credential.
    External,
    /// The filter holds it.
    Held(SecretSource),
}

/// A secret: exactly one of these. It must be ASCII, without control characters and without white space at either end.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = one_of::one_source))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct SecretSource {
    /// The name of an environment variable of the VM, which must be set: list it in Envoy's
    /// `environment_variables.host_env_keys` (Istio: `vmConfig.env`).
    pub env: Option<String>,
    /// The secret itself. Envoy's `/config_dump` shows it, and a warning is logged.
    pub value: Option<SecretText>,
    /// The secret itself in base64. Envoy's `/config_dump` shows it, and a warning is logged.
    pub base64: Option<SecretText>,
}

/// A gateway token: exactly one of `sha256`, `env`, `value` and `base64`, and when it is good. It must be ASCII, without
/// commas, control characters and white space at either end, and have at least 8 characters; fewer than 20 are a warning.
/// No two callers may have the same.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = one_of::one_source_or_digest))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Token {
    /// The SHA-256 digest of the token, 64 hex digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9A-Fa-f]{64}$")))]
    pub sha256: Option<SecretText>,
    /// The name of an environment variable of the VM, which must be set: list it in Envoy's
    /// `environment_variables.host_env_keys` (Istio: `vmConfig.env`).
    pub env: Option<String>,
    /// The token itself. Envoy's `/config_dump` shows it, and a warning is logged.
    #[cfg_attr(feature = "schema", schemars(length(min = 8)))]
    pub value: Option<SecretText>,
    /// The token itself in base64. Envoy's `/config_dump` shows it, and a warning is logged.
    #[cfg_attr(feature = "schema", schemars(length(min = 12)))]
    pub base64: Option<SecretText>,
    /// The first moment at which it is good; before, it is unknown.
    pub not_before: Option<Time>,
    /// The first moment at which it is good no more.
    pub not_after: Option<Time>,
}

/// Who may come in.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = one_of::some_way_in))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Caller {
    /// Its tokens; several, so that they can be rotated. It needs one, or an identity.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub tokens: Vec<Token>,
    /// What Envoy has verified of its requests, which then need no token. One that is so decides, whatever tokens a request
    /// has beside it.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub identities: Vec<Identity>,
    /// The property that names the user of its requests, for records, client secrets and the access log. A client secret's
    /// own user wins.
    pub user: Option<User>,
    /// The names of the policies that it may use. Without this: all.
    pub policies: Option<Vec<String>>,
    /// Globs of the models that it may use, beside what the policy says. Without this: all.
    pub models: Option<Vec<String>>,
    /// Globs of the origins that may connect in its name (`https://app.example.com`), checked when a request has an
    /// `Origin`. Without this: all.
    pub origins: Option<Vec<String>>,
    /// What it may use up, counted by all of Envoy's workers together.
    pub limits: Option<CallerLimits>,
}

/// What a caller may use up.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct CallerLimits {
    /// Sessions at a time.
    pub concurrent_sessions: Option<u32>,
    /// Sessions that may start in a minute.
    pub sessions_per_minute: Option<u32>,
    /// Tokens in a day, UTC.
    pub tokens_per_day: Option<u64>,
    /// US dollars in a day, UTC. Needs `prices`.
    pub cost_usd_per_day: Option<f64>,
}

/// USD per million tokens, and per minute of audio. It names one rate at least.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Price {
    /// Text that goes in.
    pub input_text: Option<f64>,
    /// Text that goes in and was cached; without it, as `input_text`.
    pub input_cached_text: Option<f64>,
    /// Text that goes in and is written to the provider's cache; without it, as `input_text`.
    pub input_cache_write_text: Option<f64>,
    /// Audio that goes in.
    pub input_audio: Option<f64>,
    /// Audio that goes in and was cached; without it, as `input_audio`.
    pub input_cached_audio: Option<f64>,
    /// Images that go in.
    pub input_image: Option<f64>,
    /// Images that go in and were cached; without it, as `input_image`.
    pub input_cached_image: Option<f64>,
    /// Text that comes out.
    pub output_text: Option<f64>,
    /// Audio that comes out.
    pub output_audio: Option<f64>,
    /// A minute of audio, where the provider tells a duration instead of tokens, as of `whisper-1`.
    pub audio_minute: Option<f64>,
}

/// Secrets for clients that are worthless elsewhere.
#[derive(Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
pub struct ClientSecrets {
    /// How they are made.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "off")))]
    pub mode: SecretMode,
    /// 32 bytes each, in base64, as `openssl rand -base64 32` makes them. The first seals, all open, so that a new one can be
    /// put in front of one whose secrets are still out. With `mode: off` they only open.
    pub sealing_keys: Vec<SecretSource>,
    /// The longest that a secret may be good; 10m without this.
    pub max_ttl: Option<Span>,
}

/// How client secrets are made.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum SecretMode {
    /// They are not: the paths that mint are refused. In YAML, `off` needs quotes.
    #[default]
    Off,
    /// Around the upstream's own.
    Sealed,
    /// By the gateway alone.
    Local,
}

/// The control API.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Control {
    /// The path that it lives under.
    pub path: String,
    /// Its own token.
    pub token: Token,
}

/// Quotas in the mesh's rate-limit service.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Quota {
    /// Envoy's cluster of the service.
    pub cluster: String,
    /// The domain of its descriptors.
    pub domain: String,
    /// How long an answer may take.
    pub timeout: Option<Span>,
    /// What happens without one.
    pub on_error: Option<OnError>,
}

/// Events to a backend.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Events {
    /// Envoy's cluster of the backend.
    pub cluster: String,
    /// The `:authority` of the requests.
    pub authority: String,
    /// Their path.
    pub path: String,
    /// How often a running session is reported.
    pub interval: Option<Span>,
    /// What they are signed with.
    pub signing_key: Option<SecretSource>,
    /// How long an answer may take.
    pub timeout: Option<Span>,
    /// What happens without one.
    pub on_error: Option<OnError>,
    /// How many events may wait.
    pub queue: Option<u32>,
}

/// What happens when a service cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum OnError {
    /// Requests are refused.
    Deny,
    /// Requests go on.
    Allow,
}
