//! The filter as a dynamic module of Envoy's: event hooks in, callbacks out, and no decision.
//!
//! Envoy loads one copy of it for all of its workers, and calls each stream's hooks on the thread of the stream's worker. A
//! stream is known to Envoy by a number, never by an address, so that none can be followed that is no more.
//!
//! Nothing of Envoy's that may call back is called while a lock is held: an answer or a reset can end the stream, and have its
//! last hooks called, before it returns.

mod abi;
mod envoy;
mod faults;
mod filter;
mod plugins;
mod process;
mod shared_data;
mod statistics;
mod ticker;
mod worker;
