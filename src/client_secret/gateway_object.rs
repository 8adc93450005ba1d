//! The `gateway` object of a mint request: what a backend says to the gateway, and the provider never sees.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use super::claims::{LOCK_SEPARATOR, MAX_LOCK, MAX_TEXT, SecretLimits};
use crate::json::edit::Edits;
use crate::json::{Decimal, for_each_member, string};
use crate::limit::SharedLimits;
use crate::protocol::{Lock, SessionField};
use crate::usage::MicroUsd;

const MAX_COST_MICRO_USD: u128 = 1_000_000_000_000_000;

/// ```json
/// {"user": "u_123", "max_duration": "5m", "max_tokens": 20000, "max_cost_usd": 0.5, "origin": "https://app.example.com",
///  "max_sessions": 1, "lock": ["instructions"]}
/// ```
///
/// All members are optional; no other is known.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct GatewayObject {
    /// The caller's name for the person behind the client, 1 to [`MAX_TEXT`] bytes.
    pub user: Option<String>,
    /// The only page that may use the secret, as a browser writes it in `Origin`.
    pub origin: Option<String>,
    /// Limits for what the secret opens, beside the policy's.
    pub limits: SecretLimits,
    /// Paths of session fields that the secret's holder may not change, as claims hold them.
    pub lock: Option<String>,
}

impl GatewayObject {
    /// Bytes that are held beside the object itself.
    pub fn held(&self) -> usize {
        [&self.user, &self.origin].into_iter().flatten().map(String::capacity).sum()
    }
}

/// What is wrong with a `gateway` object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidGatewayObject {
    /// The field, as a path from the body's top: `gateway.max_tokens`.
    pub param: Cow<'static, str>,
    /// What it must be, for the client.
    pub message: Cow<'static, str>,
}

impl GatewayObject {
    /// Reads the object as it is written in the body.
    pub(super) fn parse(object: &str) -> Result<Self, InvalidGatewayObject> {
        let mut read = Self::default();
        let mut error = None;
        for_each_member(object, &mut |name, value| {
            if error.is_none() {
                error = read.member(name, value).err();
            }
        })
        .map_err(|_| invalid("gateway", "It must be an object."))?;
        error.map_or(Ok(read), Err)
    }

    /// Takes the object out of the body, `member` being its name, value and comma: it is no business of the provider's.
    pub(super) fn remove(member: &Range<u64>, edits: &mut Edits) {
        edits.remove(member.clone());
    }

    /// Whether only frames that are followed can tell that its holder keeps to it.
    pub fn needs_metering(&self) -> bool {
        self.lock.is_some() || self.limits.need_metering()
    }

    fn member(&mut self, name: &str, value: &str) -> Result<(), InvalidGatewayObject> {
        let SecretLimits { max_duration, max_tokens, max_cost_micro_usd, max_sessions } = &mut self.limits;
        const WHOLE: &str = "It must be a whole number above zero.";
        match name {
            "user" => set(&mut self.user, value, "gateway.user", user, "It must be a string of 1 to 512 bytes."),
            "origin" => {
                let expected = "It must be an origin as browsers send it, such as \"https://app.example.com\".";
                set(&mut self.origin, value, "gateway.origin", origin, expected)
            }
            "max_duration" => {
                let expected = "It must be a duration above zero, such as \"90s\" or \"5m\".";
                set(max_duration, value, "gateway.max_duration", duration, expected)
            }
            "max_tokens" => set(max_tokens, value, "gateway.max_tokens", whole, WHOLE),
            "max_sessions" => set(max_sessions, value, "gateway.max_sessions", whole, WHOLE),
            "lock" if self.lock.is_some() => Err(invalid("gateway.lock", "It must not be given twice.")),
            "lock" => {
                self.lock = Some(lock(value)?);
                Ok(())
            }
            "max_cost_usd" => {
                let expected = "It must be a number of US dollars above zero, such as 0.5.";
                set(max_cost_micro_usd, value, "gateway.max_cost_usd", micro_usd, expected)
            }
            _ => {
                let param: String = format!("gateway.{name}").chars().take(64).collect();
                let known = "Known are user, origin, max_duration, max_tokens, max_cost_usd, max_sessions and lock.";
                Err(invalid(param, known))
            }
        }
    }
}

impl SecretLimits {
    /// Those that hold for all sessions together.
    pub fn shared(&self) -> SharedLimits {
        let Self { max_duration: _, max_tokens, max_cost_micro_usd, max_sessions } = *self;
        SharedLimits { max_sessions, max_tokens, max_cost: max_cost_micro_usd.map(MicroUsd) }
    }

    /// Whether only frames that are followed can tell when one is reached.
    pub fn need_metering(&self) -> bool {
        self.max_duration.is_some() || self.shared().has_budget()
    }
}

fn set<T>(
    field: &mut Option<T>,
    value: &str,
    param: &'static str,
    read: fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<(), InvalidGatewayObject> {
    let value = read(value).ok_or_else(|| invalid(param, expected))?;
    if field.replace(value).is_some() { Err(invalid(param, "It must not be given twice.")) } else { Ok(()) }
}

fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> InvalidGatewayObject {
    InvalidGatewayObject { param: param.into(), message: message.into() }
}

/// Reads a list of session fields, each of which some kind of session has: what locks nothing is a mistake.
fn lock(value: &str) -> Result<String, InvalidGatewayObject> {
    let Ok(fields) = serde_json::from_str::<Vec<String>>(value) else {
        return Err(invalid("gateway.lock", "It must be a list of session fields, such as [\"instructions\"]."));
    };
    if fields.is_empty() {
        return Err(invalid("gateway.lock", "It must name a field at least, or be left out."));
    }
    for (index, field) in fields.iter().enumerate() {
        let wrong = match SessionField::of(field) {
            SessionField::Known if !field.contains(char::is_control) && Lock::new([field]).is_ok() => continue,
            SessionField::SlipOf(meant) => format!("No session has this field; {meant} may be meant."),
            SessionField::Known | SessionField::Unknown => {
                "It must be a field of a session, such as instructions or audio.output.voice.".to_owned()
            }
        };
        return Err(invalid(format!("gateway.lock[{index}]"), wrong));
    }
    let lock = fields.join(LOCK_SEPARATOR);
    if lock.len() > MAX_LOCK {
        return Err(invalid("gateway.lock", "Together its fields must not be longer than 2048 bytes."));
    }
    Ok(lock)
}

fn user(value: &str) -> Option<String> {
    let user = string(value).ok()?;
    ((1..=MAX_TEXT).contains(&user.len()) && !user.contains(char::is_control)).then_some(user)
}

/// A shorter limit than claims can say would become none, so it is refused.
fn duration(value: &str) -> Option<Duration> {
    humantime::parse_duration(&string(value).ok()?).ok().filter(|limit| *limit >= Duration::from_millis(1))
}

fn whole(value: &str) -> Option<u64> {
    value.parse().ok().filter(|count| *count > 0)
}

fn micro_usd(value: &str) -> Option<u64> {
    let usd = Decimal::parse(value).filter(|usd| !usd.is_negative && usd.millionths <= MAX_COST_MICRO_USD)?;
    u64::try_from(usd.millionths).ok().filter(|micros| *micros > 0)
}

/// Only what a browser sends can ever match: a scheme and a host in lower case, a port unless it is the scheme's own.
fn origin(value: &str) -> Option<String> {
    let origin = string(value).ok()?;
    let (scheme, authority) = origin.split_once("://")?;
    let scheme_char = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    let host_char = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.bytes().all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9' | b':' | b'.')),
        None => host.bytes().all(host_char),
    };
    let port_ok = port.is_none_or(|port| {
        let default = matches!((scheme, port), ("https", "443") | ("http", "80"));
        !default && !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok()
    });
    let scheme_ok = scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(scheme_char);
    (scheme_ok && !host.is_empty() && host_ok && port_ok && origin.len() <= MAX_TEXT).then_some(origin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::quoted;

    #[test]
    fn what_a_backend_may_say_is_read() {
        for (object, want) in [
            ("{}", GatewayObject::default()),
            (
                r#"{"user":"u_123","max_duration":"5m","max_tokens":20000,"max_cost_usd":0.5,
                    "origin":"https://app.example.com","max_sessions":1,"lock":["instructions","audio.output.voice"]}"#,
                GatewayObject {
                    user: Some("u_123".into()),
                    origin: Some("https://app.example.com".into()),
                    limits: SecretLimits {
                        max_duration: Some(Duration::from_secs(300)),
                        max_tokens: Some(20_000),
                        max_cost_micro_usd: Some(500_000),
                        max_sessions: Some(1),
                    },
                    lock: Some("instructions\naudio.output.voice".into()),
                },
            ),
            (r#"{"us\u0065r":"\u00e9"}"#, GatewayObject { user: Some("é".into()), ..Default::default() }),
        ] {
            assert_eq!(GatewayObject::parse(object), Ok(want), "{object}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (object, param) in [
            ("null", "gateway"),
            ("[]", "gateway"),
            (r#""u_123""#, "gateway"),
            (r#"{"user":1}"#, "gateway.user"),
            (r#"{"user":null}"#, "gateway.user"),
            (r#"{"user":""}"#, "gateway.user"),
            (r#"{"user":"a\nb"}"#, "gateway.user"),
            (r#"{"user":"a","user":"b"}"#, "gateway.user"),
            (r#"{"user":"a","\u0075ser":"b"}"#, "gateway.user"),
            (r#"{"max_duration":300}"#, "gateway.max_duration"),
            (r#"{"max_duration":"0s"}"#, "gateway.max_duration"),
            (r#"{"max_duration":"1us"}"#, "gateway.max_duration"),
            (r#"{"max_duration":"-5m"}"#, "gateway.max_duration"),
            (r#"{"max_duration":"five minutes"}"#, "gateway.max_duration"),
            (r#"{"max_tokens":"20000"}"#, "gateway.max_tokens"),
            (r#"{"max_tokens":0}"#, "gateway.max_tokens"),
            (r#"{"max_tokens":-1}"#, "gateway.max_tokens"),
            (r#"{"max_tokens":1.5}"#, "gateway.max_tokens"),
            (r#"{"max_tokens":1e3}"#, "gateway.max_tokens"),
            (r#"{"max_tokens":18446744073709551616}"#, "gateway.max_tokens"),
            (r#"{"max_cost_usd":"0.5"}"#, "gateway.max_cost_usd"),
            (r#"{"max_cost_usd":0}"#, "gateway.max_cost_usd"),
            (r#"{"max_cost_usd":-0.5}"#, "gateway.max_cost_usd"),
            (r#"{"max_cost_usd":1e-9}"#, "gateway.max_cost_usd"),
            (r#"{"max_cost_usd":1e12}"#, "gateway.max_cost_usd"),
            (r#"{"max_cost_usd":1e400}"#, "gateway.max_cost_usd"),
            (r#"{"max_sessions":0}"#, "gateway.max_sessions"),
            (r#"{"max_sessions":1.5}"#, "gateway.max_sessions"),
            (r#"{"max_sessions":"1"}"#, "gateway.max_sessions"),
            (r#"{"max_sessions":1,"max_sessions":1}"#, "gateway.max_sessions"),
            (r#"{"max_session":1}"#, "gateway.max_session"),
            (r#"{"lock":null}"#, "gateway.lock"),
            (r#"{"lock":"instructions"}"#, "gateway.lock"),
            (r#"{"lock":[]}"#, "gateway.lock"),
            (r#"{"lock":[1]}"#, "gateway.lock"),
            (r#"{"lock":["tools"],"lock":["tools"]}"#, "gateway.lock"),
            (r#"{"lock":["instruction"]}"#, "gateway.lock[0]"),
            (r#"{"lock":["tools","colour"]}"#, "gateway.lock[1]"),
            (r#"{"lock":["tools","Instructions"]}"#, "gateway.lock[1]"),
            (r#"{"lock":[""]}"#, "gateway.lock[0]"),
            (r#"{"lock":["tools.*"]}"#, "gateway.lock[0]"),
            (r#"{"lock":["tools[0]"]}"#, "gateway.lock[0]"),
            (r#"{"lock":["tools.a\nb"]}"#, "gateway.lock[0]"),
            (r#"{"lock":["audio..voice"]}"#, "gateway.lock[0]"),
            (r#"{"user":"u_123","max_cost":1}"#, "gateway.max_cost"),
            (r#"{"User":"u_123"}"#, "gateway.User"),
            (r#"{"":1}"#, "gateway."),
        ] {
            assert_eq!(GatewayObject::parse(object).unwrap_err().param, param, "{object}");
        }
        let long = format!(r#"{{"{}":1}}"#, "é".repeat(100));
        assert_eq!(GatewayObject::parse(&long).unwrap_err().param.chars().count(), 64);
        let long = format!(r#"{{"user":"{}"}}"#, "u".repeat(MAX_TEXT + 1));
        assert_eq!(GatewayObject::parse(&long).unwrap_err().param, "gateway.user");
        let long = format!(r#"{{"lock":["tools.{}"]}}"#, "t".repeat(MAX_LOCK));
        assert_eq!(GatewayObject::parse(&long).unwrap_err().param, "gateway.lock");
    }

    #[test]
    fn a_slip_in_a_lock_is_told_what_was_meant() {
        let wrong = GatewayObject::parse(r#"{"lock":["instruction"]}"#).unwrap_err();
        assert!(wrong.message.contains("instructions may be meant"), "{}", wrong.message);
    }

    #[test]
    fn only_the_number_of_sessions_can_be_kept_without_reading_them() {
        for (object, want) in [
            (r#"{"user":"u","origin":"https://a.example","max_sessions":1}"#, false),
            (r#"{"max_tokens":1}"#, true),
            (r#"{"max_cost_usd":1}"#, true),
            (r#"{"max_duration":"1s"}"#, true),
            (r#"{"lock":["tools"]}"#, true),
        ] {
            assert_eq!(GatewayObject::parse(object).unwrap().needs_metering(), want, "{object}");
        }
    }

    #[test]
    fn dollars_become_whole_millionths() {
        for (usd, want) in [
            ("0.5", Some(500_000)),
            ("1", Some(1_000_000)),
            ("0.29", Some(290_000)),
            ("1e-6", Some(1)),
            ("1e9", Some(1_000_000_000_000_000)),
            ("1000000000.000001", None),
            ("0.0000004", None),
            ("0", None),
            ("-1", None),
            ("1e400", None),
            ("\"1\"", None),
        ] {
            assert_eq!(micro_usd(usd), want, "{usd}");
        }
    }

    #[test]
    fn an_origin_is_one_that_a_browser_can_send() {
        for (text, good) in [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("https://app.example.com:8443", true),
            ("https://[2001:db8::1]", true),
            ("http://[::1]:8080", true),
            ("capacitor://localhost", true),
            ("chrome-extension://abcdefghijklmnop", true),
            ("", false),
            ("null", false),
            ("app.example.com", false),
            ("https://", false),
            ("https://app.example.com/", false),
            ("https://app.example.com/page", false),
            ("https://app.example.com?q", false),
            ("https://user@app.example.com", false),
            ("https://App.example.com", false),
            ("HTTPS://app.example.com", false),
            ("https://*.example.com", false),
            ("https://app.example.com:443", false),
            ("http://app.example.com:80", false),
            ("https://app.example.com:", false),
            ("https://app.example.com:0", false),
            ("https://app.example.com:65536", false),
            ("https://app.example.com:+1", false),
            ("https://app example.com", false),
            ("https://éxample.com", false),
            ("https://[::1", false),
            ("1https://app.example.com", false),
        ] {
            assert_eq!(origin(&quoted(text)).is_some(), good, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(object in ".{0,60}", name in "[a-z_]{0,14}", value in "[-0-9a-z\".{}]{0,10}") {
            let _ = GatewayObject::parse(&object);
            let _ = GatewayObject::parse(&format!("{{\"{name}\":{value}}}"));
        }
    }
}
