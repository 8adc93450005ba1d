//! Control from the server side: sessions listed, found and stopped, wherever in the process they run.
//!
//! - [`Registry`]: the records of all sessions
//! - [`Request`]: what the control API is asked, and its [`Answer`]
//!
//! A session's life, as one worker sees it:
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//!
//! use realtime_byok::control::{Process, Registry, Request};
//! use realtime_byok::http::Target;
//! use realtime_byok::limits::{CallerLimits, Callers, Ending, Entry, Mismatch, Presence, Store};
//! use realtime_byok::usage::*;
//! # use std::{cell::RefCell, collections::HashMap};
//! # #[derive(Default)]
//! # struct Shared(RefCell<HashMap<String, (Vec<u8>, u32)>>);
//! # impl Store for Shared {
//! #     fn read(&self, key: &str) -> Entry {
//! #         let entries = self.0.borrow();
//! #         entries.get(key).map_or_else(Entry::absent, |(bytes, cas)| Entry { bytes: bytes.clone(), cas: *cas })
//! #     }
//! #     fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), Mismatch> {
//! #         let mut entries = self.0.borrow_mut();
//! #         let current = entries.get(key).map_or(cas, |(_, current)| *current);
//! #         let next = current.wrapping_add(1);
//! #         if current != cas { return Err(Mismatch) }
//! #         entries.insert(key.to_owned(), (bytes.to_vec(), next));
//! #         Ok(())
//! #     }
//! # }
//! # fn record() -> Record {
//! #     serde_json::from_str(r#"{"id":"rb_000000000000000000000000000000ab","kind":"websocket","status":"open",
//! #         "upstream_id":null,"caller":"web-app","user":null,"policy":"voice","provider":"openai","model":null,
//! #         "started_at":"2026-01-02T03:04:05Z","duration_ms":0,"idle_ms":0,"usage":{"responses":0,"input_tokens":0,
//! #         "output_tokens":0,"total_tokens":0,"input":{"text":0,"audio":0,"image":0,"cached_text":0,"cached_audio":0,
//! #         "cached_image":0},"output":{"text":0,"audio":0},"transcription":{"tokens":0,"seconds":0}},"cost_usd":0,
//! #         "frames":{"client":0,"upstream":0},"bytes":{"client":0,"upstream":0},"close":null}"#).unwrap()
//! # }
//! # let (store, mut now) = (Shared::default(), UNIX_EPOCH + Duration::from_secs(1_767_323_045));
//! // One of each in every VM, whatever the number of its root contexts.
//! let (mut presence, mut callers, mut registry) = (Presence::new(4711), Callers::default(), Registry::default());
//!
//! // At the request's headers, last of all checks. From here on there must be an `end`.
//! let limits = CallerLimits { concurrent_sessions: Some(20), ..CallerLimits::default() };
//! callers.start(&store, &mut presence, "web-app", &limits, now).expect("there is room");
//!
//! // At the upstream's 101. 17 is the stream's context.
//! let mut record = record();
//! callers.opened("web-app", now);
//! let slot = registry.begin(&store, &mut presence, 17, &record);
//!
//! // At each event that tells usage.
//! let (usage, cost) = (Tally::response(Tokens::default()), MicroUsd(5));
//! let is_over_budget = callers.add(&store, &presence, "web-app", &limits, (&usage, cost), now);
//! assert!(!is_over_budget);
//!
//! // At a control request.
//! let target = Target::parse(b"/realtime-byok/sessions/rb_000000000000000000000000000000ab");
//! let request = Request::read("/realtime-byok", b"DELETE", &target, true).expect("its path is the API's");
//! let answer = request.unwrap_or_else(|answer| panic!("{}", answer.status)).run(&mut Process {
//!     store: &store,
//!     presence: &presence,
//!     registry: &mut registry,
//!     callers: &mut callers,
//!     names: &["web-app"],
//!     now,
//! });
//! assert_eq!(answer.status, 202);
//!
//! // At each tick.
//! now += Duration::from_secs(1);
//! if presence.tick(&store, now) {
//!     callers.tick(&store, &presence, now);
//!     registry.update(slot, &record); // for each session that has changed
//!     let ticked = registry.tick(&store, &presence);
//!     assert_eq!(ticked.stops, [17]); // end these with Ending::Stopped
//!     assert!(ticked.missing.is_empty()); // and update these, changed or not
//!     assert!(!callers.is_over_budget("web-app")); // else end its sessions with Ending::Budget
//! }
//!
//! // At the stream's end; `end` of the registry only if there was a 101.
//! record.close = Some(Ending::Stopped.close());
//! registry.end(&store, &presence, slot, &record);
//! callers.end(&store, &presence, "web-app", now);
//! ```

mod api;
mod ended;
mod page;
mod registry;
mod stored;

#[cfg(test)]
mod simulation;

pub use api::{Answer, Process, Request};
pub use registry::{Filter, Registry, Slot, Ticked};
