//! Turns of a model that are told in parts, each with what the turn has used so far: the last of a turn counts.

use super::estimate::Said;
use super::report::{Report, Reported, ReportedUsage, TurnPart};

/// The turns of a session, as far as they have come.
#[derive(Debug, Default)]
pub struct Turns {
    stage: Stage,
    /// What the present turn has used, or the one that comes next.
    usage: Option<Report>,
    /// What the last one has used that was told: it may be told again.
    reported: Option<ReportedUsage>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Between,
    Open,
    /// It is over, and what it has used was not told yet.
    Unreported,
}

impl Turns {
    /// What a part comes to, in order.
    pub fn go_on(&mut self, part: TurnPart) -> Vec<Reported> {
        let mut all = Vec::new();
        if part.has_content && self.stage != Stage::Open {
            if self.stage == Stage::Unreported {
                all.push(Reported::Usage(Box::new(Report::without_usage())));
            }
            self.stage = Stage::Open;
            all.push(Reported::ResponseStarted { model: None });
        }
        if part.said != Said::default() {
            all.push(Reported::Output(part.said));
        }
        let is_repeated =
            |usage: &Report| self.stage == Stage::Between && usage.used.as_ref().ok() == self.reported.as_ref();
        if let Some(usage) = part.usage.filter(|usage| !is_repeated(usage)) {
            self.usage = Some(usage);
        }
        if part.is_last && self.stage == Stage::Open {
            self.stage = Stage::Unreported;
        }
        if self.stage == Stage::Unreported
            && let Some(usage) = self.usage.take()
        {
            self.stage = Stage::Between;
            self.reported = usage.used.as_ref().ok().copied();
            all.push(Reported::Usage(Box::new(usage)));
        }
        all
    }

    /// What is left to be told when the session is over: what was told of a turn that was cut, or that nothing was told of one
    /// that was not.
    pub fn end(&mut self) -> Option<Reported> {
        let unreported = (std::mem::take(&mut self.stage) == Stage::Unreported).then(Report::without_usage);
        let usage = self.usage.take().or(unreported)?;
        Some(Reported::Usage(Box::new(usage)))
    }

    /// Bytes that are held beside it.
    pub fn held(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Input, Tokens};

    fn used(tokens: u64) -> Option<Report> {
        let input = Input { text: tokens, ..Input::default() };
        Some(Report::new(None, None, Ok((ReportedUsage::Response(Tokens { input, ..Tokens::default() }), None))))
    }

    fn part(has_content: bool, usage: Option<Report>, is_last: bool) -> TurnPart {
        TurnPart { has_content, said: Said::default(), usage, is_last }
    }

    /// What all of them come to: when a response begins, and what each has used that was told.
    fn shown(all: impl IntoIterator<Item = Reported>) -> Vec<Option<u64>> {
        let shown = |reported| match reported {
            Reported::ResponseStarted { .. } => None,
            Reported::Usage(report) => Some(report.used.unwrap().tally().total_tokens),
            other => panic!("{other:?}"),
        };
        all.into_iter().map(shown).collect()
    }

    #[test]
    fn the_last_usage_of_a_turn_counts_wherever_it_stands() {
        for (parts, want) in [
            (
                vec![part(true, None, false), part(false, used(3), false), part(true, used(7), true)],
                vec![None, Some(7)],
            ),
            (vec![part(true, used(3), false), part(false, None, true)], vec![None, Some(3)]),
            (vec![part(true, None, true), part(false, used(3), false)], vec![None, Some(3)]),
            (
                vec![part(false, used(3), false), part(true, None, false), part(false, used(2), true)],
                vec![None, Some(2)],
            ),
            // It is told again, and of nobody's turn.
            (vec![part(true, used(3), true), part(false, used(3), false)], vec![None, Some(3)]),
            (vec![part(true, used(3), true), part(false, used(4), false)], vec![None, Some(3), Some(4)]),
            (vec![part(true, None, true), part(true, used(3), true)], vec![None, Some(0), None, Some(3)]),
            (vec![part(true, used(5), false)], vec![None, Some(5)]),
            (vec![part(true, None, true)], vec![None, Some(0)]),
            (vec![part(true, None, false)], vec![None]),
            (vec![part(false, None, true)], vec![]),
        ] {
            let mut turns = Turns::default();
            let mut all: Vec<_> = parts.into_iter().flat_map(|part| turns.go_on(part)).collect();
            all.extend(turns.end());
            assert_eq!(shown(all), want);
            assert!(turns.end().is_none());
        }
    }
}
