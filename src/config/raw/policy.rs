//! A policy as it is written: what holds on a route.

#[cfg(feature = "schema")]
use super::one_of;
use super::session_fields::{Lock, Preset};
use super::value::{Named, Span};

/// What holds on a route: exactly one of `provider`, `providers` and `auth`, and rules for what is authenticated.
#[derive(Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = one_of::one_handling))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
pub struct Policy {
    /// `"off"`, in quotes: requests pass as they came, without a token, with whatever credentials they hold.
    pub auth: Option<Auth>,
    /// The name of the provider. Either this or `providers`.
    pub provider: Option<String>,
    /// The names of several providers, instead of `provider`: a model's prefix picks one, without a prefix it is the
    /// first. The choice is set as the request header `x-realtime-byok-provider`, for routes to match on.
    pub providers: Option<Vec<String>>,
    /// Globs of the models that may be used, compared with the model's name at the provider: after prefix and alias.
    /// Without this: all.
    pub models: Option<Vec<String>>,
    /// Other names for models, each with the name that it stands for, which may begin with a provider's and a slash.
    pub aliases: Named<String>,
    /// What a session may use up.
    pub session: Option<SessionLimits>,
    /// Session fields that a client may not change, such as `instructions` or `audio.output.voice`: a list, or a map that
    /// also says what becomes of a message that would. One that nearly is a field of a known session is an error, one that
    /// no known session has a warning.
    pub lock: Option<Lock>,
    /// The types that a client's tools may have, such as `function`; others (`mcp`, `web_search`) count as a locked field.
    /// Without this: all.
    pub tool_types: Option<Vec<String>>,
    /// Session fields that the gateway sets before its client's first message, with their values. They may be what the
    /// provider takes in `session.update`. Names are checked as those of `lock`; `type` is `realtime` without it.
    pub preset: Option<Preset>,
    /// Session fields that are taken out of what the client gets to see, such as `instructions`. Names are checked as those
    /// of `lock`.
    pub hide: Option<Vec<String>>,
    /// What clients may do with calls (WebRTC, SIP).
    pub calls: Option<Calls>,
    /// Whether the WebSockets of the route are followed, and what they and REST answers use counted; they are without
    /// this. `session`, `lock`, `tool_types`, `preset` and `hide` need it.
    pub meter: Option<bool>,
}

impl Policy {
    /// Whether there is any setting beside `auth`.
    pub fn has_others_than_auth(&self) -> bool {
        let Self { auth: _, provider, providers, models, aliases, session, lock, tool_types, .. } = self;
        let Self { preset, hide, calls, meter, .. } = self;
        let is_handled = provider.is_some() || providers.is_some() || models.is_some() || !aliases.0.is_empty();
        let has_fields = lock.is_some() || tool_types.is_some() || preset.is_some() || hide.is_some();
        is_handled || has_fields || session.is_some() || calls.is_some() || meter.is_some()
    }
}

/// The one thing that `auth` can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Requests pass as they are.
    Off,
}

/// What a session may use up.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct SessionLimits {
    /// How long it may run.
    pub max_duration: Option<Span>,
    /// How long nothing may pass.
    pub idle_timeout: Option<Span>,
    /// Tokens, in and out.
    pub max_tokens: Option<u64>,
    /// US dollars. Needs `prices`.
    pub max_cost_usd: Option<f64>,
    /// Whether a session goes on when its token is over, or a new configuration has its token, caller or policy no more.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub outlive_token: bool,
}

/// What clients may do with calls (WebRTC, SIP).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
pub struct Calls {
    /// Whether a call may go on that no sideband watches although a limit of tokens or dollars holds: `refuse` hangs up a
    /// call that none has joined within 10 seconds, or that none is left with.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "refuse")))]
    pub unwatched: Permission,
    /// Whether a call may be named by the provider's own id although there are `sealing_keys`, which make ids of the
    /// gateway's own: webhooks of SIP calls tell the provider's.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "refuse")))]
    pub raw_ids: Permission,
    /// How many sidebands a call may have at a time.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub sidebands: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self { unwatched: Permission::default(), raw_ids: Permission::default(), sidebands: 1 }
    }
}

/// Whether something may be done.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum Permission {
    /// It may not.
    #[default]
    Refuse,
    /// It may.
    Allow,
}
