//! A configuration to start from, and what tests look for.

use serde_json::{Value, json};

use crate::host::{Answer, Exchange, Fate, Message, Request, Vm};

/// The token of the caller `web-app`.
pub const TOKEN: &str = "token-of-web-app";
/// Its SHA-256 digest.
const DIGEST: &str = "83be9dcac61a72100a43b838931d8d7b40c9ab8cd416db1db8f9ce90e2260ee3";
/// The key of the provider `openai`.
pub const KEY: &str = "sk-openai-provider-key";

/// A plugin of the least configuration, changed by `patch`.
pub fn vm(patch: Value) -> Vm {
    Vm::start(&configuration(patch))
}

/// One provider, one caller, the policy `default`; changed by `patch` as by RFC 7396.
pub fn configuration(patch: Value) -> Value {
    let mut configuration = json!({
        "providers": { "openai": { "kind": "openai", "key": { "env": "OPENAI_API_KEY" } } },
        "callers": { "web-app": { "tokens": [{ "sha256": DIGEST }] } },
        "policies": { "default": { "provider": "openai" } },
    });
    merge(&mut configuration, patch);
    configuration
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, patch) in patch {
                if patch.is_null() {
                    target.remove(&name);
                } else {
                    merge(target.entry(name).or_insert(Value::Null), patch);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

impl Request<'_> {
    /// Offers the caller's token in the gateway header.
    pub fn authenticated(self) -> Self {
        self.line("cf-aig-authorization", format!("Bearer {TOKEN}"))
    }
}

impl Exchange {
    /// The status and `error.code` of a refusal, after a look at the rest of it.
    #[track_caller]
    pub fn refused(&self) -> (u16, String) {
        let answer = self.refusal();
        let error = error(&answer);
        let code = error["code"].as_str().expect("a code").to_owned();
        assert_eq!(answer.details, format!("realtime_byok.{code}"));
        (answer.status(), code)
    }

    /// The request as the upstream has it, or its refusal.
    #[track_caller]
    pub fn upstream_or_refused(&self) -> Result<Message, (u16, String)> {
        match self.fate() {
            Fate::Forwarded(message) => Ok(message),
            _ => Err(self.refused()),
        }
    }
}

/// The `error` of an answer, after a look at its shape.
#[track_caller]
pub fn error(answer: &Answer) -> Value {
    assert_eq!(answer.lines.all("content-type"), ["application/json"]);
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let error = &body["error"];
    let names: Vec<_> = error.as_object().expect("an error").keys().collect();
    assert_eq!(names, ["code", "message", "param", "type"]);
    let message = error["message"].as_str().expect("a message");
    assert!(!message.is_empty() && message.ends_with('.'), "{message}");
    error.clone()
}

/// Subprotocols and the rest of an accepted WebSocket.
pub const ACCEPTED: [(&str, &str); 2] = [("upgrade", "websocket"), ("connection", "Upgrade")];

/// The pair that [`Exchange::refused`] gives.
pub fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
