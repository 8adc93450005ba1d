//! The ABI's serialization of header maps, and edits of them.

use proxy_wasm::types::MapType;
use realtime_byok::host::HeaderMap;
use realtime_byok::http::{Edit, Edits, Headers, Span};

use super::{Status, remove_header_map_value, replace_header_map_value};

/// The ABI's number of a map.
pub(super) fn map_type(of: HeaderMap) -> MapType {
    match of {
        HeaderMap::Request => MapType::HttpRequestHeaders,
        HeaderMap::RequestTrailers => MapType::HttpRequestTrailers,
        HeaderMap::Response => MapType::HttpResponseHeaders,
        HeaderMap::ResponseTrailers => MapType::HttpResponseTrailers,
    }
}

/// Makes the edits; the first that fails ends it.
pub(crate) fn edit(map: HeaderMap, edits: &Edits) -> Result<(), Status> {
    let map = map_type(map);
    edits.iter().try_for_each(|edit| match edit {
        Edit::Remove(name) => remove_header_map_value(map, name),
        Edit::Set(name, value) => replace_header_map_value(map, name, value.as_bytes()),
    })
}

/// The lines of a serialized map: their number, all pairs of lengths, then name and value of each, a NUL behind both.
/// Numbers are 32 bits, little-endian.
pub(super) fn lines(buffer: Vec<u8>) -> Option<Headers> {
    let (count, lengths) = buffer.as_chunks::<4>().0.split_first()?;
    // There are no more lines than have lengths here.
    let lengths = lengths.as_chunks::<2>().0.get(..usize::try_from(u32::from_le_bytes(*count)).ok()?)?;
    let mut at = u32::try_from(4 + size_of_val(lengths)).ok()?;
    let spans = lengths.iter().map(|&[name, value]| {
        let name = at..at.saturating_add(u32::from_le_bytes(name));
        let start = name.end.saturating_add(1);
        let value = start..start.saturating_add(u32::from_le_bytes(value));
        at = value.end.saturating_add(1);
        Span { name, value }
    });
    let spans = spans.collect();
    Some(Headers::new(buffer, spans))
}

pub(super) fn serialized<T: AsRef<str>>(headers: &[(&str, T)]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or_default().to_le_bytes();
    let mut bytes = u32::try_from(headers.len()).unwrap_or_default().to_le_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend(length(name));
        bytes.extend(length(value.as_ref()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value.as_ref()]) {
        bytes.extend(text.bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serialized_map_reads_back() {
        let headers = lines(serialized(&[(":path", "/"), ("a", ""), ("a", "b")])).unwrap();
        let want = [(":path", "/"), ("a", ""), ("a", "b")].map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(headers.iter().collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_map_that_is_cut_short_or_lies_about_its_size_does_not_trap() {
        let whole = serialized(&[("name", "value"), ("a", "b")]);
        for end in 0..whole.len() {
            if let Some(headers) = lines(whole[..end].to_vec()) {
                assert!(headers.iter().all(|(name, value)| name.len() + value.len() < 10));
            }
        }
        assert!(lines(vec![0xff; 64]).is_none());
    }
}
