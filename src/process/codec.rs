//! How numbers and bytes are written in shared data: numbers as LEB128, bytes after their count.

use crate::usage::{Audio, Input, MicroUsd, Output, Tally, Transcription};

/// Bytes that were not written by this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes and their count.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends what has been used, and what it costs.
pub(crate) fn put_usage(out: &mut Vec<u8>, usage: &Tally, cost: MicroUsd) {
    let Tally { responses, input_tokens, output_tokens, total_tokens, input, output, transcription, audio } = *usage;
    let counters = [
        responses,
        input_tokens,
        output_tokens,
        total_tokens,
        input.text,
        input.audio,
        input.image,
        input.cached_text,
        input.cached_audio,
        input.cached_image,
        output.text,
        output.audio,
        transcription.tokens,
        transcription.milliseconds,
        audio.milliseconds,
        cost.0,
    ];
    counters.into_iter().for_each(|counter| put_number(out, counter));
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Corrupt> {
        if self.0.is_empty() { Ok(()) } else { Err(Corrupt) }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Corrupt> {
        let (&byte, rest) = self.0.split_first().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Corrupt> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Corrupt);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Corrupt)
    }

    /// A number that fits in 32 bits.
    pub(crate) fn small(&mut self) -> Result<u32, Corrupt> {
        u32::try_from(self.number()?).map_err(|_| Corrupt)
    }

    /// So many of something as a number says, and at most `capacity`.
    pub(crate) fn list<T>(
        &mut self,
        capacity: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Corrupt>,
    ) -> Result<Vec<T>, Corrupt> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= capacity).ok_or(Corrupt)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// So many of something as a number says, with room for one more.
    pub(crate) fn growing<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Corrupt>,
    ) -> Result<Vec<T>, Corrupt> {
        let count = self.number()?;
        // Each takes a byte at least: damage takes no more memory than there are bytes for.
        let most = usize::try_from(count).ok().filter(|count| *count <= self.0.len()).ok_or(Corrupt)?;
        let mut list = Vec::with_capacity(most.saturating_add(1));
        for _ in 0..most {
            list.push(read(self)?);
        }
        Ok(list)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let len = usize::try_from(self.number()?).map_err(|_| Corrupt)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Corrupt> {
        str::from_utf8(self.bytes()?).map_err(|_| Corrupt)
    }

    pub(crate) fn usage(&mut self) -> Result<(Tally, MicroUsd), Corrupt> {
        // Fields of a literal are read in the order in which they stand.
        let usage = Tally {
            responses: self.number()?,
            input_tokens: self.number()?,
            output_tokens: self.number()?,
            total_tokens: self.number()?,
            input: Input {
                text: self.number()?,
                audio: self.number()?,
                image: self.number()?,
                cached_text: self.number()?,
                cached_audio: self.number()?,
                cached_image: self.number()?,
            },
            output: Output { text: self.number()?, audio: self.number()? },
            transcription: Transcription { tokens: self.number()?, milliseconds: self.number()? },
            audio: Audio { milliseconds: self.number()? },
        };
        Ok((usage, MicroUsd(self.number()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_one_to_ten_bytes() {
        for (number, bytes) in
            [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (u64::MAX, [[0xff; 9].as_slice(), &[1]].concat())]
        {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out, bytes);
            assert_eq!(Reader::new(&bytes).number(), Ok(number));
        }
        for bad in [&[0xff; 9][..], &[0x80], &[], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(Reader::new(bad).number(), Err(Corrupt), "{bad:?}");
        }
    }

    #[test]
    fn a_count_over_what_is_there_is_damage() {
        for bad in [&[2, b'a'][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, b'a']] {
            assert_eq!(Reader::new(bad).bytes(), Err(Corrupt));
        }
        assert_eq!(Reader::new(&[1, 0xff]).text(), Err(Corrupt));
        assert_eq!(Reader::new(&[2, 0xc3, 0xa9]).text(), Ok("é"));
    }

    proptest! {
        #[test]
        fn usage_is_read_as_it_was_written(counters in any::<[u64; 8]>(), cost in any::<u64>()) {
            let [responses, input_tokens, output_tokens, total_tokens, a, b, c, d] = counters;
            let usage = Tally {
                responses, input_tokens, output_tokens, total_tokens,
                input: Input { text: a, audio: b, image: c, cached_text: d, cached_audio: a ^ 1, cached_image: b ^ 1 },
                output: Output { text: c ^ 1, audio: d ^ 1 },
                transcription: Transcription { tokens: a ^ 2, milliseconds: b ^ 2 },
                audio: Audio { milliseconds: c ^ 2 },
            };
            let mut out = Vec::new();
            put_usage(&mut out, &usage, MicroUsd(cost));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.usage(), Ok((usage, MicroUsd(cost))));
            prop_assert!(reader.is_empty());
        }
    }
}
