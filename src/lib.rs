//! realtime-byok: a proxy-wasm filter for Envoy and Istio that keeps the provider's key in the proxy.
//!
//! Browsers and apps bring a gateway token, or a client secret that is worthless anywhere else. The filter takes it out of
//! whatever slot it came in, checks who may do what, strips every client credential, and puts the provider's key in. For
//! WebSockets it then follows the frames, counts what they use, and ends the session when it must.
//!
//! # How a request flows
//!
//! ```text
//! Envoy ─▶ the host ─▶ worker::Worker                  one callback, one call; one action, a few hostcalls
//!                      stream::Stream                  one of the worker's, by its id
//!                       │ stream::request_head          every header line read once
//!                       │ control::Request              the control API's own requests, which need no policy
//!                       │ policy::Policies              which policy the route has
//!                       │ endpoint::Endpoint            what method and path address, and whether they can stand there
//!                       │ stream::admission             who it is, what it is for, where it comes from, which model
//!                       │   credential::Properties        what Envoy says of it
//!                       │   credential::{Slot, Callers}   a gateway token
//!                       │   client_secret::sealing        a client secret
//!                       │ process::Sessions             whether its caller may have one more session
//!                       ├─▶ Reply(denial::Denial)       answered here; no upstream hears of it
//!                       ├─▶ Hold                        the body names the model, says what to mint, or is a call's offer
//!                       └─▶ Forward(http::Edits)        stream::forward: what is removed, then what is added
//! the response ─▶ stream::Stream
//!                       ├─ 401, 403                     its words about our key do not pass
//!                       ├─ a minted secret              stream::mint seals it
//!                       ├─ 201 to a call                call::Calls keeps it, to end it in time
//!                       ├─ 2xx to a hangup              call::Calls, of whichever worker, knows that it is over
//!                       ├─ 2xx to REST                  stream::rest reads what its body says of usage
//!                       │    protocol::BodyMeter          JSON, or server-sent events
//!                       └─ 101                          stream::handshake answers the offer; stream::websocket follows
//!                            ws::Follower                 frames, skipped by length unless they matter
//!                            usage::Meter                 what an event says of tokens, priced
//!                            limit::SessionLimits         whether it must end
//!                            stream::closing              the error event and Close of either side, and when
//! ```
//!
//! # Words
//!
//! One word for one thing, in code, documentation, metrics and errors.
//!
//! | word | means | type |
//! |---|---|---|
//! | host | whoever runs the core and gives it time, randomness, headers and bytes | [`host::StreamHost`] |
//! | worker | one thread of the host, with all of its streams | [`worker::Worker`] |
//! | action | what a host is to do with what came in a callback | [`stream::RequestAction`] |
//! | command | what a host is to do beside that | [`worker::Command`] |
//! | stream | one HTTP request and what comes back for it, whatever it is for | [`stream::Stream`] |
//! | request head | the header lines of a request, each read once | `stream::request_head` |
//! | endpoint | what a method and a path address, one of a closed list | [`endpoint::Endpoint`] |
//! | policy | the rules of a route | [`policy::Policy`] |
//! | provider | a configured service with its key, external or out of a key pool | [`policy::Provider`] |
//! | upstream | the far side of a stream: the provider that serves it, seen as a peer | `stream::upstream` |
//! | slot | a place in a request where a client may put its token | [`credential::Slot`] |
//! | caller | whoever has a gateway token of the configuration's, or an identity: what Envoy has verified of a request | [`credential::Caller`] |
//! | client secret | a short-lived credential for one client, sealed with a key of the gateway's | [`client_secret::sealing`] |
//! | mint | to make a client secret | [`endpoint::Mint`] |
//! | denial | an error for which a request goes no further; `rejected_total` counts them | [`denial::Denial`] |
//! | session | a WebSocket after its 101, or a call: what is listed, limited and recorded | [`process::Sessions`] |
//! | call | a WebRTC call, whose media never passes | [`call::Call`] |
//! | sideband | a WebSocket that joins a call, and is one session with it; a watcher is one that says nothing | [`endpoint::Endpoint::sideband_of`] |
//! | lock | session fields that a client may not change | [`protocol::Lock`] |
//! | usage | what an upstream reports of one response or transcription: tokens, by direction and modality | [`usage::ReportedUsage`] |
//! | tally | counters to which usage is added | [`usage::Tally`] |
//! | estimate | what a response must have used whose usage was not told | `usage::estimate` |
//! | reservation | what a response under way may come to, kept free in the budgets that it draws on | `process::reservations` |
//! | record | all that is known of one session, while it runs and at its end | [`usage::Record`] |
//! | ending | why the gateway ends a session; closing is how, close what either side got | [`limit::Ending`] |
//!
//! # The modules
//!
//! Envoy is known only to a host, a crate of its own (`hosts/proxy_wasm`, `hosts/dynamic_module`), which decides nothing; everything here takes
//! values, time and randomness among them, and returns values. Arrows go one way, from each to whatever stands behind it:
//! `worker → stream → {call, control} → {config, process} → {client_secret, metrics} → policy → {credential,
//! endpoint} → {denial, host, limit, protocol} → {http, usage} → {json, local_reply, memory, name_rule, secret, spelling, ws}`.
//!
//! | module | holds |
//! |---|---|
//! | [`worker`] | the owner of all streams: which of them a callback is of, and what is due each second |
//! | [`stream`] | one HTTP stream's life as one enum, and what a host is to do at each callback |
//! | [`host`] | what a host offers, to a stream and to a worker |
//! | [`config`] | from the configuration's bytes to a [`config::Plan`] that cannot be wrong, or all errors with their paths |
//! | [`control`] | the API that lists and stops sessions |
//! | [`call`] | WebRTC calls |
//! | [`client_secret`] | sealed client secrets; what mint requests and their responses say |
//! | [`policy`], [`name_rule`] | which policy, provider, key and model |
//! | [`process`] | all sessions of the process, and what its workers share: records, counters of callers, calls, heartbeats |
//! | [`metrics`] | what is measured, and Envoy's names for it |
//! | [`protocol`] | what events and bodies of the providers' APIs say of usage; what clients' events change |
//! | [`credential`] | slots, subprotocols, callers, their tokens and identities |
//! | [`limit`] | rules: what a caller may start, and what ends a session |
//! | [`usage`] | what was used: counters, prices, the record of a session |
//! | [`endpoint`] | what a request addresses: its method and path, read once into a closed list |
//! | [`denial`], [`local_reply`] | the closed list of denials; what the filter answers by itself |
//! | [`http`], [`ws`], [`json`] | header lines, targets, edits, server-sent events; frames; JSON as it passes |
//! | [`memory`], [`secret`], [`spelling`] | what streams hold in memory together, and when that is too much; key material; which known name was meant |
#![forbid(unsafe_code)]

pub mod call;
pub mod client_secret;
pub mod config;
pub mod control;
pub mod credential;
pub mod denial;
pub mod endpoint;
pub mod host;
pub mod http;
pub mod json;
pub mod limit;
pub mod local_reply;
pub mod memory;
pub mod metrics;
pub mod name_rule;
pub mod policy;
pub mod process;
pub mod protocol;
pub mod secret;
pub mod spelling;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod worker;
pub mod ws;
