//! The control API: requests in, replies out.

use std::time::SystemTime;

use serde::Serialize;

use super::errors::{error, malformed, not_allowed, not_found, unauthorized};
use super::listing::{Listing, no_parameters, owners};
use crate::endpoint::ControlResource;
use crate::http::Target;
use crate::local_reply::LocalReply;
use crate::process::{DailyUsage, Filter, Peers, Sessions};
use crate::usage::RecordId;

/// What the control API is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET {path}/sessions`
    List(Listing),
    /// `GET {path}/sessions/{id}`
    Find(RecordId),
    /// `DELETE {path}/sessions/{id}`
    Stop(RecordId),
    /// `DELETE {path}/sessions?caller=…` or `?user=…`
    StopAll(Filter),
    /// `GET {path}/usage`
    Usage,
}

impl Request {
    /// Reads a request whose path is `path` or below, by whole segments; `None` if it is not. `is_authorized` says
    /// whether it holds the control token; without it, nothing else of the request is judged.
    pub fn read(
        path: &str,
        method: &[u8],
        target: &Target<'_>,
        is_authorized: impl FnOnce() -> bool,
    ) -> Option<Result<Self, LocalReply>> {
        let resource = ControlResource::read(path, target.path)?;
        if !is_authorized() {
            return Some(Err(unauthorized()));
        }
        Some(Self::of(resource, method, target))
    }

    /// Does what is asked.
    pub fn run(&self, sessions: &mut Sessions, now: SystemTime) -> LocalReply {
        let known = if *self == Self::Usage { sessions.callers() } else { Vec::new() };
        let Sessions { shared_data, heartbeats, registry, callers, .. } = sessions;
        let peers = Peers::new(&**shared_data, heartbeats);
        match self {
            Self::List(listing) => {
                let after = listing.after.map(|id| registry.list(peers, &Filter::id(id), now).into_iter().next());
                let Some(after) = after.map_or(Some(None), |found| found.map(Some)) else {
                    return malformed("The session of `after` is not among those that are listed any more.");
                };
                json(200, &listing.page(&registry.list(peers, &listing.filter, now), after.as_ref()))
            }
            Self::Find(id) => match registry.list(peers, &Filter::id(*id), now).first() {
                Some(record) => json(200, record),
                None => not_found(),
            },
            Self::Stop(id) => {
                let filter = Filter::id(*id);
                if let Some(record) = registry.stop(peers, &filter, now).first() {
                    return json(202, record);
                }
                match registry.list(peers, &filter, now).first() {
                    Some(record) => json(200, record),
                    None => not_found(),
                }
            }
            Self::StopAll(filter) => list(202, &registry.stop(peers, filter, now)),
            Self::Usage => {
                let usage = known.iter().map(|(name, limits)| callers.usage(peers, name, limits, now));
                list(200, &usage.collect::<Vec<DailyUsage>>())
            }
        }
    }

    fn of(resource: ControlResource<'_>, method: &[u8], target: &Target<'_>) -> Result<Self, LocalReply> {
        match (resource, method) {
            (ControlResource::Sessions, b"GET") => Listing::read(target).map(Self::List),
            (ControlResource::Sessions, b"DELETE") => owners(target).map(Self::StopAll),
            (ControlResource::Session(id), b"GET" | b"DELETE") => {
                no_parameters(target)?;
                let id = id.parse().map_err(|_| not_found())?;
                Ok(if method == b"GET" { Self::Find(id) } else { Self::Stop(id) })
            }
            (ControlResource::Usage, b"GET") => no_parameters(target).map(|()| Self::Usage),
            (ControlResource::Usage, _) => Err(not_allowed("GET")),
            (ControlResource::Sessions | ControlResource::Session(_), _) => Err(not_allowed("GET, DELETE")),
            (ControlResource::Unknown, _) => {
                Err(error(404, "not_found", "Known here are sessions, sessions/{id} and usage."))
            }
        }
    }
}

fn list<T: Serialize>(status: u16, data: &[T]) -> LocalReply {
    #[derive(Serialize)]
    struct List<'a, T> {
        object: &'static str,
        data: &'a [T],
    }
    json(status, &List { object: "list", data })
}

fn json<T: Serialize>(status: u16, body: &T) -> LocalReply {
    LocalReply::json(status, serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
mod tests;
