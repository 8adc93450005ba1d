//! The configuration as it is written: serde types without any judgement beyond their shape.
//!
//! With the feature `schema` they also give the JSON Schema, whose descriptions are the comments here.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

/// The configuration of the realtime-byok filter.
#[derive(Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Where clients put their gateway token.
    pub gateway: Gateway,
    /// The providers, by name; a model may begin with one: `azure-eu/gpt-realtime`.
    pub providers: Named<Provider>,
    /// Who may come in, by name; names go to logs and metrics.
    pub callers: Named<Caller>,
    /// What holds on a route; found by route metadata, then by the route's name, then `default`.
    pub policies: Named<Policy>,
    /// USD per million tokens, by model glob; the longest glob that matches wins.
    pub prices: Option<Named<Price>>,
    /// Secrets for clients that are worthless elsewhere.
    pub client_secrets: ClientSecrets,
    /// The control API.
    pub control: Option<Control>,
    /// Quotas in the mesh's rate-limit service.
    pub quota: Option<Quota>,
    /// Events to a backend.
    pub events: Option<Events>,
}

/// Where clients put their gateway token.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// The gateway header: `Bearer <token>` or the bare token.
    pub header: String,
    /// The gateway subprotocol: `<name>.<token>`, or `<name>-base64url.<token in base64url>`.
    pub subprotocol: String,
    /// Whether the token may stand where SDKs put the provider's API key.
    pub accept_provider_slot: bool,
    /// More request headers that never reach an upstream.
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

/// A provider and its credential.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What it is, which decides where its credential goes.
    pub kind: ProviderKind,
    /// Its key. Either this or `keys`.
    pub key: Option<Key>,
    /// A weighted pool of keys; one is drawn for every request.
    pub keys: Option<Vec<PoolKey>>,
    /// `openai` only: sent as `openai-organization`.
    pub organization: Option<String>,
    /// `openai` only: sent as `openai-project`.
    pub project: Option<String>,
    /// `custom` only: the header that takes the key. Either this or `query`.
    pub header: Option<CustomHeader>,
    /// `custom` only: the query parameter that takes the key.
    pub query: Option<String>,
}

/// The kinds of providers.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// `authorization: Bearer <key>`
    #[serde(rename = "openai")]
    OpenAi,
    /// `api-key: <key>`
    #[serde(rename = "azure_openai")]
    AzureOpenAi,
    /// `authorization: Bearer <key>`
    Xai,
    /// `x-goog-api-key: <key>`
    Gemini,
    /// `x-api-key: <key>`
    Anthropic,
    /// As `header` or `query` say.
    Custom,
}

/// The header of a `custom` provider.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomHeader {
    /// The header's name.
    pub name: String,
    /// What stands before the key, such as `Bearer ` with its space.
    #[serde(default)]
    pub prefix: String,
}

/// One key of a pool.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolKey {
    /// Its name, unique in the pool.
    pub name: String,
    /// The key.
    pub key: Key,
    /// Its share of the requests, at least 1.
    #[serde(default = "one")]
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

/// A secret: exactly one of these.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// The name of an environment variable of the VM.
    pub env: Option<String>,
    /// The secret itself. Envoy's `/config_dump` shows it.
    pub value: Option<SecretText>,
    /// The secret itself in base64. Envoy's `/config_dump` shows it.
    pub base64: Option<SecretText>,
}

/// A gateway token: exactly one of `sha256`, `env`, `value`, `base64`, and when it is good.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The SHA-256 digest of the token, 64 hex digits.
    pub sha256: Option<SecretText>,
    /// The name of an environment variable of the VM.
    pub env: Option<String>,
    /// The token itself. Envoy's `/config_dump` shows it.
    pub value: Option<SecretText>,
    /// The token itself in base64. Envoy's `/config_dump` shows it.
    pub base64: Option<SecretText>,
    /// The first moment at which it is good, RFC 3339 in UTC.
    pub not_before: Option<Time>,
    /// The first moment at which it is good no more, RFC 3339 in UTC.
    pub not_after: Option<Time>,
}

/// Who may come in.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// Its tokens; several, so that they can be rotated.
    pub tokens: Vec<Token>,
    /// The policies that it may use; all without this.
    pub policies: Option<Vec<String>>,
    /// Globs of the models that it may use; all without this.
    pub models: Option<Vec<String>>,
    /// Globs of the pages that may connect in its name, checked when a request has an `Origin`; all without this.
    pub origins: Option<Vec<String>>,
    /// What it may use up.
    pub limits: Option<CallerLimits>,
}

/// What a caller may use up.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CallerLimits {
    /// Sessions at a time.
    pub concurrent_sessions: Option<u32>,
    /// Sessions that may start in a minute.
    pub sessions_per_minute: Option<u32>,
    /// Tokens in a day, UTC.
    pub tokens_per_day: Option<u64>,
    /// US dollars in a day, UTC.
    pub cost_usd_per_day: Option<f64>,
}

/// What holds on a route.
#[derive(Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// `"off"`, in quotes: requests pass as they are.
    pub auth: Option<Auth>,
    /// The provider. Either this or `providers`.
    pub provider: Option<String>,
    /// Several providers: the model's prefix picks one; the first is the default.
    pub providers: Option<Vec<String>>,
    /// Globs of the models that may be used; all without this.
    pub models: Option<Vec<String>>,
    /// Other names for models; the target may begin with a provider's name and a slash.
    pub aliases: Named<String>,
    /// What a session may use up.
    pub session: Option<SessionLimits>,
    /// Session fields that a client may not change.
    pub lock: Option<Vec<String>>,
    /// Whether sessions are metered.
    pub meter: Option<bool>,
}

/// The one thing that `auth` can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Requests pass as they are.
    Off,
}

/// What a session may use up.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionLimits {
    /// How long it may run.
    pub max_duration: Option<Span>,
    /// How long nothing may pass.
    pub idle_timeout: Option<Span>,
    /// Tokens, in and out.
    pub max_tokens: Option<u64>,
    /// US dollars.
    pub max_cost_usd: Option<f64>,
}

/// USD per million tokens.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Text that goes in.
    pub input_text: Option<f64>,
    /// Text that goes in and was cached; without it, as `input_text`.
    pub input_cached_text: Option<f64>,
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
}

/// Secrets for clients that are worthless elsewhere.
#[derive(Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClientSecrets {
    /// How they are made; `off` refuses the paths that mint.
    pub mode: SecretMode,
    /// 32 bytes each, in base64; the first seals, all open.
    pub sealing_keys: Vec<SecretSource>,
    /// The longest that a secret may be good.
    pub max_ttl: Option<Span>,
}

/// How client secrets are made.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SecretMode {
    /// They are not: the paths that mint are refused.
    #[default]
    Off,
    /// Around the upstream's own.
    Sealed,
    /// By the gateway alone.
    Local,
}

/// The control API.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The path that it lives under.
    pub path: String,
    /// Its own token.
    pub token: Token,
}

/// Quotas in the mesh's rate-limit service.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
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
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
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
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Requests are refused.
    Deny,
    /// Requests go on.
    Allow,
}

/// Things by their names, in the order of the configuration's map.
///
/// A list and no map: nothing is looked up here, and every kind of map that the module holds costs it kilobytes.
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Text that must not be shown.
pub struct SecretText(pub Secret);

/// A duration: `90s`, `30m`, `2h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub struct Span(pub Duration);

/// A moment: RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub struct Time(pub SystemTime);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
            type Value = Named<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Secret::new(String::deserialize(deserializer)?.into_bytes())))
    }
}

/// Text that a function reads, with what it expects; the text itself is never quoted.
struct Parsed<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<'de, T> Visitor<'de> for Parsed<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration such as 90s, 30m or 2h, longer than none";
        let parse = |text: &str| humantime::parse_duration(text).ok().filter(|span| !span.is_zero()).map(Self);
        deserializer.deserialize_str(Parsed { expected, parse })
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a time such as 2027-05-01T00:00:00Z";
        let parse = |text: &str| humantime::parse_rfc3339(text).ok().map(Self);
        deserializer.deserialize_str(Parsed { expected, parse })
    }
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // YAML 1.1 reads a bare off as false, hence the quotes.
        let expected = "\"off\" in quotes";
        let parse = |text: &str| (text == "off").then_some(Self::Off);
        deserializer.deserialize_str(Parsed { expected, parse })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"external\", or a map of one of env, value and base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
                match text {
                    "external" => Ok(Key::External),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
                SecretSource::deserialize(MapAccessDeserializer::new(map)).map(Key::Held)
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Auth, Key, Named, SecretSource, SecretText, Span, Time};

    macro_rules! text_schema {
        ($type:ty, $name:literal, $schema:tt) => {
            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    $name.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        };
    }

    text_schema!(SecretText, "SecretText", {"type": "string", "minLength": 1});
    text_schema!(Auth, "Auth", {"const": "off"});
    text_schema!(Span, "Duration", {
        "type": "string",
        "description": "A duration: 90s, 30m, 2h.",
        "pattern": "^[0-9]+ ?[a-z]+( ?[0-9]+ ?[a-z]+)*$"
    });
    text_schema!(Time, "Time", {"type": "string", "description": "RFC 3339 in UTC.", "format": "date-time"});

    impl<T: JsonSchema> JsonSchema for Named<T> {
        fn schema_name() -> Cow<'static, str> {
            BTreeMap::<String, T>::schema_name()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            BTreeMap::<String, T>::json_schema(generator)
        }

        fn inline_schema() -> bool {
            true
        }
    }

    impl JsonSchema for Key {
        fn schema_name() -> Cow<'static, str> {
            "Key".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let source = generator.subschema_for::<SecretSource>();
            json_schema!({
                "description": "`external`: a later filter adds the credential; else one of env, value and base64.",
                "anyOf": [{"const": "external"}, source]
            })
        }
    }
}
