//! Sealed client secrets: text that only a holder of the sealing key can read or make.
//!
//! A sealed secret is `ek_`, on which official browser SDKs insist, and then base64url without padding of
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 1 | the version, 1 |
//! | 1 | 4 | the key's id: how SHA-256 of `realtime-byok sealing key id` ‖ key begins |
//! | 5 | 24 | the nonce |
//! | 29 | n | the [claims](super::claims), encrypted with XChaCha20-Poly1305 |
//! | 29 + n | 16 | the tag |
//!
//! The associated data is `realtime-byok client secret` ‖ version ‖ key id. The text has one spelling: base64url that is
//! padded, or whose unused bits are not zero, is refused, so that no changed bit goes unnoticed.

use std::borrow::Cow;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{Engine as _, alphabet};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::claims::{ClaimTooLong, Claims, MAX_ENCODED};

/// What every client secret begins with, sealed or not.
pub const PREFIX: &[u8] = b"ek_";

/// How far the clocks of two replicas may be apart, in seconds.
pub const CLOCK_SKEW: u64 = 30;

/// Random bytes, new for every secret that is sealed.
pub type Nonce = [u8; 24];

/// The bytes that the opened claims borrow from; wiped when dropped.
pub type Plaintext = Zeroizing<Vec<u8>>;

const VERSION: u8 = 1;
const KEY_ID_DOMAIN: &[u8] = b"realtime-byok sealing key id";
const SECRET_DOMAIN: &[u8] = b"realtime-byok client secret";
const OVERHEAD: usize = 1 + size_of::<KeyId>() + size_of::<Nonce>() + size_of::<Tag>();

/// Base64 of keys, as `openssl rand -base64 32` prints it, with or without the padding.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Which sealing key, without saying anything of it.
pub type KeyId = [u8; 4];

/// A key of 32 bytes that seals and opens client secrets.
pub struct SealingKey {
    id: KeyId,
    associated_data: Vec<u8>,
    cipher: XChaCha20Poly1305,
}

/// What is no sealing key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealingKeyError {
    /// Not base64.
    NotBase64,
    /// Not 32 bytes, but this many.
    Length(usize),
}

/// The keys of a policy's client secrets.
pub struct SealingKeys {
    first: SealingKey,
    older: Vec<SealingKey>,
}

/// A sealed secret: a credential, so neither `Debug` nor `Display`.
pub struct Sealed(Zeroizing<String>);

/// Why text opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// It has not the form: it begins otherwise, or is shorter or longer than a sealed secret can be.
    NotSealed,
    /// It has the form, but another version, a key that is not here, or it was changed.
    Invalid,
    /// Its time is over.
    Expired,
}

impl SealingKey {
    /// Reads base64 of 32 bytes, padded or not.
    ///
    /// # Errors
    ///
    /// Where the text is not base64, or not of 32 bytes.
    pub fn from_base64(text: &[u8]) -> Result<Self, SealingKeyError> {
        let bytes = KEY_BASE64.decode(text).map(Zeroizing::new).map_err(|_| SealingKeyError::NotBase64)?;
        Self::from_bytes(&bytes)
    }

    /// Takes 32 bytes.
    ///
    /// # Errors
    ///
    /// [`SealingKeyError::Length`] where there are not 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealingKeyError> {
        let key = <&Key>::try_from(bytes).map_err(|_| SealingKeyError::Length(bytes.len()))?;
        let digest: [u8; 32] = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(key).finalize().into();
        let [a, b, c, d, ..] = digest;
        let id = [a, b, c, d];
        let associated_data = associated(SECRET_DOMAIN, &id);
        Ok(Self { id, associated_data, cipher: XChaCha20Poly1305::new(key) })
    }

    /// Its id, which says nothing of the key.
    #[cfg(test)]
    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    fn associated(&self, domain: &[u8]) -> Vec<u8> {
        associated(domain, &self.id)
    }

    /// The only error of the cipher is a message too long for it.
    fn encrypt(&self, prefix: &str, associated_data: &[u8], mut body: Plaintext, nonce: &Nonce) -> Option<String> {
        let tag = self.cipher.encrypt_inout_detached(nonce.into(), associated_data, body.as_mut_slice().into()).ok()?;
        let mut text = String::from(prefix);
        URL_SAFE_NO_PAD.encode_string([&[VERSION], &self.id[..], nonce, &body, &tag].concat(), &mut text);
        Some(text)
    }
}

fn associated(domain: &[u8], id: &KeyId) -> Vec<u8> {
    [domain, &[VERSION], id].concat()
}

impl SealingKeys {
    /// Keys of which the first seals and all open, so that a new one can be put in front while secrets of the older
    /// ones are out.
    pub fn new(first: SealingKey, older: Vec<SealingKey>) -> Self {
        Self { first, older }
    }

    /// Seals claims with the first key. A nonce must be random and never used again.
    ///
    /// # Errors
    ///
    /// Where a claim is longer than a secret can hold; it is named.
    pub fn seal(&self, claims: &Claims<'_>, nonce: &Nonce) -> Result<Sealed, ClaimTooLong> {
        let mut body = Plaintext::new(Vec::with_capacity(claims.room()));
        claims.encode(&mut body)?;
        let text = self.first.encrypt("ek_", &self.first.associated_data, body, nonce);
        text.map(|text| Sealed(Zeroizing::new(text))).ok_or(ClaimTooLong("claims"))
    }

    /// Seals bytes as text that begins with `prefix`, for another use than client secrets: `domain`, which no other use
    /// has, begins the associated data. `None` if there are too many.
    pub(crate) fn seal_for(&self, domain: &[u8], prefix: &str, body: Plaintext, nonce: &Nonce) -> Option<String> {
        self.first.encrypt(prefix, &self.first.associated(domain), body, nonce)
    }

    /// Opens such text, which begins after its prefix.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotSealed`] for what none of the keys has sealed; [`OpenError::Invalid`] for what one of them seems to
    /// have, if it was changed, or sealed for another use.
    pub(crate) fn open_for<'a>(
        &self,
        domain: &[u8],
        encoded: &[u8],
        plaintext: &'a mut Plaintext,
    ) -> Result<&'a [u8], OpenError> {
        let mut sealed = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| OpenError::NotSealed)?;
        let is_ours = sealed.len() >= OVERHEAD && sealed.starts_with(&[VERSION]);
        let mut keys = std::iter::once(&self.first).chain(&self.older);
        if !is_ours || !keys.any(|key| sealed.get(1..).is_some_and(|rest| rest.starts_with(&key.id))) {
            return Err(OpenError::NotSealed);
        }
        let opened = self.decrypt(&mut sealed, &|key| key.associated(domain).into());
        let opened = opened.map(|body| body.to_vec()).ok_or(OpenError::Invalid);
        sealed.zeroize();
        *plaintext = Plaintext::new(opened?);
        Ok(plaintext)
    }

    /// The id of the key that sealed this text, by what it says; none of text that is something else.
    pub fn id_of(text: &[u8]) -> Option<KeyId> {
        // The version, the id, and the first byte of the nonce.
        let (first, _) = text.strip_prefix(PREFIX)?.split_first_chunk::<8>()?;
        let mut head = [0; 6];
        URL_SAFE_NO_PAD.decode_slice(first, &mut head).ok()?;
        let [_, a, b, c, d, _] = head;
        Some([a, b, c, d])
    }

    /// Whether the key of this id is here.
    pub fn has(&self, id: KeyId) -> bool {
        std::iter::once(&self.first).chain(&self.older).any(|key| key.id == id)
    }

    /// Opens a sealed secret at `now`, in Unix seconds. The claims borrow from `plaintext`, whose former content is
    /// wiped; nothing else is allocated, and no more than the longest secret needs.
    ///
    /// A secret that expired less than [`CLOCK_SKEW`] ago is good, and so is one issued as far ahead.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotSealed`] for text that is something else, which may still be a gateway token;
    /// [`OpenError::Invalid`] and [`OpenError::Expired`] for a sealed secret that is good for nothing.
    pub fn open<'a>(&self, text: &[u8], now: u64, plaintext: &'a mut Plaintext) -> Result<Claims<'a>, OpenError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(OpenError::NotSealed)?;
        let length = base64::decoded_len_estimate(encoded.len());
        if !(OVERHEAD..=OVERHEAD + MAX_ENCODED + 2).contains(&length) {
            return Err(OpenError::NotSealed);
        }
        plaintext.zeroize();
        plaintext.resize(length, 0);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, plaintext).map_err(|_| OpenError::Invalid)?;
        plaintext.truncate(length);
        let body = self.decrypt(plaintext, &|key| key.associated_data.as_slice().into()).ok_or(OpenError::Invalid)?;
        let claims = Claims::decode(body).map_err(|_| OpenError::Invalid)?;
        if claims.issued_at > now.saturating_add(CLOCK_SKEW) {
            Err(OpenError::Invalid)
        } else if now >= claims.expires_at.saturating_add(CLOCK_SKEW) {
            Err(OpenError::Expired)
        } else {
            Ok(claims)
        }
    }

    fn decrypt<'a>(
        &self,
        sealed: &'a mut [u8],
        associated_data: &dyn Fn(&SealingKey) -> Cow<'_, [u8]>,
    ) -> Option<&'a [u8]> {
        let (version, rest) = sealed.split_first_mut()?;
        let (id, rest) = rest.split_first_chunk_mut::<{ size_of::<KeyId>() }>()?;
        let (nonce, rest) = rest.split_first_chunk_mut::<{ size_of::<Nonce>() }>()?;
        let (body, tag) = rest.split_last_chunk_mut::<{ size_of::<Tag>() }>()?;
        if *version != VERSION {
            return None;
        }
        let (nonce, tag): (&XNonce, &Tag) = ((&*nonce).into(), (&*tag).into());
        // Ids can collide. The tag is checked before anything is decrypted, so a wrong key leaves the body as it is.
        let keys = std::iter::once(&self.first).chain(&self.older);
        keys.filter(|key| key.id == *id).find_map(|key| {
            key.cipher.decrypt_inout_detached(nonce, &associated_data(key), (&mut *body).into(), tag).ok()
        })?;
        Some(body)
    }
}

impl Sealed {
    /// The text, for the answer that hands it to the client.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client_secret::claims::tests::{FORMER, FULL, LEAST};

    const KEY: &[u8] = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NONCE: Nonce = *b"@ABCDEFGHIJKLMNOPQRSTUVW";
    const SEALED_LEAST: &str = "ek_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImSM1\
                                Fx2gybj4rpBkgvKDuV9jhO3ko";
    /// As it was sealed before there were more claims.
    const SEALED_FORMER: &str = "ek_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImSM1F\
                               x2hTheNgi5-GKWu2rpj2DlDaX7eBsYbEJcYrtUkhBRrKQRykLbzxc8PF81b9n4bpY1NJUBQbNY1k-6hs04I0fxdV\
                               ue7LdMOtQf8sSP-z_pUh5x-vu4U4j28jG_Yaru5jd2-z6OWIk5LEAwqVtXVXHxCFgAVvPSE6RcfuGw";
    const SEALED_FULL: &str = "ek_AecDASdAQUJDREVGR0hJSktMTU5PUFFSU1RVVlfVPnIVss0YZv_2gdHf-Qvz-7mosnwwMP9usSr5zAImSM1\
                               Fx2hTheNgi5-GKWu2rpj2DlDaX7eBsYbEJcYrtUkhBRrKQRykLbzxc8PF81b9n4bpY1NJUBQbNY1k-6hs04I0f\
                               xdVue7LdMOtQf8sSP-z_pUh5x-vu4U4j28jG_Yaru5jd2-z6OWIk5LEAwqV01HgOAGRRlguaC5eyNZTqADQTJh\
                               t01AtlQohiLrtHbhVneTl24b8ldm6hu9z_Xv7WfrYlNbGg3ZGW0jmUFRJ3mUHWbH1jbDkBA";
    const NOW: u64 = LEAST.issued_at;

    fn key(seed: u8) -> SealingKey {
        SealingKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn vector_keys() -> SealingKeys {
        SealingKeys::new(SealingKey::from_base64(KEY).unwrap(), Vec::new())
    }

    fn error(keys: &SealingKeys, text: impl AsRef<[u8]>, now: u64) -> Option<OpenError> {
        keys.open(text.as_ref(), now, &mut Plaintext::default()).err()
    }

    #[test]
    fn secrets_are_sealed_and_opened_as_documented() {
        for (claims, sealed) in [(LEAST, SEALED_LEAST), (FORMER, SEALED_FORMER), (FULL, SEALED_FULL)] {
            assert_eq!(vector_keys().seal(&claims, &NONCE).unwrap().expose(), sealed);
            let mut plaintext = Plaintext::default();
            assert_eq!(vector_keys().open(sealed.as_bytes(), NOW, &mut plaintext), Ok(claims));
        }
    }

    #[test]
    fn a_secret_with_long_names_stays_under_1_kib() {
        let name = "x".repeat(40);
        let origin = format!("https://{}.example.com", "x".repeat(63));
        let claims = Claims {
            caller: &name,
            provider: &name,
            policy: &name,
            model: Some(&name),
            user: Some(&name),
            origin: Some(&origin),
            upstream: Some(&[b'x'; 200]),
            ..FULL
        };
        let sealed = vector_keys().seal(&claims, &NONCE).unwrap();
        assert!("openai-insecure-api-key.".len() + sealed.expose().len() < 1024, "{}", sealed.expose().len());
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = vector_keys();
        for at in 0..SEALED_FULL.len() {
            for bit in 0..8 {
                let mut text = SEALED_FULL.as_bytes().to_vec();
                text[at] ^= 1 << bit;
                let want = if at < PREFIX.len() { OpenError::NotSealed } else { OpenError::Invalid };
                assert_eq!(error(&keys, text, NOW), Some(want), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        let keys = vector_keys();
        for sealed in [SEALED_LEAST, SEALED_FULL] {
            for end in 0..sealed.len() {
                let error = error(&keys, &sealed[..end], NOW);
                assert!(matches!(error, Some(OpenError::NotSealed | OpenError::Invalid)), "cut at {end}: {error:?}");
            }
            for more in ["=", "==", "A", "AAAA", " ", "\n", "\0"] {
                assert_eq!(error(&keys, format!("{sealed}{more}"), NOW), Some(OpenError::Invalid), "{more:?}");
            }
        }
    }

    #[test]
    fn what_has_not_the_form_is_not_sealed() {
        let too_long = format!("ek_{}", "A".repeat(20_000));
        let standard = SEALED_FULL.replacen("ek_", "sk-", 1);
        let upper = SEALED_FULL.replacen("ek_", "EK_", 1);
        for text in ["", "ek_", "gateway-token", "ek_68af296e8e408191a1120ab6383263c2", &too_long, &standard, &upper] {
            assert_eq!(error(&vector_keys(), text, NOW), Some(OpenError::NotSealed), "{text}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        let standard = format!("ek_{}", SEALED_FULL[3..].replace('-', "+").replace('_', "/"));
        assert_eq!(error(&vector_keys(), standard, NOW), Some(OpenError::Invalid));
        let unused_bits = [&SEALED_FULL[..SEALED_FULL.len() - 1], "x"].concat();
        assert_eq!(error(&vector_keys(), unused_bits, NOW), Some(OpenError::Invalid));
    }

    #[test]
    fn another_version_is_invalid_even_if_all_else_fits() {
        let mut bytes = URL_SAFE_NO_PAD.decode(&SEALED_LEAST[3..]).unwrap();
        for version in (0..=u8::MAX).filter(|&version| version != VERSION) {
            bytes[0] = version;
            let text = format!("ek_{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(error(&vector_keys(), text, NOW), Some(OpenError::Invalid), "{version}");
        }
    }

    #[test]
    fn a_secret_is_good_until_it_expires_give_or_take_the_clocks() {
        for (now, want) in [
            (LEAST.issued_at - CLOCK_SKEW - 1, Some(OpenError::Invalid)),
            (LEAST.issued_at - CLOCK_SKEW, None),
            (LEAST.issued_at, None),
            (LEAST.expires_at, None),
            (LEAST.expires_at + CLOCK_SKEW - 1, None),
            (LEAST.expires_at + CLOCK_SKEW, Some(OpenError::Expired)),
            (u64::MAX, Some(OpenError::Expired)),
            (0, Some(OpenError::Invalid)),
        ] {
            assert_eq!(error(&vector_keys(), SEALED_LEAST, now), want, "{now}");
        }
    }

    #[test]
    fn a_changed_secret_is_invalid_even_when_late() {
        let changed = SEALED_LEAST.replace('7', "8");
        assert_eq!(error(&vector_keys(), changed, u64::MAX), Some(OpenError::Invalid));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (SealingKeys::new(key(1), Vec::new()), SealingKeys::new(key(2), Vec::new()));
        let rotated = SealingKeys::new(key(2), vec![key(3), key(1)]);
        let by_old = old.seal(&FULL, &NONCE).unwrap();
        let by_rotated = rotated.seal(&FULL, &NONCE).unwrap();
        assert_eq!(error(&rotated, by_old.expose(), NOW), None);
        assert_eq!(error(&rotated, by_rotated.expose(), NOW), None);
        assert_eq!(error(&new, by_rotated.expose(), NOW), None);
        assert_eq!(error(&old, by_rotated.expose(), NOW), Some(OpenError::Invalid));
        assert_eq!(error(&new, by_old.expose(), NOW), Some(OpenError::Invalid));
    }

    #[test]
    fn a_secret_says_which_key_sealed_it() {
        let rotated = SealingKeys::new(key(2), vec![key(1)]);
        let sealed = rotated.seal(&FULL, &NONCE).unwrap();
        let id = SealingKeys::id_of(sealed.expose().as_bytes()).unwrap();
        assert_eq!((id, rotated.has(id), rotated.has(key(1).id)), (key(2).id, true, true));
        assert!(!SealingKeys::new(key(1), vec![key(3)]).has(id));
        assert_eq!(SealingKeys::id_of(SEALED_FULL.as_bytes()), Some(vector_keys().first.id));
        for text in ["", "ek_", "ek_AAAAAAA", "sk_AAAAAAAA", "ek_AAAA=AAA", "ek_AAAA AAA"] {
            assert_eq!(SealingKeys::id_of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_key_with_the_same_id_neither_opens_nor_spoils() {
        let SealingKey { associated_data, id, .. } = key(1);
        let twin = SealingKey { id, associated_data, cipher: key(2).cipher };
        let by_one = SealingKeys::new(key(1), Vec::new()).seal(&FULL, &NONCE).unwrap();
        let both = SealingKeys::new(twin, vec![key(1)]);
        assert_eq!(both.open(by_one.expose().as_bytes(), NOW, &mut Plaintext::default()), Ok(FULL));
        let by_twin = both.seal(&FULL, &NONCE).unwrap();
        let one = SealingKeys::new(key(1), Vec::new());
        assert_eq!(error(&one, by_twin.expose(), NOW), Some(OpenError::Invalid));
    }

    #[test]
    fn a_buffer_is_used_again_without_a_trace_of_what_it_held() {
        let mut plaintext = Plaintext::default();
        assert_eq!(vector_keys().open(SEALED_FULL.as_bytes(), NOW, &mut plaintext), Ok(FULL));
        assert_eq!(vector_keys().open(SEALED_LEAST.as_bytes(), NOW, &mut plaintext), Ok(LEAST));
        assert!(!plaintext.windows(3).any(|bytes| bytes == b"ek_"));
    }

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        for (text, want) in [
            (KEY, None),
            (&KEY[..43], None),
            (b"", Some(SealingKeyError::Length(0))),
            (b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", Some(SealingKeyError::Length(31))),
            (b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", Some(SealingKeyError::Length(33))),
            (b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", Some(SealingKeyError::NotBase64)),
            (b"not base64", Some(SealingKeyError::NotBase64)),
        ] {
            assert_eq!(SealingKey::from_base64(text).err(), want, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_opens_nothing(text in prop::collection::vec(any::<u8>(), 0..400), now in any::<u64>()) {
            prop_assert!(error(&vector_keys(), &text, now).is_some());
            prop_assert!(error(&vector_keys(), [PREFIX, &text].concat(), now).is_some());
            let well_formed = format!("ek_{}", URL_SAFE_NO_PAD.encode(&text));
            prop_assert!(error(&vector_keys(), well_formed, now).is_some());
        }
    }
}
