//! Tests of several workers at a time.

mod interleavings;
