//! The control API: requests in, replies out.

use std::time::SystemTime;

use serde::Serialize;

use crate::endpoint::ControlResource;
use crate::http::{Param, Target};
use crate::local_reply::LocalReply;
use crate::process::{DailyUsage, Filter, Peers, Sessions};
use crate::usage::RecordId;

/// What the control API is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET {path}/sessions`
    List(Filter),
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
        let names = if *self == Self::Usage { sessions.callers() } else { Vec::new() };
        let Sessions { shared_data, heartbeats, registry, callers, .. } = sessions;
        let peers = Peers::new(&**shared_data, heartbeats);
        match self {
            Self::List(filter) => list(200, &registry.list(peers, filter, now)),
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
                let usage: Vec<DailyUsage> =
                    names.iter().map(|name| callers.usage(peers.shared_data, name, now)).collect();
                list(200, &usage)
            }
        }
    }

    fn of(resource: ControlResource<'_>, method: &[u8], target: &Target<'_>) -> Result<Self, LocalReply> {
        match (resource, method) {
            (ControlResource::Sessions, b"GET") => filter(target, true).map(Self::List),
            (ControlResource::Sessions, b"DELETE") => {
                let filter = filter(target, false)?;
                if filter.caller.is_none() && filter.user.is_none() {
                    return Err(malformed("Say whose sessions are to stop: `caller` or `user`."));
                }
                Ok(Self::StopAll(filter))
            }
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

/// The filter in a query, every parameter of which must be known, stand there once, and say something.
fn filter(target: &Target<'_>, takes_status: bool) -> Result<Filter, LocalReply> {
    let mut filter = Filter::default();
    for param in target.params().filter(|param| !is_nothing(param)) {
        let value = param.value().ok_or_else(|| malformed("A query parameter is not percent-encoded UTF-8."))?;
        let is_first = if param.is("caller") {
            filter.caller.replace(value.to_string()).is_none()
        } else if param.is("user") {
            filter.user.replace(value.to_string()).is_none()
        } else if param.is("status") && takes_status {
            let is_closed = match value.as_ref() {
                "open" => false,
                "closed" => true,
                _ => return Err(malformed("`status` is `open` or `closed`.")),
            };
            filter.is_closed.replace(is_closed).is_none()
        } else {
            return Err(unknown_parameter());
        };
        if !is_first || value.is_empty() {
            return Err(malformed("A query parameter stands there twice, or without a value."));
        }
    }
    Ok(filter)
}

fn no_parameters(target: &Target<'_>) -> Result<(), LocalReply> {
    match target.params().find(|param| !is_nothing(param)) {
        Some(_) => Err(unknown_parameter()),
        None => Ok(()),
    }
}

/// What stands between two ampersands, or behind a question mark alone.
fn is_nothing(param: &Param<'_>) -> bool {
    param.is("") && param.value().is_some_and(|value| value.is_empty())
}

fn unauthorized() -> LocalReply {
    let message = "Send the control token as `authorization: Bearer <token>`.";
    LocalReply::error(401, "authentication_error", "invalid_control_token", message, None)
}

fn not_allowed(methods: &'static str) -> LocalReply {
    let mut answer = error(405, "method_not_allowed", "The methods that can be used here are in the header `allow`.");
    answer.headers.push(("allow", methods.into()));
    answer
}

fn not_found() -> LocalReply {
    let message = "No session of this id is open, or among those that ended last.";
    error(404, "session_not_found", message)
}

fn unknown_parameter() -> LocalReply {
    malformed(
        "A query parameter is not known here. Sessions are listed by `caller`, `user` and `status`, and stopped by \
               `caller` and `user`.",
    )
}

fn malformed(message: &str) -> LocalReply {
    error(400, "malformed_request", message)
}

fn list<T: Serialize>(status: u16, data: &[T]) -> LocalReply {
    #[derive(Serialize)]
    struct List<'a, T> {
        object: &'static str,
        data: &'a [T],
    }
    json(status, &List { object: "list", data })
}

fn error(status: u16, code: &str, message: &str) -> LocalReply {
    LocalReply::error(status, "invalid_request_error", code, message, None)
}

fn json<T: Serialize>(status: u16, body: &T) -> LocalReply {
    LocalReply::json(status, serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
mod tests;
