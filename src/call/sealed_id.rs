//! Sealed ids of calls: names that only a holder of the sealing key can read or make, and that say whose a call is.
//!
//! A sealed id is `rtc_` or `live_`, as the upstream's begins, and then base64url without padding of the same bytes as a
//! [client secret](crate::client_secret::sealing): version, key id, nonce, encrypted claims, tag. The associated data is
//! `realtime-byok call id ` ‖ prefix ‖ version ‖ key id, so that neither is ever taken for the other.
//!
//! The claims are fields as those of a [secret](crate::client_secret::claims):
//!
//! | tag | claim | value |
//! |---|---|---|
//! | 1 | caller | text |
//! | 2 | provider | text |
//! | 3 | policy | text |
//! | 4 | began at | number, Unix seconds |
//! | 5 | the upstream's id | text |
//! | 6 | user | text, optional |
//! | 7 | the provider's key that the call began with, by its name in the pool | text, optional |
//! | 8 | the client secret's longest session | number, milliseconds, optional |
//! | 9 | the client secret's tally | bytes, optional: how SHA-256 of the secret begins, 16 of them |
//! | 10 | how long that is kept | number, Unix seconds, with the tally |
//! | 11 | most tokens of all who share in the tally | number, optional |
//! | 12 | highest cost of all of them | number, millionths of a US dollar, optional |
//!
//! What limits a call beside its client secret are its policy's limits, which every replica knows.

use std::time::Duration;

use crate::client_secret::claims::{MAX_TEXT, MalformedClaims, Reader, put_bytes, put_number};
use crate::client_secret::sealing::{Nonce, OpenError, Plaintext, SealingKeys};
use crate::endpoint::CallId;
use crate::limit::SharedLimits;
use crate::process::{Share, TallyKey};
use crate::usage::MicroUsd;

/// What the associated data begins with.
const DOMAIN: &[u8] = b"realtime-byok call id ";

/// What ids may begin with. Those of upstreams that begin with neither are sealed as the first.
const PREFIXES: [&str; 2] = ["rtc_", "live_"];

mod tag {
    pub(crate) const CALLER: u8 = 1;
    pub(crate) const PROVIDER: u8 = 2;
    pub(crate) const POLICY: u8 = 3;
    pub(crate) const BEGAN_AT: u8 = 4;
    pub(crate) const ID: u8 = 5;
    pub(crate) const USER: u8 = 6;
    pub(crate) const KEY: u8 = 7;
    pub(crate) const MAX_DURATION: u8 = 8;
    pub(crate) const TALLY: u8 = 9;
    pub(crate) const KEPT_UNTIL: u8 = 10;
    pub(crate) const MAX_TOKENS: u8 = 11;
    pub(crate) const MAX_COST: u8 = 12;
}

/// What a sealed id says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallClaims<'a> {
    /// The caller that began the call.
    pub caller: &'a str,
    /// The provider that serves it.
    pub provider: &'a str,
    /// The policy under which it began.
    pub policy: &'a str,
    /// When it began, in Unix seconds.
    pub began_at: u64,
    /// The upstream's name for it.
    pub id: &'a str,
    /// The caller's name for the person behind the client.
    pub user: Option<&'a str>,
    /// The name of the provider's key that it began with, if the provider has several.
    pub key: Option<&'a str>,
    /// How long it may last by the client secret that it began with, in whole milliseconds when sealed.
    pub max_duration: Option<Duration>,
    /// Its part in what all sessions of that secret may use up together, sessions aside.
    pub share: Option<Share>,
}

/// A claim is longer than an id may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallClaimTooLong;

impl<'a> CallClaims<'a> {
    /// Seals the claims with the first key. A nonce must be random and never used again.
    ///
    /// # Errors
    ///
    /// Where a claim is longer than an id can hold.
    pub fn seal(&self, keys: &SealingKeys, nonce: &Nonce) -> Result<CallId, CallClaimTooLong> {
        let [rtc, live] = PREFIXES;
        let prefix = if self.id.starts_with(live) { live } else { rtc };
        let mut body = Plaintext::default();
        self.encode(&mut body)?;
        let text = keys.seal_for(&[DOMAIN, prefix.as_bytes()].concat(), prefix, body, nonce);
        text.and_then(|text| CallId::parse(&text)).ok_or(CallClaimTooLong)
    }

    /// Opens a sealed id. The claims borrow from `plaintext`.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotSealed`] for what none of the keys has sealed, which may be an upstream's id;
    /// [`OpenError::Invalid`] for what was changed.
    pub fn open(id: &CallId, keys: &SealingKeys, plaintext: &'a mut Plaintext) -> Result<Self, OpenError> {
        let text = id.as_str();
        let prefix = PREFIXES.into_iter().find(|prefix| text.starts_with(prefix)).ok_or(OpenError::NotSealed)?;
        let encoded = text.strip_prefix(prefix).unwrap_or_default().as_bytes();
        let body = keys.open_for(&[DOMAIN, prefix.as_bytes()].concat(), encoded, plaintext)?;
        Self::decode(body).map_err(|_| OpenError::Invalid)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), CallClaimTooLong> {
        let texts = [Some(self.caller), Some(self.provider), Some(self.policy), self.user, self.key];
        if self.id.len() > CallId::MAX_OF_UPSTREAM || texts.into_iter().flatten().any(|text| text.len() > MAX_TEXT) {
            return Err(CallClaimTooLong);
        }
        let duration = self.max_duration.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        put_bytes(out, tag::CALLER, Some(self.caller.as_bytes()));
        put_bytes(out, tag::PROVIDER, Some(self.provider.as_bytes()));
        put_bytes(out, tag::POLICY, Some(self.policy.as_bytes()));
        put_number(out, tag::BEGAN_AT, Some(self.began_at));
        put_bytes(out, tag::ID, Some(self.id.as_bytes()));
        put_bytes(out, tag::USER, self.user.map(str::as_bytes));
        put_bytes(out, tag::KEY, self.key.map(str::as_bytes));
        put_number(out, tag::MAX_DURATION, duration);
        let Some(Share { key, limits, kept_until }) = &self.share else { return Ok(()) };
        put_bytes(out, tag::TALLY, Some(key.as_bytes()));
        put_number(out, tag::KEPT_UNTIL, Some(*kept_until));
        put_number(out, tag::MAX_TOKENS, limits.max_tokens);
        put_number(out, tag::MAX_COST, limits.max_cost.map(|MicroUsd(cost)| cost));
        Ok(())
    }

    /// Reads all of `bytes`, field by field in the order of their tags: one that is unknown, repeated or out of place is
    /// left over, and refused.
    fn decode(bytes: &'a [u8]) -> Result<Self, MalformedClaims> {
        let mut reader = Reader(bytes);
        let claims = Self {
            caller: reader.text(tag::CALLER)?.ok_or(MalformedClaims)?,
            provider: reader.text(tag::PROVIDER)?.ok_or(MalformedClaims)?,
            policy: reader.text(tag::POLICY)?.ok_or(MalformedClaims)?,
            began_at: reader.number(tag::BEGAN_AT)?.ok_or(MalformedClaims)?,
            id: reader.text(tag::ID)?.ok_or(MalformedClaims)?,
            user: reader.text(tag::USER)?,
            key: reader.text(tag::KEY)?,
            max_duration: reader.number(tag::MAX_DURATION)?.map(Duration::from_millis),
            share: share(&mut reader)?,
        };
        if reader.0.is_empty() { Ok(claims) } else { Err(MalformedClaims) }
    }
}

fn share(reader: &mut Reader<'_>) -> Result<Option<Share>, MalformedClaims> {
    let Some(key) = reader.bytes(tag::TALLY, size_of::<TallyKey>())? else { return Ok(None) };
    Ok(Some(Share {
        key: TallyKey::from_bytes(key.try_into().map_err(|_| MalformedClaims)?),
        kept_until: reader.number(tag::KEPT_UNTIL)?.ok_or(MalformedClaims)?,
        limits: SharedLimits {
            max_sessions: None,
            max_tokens: reader.number(tag::MAX_TOKENS)?,
            max_cost: reader.number(tag::MAX_COST)?.map(MicroUsd),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_secret;
    use crate::client_secret::sealing::SealingKey;

    const KEY: &[u8] = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NONCE: Nonce = *b"@ABCDEFGHIJKLMNOPQRSTUVW";
    const LEAST: CallClaims<'_> = CallClaims {
        caller: "web-app",
        provider: "openai",
        policy: "voice",
        began_at: 1_756_310_400,
        id: "live_68af296e8e40",
        user: None,
        key: None,
        max_duration: None,
        share: None,
    };
    const SHARE: Share = Share {
        key: TallyKey::from_bytes(*b"0123456789abcdef"),
        kept_until: 1_756_311_030,
        limits: SharedLimits { max_sessions: None, max_tokens: Some(20_000), max_cost: Some(MicroUsd(500_000)) },
    };
    const FULL: CallClaims<'_> = CallClaims {
        id: "rtc_u1_9c6574da8b8a41a18da9308f4ad974ce",
        user: Some("u_123"),
        key: Some("b"),
        max_duration: Some(Duration::from_secs(300)),
        share: Some(SHARE),
        ..LEAST
    };
    const SEALED_LEAST: &str = "live_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImgXqQ\
                                dAsKpLxxmYDNem_iv8WrbqWPW4dhknoWisOYcTF5sg";
    const SEALED_FULL: &str = "rtc_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImt2SN\
                               YTEgo9spnITBez6-u8n5UxzcXuSFpNKdMccjiipgO0_BRSDQIM6Adu_O7kqb7pTP5ow6NHRHYZE0oPBTBB0fFNWq\
                               3IANvCt63l9BHGkXnv-zHDdgcMVyTIUNF7nkYcPNYEha";

    fn keys() -> SealingKeys {
        SealingKeys::new(SealingKey::from_base64(KEY).unwrap(), Vec::new())
    }

    fn other_keys() -> SealingKeys {
        SealingKeys::new(SealingKey::from_bytes(&[1; 32]).unwrap(), Vec::new())
    }

    fn error(text: &str, keys: &SealingKeys) -> Option<OpenError> {
        CallClaims::open(&CallId::parse(text).unwrap(), keys, &mut Plaintext::default()).err()
    }

    #[test]
    fn ids_are_sealed_and_opened_as_documented() {
        for (claims, sealed) in [(LEAST, SEALED_LEAST), (FULL, SEALED_FULL)] {
            assert_eq!(claims.seal(&keys(), &NONCE).unwrap().as_str(), sealed);
            let mut plaintext = Plaintext::default();
            let id = CallId::parse(sealed).unwrap();
            assert_eq!(CallClaims::open(&id, &keys(), &mut plaintext), Ok(claims));
        }
    }

    #[test]
    fn claims_are_written_as_documented() {
        let mut out = Vec::new();
        FULL.encode(&mut out).unwrap();
        let want = [
            b"\x01\x07web-app\x02\x06openai\x03\x05voice\x04\x80\xd7\xbc\xc5\x06".as_slice(),
            b"\x05\x27rtc_u1_9c6574da8b8a41a18da9308f4ad974ce\x06\x05u_123\x07\x01b",
            b"\x08\xe0\xa7\x12\x09\x100123456789abcdef\x0a\xf6\xdb\xbc\xc5\x06\x0b\xa0\x9c\x01\x0c\xa0\xc2\x1e",
        ];
        assert_eq!(out, want.concat());
        for end in 0..out.len() {
            // The optional ones at the end can be left out as a whole.
            let cut = CallClaims::decode(&out[..end]).is_ok();
            assert_eq!(cut, [71, 78, 81, 85, 109, 113].contains(&end), "{end}");
        }
        assert_eq!(CallClaims::decode(&[&out[..], b"\x0d\x01"].concat()), Err(MalformedClaims));
    }

    #[test]
    fn every_changed_character_is_noticed_or_makes_it_no_sealed_id() {
        for sealed in [SEALED_LEAST, SEALED_FULL] {
            for at in 0..sealed.len() {
                for other in ['A', 'z', '0', '-', '_'] {
                    let mut text: Vec<char> = sealed.chars().collect();
                    if text[at] != other {
                        text[at] = other;
                        let text: String = text.into_iter().collect();
                        assert!(error(&text, &keys()).is_some(), "{text}");
                    }
                }
                if at > 0 {
                    assert!(error(&sealed[..at], &keys()).is_some(), "cut at {at}");
                }
            }
            assert!(error(&format!("{sealed}A"), &keys()).is_some());
        }
    }

    #[test]
    fn an_id_is_of_its_own_kind_and_key() {
        let swapped = format!("live_{}", SEALED_FULL.strip_prefix("rtc_").unwrap());
        assert_eq!(error(&swapped, &keys()), Some(OpenError::Invalid));
        assert_eq!(error(SEALED_FULL, &other_keys()), Some(OpenError::NotSealed));
        let rotated =
            SealingKeys::new(SealingKey::from_bytes(&[1; 32]).unwrap(), vec![SealingKey::from_base64(KEY).unwrap()]);
        assert_eq!(error(SEALED_FULL, &rotated), None);
        for raw in
            ["rtc_u1_9c6574da8b8a41a18da9308f4ad974ce", "live_1", "sess_1", "rtc_", &format!("rtc_{}", "a".repeat(200))]
        {
            assert_eq!(error(raw, &keys()), Some(OpenError::NotSealed), "{raw}");
        }
    }

    #[test]
    fn neither_a_secret_nor_an_id_is_taken_for_the_other() {
        let secret =
            keys().seal(&client_secret::claims::tests::LEAST, &NONCE).unwrap().expose().replacen("ek_", "rtc_", 1);
        assert_eq!(error(&secret, &keys()), Some(OpenError::Invalid));
        let id = SEALED_FULL.replacen("rtc_", "ek_", 1);
        let opened = keys().open(id.as_bytes(), LEAST.began_at, &mut Plaintext::default()).err();
        assert_eq!(opened, Some(OpenError::Invalid));
    }

    #[test]
    fn the_longest_claims_fit_and_one_byte_more_does_not() {
        let (text, id) = ("x".repeat(MAX_TEXT), "x".repeat(CallId::MAX_OF_UPSTREAM));
        let longest = CallClaims {
            caller: &text,
            provider: &text,
            policy: &text,
            began_at: u64::MAX,
            id: &id,
            user: Some(&text),
            key: Some(&text),
            max_duration: Some(Duration::MAX),
            share: Some(Share {
                kept_until: u64::MAX,
                limits: SharedLimits {
                    max_sessions: None,
                    max_tokens: Some(u64::MAX),
                    max_cost: Some(MicroUsd(u64::MAX)),
                },
                ..SHARE
            }),
        };
        let sealed = longest.seal(&keys(), &NONCE).unwrap();
        assert!(CallClaims::open(&sealed, &keys(), &mut Plaintext::default()).is_ok());
        let (text, id) = (format!("{text}x"), format!("{id}x"));
        assert_eq!(CallClaims { user: Some(&text), ..FULL }.seal(&keys(), &NONCE), Err(CallClaimTooLong));
        assert_eq!(CallClaims { id: &id, ..FULL }.seal(&keys(), &NONCE), Err(CallClaimTooLong));
    }
}
