//! Sealed client secrets: what was not sealed never opens, what was opens to the same, and no changed bit goes unnoticed.
//!
//! Texts of claims stand on lines of their own: caller, provider, policy, model, user, origin, the upstream's secret, locked
//! fields, the model of transcriptions.

use std::sync::LazyLock;
use std::time::Duration;

use realtime_byok::client_secret::claims::{Claims, SecretLimits};
use realtime_byok::client_secret::sealing::{PREFIX, Plaintext, SealingKey, SealingKeys};

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
        assert!(KEYS.open(&text, NOW, &mut Plaintext::default()).is_err(), "arbitrary bytes open");
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
    };
    let nonce = std::array::from_fn(|index| bytes.get(index).copied().unwrap_or_default());
    for keys in [&*KEYS, &*OLDER] {
        if let Ok(sealed) = keys.seal(&claims, &nonce) {
            judge(sealed.expose().as_bytes(), &claims, number);
        }
    }
}

/// A sealed secret opens to its claims while it is good, and nothing that differs from it opens.
fn judge(sealed: &[u8], claims: &Claims<'_>, number: u64) {
    let mut plaintext = Plaintext::default();
    let opened = KEYS.open(sealed, NOW, &mut plaintext);
    assert!(opened.is_ok_and(|opened| is_same(&opened, claims)), "it does not open to what was sealed");
    let opens = |keys: &SealingKeys, text: &[u8], now| keys.open(text, now, &mut Plaintext::default()).is_ok();
    assert!(!opens(&OTHER, sealed, NOW), "another key opens it");
    assert!(!opens(&KEYS, sealed, claims.expires_at + 60), "it opens when its time is over");
    assert!(!opens(&KEYS, sealed, claims.issued_at.saturating_sub(60)), "it opens before its time");
    assert!(!opens(&KEYS, &sealed[1..], NOW) && !opens(&KEYS, &sealed[..sealed.len() - 1], NOW), "a piece of it opens");
    assert!(!opens(&KEYS, &[sealed, b"A"].concat(), NOW) && !opens(&KEYS, &[sealed, b"="].concat(), NOW), "more opens");
    let bits = sealed.len() * 8;
    for round in 0..32_u64 {
        let bit = (number.wrapping_mul(round + 1) ^ round) as usize % bits;
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&KEYS, &flipped, NOW), "bit {bit} does not matter");
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
