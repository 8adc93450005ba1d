//! Requests whose headers wait for their body, and whether Envoy hands bodies over while they do.
//!
//! Without `allow_on_headers_stop_iteration` Envoy keeps the body back too, and both would wait for ever. No attribute
//! tells of the flag, but the first body that comes while its headers wait proves it, for this worker and for good; from
//! then on a client may take its time.

use std::time::{Duration, SystemTime};

use super::streams::StreamId;
use crate::denial::{Denial, DenialCode};

/// How long a body may take to begin, as long as none has ever come.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many are answered in one tick. Envoy answers them when the tick is over, each within the call of the one before: a
/// few hundred exceed the stack, and the VM traps.
const ANSWERED_AT_ONCE: usize = 64;

/// The requests on one worker that wait for their body.
#[derive(Debug)]
pub(crate) enum BodyWatch {
    /// No body has ever come while its headers waited: since when each request waits.
    Unproven(Vec<(StreamId, SystemTime)>),
    /// Envoy hands bodies over.
    Proven,
}

impl Default for BodyWatch {
    fn default() -> Self {
        Self::Unproven(Vec::new())
    }
}

impl BodyWatch {
    /// A request waits from `now` on.
    pub(crate) fn wait(&mut self, stream: StreamId, now: SystemTime) {
        if let Self::Unproven(waiting) = self {
            waiting.push((stream, now));
        }
    }

    /// Some of a body came while its headers waited.
    pub(crate) fn body_came(&mut self) {
        *self = Self::Proven;
    }

    /// A request waits no longer.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        if let Self::Unproven(waiting) = self {
            waiting.retain(|(known, _)| *known != stream);
        }
    }

    /// Takes those that have waited too long, or as many of them as can be answered now.
    pub(crate) fn take_overdue(&mut self, now: SystemTime) -> Vec<StreamId> {
        let Self::Unproven(waiting) = self else { return Vec::new() };
        let is_overdue =
            |(_, since): &mut (StreamId, SystemTime)| now.duration_since(*since).is_ok_and(|waited| waited >= PATIENCE);
        waiting.extract_if(.., is_overdue).map(|(stream, _)| stream).take(ANSWERED_AT_ONCE).collect()
    }
}

/// What a request is answered whose body Envoy keeps back.
pub(crate) fn body_unavailable() -> Denial {
    let message = "The gateway cannot read request bodies: its plugin configuration lacks \
                   `allow_on_headers_stop_iteration: true`.";
    Denial::new(DenialCode::BodyUnavailable, message)
}

#[cfg(test)]
mod tests {
    use super::super::streams::Streams;
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn streams() -> [StreamId; 3] {
        let mut streams = Streams::default();
        [(); 3].map(|()| streams.insert_unconfigured())
    }

    #[test]
    fn what_waits_too_long_is_given_once() {
        let ([first, second, third], mut watch) = (streams(), BodyWatch::default());
        watch.wait(first, at(0));
        watch.wait(second, at(1));
        watch.wait(third, at(0));
        watch.forget(third);
        assert!(watch.take_overdue(at(2)).is_empty());
        assert_eq!(watch.take_overdue(at(3)), [first]);
        assert_eq!(watch.take_overdue(at(9)), [second]);
        assert!(watch.take_overdue(at(9)).is_empty());
    }

    #[test]
    fn of_many_the_first_are_given_at_once_and_the_others_later() {
        let (mut streams, mut watch) = (Streams::default(), BodyWatch::default());
        let all: Vec<_> = (0..ANSWERED_AT_ONCE + 10).map(|_| streams.insert_unconfigured()).collect();
        all.iter().for_each(|stream| watch.wait(*stream, at(0)));
        let (first, others) = all.split_at(ANSWERED_AT_ONCE);
        assert_eq!(watch.take_overdue(at(3)), first);
        assert_eq!(watch.take_overdue(at(4)), others);
        assert!(watch.take_overdue(at(9)).is_empty());
    }

    #[test]
    fn once_a_body_came_nobody_is_hurried() {
        let ([first, second, _], mut watch) = (streams(), BodyWatch::default());
        watch.wait(first, at(0));
        watch.body_came();
        watch.wait(second, at(0));
        assert!(watch.take_overdue(at(9)).is_empty());
    }
}
