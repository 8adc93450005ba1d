//! What is fuzzed: each target is a function of any bytes, which panics where something does not hold.

pub mod bodies;
pub mod configuration;
pub mod control;
pub mod events;
pub mod frames;
mod gateway;
mod host;
pub mod json;
mod oracle;
pub mod path;
pub mod request;
pub mod sealed;
mod tree;
mod wire;

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("bodies", bodies::run),
    ("configuration", configuration::run),
    ("control", control::run),
    ("events", events::run),
    ("frames", frames::run),
    ("json", json::run),
    ("path", path::run),
    ("request", request::run),
    ("sealed", sealed::run),
];

/// `bytes` whole, byte by byte, and in two pieces cut at some places: what must come to the same.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    const PLACES: usize = 12;
    let step = 1 + bytes.len() / PLACES;
    let in_two = (1..bytes.len()).step_by(step).map(|cut| {
        let (head, tail) = bytes.split_at(cut);
        vec![head, tail]
    });
    let in_many = [1, 3].into_iter().filter(|_| !bytes.is_empty()).map(|size| bytes.chunks(size).collect());
    std::iter::once(vec![bytes]).chain(in_many).chain(in_two)
}

/// Whether one holds the other.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}
