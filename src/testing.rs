//! What tests begin with: a caller, a provider, a policy, the record of a session. A test says what differs:
//! `Policy { is_metered: false, ..policy() }`.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::credential::{Access, Caller};
use crate::limit::{CallerLimits, SessionLimits};
use crate::name_rule::NameRule;
use crate::policy::{CallRules, Credential, Policy, Provider, ProviderKind, TokenEnd};
use crate::protocol::{Hide, Lock};
use crate::usage::{
    Estimated, Input, MicroUsd, Output, Record, RecordId, Status, Tally, Timestamp, Tokens, Traffic, Transport,
};

/// The caller `web-app`, who may do everything.
pub(crate) fn caller() -> Caller {
    Caller {
        name: "web-app".into(),
        policies: Access::All,
        models: NameRule::Any,
        origins: NameRule::Any,
        limits: CallerLimits::default(),
        user: None,
    }
}

/// The provider `openai`, without a key here.
pub(crate) fn provider() -> Provider {
    Provider { name: "openai".into(), kind: ProviderKind::OpenAi, credential: Credential::External, account: vec![] }
}

/// The policy `voice`, which has that provider alone, meters, and forbids nothing.
pub(crate) fn policy() -> Policy {
    Policy {
        name: "voice".into(),
        default_provider: Arc::new(provider()),
        other_providers: vec![],
        models: NameRule::Any,
        aliases: vec![],
        limits: SessionLimits::default(),
        lock: Lock::default(),
        preset: None,
        hide: Hide::default(),
        calls: CallRules::default(),
        is_metered: true,
        token_end: TokenEnd::default(),
    }
}

/// An open session of these, with this id, started so many seconds after 1970, that has used something.
pub(crate) fn record(id: u128, started: u64) -> Record {
    Record {
        id: RecordId::new(id),
        kind: Transport::WebSocket,
        status: Status::Open,
        upstream_id: Some("sess_1".into()),
        caller: "web-app".into(),
        user: None,
        policy: "voice".into(),
        provider: "openai".into(),
        model: Some("gpt-realtime".into()),
        started_at: Timestamp::from(UNIX_EPOCH + Duration::from_secs(started)),
        duration_ms: 0,
        idle_ms: 0,
        usage: Tally::response(Tokens {
            input: Input { text: 9000, audio: 100, ..Input::default() },
            output: Output { text: 300, audio: 2000 },
            ..Tokens::default()
        }),
        cost_usd: MicroUsd(410_000),
        frames: Traffic { client: 4100, upstream: 3900 },
        bytes: Traffic { client: 1_000_000, upstream: 2_000_000 },
        close: None,
        incomplete: false,
        estimated: Estimated::default(),
    }
}
