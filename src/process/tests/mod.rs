//! Tests of several workers at a time.

mod interleavings;
mod shared_tallies;
