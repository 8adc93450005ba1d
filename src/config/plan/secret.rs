//! Secrets out of the configuration and the environment, and whether they can be what they are meant to be.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::raw::{SecretSource, SecretText, Token};
use crate::config::{Errors, Path, found};
use crate::credential::SHORTEST_TOKEN;
use crate::secret::{Digest, Secret};

/// Looks an environment variable up.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What gathers while secrets are read.
pub(crate) struct SecretReader<'a> {
    /// The environment.
    pub variable: Variables<'a>,
    /// What is wrong.
    pub errors: &'a mut Errors,
    /// What is right, but not wise.
    pub warnings: &'a mut Vec<String>,
}

/// Tokens should have so many characters.
const SHORTEST_GOOD_TOKEN: usize = 20;

/// Where a secret is.
enum Source<'a> {
    Env(&'a str),
    Value(&'a Secret),
    Base64(&'a Secret),
}

impl<'a> Source<'a> {
    fn all(
        env: &'a Option<String>,
        value: &'a Option<SecretText>,
        base64: &'a Option<SecretText>,
    ) -> [Option<Self>; 3] {
        [
            env.as_deref().map(Self::Env),
            value.as_ref().map(|SecretText(secret)| Self::Value(secret)),
            base64.as_ref().map(|SecretText(secret)| Self::Base64(secret)),
        ]
    }
}

/// What a gateway token is known by.
enum TokenSource<'a> {
    Digest(&'a Secret),
    Held(Source<'a>),
}

impl SecretReader<'_> {
    /// Tells of what is right, but not wise.
    pub(crate) fn warn(&mut self, path: &Path, message: impl fmt::Display) {
        self.warnings.push(format!("{path}: {message}"));
    }

    /// A provider's key.
    pub(crate) fn key(&mut self, path: &Path, source: &SecretSource) -> Option<Secret> {
        let SecretSource { env, value, base64 } = source;
        let source = self.only(path, Source::all(env, value, base64).into_iter().flatten(), "env, value and base64")?;
        let (path, secret) = self.resolve(path, source)?;
        self.check(&path, secret, "key", |_| true)
    }

    /// A sealing key as text, which is base64 wherever it comes from.
    pub(crate) fn sealing_key(&mut self, path: &Path, source: &SecretSource) -> Option<Secret> {
        let SecretSource { env, value, base64 } = source;
        let sources = Source::all(env, &None, &None).into_iter().chain(Source::all(&None, value, &None));
        let in_base64 = base64.as_ref().map(|SecretText(secret)| Source::Value(secret));
        let source = self.only(path, sources.flatten().chain(in_base64), "env, value and base64")?;
        let (path, secret) = self.resolve(path, source)?;
        self.check(&path, secret, "key", |_| true)
    }

    /// The digest of a gateway token.
    pub(crate) fn token(&mut self, path: &Path, token: &Token) -> Option<Digest> {
        let Token { sha256, env, value, base64, .. } = token;
        let held = Source::all(env, value, base64).into_iter().flatten().map(TokenSource::Held);
        let digest = sha256.as_ref().map(|SecretText(text)| TokenSource::Digest(text));
        match self.only(path, digest.into_iter().chain(held), "sha256, env, value and base64")? {
            TokenSource::Digest(text) => {
                let digest = std::str::from_utf8(text.expose()).ok().and_then(|text| Digest::from_hex(text).ok());
                if digest.is_none() {
                    self.errors.add(&path.key("sha256"), "not 64 hex digits");
                }
                digest
            }
            TokenSource::Held(source) => {
                let (path, secret) = self.resolve(path, source)?;
                // A comma separates credentials in a header line, so that no such token could ever match.
                let secret = self.check(&path, secret, "token", |byte| byte != b',')?;
                self.check_length(&path, &secret)?;
                Some(Digest::of(secret.expose()))
            }
        }
    }

    fn only<T>(&mut self, path: &Path, mut given: impl Iterator<Item = T>, names: &str) -> Option<T> {
        let (first, second) = (given.next(), given.next());
        if first.is_none() || second.is_some() {
            let found = if first.is_none() { "none" } else { "several" };
            self.errors.add(path, format!("found {found} of {names}, expected one"));
            return None;
        }
        first
    }

    /// The bytes, and the place that they come from.
    fn resolve(&mut self, path: &Path, source: Source<'_>) -> Option<(Path, Secret)> {
        match source {
            Source::Env(name) => {
                let path = path.key("env");
                let fault = match (self.variable)(name) {
                    // That it is set says that it is a variable's name.
                    Some(value) if value.is_empty() => format!("the variable {name} is empty"),
                    Some(value) => return Some((path, Secret::new(value.into_bytes()))),
                    None => format!(
                        "the variable {} is not set in the VM; list it in environment_variables.host_env_keys (Istio: \
                         vmConfig.env) and set it for the proxy",
                        shown(name)
                    ),
                };
                self.errors.add(&path, fault);
                None
            }
            Source::Value(secret) => {
                let path = path.key("value");
                self.warn_of_dump(&path);
                Some((path, Secret::new(secret.expose().to_vec())))
            }
            Source::Base64(secret) => {
                let path = path.key("base64");
                self.warn_of_dump(&path);
                match STANDARD.decode(secret.expose()) {
                    Ok(bytes) => Some((path, Secret::new(bytes))),
                    Err(_) => {
                        self.errors.add(&path, "not base64 (RFC 4648 section 4)");
                        None
                    }
                }
            }
        }
    }

    fn check(&mut self, path: &Path, secret: Secret, what: &str, allowed: fn(u8) -> bool) -> Option<Secret> {
        let bytes = secret.expose();
        let fault = if bytes.is_empty() {
            "is empty"
        } else if !bytes.is_ascii() {
            "holds a character that is not ASCII"
        } else if bytes.iter().any(u8::is_ascii_control) {
            "holds a control character, such as a line feed"
        } else if bytes.trim_ascii().len() != bytes.len() {
            "has white space at an end"
        } else if !bytes.iter().copied().all(allowed) {
            "holds a comma"
        } else {
            return Some(secret);
        };
        self.errors.add(path, format!("the {what} {fault}"));
        None
    }

    /// A token is made by whoever writes the configuration, and is as good as it is hard to guess.
    fn check_length(&mut self, path: &Path, token: &Secret) -> Option<()> {
        let length = token.expose().len();
        let advice = "openssl rand -hex 32 makes a good one";
        if length < SHORTEST_TOKEN {
            self.errors.add(path, format!("the token has fewer than {SHORTEST_TOKEN} characters; {advice}"));
            return None;
        }
        if length < SHORTEST_GOOD_TOKEN {
            let message = format!(
                "the token has fewer than {SHORTEST_GOOD_TOKEN} characters, so that it may be guessed; {advice}"
            );
            self.warn(path, message);
        }
        Some(())
    }

    fn warn_of_dump(&mut self, path: &Path) {
        self.warn(path, "Envoy's /config_dump shows this secret; prefer env");
    }
}

/// A variable's name, unless it looks like something else, which may be the secret itself.
fn shown(name: &str) -> &str {
    let is_usual = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    let is_words = found::is_name(name) && name.contains('_');
    if !name.is_empty() && (is_words || name.bytes().all(is_usual)) { name } else { "named here" }
}
