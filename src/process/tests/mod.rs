//! Tests of several workers at a time.

mod calls;
mod interleavings;
mod reservations;
mod shared_tallies;
mod turns;
