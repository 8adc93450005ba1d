//! Request targets (`:path`): the path, and the query's parameters as bytes that stay as they are unless edited.

use std::borrow::Cow;
use std::cmp::Ordering;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// RFC 3986's unreserved characters stay; everything else in a parameter that the filter writes is percent-encoded.
const PARAM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request target in origin form, `path [ "?" query ]`.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Everything before the first `?`.
    pub path: &'a [u8],
    /// Everything behind it.
    pub query: Option<&'a [u8]>,
}

/// One `name=value` of a query.
pub struct Param<'a> {
    raw: &'a [u8],
    raw_name: &'a [u8],
    raw_value: &'a [u8],
}

impl<'a> Target<'a> {
    /// Splits `:path` at its first `?`.
    pub fn parse(path: &'a [u8]) -> Self {
        match path.iter().position(|&byte| byte == b'?') {
            Some(at) => Self { path: path.get(..at).unwrap_or_default(), query: path.get(at + 1..) },
            None => Self { path, query: None },
        }
    }

    /// The target as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.query {
            Some(query) => [self.path, b"?", query].concat(),
            None => self.path.to_vec(),
        }
    }

    /// The query's parameters in order, empty ones included.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut rest = self.query;
        std::iter::from_fn(move || {
            let (param, behind) = Param::first(rest?);
            rest = behind;
            Some(param)
        })
    }

    /// The target with some parameters dropped, others given a new value, and more added at the end; `None` when
    /// nothing changes. What is kept keeps its order and bytes.
    pub fn rewrite<'b>(&self, edit: &dyn Fn(&Param<'a>) -> ParamEdit<'b>, added: &[(&str, &[u8])]) -> Option<Vec<u8>> {
        if added.is_empty() && self.params().all(|param| matches!(edit(&param), ParamEdit::Keep)) {
            return None;
        }
        let mut target = Vec::with_capacity(self.path.len() + 1 + self.query.map_or(0, <[u8]>::len));
        target.extend_from_slice(self.path);
        let separate = |target: &mut Vec<u8>| target.push(if target.len() == self.path.len() { b'?' } else { b'&' });
        for param in self.params() {
            match edit(&param) {
                ParamEdit::Keep => {
                    separate(&mut target);
                    target.extend_from_slice(param.raw);
                }
                ParamEdit::Remove => {}
                ParamEdit::Replace(value) => {
                    separate(&mut target);
                    write_param(&mut target, param.raw_name, value);
                }
            }
        }
        for (name, value) in added {
            let name: Cow<'_, str> = percent_encode(name.as_bytes(), PARAM).into();
            separate(&mut target);
            write_param(&mut target, name.as_bytes(), value);
        }
        Some(target)
    }
}

/// What becomes of a parameter.
pub enum ParamEdit<'a> {
    /// It stays, byte for byte.
    Keep,
    /// It goes.
    Remove,
    /// Its name stays, its value becomes this, percent-encoded.
    Replace(&'a [u8]),
}

impl<'a> Param<'a> {
    /// The first one of a query, and the others if there are any.
    fn first(query: &'a [u8]) -> (Self, Option<&'a [u8]>) {
        let name = query.iter().position(|byte| matches!(byte, b'=' | b'&')).unwrap_or(query.len());
        let (raw_name, behind) = query.split_at_checked(name).unwrap_or_default();
        let value = behind.strip_prefix(b"=").unwrap_or_default();
        let length = value.iter().position(|byte| *byte == b'&').unwrap_or(value.len());
        let raw_value = value.get(..length).unwrap_or_default();
        let end = query.len() - behind.len() + usize::from(behind.starts_with(b"=")) + length;
        let (raw, others) = query.split_at_checked(end).unwrap_or_default();
        (Self { raw, raw_name, raw_value }, others.strip_prefix(b"&"))
    }

    /// Whether the name, percent-decoded, is `name`, which is in lower case, in any case.
    pub fn is(&self, name: &str) -> bool {
        match self.raw_name.len().cmp(&name.len()) {
            // Nothing gets longer by being decoded, and what stays as long was not encoded.
            Ordering::Less => false,
            Ordering::Equal => self.raw_name.eq_ignore_ascii_case(name.as_bytes()),
            Ordering::Greater => percent_decode(self.raw_name).map(|byte| byte.to_ascii_lowercase()).eq(name.bytes()),
        }
    }

    /// Whether the name, percent-decoded, is `name` in this case.
    pub fn is_exactly(&self, name: &str) -> bool {
        self.raw_name == name.as_bytes()
            || (self.raw_name.len() > name.len() && percent_decode(self.raw_name).eq(name.bytes()))
    }

    /// Name and value as they came.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The value's bytes, percent-decoded as far as they can be.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        percent_decode(self.raw_value).into()
    }

    /// Whether the value, percent-decoded, is this.
    pub fn value_is(&self, value: &str) -> bool {
        let is_plain = self.raw_value == value.as_bytes() && !self.raw_value.contains(&b'%');
        is_plain || self.value().is_some_and(|own| own == value)
    }

    /// The value, percent-decoded; `None` if a `%` does not begin an octet or the result is not UTF-8.
    pub fn value(&self) -> Option<Cow<'a, str>> {
        let mut rest = self.raw_value;
        if !rest.contains(&b'%') {
            return str::from_utf8(rest).ok().map(Cow::Borrowed);
        }
        while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
            let octet = rest.get(at + 1..at + 3)?;
            if !octet.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            rest = rest.get(at + 3..).unwrap_or_default();
        }
        percent_decode(self.raw_value).decode_utf8().ok()
    }
}

fn write_param(target: &mut Vec<u8>, raw_name: &[u8], value: &[u8]) {
    target.extend_from_slice(raw_name);
    target.push(b'=');
    for piece in percent_encode(value, PARAM) {
        target.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(path: &str, names: &[&str]) -> Option<String> {
        let edit = |param: &Param<'_>| {
            if names.iter().any(|name| param.is(name)) { ParamEdit::Remove } else { ParamEdit::Keep }
        };
        Target::parse(path.as_bytes()).rewrite(&edit, &[]).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn parameters_are_dropped_by_decoded_name_and_the_rest_stays_as_it_was() {
        for (path, want) in [
            ("/v1/realtime?model=m", None),
            ("/v1/realtime", None),
            ("/v1/realtime?key=s", Some("/v1/realtime")),
            ("/r?a=%41&key=s&b", Some("/r?a=%41&b")),
            ("/r?K%65y=s&&x=", Some("/r?&x=")),
            ("/r?key", Some("/r")),
            ("/r?keys=1&monkey=2", None),
            ("/r?%6b%65%79=s&KEY=t&q=?&key=?", Some("/r?q=?")),
        ] {
            assert_eq!(without(path, &["key"]).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn a_value_is_replaced_and_one_added_percent_encoded() {
        let target = Target::parse(b"/r?x=1&model=a%2Fb&y=2");
        let edit = |param: &Param<'_>| if param.is("model") { ParamEdit::Replace(b"c d") } else { ParamEdit::Keep };
        assert_eq!(target.rewrite(&edit, &[("key", b"s&=/")]).unwrap(), b"/r?x=1&model=c%20d&y=2&key=s%26%3D%2F");
        let kept = |_: &Param<'_>| ParamEdit::Keep;
        let added = Target::parse(b"/r").rewrite(&kept, &[("key", b"s"), ("a&b", b"t")]);
        assert_eq!(added.unwrap(), b"/r?key=s&a%26b=t");
    }

    #[test]
    fn values_decode_or_are_known_not_to() {
        for (query, want) in [
            ("model=gpt-realtime", Some("gpt-realtime")),
            ("model=azure%2fgpt", Some("azure/gpt")),
            ("model=", Some("")),
            ("model", Some("")),
            ("model=%C3%A9", Some("é")),
            ("model=%", None),
            ("model=%4", None),
            ("model=%zz", None),
            ("model=%ff", None),
        ] {
            let path = format!("/r?{query}");
            let value = Target::parse(path.as_bytes()).params().next().unwrap().value();
            assert_eq!(value.as_deref(), want, "{query}");
        }
    }
}
