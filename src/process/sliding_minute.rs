//! A sliding window: how often something happened in the last minute, to the second.

use super::codec::{Corrupt, Reader, put_number};

/// What happened in the last 60 seconds and in the one that is under way, so that a limit holds for every 60 seconds
/// wherever they begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlidingMinute {
    /// Seconds of Unix time, ascending, and how often.
    seconds: Vec<(u64, u32)>,
}

/// After so many seconds more, something is forgotten.
const SECONDS: u64 = 60;

impl SlidingMinute {
    /// Forgets what is over. What is a minute ahead was written by a clock that was wrong.
    pub(super) fn advance(&mut self, now: u64) {
        self.seconds.retain(|(second, _)| second.abs_diff(now) <= SECONDS);
    }

    /// Counts one.
    pub(super) fn add(&mut self, now: u64) {
        self.advance(now);
        let at = self.seconds.partition_point(|(second, _)| *second < now);
        match self.seconds.get_mut(at) {
            Some((second, count)) if *second == now => *count = count.saturating_add(1),
            _ => self.seconds.insert(at, (now, 1)),
        }
    }

    /// How often it happened.
    pub(super) fn count(&self) -> u64 {
        self.seconds.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// In how many seconds it is worth to try again under this limit, 1 to 60; `None` is now. Room that comes within the
    /// second after a whole minute is told as 60: by then most of what was counted in that second has left.
    pub(super) fn wait(&self, limit: u32, now: u64) -> Option<u64> {
        let limit = u64::from(limit);
        let mut count = self.count();
        if count < limit {
            return None;
        }
        for (second, leaving) in &self.seconds {
            count -= u64::from(*leaving);
            if count < limit {
                return Some((second + SECONDS + 1).saturating_sub(now).clamp(1, SECONDS));
            }
        }
        Some(SECONDS)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.seconds.len() as u64);
        let mut before = 0;
        for &(second, count) in &self.seconds {
            put_number(out, second - before);
            put_number(out, u64::from(count));
            before = second;
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut second: u64 = 0;
        let seconds = reader.growing(|reader| {
            // No clock tells more, so that sums of seconds do not overflow.
            second = second.checked_add(reader.number()?).filter(|second| *second < 1 << 48).ok_or(Corrupt)?;
            Ok((second, reader.small()?))
        })?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_wait_ends_when_the_oldest_leave() {
        let mut window = SlidingMinute::default();
        assert_eq!(window.wait(2, 100), None);
        window.add(100);
        window.add(110);
        for (now, limit, wait) in [
            (110, 3, None),
            (110, 2, Some(51)),
            (160, 2, Some(1)),
            (161, 2, None),
            (110, 1, Some(60)),
            (110, 0, Some(60)),
        ] {
            let mut window = window.clone();
            window.advance(now);
            assert_eq!(window.wait(limit, now), wait, "{now} {limit}");
        }
    }

    #[test]
    fn a_clock_that_was_wrong_is_forgotten() {
        let mut window = SlidingMinute::default();
        window.add(100_000);
        window.add(100);
        assert_eq!(window.wait(1, 100), Some(60));
        assert_eq!(window.seconds, [(100, 1)]);
    }

    proptest! {
        #[test]
        fn no_sixty_seconds_have_more_than_the_limit(
            limit in 1_u32..6,
            steps in prop::collection::vec(0_u64..40_000, 1..60),
        ) {
            let (mut window, mut millis, mut taken) = (SlidingMinute::default(), 1_000_000_000, Vec::new());
            for step in steps {
                millis += step;
                let now = millis / 1000;
                window.advance(now);
                match window.wait(limit, now) {
                    None => {
                        window.add(now);
                        taken.push(millis);
                    }
                    Some(wait) => {
                        prop_assert!((1..=60).contains(&wait));
                        let mut later = window.clone();
                        later.advance(now + wait + 1);
                        prop_assert_eq!(later.wait(limit, now + wait + 1), None);
                        if wait < 60 {
                            later.advance(now + wait);
                            prop_assert_eq!(later.wait(limit, now + wait), None);
                        }
                        later = window.clone();
                        later.advance(now + wait - 1);
                        prop_assert!(later.wait(limit, now + wait - 1).is_some());
                    }
                }
            }
            for &first in &taken {
                let within = taken.iter().filter(|&&time| (first..first + 60_000).contains(&time)).count();
                prop_assert!(within <= limit as usize);
            }
        }

        #[test]
        fn a_window_is_read_as_it_was_written(seconds in prop::collection::vec(1000_u64..1100, 0..50)) {
            let mut window = SlidingMinute::default();
            seconds.into_iter().for_each(|second| window.add(second));
            let mut out = Vec::new();
            window.put(&mut out);
            prop_assert_eq!(SlidingMinute::read(&mut Reader::new(&out)), Ok(window));
            prop_assert!(out.len() < 300);
        }
    }
}
