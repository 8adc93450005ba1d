//! The tokens that a client presents in any slot, to be found wherever else in its request they stand.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use memchr::{memchr_iter, memchr2_iter};
use percent_encoding::percent_decode;

use super::slots::{Slot, SlotValue, query_keys, values};
use super::subprotocols::Subprotocol;
use crate::http::{Target, trim};
use crate::secret::Secret;

/// The fewest characters of a token: a configuration with a shorter one is refused. What is shorter in a slot is what an
/// SDK was given for want of a key, such as `unused`, and may stand elsewhere by chance.
pub const SHORTEST_TOKEN: usize = 8;

/// The most tokens that one request may present: a client has one, its SDK another, and there are fewer slots than this.
/// Each is looked for in all lines, by whoever sends a request.
const MOST_TOKENS: usize = 16;

/// How often something may be percent-encoded, such as a URL in a URL's query, and still be read.
const DECODINGS: usize = 2;

/// Base64 with padding or without, as `Basic` has it.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All that one request presents, whether it is read or only removed.
#[derive(Default)]
pub struct PresentedTokens<'a> {
    /// The first of them, and the others: nearly all requests present but one.
    first: Option<Token<'a>>,
    others: Vec<Token<'a>>,
    /// What the header lines say if they hold but one value.
    sole: Option<SlotValue<'a>>,
    /// Whether one of them may stand elsewhere than where it was presented: in most requests none does.
    may_be_elsewhere: bool,
    count: Count,
}

/// Whether all that a request presents is known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Count {
    #[default]
    All,
    /// There were more than a request may present: any text may hold one of those.
    TooMany,
}

enum Token<'a> {
    Borrowed(&'a [u8]),
    Kept(Secret),
}

impl<'a> PresentedTokens<'a> {
    /// What stands in these header lines, these subprotocols and the query's `key`.
    pub fn new(
        lines: impl Iterator<Item = (Slot, &'a [u8])> + Clone,
        subprotocols: impl Iterator<Item = (&'a [u8], Subprotocol)>,
        target: &Target<'a>,
    ) -> Self {
        let sole = SlotValue::sole(lines.clone());
        let mut tokens = Self { may_be_elsewhere: true, sole, ..Self::default() };
        match sole {
            Some(value) => tokens.add_value(value),
            None => lines.for_each(|(slot, line)| {
                values(line).for_each(|value| tokens.add_value(SlotValue::read(slot, value)));
            }),
        }
        for (name, kind) in subprotocols {
            match kind {
                Subprotocol::Token(at) | Subprotocol::ProviderKey(at) => {
                    tokens.add(Cow::Borrowed(name.get(at..).unwrap_or_default()));
                }
                Subprotocol::EncodedToken(at) => {
                    let text = name.get(at..).unwrap_or_default();
                    tokens.add(Cow::Borrowed(text));
                    tokens.add(Cow::Owned(URL_SAFE_NO_PAD.decode(text).unwrap_or_default()));
                }
                Subprotocol::ProviderSetting | Subprotocol::Watch | Subprotocol::Plain => {}
            }
        }
        query_keys(target).into_iter().for_each(|key| tokens.add(key));
        tokens
    }

    /// The same, to be found only where one may stand: of a head that has these values beside those that are shorter than
    /// the [shortest](Self::shortest), in which maybe something is encoded.
    pub fn searched<'b>(self, mut values: impl Iterator<Item = &'b [u8]>, maybe_encoded: bool) -> Self {
        let is_in = |value: &[u8]| self.tokens().any(|token| is_elsewhere(token.bytes(), value));
        let may_be_elsewhere = self.first.is_some()
            && (maybe_encoded || self.are_too_many() || values.any(|value| may_be_basic(value) || is_in(value)));
        Self { may_be_elsewhere, ..self }
    }

    /// How long the shortest of them is: nothing shorter holds one, nor does an encoding of one.
    pub fn shortest(&self) -> usize {
        self.tokens().map(|token| token.bytes().len()).min().unwrap_or(usize::MAX)
    }

    /// What the header lines say if they hold but one value.
    pub fn sole(&self) -> Option<SlotValue<'a>> {
        self.sole
    }

    /// The same, for longer than the request's head.
    pub fn into_owned(self) -> PresentedTokens<'static> {
        let kept = |token| match token {
            Token::Borrowed(bytes) => Token::Kept(Secret::new(bytes.to_vec())),
            Token::Kept(secret) => Token::Kept(secret),
        };
        // What they are looked for in then is not the head that was searched.
        let (first, others) = (self.first.map(kept), self.others.into_iter().map(kept).collect());
        PresentedTokens { first, others, sole: None, may_be_elsewhere: true, count: self.count }
    }

    /// Bytes that are held beside it, once it is [owned](Self::into_owned).
    pub fn held(&self) -> usize {
        let size = |token: &Token<'_>| size_of::<Token<'_>>() + token.bytes().len();
        self.tokens().map(size).sum()
    }

    /// Whether it is more than one request may present.
    pub fn are_too_many(&self) -> bool {
        self.count == Count::TooMany
    }

    /// Whether one of them may stand in what is not a slot; what holds one for certain, [`stand_in`](Self::stand_in) tells.
    pub fn may_be_elsewhere(&self) -> bool {
        self.may_be_elsewhere
    }

    /// Whether this is one of them, and none of them stands in what is not a slot.
    pub fn are_in_slots_only(&self, token: &[u8]) -> bool {
        !self.may_be_elsewhere && self.tokens().any(|known| known.bytes() == token)
    }

    /// Whether one of them stands in a text of the head, not being what is presented there: as it is, percent-encoded in
    /// whole or in part, or in what `Basic` encodes.
    pub fn stand_in(&self, text: &[u8]) -> bool {
        self.are_too_many() || (self.may_be_elsewhere && self.tokens().any(|token| stands_in(token.bytes(), text)))
    }

    fn tokens(&self) -> impl Iterator<Item = &Token<'a>> {
        self.first.iter().chain(&self.others)
    }

    fn add_value(&mut self, value: SlotValue<'a>) {
        if let Some(token) = value.presented() {
            self.add(Cow::Borrowed(token));
        }
    }

    fn add(&mut self, token: Cow<'a, [u8]>) {
        if token.len() < SHORTEST_TOKEN || self.tokens().any(|known| known.bytes() == &*token) {
            return;
        }
        let token = match token {
            Cow::Borrowed(bytes) => Token::Borrowed(bytes),
            Cow::Owned(bytes) => Token::Kept(Secret::new(bytes)),
        };
        match &self.first {
            None => self.first = Some(token),
            Some(_) if self.others.len() + 1 < MOST_TOKENS => self.others.push(token),
            Some(_) => self.count = Count::TooMany,
        }
    }
}

impl Token<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Kept(secret) => secret.expose(),
        }
    }
}

/// Whether a token stands in a text: as it is, percent-encoded in whole or in part, or in what `Basic` encodes.
pub fn stands_in(token: &[u8], text: &[u8]) -> bool {
    // No encoding is shorter than what it encodes.
    if token.len() > text.len() {
        return false;
    }
    match find(token, text) {
        Found::Token => true,
        Found::Encoded => {
            let decodings = std::iter::successors(Some(decoded(text)), |text| Some(decoded(text)));
            decodings.take(DECODINGS).any(|text| find(token, &text) == Found::Token)
        }
        Found::Nothing => basic(text).is_some_and(|decoded| find(token, &decoded) == Found::Token),
    }
}

/// Whether a token stands in a text at another place than the one that it was read from.
fn is_elsewhere(token: &[u8], text: &[u8]) -> bool {
    let Some(most) = text.len().checked_sub(token.len()) else { return false };
    let Some((&first, _)) = token.split_first() else { return false };
    let begins = text.get(..=most).unwrap_or_default();
    let is_at = |at| {
        let found = text.get(at..at + token.len()).unwrap_or_default();
        found == token && !std::ptr::eq(found, token)
    };
    match begins.len() {
        // Most values are so short that calling for help takes longer.
        0..16 => begins.iter().enumerate().any(|(at, byte)| *byte == first && is_at(at)),
        _ => memchr_iter(first, begins).any(is_at),
    }
}

#[derive(PartialEq, Eq)]
enum Found {
    Token,
    /// Not the token, but what may be percent-encoded.
    Encoded,
    Nothing,
}

/// Looks a text through once.
fn find(token: &[u8], text: &[u8]) -> Found {
    let Some(&last) = token.last() else { return Found::Nothing };
    let mut is_encoded = false;
    for at in memchr2_iter(last, b'%', text) {
        let read = text.get(..=at).unwrap_or_default();
        if read.ends_with(token) {
            return Found::Token;
        }
        is_encoded |= read.ends_with(b"%");
    }
    if is_encoded { Found::Encoded } else { Found::Nothing }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    percent_decode(text).collect()
}

/// Whether a text may be of the scheme `Basic`, by its first bytes.
fn may_be_basic(text: &[u8]) -> bool {
    matches!(text, [b'B' | b'b', b'A' | b'a', ..])
}

/// What the scheme `Basic` (RFC 7617) encodes, where a text is of that.
fn basic(text: &[u8]) -> Option<Vec<u8>> {
    if !may_be_basic(text) {
        return None;
    }
    let (scheme, rest) = text.split_at_checked(6)?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
    is_basic.then(|| BASIC.decode(trim(rest)).ok())?
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::collection::vec;
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    fn presented<'a>(lines: &[(Slot, &'a str)], subprotocols: &[(&'a str, Subprotocol)], path: &'a str) -> Vec<String> {
        let lines = lines.iter().map(|(slot, value)| (*slot, value.as_bytes()));
        let subprotocols = subprotocols.iter().map(|(name, kind)| (name.as_bytes(), *kind));
        let tokens = PresentedTokens::new(lines, subprotocols, &Target::parse(path.as_bytes()));
        tokens.tokens().map(|token| String::from_utf8(token.bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn every_slot_presents_its_token_once() {
        let lines = [
            (Slot::Gateway, "Bearer gateway-token"),
            (Slot::Gateway, "gateway-token, another-token"),
            (Slot::Authorization, "bearer own-provider-key"),
            (Slot::Authorization, "Basic dXNlcjpwYXNz"),
            (Slot::ApiKey, "third-key"),
            (Slot::ApiKey, "unused"),
            (Slot::ApiKey, ""),
        ];
        let subprotocols = [
            ("realtime", Subprotocol::Plain),
            ("gateway.subprotocol-token", Subprotocol::Token(8)),
            ("b64.ZW5jb2RlZC10b2tlbg", Subprotocol::EncodedToken(4)),
            ("openai-beta.realtime-v1", Subprotocol::ProviderSetting),
            ("key.subprotocol-key", Subprotocol::ProviderKey(4)),
        ];
        assert_eq!(
            presented(&lines, &subprotocols, "/r?key=query%2Dkey&model=gpt-realtime"),
            [
                "gateway-token",
                "another-token",
                "own-provider-key",
                "third-key",
                "subprotocol-token",
                "ZW5jb2RlZC10b2tlbg",
                "encoded-token",
                "subprotocol-key",
                "query-key",
            ]
        );
    }

    #[test]
    fn a_token_is_found_however_it_is_encoded() {
        let token = "to/ken+42";
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for text in [
            token,
            "https://a.test/?t=to/ken+42&x",
            "to%2Fken%2b42",
            "%74%6f%2F%6b%65%6e%2B%34%32",
            "t%6F/ken+42",
            "https://a.test/?next=%2Fr%3Ft%3Dto%252Fken%252b42",
            "%zz to/ken+42 %",
            &basic("user:to/ken+42"),
            &basic("to/ken+42:").replace('=', "").replace("Basic", "bASIC"),
        ] {
            assert!(stands_in(token.as_bytes(), text.as_bytes()), "{text}");
        }
        for text in ["", "to/ken+4", "to/ken 42", "To/ken+42", "to%2Fken", &STANDARD.encode("to/ken+43"), "Basic %%%"] {
            assert!(!stands_in(token.as_bytes(), text.as_bytes()), "{text}");
        }
        assert!(!stands_in(b"", b"anything%"));
    }

    proptest! {
        #[test]
        fn no_token_is_overlooked(token in vec(b'a'..b'd', 1..12), text in vec(b'a'..b'd', 0..60), at in 0..60_usize) {
            let stands = text.windows(token.len()).any(|window| window == token);
            prop_assert_eq!(is_elsewhere(&token, &text), stands);
            prop_assert_eq!(stands_in(&token, &text), stands);
            // It is not elsewhere where it was read from.
            let at = at.min(text.len());
            let line = [&text[..at], b",", &token, b",", &text[at..]].concat();
            let others = [&text[..at], &text[at..]];
            let stands = others.iter().any(|text| text.windows(token.len()).any(|window| window == token));
            prop_assert_eq!(is_elsewhere(&line[at + 1..=at + token.len()], &line), stands);
        }
    }

    #[test]
    fn what_is_kept_is_the_same() {
        let lines = [(Slot::Gateway, b"gateway-token".as_slice())];
        let tokens = PresentedTokens::new(lines.into_iter(), [].into_iter(), &Target::parse(b"/")).into_owned();
        assert!(tokens.stand_in(b"x gateway-token") && !tokens.stand_in(b"gateway-tokem"));
    }

    #[test]
    fn of_more_than_one_request_may_present_any_text_may_hold_one() {
        for count in [MOST_TOKENS, MOST_TOKENS + 1] {
            let text = (0..count).map(|number| format!("token-number-{number}")).collect::<Vec<_>>().join(",");
            // What is presented again, or is none, counts for nothing.
            let lines = [(Slot::Gateway, text.as_bytes()), (Slot::ApiKey, text.as_bytes()), (Slot::ApiKey, b"unused")];
            let tokens = PresentedTokens::new(lines.into_iter(), [].into_iter(), &Target::parse(b"/"));
            let is_more = count > MOST_TOKENS;
            assert_eq!((tokens.are_too_many(), tokens.stand_in(b"any text")), (is_more, is_more), "{count}");
            let searched = tokens.searched([b"any text".as_slice()].into_iter(), false);
            assert_eq!((searched.may_be_elsewhere(), searched.into_owned().stand_in(b"any text")), (is_more, is_more));
        }
    }
}
