//! Tests against recorded streams.

mod recorded;
