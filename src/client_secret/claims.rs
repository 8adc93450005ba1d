//! What a sealed client secret says of the sessions that it opens, and how that is written down.
//!
//! Claims are a sequence of fields in ascending order of their one-byte tags, none twice:
//!
//! | tag | claim | value |
//! |---|---|---|
//! | 1 | caller | text |
//! | 2 | provider | text |
//! | 3 | policy | text |
//! | 4 | issued at | number, Unix seconds |
//! | 5 | expires at | number, Unix seconds |
//! | 6 | model | text, optional |
//! | 7 | user | text, optional |
//! | 8 | origin | text, optional |
//! | 9 | longest session | number, milliseconds, optional |
//! | 10 | most tokens | number, optional |
//! | 11 | highest cost | number, millionths of a US dollar, optional |
//! | 12 | the upstream's secret | bytes, optional |
//! | 13 | most sessions | number, optional |
//! | 14 | locked fields | text, optional: their paths, a line feed between two |
//! | 15 | the model that transcribes | text, optional |
//! | 16 | the provider's key that minted the upstream's secret, by its name in the pool | text, optional |
//!
//! A number is an unsigned LEB128 of at most 64 bits in its shortest form. Bytes stand after their count, a number;
//! text is bytes in UTF-8. A tag that is not in the table makes the whole void: what is unknown might be a limit, and an
//! older replica must not ignore one.

use std::time::{Duration, SystemTime};

/// The longest text of a claim, in bytes.
pub const MAX_TEXT: usize = 512;

/// The longest secret of an upstream, in bytes.
pub const MAX_UPSTREAM_SECRET: usize = 4096;

/// The longest text of locked fields, in bytes.
pub const MAX_LOCK: usize = 2048;

/// What stands between two locked fields.
pub const LOCK_SEPARATOR: &str = "\n";

/// The most bytes that stand between texts: the tags and lengths of ten, and six numbers.
const MAX_BETWEEN: usize = 10 * 3 + 6 * (1 + 10);

/// The most bytes that encoded claims take: eight texts, one lock, one secret, and what is between them.
pub(super) const MAX_ENCODED: usize = 8 * MAX_TEXT + MAX_LOCK + MAX_UPSTREAM_SECRET + MAX_BETWEEN;

mod tag {
    pub(crate) const CALLER: u8 = 1;
    pub(crate) const PROVIDER: u8 = 2;
    pub(crate) const POLICY: u8 = 3;
    pub(crate) const ISSUED_AT: u8 = 4;
    pub(crate) const EXPIRES_AT: u8 = 5;
    pub(crate) const MODEL: u8 = 6;
    pub(crate) const USER: u8 = 7;
    pub(crate) const ORIGIN: u8 = 8;
    pub(crate) const MAX_DURATION: u8 = 9;
    pub(crate) const MAX_TOKENS: u8 = 10;
    pub(crate) const MAX_COST: u8 = 11;
    pub(crate) const UPSTREAM: u8 = 12;
    pub(crate) const MAX_SESSIONS: u8 = 13;
    pub(crate) const LOCK: u8 = 14;
    pub(crate) const TRANSCRIPTION_MODEL: u8 = 15;
    pub(crate) const KEY: u8 = 16;
}

/// What a client secret says, borrowed from whoever knows it: the configuration when it is sealed, the opened secret
/// when it is used. Not `Debug`, since `upstream` is a credential.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Claims<'a> {
    /// The name of the caller that minted it.
    pub caller: &'a str,
    /// The name of the provider that it is good for.
    pub provider: &'a str,
    /// The name of the policy that it is good under.
    pub policy: &'a str,
    /// When it was minted, in Unix seconds.
    pub issued_at: u64,
    /// From when on it opens nothing, in Unix seconds.
    pub expires_at: u64,
    /// The model it was minted for, as the provider calls it.
    pub model: Option<&'a str>,
    /// The caller's name for the person behind the client.
    pub user: Option<&'a str>,
    /// The only page that may use it.
    pub origin: Option<&'a str>,
    /// The limits of what it opens, beside the policy's.
    pub limits: SecretLimits,
    /// The upstream's own client secret; none if the provider's key is to be used.
    pub upstream: Option<&'a [u8]>,
    /// Paths of session fields that its holder may not change, [`LOCK_SEPARATOR`] between two.
    pub lock: Option<&'a str>,
    /// The model that was asked for beside `model`, to transcribe.
    pub transcription_model: Option<&'a str>,
    /// The name of the provider's key that minted the upstream's secret, if the provider has several: what began with the
    /// secret is that key's.
    pub key: Option<&'a str>,
}

/// Limits of what a secret opens; `None` does not limit.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SecretLimits {
    /// How long each session may last, in whole milliseconds when sealed.
    pub max_duration: Option<Duration>,
    /// How many tokens all sessions together may use, input and output.
    pub max_tokens: Option<u64>,
    /// What all sessions together may cost, in millionths of a US dollar.
    pub max_cost_micro_usd: Option<u64>,
    /// How many sessions it opens.
    pub max_sessions: Option<u64>,
}

/// The claim of this name is longer than a secret may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimTooLong(pub &'static str);

/// Bytes that are no claims, or hold more than this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MalformedClaims;

/// Whole seconds since the Unix epoch; 0 before it.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl<'a> Claims<'a> {
    /// As many bytes as these claims take at most. Where there is room for so many, no copy of them is left behind.
    pub(super) fn room(&self) -> usize {
        self.lengths().iter().fold(MAX_BETWEEN, |all, (_, length, _)| all.saturating_add(*length))
    }

    /// Appends the claims to `out`, at most [`MAX_ENCODED`] bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), ClaimTooLong> {
        self.check_lengths()?;
        let duration = self.limits.max_duration.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        put_bytes(out, tag::CALLER, Some(self.caller.as_bytes()));
        put_bytes(out, tag::PROVIDER, Some(self.provider.as_bytes()));
        put_bytes(out, tag::POLICY, Some(self.policy.as_bytes()));
        put_number(out, tag::ISSUED_AT, Some(self.issued_at));
        put_number(out, tag::EXPIRES_AT, Some(self.expires_at));
        put_bytes(out, tag::MODEL, self.model.map(str::as_bytes));
        put_bytes(out, tag::USER, self.user.map(str::as_bytes));
        put_bytes(out, tag::ORIGIN, self.origin.map(str::as_bytes));
        put_number(out, tag::MAX_DURATION, duration);
        put_number(out, tag::MAX_TOKENS, self.limits.max_tokens);
        put_number(out, tag::MAX_COST, self.limits.max_cost_micro_usd);
        put_bytes(out, tag::UPSTREAM, self.upstream);
        put_number(out, tag::MAX_SESSIONS, self.limits.max_sessions);
        put_bytes(out, tag::LOCK, self.lock.map(str::as_bytes));
        put_bytes(out, tag::TRANSCRIPTION_MODEL, self.transcription_model.map(str::as_bytes));
        put_bytes(out, tag::KEY, self.key.map(str::as_bytes));
        Ok(())
    }

    /// Reads all of `bytes`. Fields are taken in the order of their tags, so one that is unknown, repeated or out of
    /// place is left over, and refused.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, MalformedClaims> {
        let mut reader = Reader(bytes);
        let mut claims = Self {
            caller: reader.text(tag::CALLER)?.ok_or(MalformedClaims)?,
            provider: reader.text(tag::PROVIDER)?.ok_or(MalformedClaims)?,
            policy: reader.text(tag::POLICY)?.ok_or(MalformedClaims)?,
            issued_at: reader.number(tag::ISSUED_AT)?.ok_or(MalformedClaims)?,
            expires_at: reader.number(tag::EXPIRES_AT)?.ok_or(MalformedClaims)?,
            model: reader.text(tag::MODEL)?,
            user: reader.text(tag::USER)?,
            origin: reader.text(tag::ORIGIN)?,
            limits: SecretLimits {
                max_duration: reader.number(tag::MAX_DURATION)?.map(Duration::from_millis),
                max_tokens: reader.number(tag::MAX_TOKENS)?,
                max_cost_micro_usd: reader.number(tag::MAX_COST)?,
                max_sessions: None,
            },
            upstream: reader.bytes(tag::UPSTREAM, MAX_UPSTREAM_SECRET)?,
            lock: None,
            transcription_model: None,
            key: None,
        };
        claims.limits.max_sessions = reader.number(tag::MAX_SESSIONS)?;
        claims.lock = reader.text_of(tag::LOCK, MAX_LOCK)?;
        claims.transcription_model = reader.text(tag::TRANSCRIPTION_MODEL)?;
        claims.key = reader.text(tag::KEY)?;
        if reader.0.is_empty() { Ok(claims) } else { Err(MalformedClaims) }
    }

    fn check_lengths(&self) -> Result<(), ClaimTooLong> {
        let too_long = self.lengths().into_iter().find(|(_, length, longest)| length > longest);
        too_long.map_or(Ok(()), |(name, ..)| Err(ClaimTooLong(name)))
    }

    /// The name of each text, how long it is, and how long it may be.
    fn lengths(&self) -> [(&'static str, usize, usize); 10] {
        let text = |name, text: Option<&str>| (name, text.map_or(0, str::len), MAX_TEXT);
        [
            text("caller", Some(self.caller)),
            text("provider", Some(self.provider)),
            text("policy", Some(self.policy)),
            text("model", self.model),
            text("user", self.user),
            text("origin", self.origin),
            text("transcription model", self.transcription_model),
            text("key", self.key),
            ("upstream", self.upstream.map_or(0, <[u8]>::len), MAX_UPSTREAM_SECRET),
            ("lock", self.lock.map_or(0, str::len), MAX_LOCK),
        ]
    }
}

/// Appends a field of this tag, if there is a number for it.
pub(crate) fn put_number(out: &mut Vec<u8>, tag: u8, number: Option<u64>) {
    if let Some(number) = number {
        out.push(tag);
        put_varint(out, number);
    }
}

/// Appends a field of this tag, if there are bytes for it.
pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: Option<&[u8]>) {
    if let Some(bytes) = bytes {
        out.push(tag);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// What is left to read.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self, tag: u8) -> Result<Option<u64>, MalformedClaims> {
        if self.take_tag(tag) { self.varint().map(Some) } else { Ok(None) }
    }

    pub(crate) fn text(&mut self, tag: u8) -> Result<Option<&'a str>, MalformedClaims> {
        self.text_of(tag, MAX_TEXT)
    }

    fn text_of(&mut self, tag: u8, longest: usize) -> Result<Option<&'a str>, MalformedClaims> {
        let bytes = self.bytes(tag, longest)?;
        bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| MalformedClaims)).transpose()
    }

    pub(crate) fn bytes(&mut self, tag: u8, longest: usize) -> Result<Option<&'a [u8]>, MalformedClaims> {
        if !self.take_tag(tag) {
            return Ok(None);
        }
        let length = usize::try_from(self.varint()?).map_err(|_| MalformedClaims)?;
        let (bytes, rest) = self.0.split_at_checked(length).filter(|_| length <= longest).ok_or(MalformedClaims)?;
        self.0 = rest;
        Ok(Some(bytes))
    }

    fn take_tag(&mut self, tag: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == tag => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn varint(&mut self) -> Result<u64, MalformedClaims> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(MalformedClaims)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(MalformedClaims);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(MalformedClaims) } else { Ok(number) };
            }
        }
        Err(MalformedClaims)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    /// The least that claims can be.
    pub(crate) const LEAST: Claims<'_> = Claims {
        caller: "web-app",
        provider: "openai",
        policy: "voice",
        issued_at: 1_756_310_400,
        expires_at: 1_756_311_000,
        model: None,
        user: None,
        origin: None,
        limits: SecretLimits { max_duration: None, max_tokens: None, max_cost_micro_usd: None, max_sessions: None },
        upstream: None,
        lock: None,
        transcription_model: None,
        key: None,
    };

    /// Claims with everything that a secret of the first release could say.
    pub(crate) const FORMER: Claims<'_> = Claims {
        model: Some("gpt-realtime-2025-08-28"),
        user: Some("u_123"),
        origin: Some("https://app.example.com"),
        limits: SecretLimits {
            max_duration: Some(Duration::from_secs(300)),
            max_tokens: Some(20_000),
            max_cost_micro_usd: Some(500_000),
            max_sessions: None,
        },
        upstream: Some(b"ek_68af296e8e408191a1120ab6383263c2"),
        ..LEAST
    };

    /// Claims with everything.
    pub(crate) const FULL: Claims<'_> = Claims {
        limits: SecretLimits { max_sessions: Some(1), ..FORMER.limits },
        lock: Some("instructions\naudio.output.voice"),
        transcription_model: Some("gpt-4o-transcribe"),
        key: Some("b"),
        ..FORMER
    };

    fn encoded(claims: &Claims<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(claims.room());
        claims.encode(&mut out).unwrap();
        assert_eq!(out.capacity(), claims.room(), "there was not room enough");
        out
    }

    #[test]
    fn claims_are_written_as_documented() {
        let least = b"\x01\x07web-app\x02\x06openai\x03\x05voice\x04\x80\xd7\xbc\xc5\x06\x05\xd8\xdb\xbc\xc5\x06";
        assert_eq!(encoded(&LEAST), least);
        let former = [
            least.as_slice(),
            b"\x06\x17gpt-realtime-2025-08-28\x07\x05u_123\x08\x17https://app.example.com",
            b"\x09\xe0\xa7\x12\x0a\xa0\x9c\x01\x0b\xa0\xc2\x1e",
            b"\x0c\x23ek_68af296e8e408191a1120ab6383263c2",
        ];
        assert_eq!(encoded(&FORMER), former.concat());
        let more = [
            b"\x0d\x01".as_slice(),
            b"\x0e\x1finstructions\naudio.output.voice",
            b"\x0f\x11gpt-4o-transcribe\x10\x01b",
        ];
        assert_eq!(encoded(&FULL), [former.concat(), more.concat()].concat());
    }

    #[test]
    fn what_is_cut_short_unknown_repeated_or_out_of_order_is_malformed() {
        let least = encoded(&LEAST);
        for end in 0..least.len() {
            assert_eq!(Claims::decode(&least[..end]), Err(MalformedClaims), "{end}");
        }
        for more in [
            &b"\x11\x01"[..],
            b"\x0d\x01\x0d\x01",
            b"\x0d\x01\x0c\x01x",
            b"\x0f\x01m\x0e\x01f",
            b"\x0e\x01\xff",
            b"\x00",
            b"\xff\x00",
            b"\x05\x01",
            b"\x07\x01u\x06\x01m",
            b"\x07\x01u\x07\x01u",
            b"\x07\x01\xff",
            b"\x07\x02u",
            b"\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\x80\x00",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(Claims::decode(&[&least, more].concat()), Err(MalformedClaims), "{more:?}");
        }
    }

    #[test]
    fn the_longest_claims_fit_and_one_byte_more_does_not() {
        let (text, secret) = ("x".repeat(MAX_TEXT), [b'x'; MAX_UPSTREAM_SECRET]);
        let limits = SecretLimits {
            max_duration: Some(Duration::MAX),
            max_tokens: Some(u64::MAX),
            max_cost_micro_usd: Some(u64::MAX),
            max_sessions: Some(u64::MAX),
        };
        let lock = "x".repeat(MAX_LOCK);
        let (text, upstream) = (text.as_str(), Some(&secret[..]));
        let longest = Claims {
            caller: text,
            provider: text,
            policy: text,
            issued_at: u64::MAX,
            expires_at: u64::MAX,
            model: Some(text),
            user: Some(text),
            origin: Some(text),
            limits,
            upstream,
            lock: Some(&lock),
            transcription_model: Some(text),
            key: Some(text),
        };
        assert_eq!(encoded(&longest).len(), MAX_ENCODED);

        let (text, secret) = ("x".repeat(MAX_TEXT + 1), [b'x'; MAX_UPSTREAM_SECRET + 1]);
        let lock = "x".repeat(MAX_LOCK + 1);
        for (claims, name) in [
            (Claims { caller: &text, ..LEAST }, "caller"),
            (Claims { provider: &text, ..LEAST }, "provider"),
            (Claims { policy: &text, ..LEAST }, "policy"),
            (Claims { model: Some(&text), ..LEAST }, "model"),
            (Claims { user: Some(&text), ..LEAST }, "user"),
            (Claims { origin: Some(&text), ..LEAST }, "origin"),
            (Claims { upstream: Some(&secret), ..LEAST }, "upstream"),
            (Claims { lock: Some(&lock), ..LEAST }, "lock"),
            (Claims { transcription_model: Some(&text), ..LEAST }, "transcription model"),
            (Claims { key: Some(&text), ..LEAST }, "key"),
        ] {
            assert_eq!(claims.encode(&mut Vec::new()), Err(ClaimTooLong(name)));
        }
        let long_user = [&encoded(&LEAST)[..], b"\x07\x81\x04", text.as_bytes()].concat();
        assert_eq!(Claims::decode(&long_user), Err(MalformedClaims));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            texts in [".{0,40}", ".{0,40}", ".{0,40}"],
            times in any::<[u64; 2]>(),
            optional in [of(".{0,40}"), of(".{0,40}"), of(".{0,40}"), of(".{0,40}"), of(".{0,40}"), of(".{0,40}")],
            limits in [of(any::<u64>()), of(any::<u64>()), of(any::<u64>()), of(any::<u64>())],
            upstream in of(prop::collection::vec(any::<u8>(), 0..300)),
        ) {
            let claims = Claims {
                caller: &texts[0],
                provider: &texts[1],
                policy: &texts[2],
                issued_at: times[0],
                expires_at: times[1],
                model: optional[0].as_deref(),
                user: optional[1].as_deref(),
                origin: optional[2].as_deref(),
                limits: SecretLimits {
                    max_duration: limits[0].map(Duration::from_millis),
                    max_tokens: limits[1],
                    max_cost_micro_usd: limits[2],
                    max_sessions: limits[3],
                },
                upstream: upstream.as_deref(),
                lock: optional[3].as_deref(),
                transcription_model: optional[4].as_deref(),
                key: optional[5].as_deref(),
            };
            let bytes = encoded(&claims);
            prop_assert_eq!(Claims::decode(&bytes), Ok(claims));
        }

        #[test]
        fn bytes_that_read_as_claims_are_the_only_ones_that_do(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = encoded(&FULL);
            for (index, byte) in edits {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(claims) = Claims::decode(&bytes) {
                prop_assert_eq!(encoded(&claims), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(claims) = Claims::decode(&bytes) {
                prop_assert_eq!(encoded(&claims), bytes);
            }
        }
    }
}
