//! JSON (RFC 8259), read strictly while it comes, in pieces of any size: what is not asked for is only checked, and nothing
//! is built.
//!
//! A [`Scanner`](scanner::Scanner) makes tokens of bytes, a [`Matcher`](matcher::Matcher) tells what stands at some
//! [`Paths`](paths::Paths), and [`Edits`](edit::Edits) change a text there.

mod decimal;
pub mod edit;
mod found;
pub(crate) mod fraction;
pub mod matcher;
mod member;
mod number;
pub mod paths;
pub mod scanner;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
mod token;
mod utf8;

pub use decimal::{Decimal, ONE};
pub use member::{for_each_member, string};
pub(crate) use utf8::plain_ascii;

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    // Text can always be written.
    serde_json::to_string(text).unwrap_or_default()
}
