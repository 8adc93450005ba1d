//! A worker under one configuration that has a bit of everything, and what of that is secret.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use realtime_byok::call::sealed_id::CallClaims;
use realtime_byok::client_secret::claims::{Claims, SecretLimits};
use realtime_byok::client_secret::sealing::{SealingKey, SealingKeys};
use realtime_byok::config::{Configuration, Instance, Plan, load};
use realtime_byok::host::StreamNumber;
use realtime_byok::metrics::Change;
use realtime_byok::stream::AccessLog;
use realtime_byok::worker::{Command, StreamId, Worker};
use serde_json::{Value, json};

use super::holds;
use super::host::{Host, Memory, NOW};

/// The token of a caller who may do everything.
pub(super) const WEB_APP: &str = "token-of-the-web-app-0001";
/// The token of a caller who may do little.
pub(super) const KIOSK: &str = "token-of-the-kiosk-000002";
/// The token of a caller with a budget of the day.
pub(super) const BUDGET: &str = "token-of-the-budget-00005";
/// A token whose time is over.
pub(super) const PAST: &str = "token-of-yesterday-000003";
/// The token of the control API.
pub(super) const CONTROL: &str = "token-of-the-operator-004";
/// What a client secret of an upstream's is.
pub(super) const UPSTREAM_SECRET: &str = "ek_of-the-upstream-000005";

/// What an upstream calls a call.
pub(super) const UPSTREAM_CALL: &str = "rtc_of-the-upstream";

/// The providers' keys, by the variables that hold them.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("OPENAI", "sk-key-of-openai-0001"),
    ("AZURE_A", "key-of-azure-00002-a"),
    ("AZURE_B", "key-of-azure-00002-b"),
    ("XAI", "xai-key-of-xai-000003"),
    ("GEMINI", "AIza-key-of-gemini-04"),
    ("ANTHROPIC", "sk-ant-key-0000000005"),
    ("VENDOR", "key-of-a-vendor-00006"),
    ("QUERY", "key-in-the-query-0007"),
];

const TOKENS: [(&str, &str); 5] =
    [("WEB_APP", WEB_APP), ("KIOSK", KIOSK), ("BUDGET", BUDGET), ("PAST", PAST), ("CONTROL", CONTROL)];

/// Seals the client secrets.
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(super) static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| planned(&configuration()));

fn planned(configuration: &Value) -> Arc<Plan> {
    let variable = |name: &str| {
        let known = KEYS.iter().chain(&TOKENS).find(|(known, _)| *known == name);
        known.map(|(_, value)| (*value).to_owned())
    };
    load(configuration.to_string().as_bytes(), &variable)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .instance
        .plan()
        .unwrap()
        .clone()
}

fn configuration() -> Value {
    let key = |name: &str| json!({ "env": name });
    json!({
        "gateway": { "strip_headers": ["x-internal"] },
        "providers": {
            "openai": { "kind": "openai", "key": key("OPENAI"), "organization": "org-of-the-gateway" },
            "azure": { "kind": "azure_openai", "keys": [
                { "name": "a", "key": key("AZURE_A"), "weight": 3 },
                { "name": "b", "key": key("AZURE_B") },
            ] },
            "xai": { "kind": "xai", "key": key("XAI") },
            "gemini": { "kind": "gemini", "key": key("GEMINI") },
            "anthropic": { "kind": "anthropic", "key": key("ANTHROPIC") },
            "vendor": { "kind": "custom", "header": { "name": "x-vendor", "prefix": "Token " }, "key": key("VENDOR") },
            "query": { "kind": "custom", "query": "subscription-key", "key": key("QUERY") },
            "elsewhere": { "kind": "openai", "key": "external" },
        },
        "callers": {
            "web-app": { "tokens": [key("WEB_APP")] },
            "kiosk": {
                "tokens": [key("KIOSK")],
                "policies": ["plain", "query"],
                "models": ["gpt-realtime*"],
                "origins": ["https://app.example.com"],
                "limits": { "concurrent_sessions": 1, "sessions_per_minute": 2 },
            },
            "budget": {
                "tokens": [key("BUDGET")],
                "limits": { "tokens_per_day": 1000, "cost_usd_per_day": 1 },
            },
            "past": { "tokens": [{ "env": "PAST", "not_after": "2020-01-01T00:00:00Z" }] },
        },
        "policies": {
            "default": {
                "providers": ["openai", "azure", "xai"],
                "models": ["gpt-*"],
                "aliases": { "voice": "azure/gpt-realtime" },
            },
            "plain": { "provider": "openai" },
            "locked": { "provider": "openai", "models": ["gpt-*"], "lock": ["instructions", "audio.output.voice"] },
            "gemini": { "provider": "gemini" },
            "anthropic": { "provider": "anthropic" },
            "vendor": { "provider": "vendor" },
            "query": { "provider": "query" },
            "elsewhere": { "provider": "elsewhere" },
            "open": { "auth": "off" },
        },
        "prices": { "gpt-*": { "input_text": 4, "input_audio": 32, "output_text": 16, "output_audio": 64 } },
        "client_secrets": { "mode": "sealed", "sealing_keys": [{ "value": SEALING_KEY }] },
        "control": { "path": "/realtime-byok", "token": key("CONTROL") },
    })
}

/// A client secret of the web app's under the policy `plain`, of an upstream's or of the gateway alone.
pub(super) static SECRETS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let keys = SealingKeys::new(SealingKey::from_base64(SEALING_KEY.as_bytes()).expect("a key"), Vec::new());
    [Some(UPSTREAM_SECRET.as_bytes()), None].map(|upstream| {
        let claims = Claims {
            caller: "web-app",
            provider: "openai",
            policy: "plain",
            issued_at: NOW,
            expires_at: NOW + 600,
            model: upstream.is_none().then_some("gpt-realtime"),
            user: Some("u_1"),
            origin: None,
            limits: SecretLimits::default(),
            upstream,
            lock: None,
            transcription_model: None,
            key: None,
        };
        keys.seal(&claims, &[9; 24]).expect("short claims").expose().to_owned()
    })
});

/// The id of a call that the web app began under the policy `plain`.
pub(super) static CALL: LazyLock<String> = LazyLock::new(|| {
    let keys = SealingKeys::new(SealingKey::from_base64(SEALING_KEY.as_bytes()).expect("a key"), Vec::new());
    let claims = CallClaims {
        caller: "web-app",
        provider: "openai",
        policy: "plain",
        began_at: NOW,
        id: UPSTREAM_CALL,
        user: None,
        key: None,
        max_duration: None,
        share: None,
    };
    claims.seal(&keys, &[8; 24]).expect("short claims").as_str().to_owned()
});

/// What may reach no client, no log and no metric: the gateway's own secrets, unless these bytes hold them already.
pub(super) fn assert_no_secret(shown: &[u8], input: &[u8]) {
    let own = KEYS.iter().map(|(_, key)| *key).chain([CONTROL, SEALING_KEY, UPSTREAM_SECRET]);
    for secret in own {
        assert!(!holds(shown, secret.as_bytes()) || holds(input, secret.as_bytes()), "{secret} is shown");
    }
}

/// A worker under that configuration.
pub(super) struct Gateway {
    pub(super) worker: Worker,
    configuration: Configuration,
}

impl Gateway {
    /// It has just begun.
    pub(super) fn new() -> Self {
        let mut worker = Worker::new(Box::new(Memory::default()), 1);
        let configuration = worker.adopt("", Instance::Gateway(PLAN.clone()), &Host::on_route(b""));
        Self { worker, configuration }
    }

    /// A stream begins.
    pub(super) fn open(&mut self) -> StreamId {
        self.worker.open(StreamNumber(7), Some(self.configuration.clone()))
    }

    /// A second passes.
    pub(super) fn tick(&mut self, host: &mut Host) {
        host.seconds += 1;
        self.worker.tick(host);
    }

    /// A stream is over: its access log, and that neither this nor the log or statistics show a secret.
    pub(super) fn end(&mut self, id: StreamId, host: &Host, input: &[u8]) -> AccessLog {
        let log = self.worker.end(id, host);
        self.worker.close(id);
        log.for_each(|field, value| {
            assert!(!value.chars().any(char::is_control), "{field} holds a control character: {value:?}");
            assert_no_secret(value.as_bytes(), input);
        });
        self.worker.plugin_done(Some(&self.configuration));
        self.worker.drain_statistics(|_, statistic, _: Change| {
            statistic.labels.iter().for_each(|(_, value)| assert_no_secret(value.as_bytes(), input));
        });
        for command in self.worker.take_commands() {
            if let Command::Log(_, line) = command {
                assert_no_secret(line.as_bytes(), input);
            }
        }
        log
    }
}

/// When everything happens.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW)
}
