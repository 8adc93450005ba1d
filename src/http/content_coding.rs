//! Content codings of responses (RFC 9110, 8.4.1): what an upstream compressed although it was not asked to.

use std::borrow::Cow;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// Why a body cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentCodingError {
    /// It is longer than what is read, before it is decompressed.
    TooLong,
    /// Its coding is not gzip, or it is not even in that, or it is longer than what is read.
    Coding,
}

/// RFC 1952, 2.3: the header's fixed part, and the flags of what may follow it.
const HEADER: usize = 10;
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// The body of a response without its `content-encoding`: `identity`, `gzip`, or none. It is at most `max_len` bytes long;
/// more is not decompressed.
///
/// # Errors
///
/// Where the body is longer than `max_len`, as it came or decompressed, or where its coding cannot be read.
pub fn decoded<'a>(
    content_encoding: Option<&[u8]>,
    body: &'a [u8],
    max_len: usize,
) -> Result<Cow<'a, [u8]>, ContentCodingError> {
    let coding = content_encoding.unwrap_or_default().trim_ascii();
    if body.len() > max_len {
        Err(ContentCodingError::TooLong)
    } else if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        Ok(Cow::Borrowed(body))
    } else if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
        gunzip(body, max_len).map(Cow::Owned).ok_or(ContentCodingError::Coding)
    } else {
        Err(ContentCodingError::Coding)
    }
}

/// Decompresses one gzip member, which is all that is sent in practice.
fn gunzip(gzip: &[u8], max_len: usize) -> Option<Vec<u8>> {
    let (header, mut rest) = gzip.split_at_checked(HEADER)?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & FEXTRA != 0 {
        let (&length, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(length))..)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..)?;
    }
    let (rest, &length) = rest.split_last_chunk()?;
    let (deflated, &crc) = rest.split_last_chunk()?;
    let body = decompress_to_vec_with_limit(deflated, max_len).ok()?;
    let whole = u32::try_from(body.len()) == Ok(u32::from_le_bytes(length)) && crc32(&body) == u32::from_le_bytes(crc);
    whole.then_some(body)
}

/// RFC 1952, 8, bit by bit: answers are a few kilobytes, and a table would be larger than most of them.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 })
    })
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    use super::*;

    const MAX_LEN: usize = 1 << 20;

    fn decode<'a>(content_encoding: Option<&[u8]>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, ContentCodingError> {
        decoded(content_encoding, body, MAX_LEN)
    }

    fn gzip(flags: u8, optional: &[u8], body: &[u8]) -> Vec<u8> {
        let header = [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&header, optional, &compress_to_vec(body, 6), &crc32(body).to_le_bytes(), &length].concat()
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn what_gzip_wrote_is_read() {
        // `printf '{"a":1}' | gzip -n`
        let written = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabVJT\xb22\xac\x05\0\xaf\xac\x1bV\x07\0\0\0";
        assert_eq!(decode(Some(b"gzip"), written).as_deref(), Ok(&b"{\"a\":1}"[..]));
        let all = FHCRC | FEXTRA | FNAME | FCOMMENT | 1;
        for (flags, optional) in
            [(0, &b""[..]), (FNAME, b"n\0"), (FEXTRA, b"\x03\0abc"), (FHCRC, b"xx"), (all, b"\x01\0a\0c\0xx")]
        {
            assert_eq!(decode(Some(b" GZIP"), &gzip(flags, optional, b"body")).as_deref(), Ok(&b"body"[..]));
        }
    }

    #[test]
    fn what_is_not_coded_is_borrowed() {
        for coding in [None, Some(&b""[..]), Some(b"Identity ")] {
            assert!(matches!(decode(coding, b"{}"), Ok(Cow::Borrowed(b"{}"))));
        }
    }

    #[test]
    fn a_cut_and_a_header_or_checksum_that_does_not_fit_are_noticed() {
        let good = gzip(0, b"", br#"{"value":"ek_up","expires_at":1}"#);
        for end in 0..good.len() {
            assert_eq!(decode(Some(b"gzip"), &good[..end]), Err(ContentCodingError::Coding), "{end}");
        }
        for at in (0..4).chain(good.len() - 8..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 0xe0;
            assert_eq!(decode(Some(b"gzip"), &bad), Err(ContentCodingError::Coding), "{at}");
        }
    }

    #[test]
    fn other_codings_and_what_is_too_long_are_refused() {
        for coding in ["br", "deflate", "zstd", "gzip, gzip", "gzip, identity", "\u{ff}"] {
            assert_eq!(decode(Some(coding.as_bytes()), b"{}"), Err(ContentCodingError::Coding), "{coding}");
        }
        let bomb = gzip(0, b"", &vec![b' '; MAX_LEN + 1]);
        assert!(bomb.len() < MAX_LEN / 100);
        assert_eq!(decode(Some(b"gzip"), &bomb), Err(ContentCodingError::Coding));
        assert_eq!(decode(None, &vec![b' '; MAX_LEN + 1]), Err(ContentCodingError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(flags in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(Some(b"gzip"), &bytes);
            let _ = decode(Some(b"gzip"), &[&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], &bytes[..]].concat());
        }
    }
}
