//! realtime-byok: a proxy-wasm filter for Envoy and Istio that keeps the provider's key in the proxy.
//!
//! Browsers and apps bring a gateway token, or a client secret that is worthless anywhere else. The filter takes it out of
//! whatever slot it came in, checks who may do what, strips every client credential, and puts the provider's key in. For
//! WebSockets it then follows the frames, counts what they use, and ends the session when it must.
//!
//! # How a request flows
//!
//! ```text
//! Envoy ─▶ host::stream ─▶ session::Session             one callback, one call; one step, a few hostcalls
//!                            │ control::Request          the control API's own requests, which need no policy
//!                            │ inbound::Inbound          every header line read once
//!                            │ policy::Policies          which policy the route has
//!                            │ session::admission        who it is, what it is for, where it comes from, which model
//!                            │   auth::{Slots, Callers}    a gateway token
//!                            │   secret::seal              a client secret
//!                            │ control::Process          whether its caller may have one more session
//!                            ├─▶ Answer, Refuse(Denial)  answered here; no upstream hears of it
//!                            ├─▶ Hold                    the body names the model, or says what to mint
//!                            └─▶ Forward(http::Edits)    session::onward: what goes, then what comes
//! upstream's answer ─▶ session
//!                            ├─ 401, 403                 its words about our key do not pass
//!                            ├─ a minted secret          session::minting seals it
//!                            ├─ 201 to a call            call::Calls keeps it, to end it in time
//!                            ├─ 2xx to a hangup          call::Calls, of whichever worker, knows that it is over
//!                            ├─ 2xx to REST              session::exchange reads what its body tells
//!                            │    usage::BodyMeter        JSON, or server-sent events
//!                            └─ 101                      session::handshake answers the offer; session::live follows
//!                                 ws::Follower             frames, skipped by length unless they matter
//!                                 usage::Meter             what an event says of tokens, priced
//!                                 limits::SessionLimits    whether it must end
//!                                 session::farewell        what its two sides are told, and when
//! ```
//!
//! # The modules
//!
//! Only `host` knows Envoy, and decides nothing; everything else takes values, time and randomness among them, and returns
//! values. Arrows go one way, from each to whatever stands behind it: `host → session → {call, config} → control →
//! {inbound, metrics} → {auth, policy} → limits → {http, usage, denial, mint, endpoint} → {secret, json, glob, answer, ws}`.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | from the configuration's bytes to a [`config::Plan`] that cannot be wrong, or all errors with their paths |
//! | [`session`] | one stream's life as one enum |
//! | [`inbound`], [`http`] | what a request brought; ordered byte headers, token lists, targets, edits |
//! | [`json`] | JSON in place: members, strings, numbers to six decimals |
//! | [`auth`] | slots, callers and their tokens |
//! | [`endpoint`] | what a request addresses: its method and path, read once |
//! | [`denial`], [`answer`] | the closed list of refusals; what the filter answers by itself |
//! | [`policy`], [`glob`] | which policy, provider, key and model |
//! | [`secret`], [`mint`] | key material; sealed client secrets; what mint requests and answers say |
//! | [`call`] | WebRTC calls |
//! | [`ws`] | frames, and nothing of what they hold |
//! | [`usage`] | what events say was used, and nothing of frames; prices; the record of a session |
//! | [`metrics`] | what is measured, and Envoy's names for it |
//! | [`limits`] | what ends a session; what callers use over all workers |
//! | [`control`] | all sessions of the process: let in, listed, stopped; the API for that |
pub mod answer;
pub mod auth;
pub mod call;
pub mod config;
pub mod control;
pub mod denial;
pub mod endpoint;
pub mod glob;
mod host;
pub mod http;
pub mod inbound;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod mint;
pub mod policy;
pub mod secret;
pub mod session;
pub mod usage;
pub mod ws;
