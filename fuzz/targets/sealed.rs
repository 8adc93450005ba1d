//! Sealed client secrets and ids of calls: what was not sealed never opens, what was opens to the same, neither is taken for
//! the other, and no changed bit goes unnoticed.
//!
//! Texts of claims stand on lines of their own: caller, provider, policy, model, user, origin, the upstream's secret, locked
//! fields, the model of transcriptions; of an id the third is the upstream's.

use std::sync::LazyLock;
use std::time::Duration;

use realtime_byok::call::sealed_id::CallClaims;
use realtime_byok::client_secret::claims::{Claims, SecretLimits};
use realtime_byok::client_secret::sealing::{PREFIX, Plaintext, SealingKey, SealingKeys};
use realtime_byok::endpoint::CallId;
use realtime_byok::limit::SharedLimits;
use realtime_byok::process::{Share, TallyKey};
use realtime_byok::usage::MicroUsd;

use super::gateway::SECRETS;

const NOW: u64 = 1_794_700_800;

static KEYS: LazyLock<SealingKeys> = LazyLock::new(|| SealingKeys::new(key(1), vec![key(2)]));
static OLDER: LazyLock<SealingKeys> = LazyLock::new(|| SealingKeys::new(key(2), vec![]));
static OTHER: LazyLock<SealingKeys> = LazyLock::new(|| SealingKeys::new(key(3), vec![]));

fn key(seed: u8) -> SealingKey {
    SealingKey::from_bytes(&[seed; 32]).expect("32 bytes")
}

pub fn run(bytes: &[u8]) {
    for text in [bytes.to_vec(), [PREFIX, bytes].concat(), [SECRETS[0].as_bytes(), bytes].concat()] {
        assert!(!opens(&KEYS, &text, NOW), "arbitrary bytes open");
    }
    for prefix in [b"".as_slice(), b"rtc_", b"live_"] {
        assert!(!opens_call(&KEYS, &[prefix, bytes].concat()), "arbitrary bytes open");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines: Vec<_> = text.split('\n').collect();
    let line = |index: usize| lines.get(index).copied();
    let number = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add((*byte).into()));
    let limit = |bit: u32| (number >> bit & 1 == 1).then_some(number >> bit);
    let claims = Claims {
        caller: line(0).unwrap_or_default(),
        provider: line(1).unwrap_or_default(),
        policy: line(2).unwrap_or_default(),
        issued_at: NOW - number % 1000,
        expires_at: NOW + number % 100_000,
        model: line(3),
        user: line(4),
        origin: line(5),
        limits: SecretLimits {
            max_duration: limit(1).map(Duration::from_millis),
            max_tokens: limit(2),
            max_cost_micro_usd: limit(3),
            max_sessions: limit(4),
        },
        upstream: line(6).map(str::as_bytes),
        lock: line(7),
        transcription_model: line(8),
        key: line(9),
    };
    let nonce = std::array::from_fn(|index| bytes.get(index).copied().unwrap_or_default());
    for keys in [&*KEYS, &*OLDER] {
        if let Ok(sealed) = keys.seal(&claims, &nonce) {
            judge(sealed.expose().as_bytes(), &claims, number);
        }
        let call = CallClaims {
            caller: claims.caller,
            provider: claims.provider,
            policy: "voice",
            began_at: NOW - number % 1000,
            id: claims.policy,
            user: claims.user,
            key: claims.model,
            max_duration: claims.limits.max_duration,
            share: limit(5).map(|kept_until| Share {
                key: TallyKey::of(bytes),
                limits: SharedLimits { max_sessions: None, max_tokens: limit(6), max_cost: limit(7).map(MicroUsd) },
                kept_until,
            }),
        };
        if let Ok(id) = call.seal(keys, &nonce) {
            judge_call(&id, &call, number);
        }
    }
}

fn opens(keys: &SealingKeys, text: &[u8], now: u64) -> bool {
    keys.open(text, now, &mut Plaintext::default()).is_ok()
}

fn opens_call(keys: &SealingKeys, text: &[u8]) -> bool {
    let id = std::str::from_utf8(text).ok().and_then(CallId::parse);
    id.is_some_and(|id| CallClaims::open(&id, keys, &mut Plaintext::default()).is_ok())
}

/// A sealed id opens to its claims, and nothing that differs from it opens.
fn judge_call(id: &CallId, claims: &CallClaims<'_>, number: u64) {
    let mut plaintext = Plaintext::default();
    let opened = CallClaims::open(id, &KEYS, &mut plaintext);
    assert_eq!(opened.as_ref(), Ok(claims));
    let sealed = id.as_str().as_bytes();
    assert!(!opens_call(&OTHER, sealed), "another key opens it");
    let (_, encoded) = id.as_str().split_once('_').expect("a prefix");
    for prefix in ["rtc_", "live_", "ek_", ""] {
        let text = format!("{prefix}{encoded}");
        assert!(text == id.as_str() || !opens_call(&KEYS, text.as_bytes()), "it opens as {prefix}");
        assert!(!opens(&KEYS, text.as_bytes(), NOW), "it opens as a secret");
    }
    for changed in changes(sealed, number) {
        assert!(!opens_call(&KEYS, &changed), "something else opens");
    }
}

/// Bytes that differ from these.
fn changes(sealed: &[u8], number: u64) -> Vec<Vec<u8>> {
    let (head, tail) = (&sealed[..sealed.len() - 1], &sealed[1..]);
    let mut all = vec![head.to_vec(), tail.to_vec(), [sealed, b"A"].concat(), [sealed, b"="].concat()];
    let bits = sealed.len() * 8;
    for round in 0..32_u64 {
        let bit = (number.wrapping_mul(round + 1) ^ round) as usize % bits;
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        all.push(flipped);
    }
    all
}

/// A sealed secret opens to its claims while it is good, and nothing that differs from it opens.
fn judge(sealed: &[u8], claims: &Claims<'_>, number: u64) {
    let mut plaintext = Plaintext::default();
    let opened = KEYS.open(sealed, NOW, &mut plaintext);
    assert!(opened.is_ok_and(|opened| is_same(&opened, claims)), "it does not open to what was sealed");
    assert!(!opens(&OTHER, sealed, NOW), "another key opens it");
    assert!(!opens(&KEYS, sealed, claims.expires_at + 60), "it opens when its time is over");
    assert!(!opens(&KEYS, sealed, claims.issued_at.saturating_sub(60)), "it opens before its time");
    let encoded = sealed.strip_prefix(PREFIX).unwrap_or_default();
    for prefix in [b"rtc_".as_slice(), b"live_"] {
        assert!(!opens_call(&KEYS, &[prefix, encoded].concat()), "it opens as the id of a call");
    }
    for changed in changes(sealed, number) {
        assert!(!opens(&KEYS, &changed, NOW), "something else opens");
    }
}

fn is_same(one: &Claims<'_>, other: &Claims<'_>) -> bool {
    let texts = |claims: &Claims<'_>| {
        let named = [Some(claims.caller), Some(claims.provider), Some(claims.policy), claims.model, claims.user];
        let others = [claims.origin, claims.lock, claims.transcription_model];
        named.into_iter().chain(others).map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    texts(one) == texts(other)
        && (one.issued_at, one.expires_at) == (other.issued_at, other.expires_at)
        && one.limits == other.limits
        && one.upstream == other.upstream
}
