//! Whether somebody tells what a call uses, which a limit of tokens or dollars needs.

use std::time::{Duration, SystemTime};

/// How long nobody may watch: from the beginning of a call until somebody joins it, and whenever nobody is left.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Whether a call is watched, where it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing depends on it.
    NotNeeded,
    /// Somebody watches.
    Watched,
    /// Nobody has since then.
    UnwatchedSince(SystemTime),
}

impl Watch {
    /// Somebody watches at this moment, or nobody does.
    pub(super) fn look(&mut self, is_watched: bool, now: SystemTime) {
        *self = match *self {
            Self::NotNeeded => Self::NotNeeded,
            _ if is_watched => Self::Watched,
            Self::Watched => Self::UnwatchedSince(now),
            unwatched => unwatched,
        };
    }

    /// Whether nobody has watched for too long.
    pub(super) fn is_over(self, now: SystemTime) -> bool {
        matches!(self, Self::UnwatchedSince(since) if now.duration_since(since).unwrap_or_default() >= UNWATCHED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// The second from 100 on at which it is over that nobody watches.
    fn over(mut watch: Watch, is_watched: impl Fn(u64) -> bool) -> Option<u64> {
        (100..200).find(|&now| {
            watch.look(is_watched(now), at(now));
            watch.is_over(at(now))
        })
    }

    #[test]
    fn somebody_joins_within_ten_seconds_and_one_stays() {
        let since = Watch::UnwatchedSince(at(100));
        assert_eq!(over(since, |_| false), Some(110));
        assert_eq!(over(since, |now| now >= 109), None);
        assert_eq!(over(since, |now| (105..120).contains(&now)), Some(130));
        assert_eq!(over(since, |now| now % 10 == 0), None, "another comes in time");
        assert_eq!(over(Watch::Watched, |_| false), Some(110));
    }

    #[test]
    fn a_call_without_such_limits_needs_nobody() {
        assert_eq!(over(Watch::NotNeeded, |_| false), None);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_nothing() {
        assert!(!Watch::UnwatchedSince(at(100)).is_over(at(50)));
    }
}
