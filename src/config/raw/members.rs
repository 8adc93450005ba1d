//! The members of each setting, as the decoder looks for them.

use super::*;
use crate::config::decode::{Decode, Decoder};
use crate::config::document::Document;
use crate::json::Decimal;
use crate::secret::Secret;

/// Decodes a map into a struct. Its fields are the names that are known; one that has a value here need not be given.
macro_rules! map {
    ($type:ident { $($field:ident $(= $default:expr)?),* $(,)? }) => {
        impl Decode for $type {
            fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
                let map = decoder.map(value, &[$(stringify!($field)),*])?;
                $(let $field = decoder.member(map, stringify!($field))$(.or_else(|| Some($default)))?;)*
                Some(Self { $($field: decoder.given(stringify!($field), $field)?),* })
            }
        }
    };
}

/// Decodes one of several strings.
macro_rules! choice {
    ($type:ident { $($name:literal => $variant:ident),* $(,)? }) => {
        impl Decode for $type {
            fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
                let chosen = decoder.choice(value, &[$($name),*])?;
                [$(Self::$variant),*].get(chosen).copied()
            }
        }
    };
}

map!(Raw {
    gateway = Gateway::default(),
    providers = Named::default(),
    callers = Named::default(),
    policies = Named::default(),
    prices,
    client_secrets = ClientSecrets::default(),
    control,
    quota,
    events,
    present,
});

map!(Present { header });

map!(Gateway {
    header = Gateway::default().header,
    subprotocol = Gateway::default().subprotocol,
    accept_provider_slot = Gateway::default().accept_provider_slot,
    strip_headers = Vec::new(),
});

map!(Provider { kind, key, keys, cool_down, organization, project, header, query });

choice!(ProviderKind {
    "openai" => OpenAi,
    "azure_openai" => AzureOpenAi,
    "xai" => Xai,
    "gemini" => Gemini,
    "anthropic" => Anthropic,
    "custom" => Custom,
});

map!(CustomHeader { name, prefix = String::new() });
map!(PoolKey { name, key, weight = one() });
map!(SecretSource { env, value, base64 });
map!(Token { sha256, env, value, base64, not_before, not_after });
map!(Identity { property, equals, glob });
map!(User { property });
map!(Caller { tokens = Vec::new(), identities = Vec::new(), user, policies, models, origins, limits });
map!(CallerLimits { concurrent_sessions, sessions_per_minute, tokens_per_day, cost_usd_per_day });

map!(Policy {
    auth,
    provider,
    providers,
    models,
    aliases = Named::default(),
    session,
    lock,
    tool_types,
    preset,
    hide,
    calls,
    meter,
});

choice!(OnChange { "end" => End, "refuse" => Refuse, "drop" => Drop });

impl Decode for Preset {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        match value {
            Document::Map(_) => Some(Self(value.clone())),
            _ => decoder.unfit_text(value, "a map of session fields"),
        }
    }
}

impl Decode for Lock {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        match value {
            Document::Map(_) => LockRules::decode(value, decoder).map(Self::Rules),
            Document::List(_) => decoder.list(value).map(Self::Fields),
            _ => decoder.unfit_text(value, "a list of fields, or a map of fields and on_change"),
        }
    }
}

map!(LockRules { fields = Vec::new(), on_change = OnChange::default() });

map!(Calls {
    unwatched = Permission::default(),
    raw_ids = Permission::default(),
    sidebands = Calls::default().sidebands,
});
choice!(Permission { "refuse" => Refuse, "allow" => Allow });

map!(SessionLimits { max_duration, idle_timeout, max_tokens, max_cost_usd, outlive_token = false });

map!(Price {
    input_text,
    input_cached_text,
    input_cache_write_text,
    input_audio,
    input_cached_audio,
    input_image,
    input_cached_image,
    output_text,
    output_audio,
    audio_minute,
});

map!(ClientSecrets { mode = SecretMode::default(), sealing_keys = Vec::new(), max_ttl });
choice!(SecretMode { "off" => Off, "sealed" => Sealed, "local" => Local });
map!(Control { path, token });
map!(Quota { cluster, domain, timeout, on_error });
map!(Events { cluster, authority, path, interval, signing_key, timeout, on_error, queue });
choice!(OnError { "deny" => Deny, "allow" => Allow });

impl<T: Decode> Decode for Option<T> {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        T::decode(value, decoder).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        decoder.list(value)
    }
}

impl<T: Decode> Decode for Named<T> {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        decoder.named(value).map(Self)
    }
}

impl Decode for bool {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        if let Document::Bool(flag) = value { Some(*flag) } else { decoder.unfit_shown(value, "a boolean") }
    }
}

impl Decode for u64 {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        let whole = if let Document::Number(number) = value { number.whole() } else { None };
        whole.or_else(|| decoder.unfit_shown(value, WHOLE_NUMBER))
    }
}

impl Decode for u32 {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        Self::try_from(u64::decode(value, decoder)?).ok().or_else(|| decoder.unfit_shown(value, WHOLE_NUMBER))
    }
}

const WHOLE_NUMBER: &str = "a whole number from 0";

impl Decode for f64 {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        let number = match value {
            Document::Number(number) => Some(*number),
            // What is a fraction in Envoy's YAML is a string in the Struct that Envoy makes of it.
            Document::String(text) => Decimal::parse(text),
            _ => None,
        };
        number.map(Decimal::to_f64).or_else(|| decoder.unfit_shown(value, "a number"))
    }
}

fn text(value: &Document) -> Option<&str> {
    if let Document::String(text) = value { Some(text) } else { None }
}

impl Decode for String {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        text(value).map(str::to_owned).or_else(|| decoder.unfit_text(value, "a string"))
    }
}

impl Decode for SecretText {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        let bytes = text(value).map(|text| text.as_bytes().to_vec());
        bytes.map(|bytes| Self(Secret::new(bytes))).or_else(|| decoder.unfit(value, "a string"))
    }
}

impl Decode for Span {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        let span = text(value).and_then(|text| humantime::parse_duration(text).ok()).filter(|span| !span.is_zero());
        span.map(Self).or_else(|| decoder.unfit_shown(value, "a duration such as 90s, 30m or 2h, longer than none"))
    }
}

impl Decode for Time {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        let time = text(value).and_then(|text| humantime::parse_rfc3339(text).ok());
        time.map(Self).or_else(|| decoder.unfit_shown(value, "a time such as 2027-05-01T00:00:00Z"))
    }
}

impl Decode for Auth {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        // YAML 1.1 reads a bare off as false, hence the quotes.
        if text(value) == Some("off") { Some(Self::Off) } else { decoder.unfit_shown(value, "\"off\" in quotes") }
    }
}

impl Decode for Key {
    fn decode(value: &Document, decoder: &mut Decoder) -> Option<Self> {
        match value {
            Document::Map(_) => SecretSource::decode(value, decoder).map(Self::Held),
            Document::String(text) if text == "external" => Some(Self::External),
            _ => decoder.unfit(value, "\"external\", or a map of one of env, value and base64"),
        }
    }
}
