//! What is due each second, in order.

use std::time::SystemTime;

use super::body_watch::body_unavailable;
use super::{Command, Worker};
use crate::call::Overdue;
use crate::host::{Level, WorkerHost};
use crate::stream::WorkerState;

impl Worker {
    /// A second has passed. A second plugin in the same VM may tick as well; the sessions hear of the first alone.
    pub fn tick(&mut self, host: &mut dyn WorkerHost) {
        let now = host.now();
        self.state.clock = now;
        self.answer_withheld(now);
        self.state.flush_metrics();
        if !self.state.sessions.tick(now) {
            return;
        }
        self.reset_overdue(now);
        self.state.calls.list(&mut self.state.sessions, now);
        if self.state.sessions.sync() {
            self.reset_overdue(now);
        }
        self.hang_up(host, now);
        for key in self.state.sessions.take_corrupt_keys() {
            let message = format_args!("shared data at {key} cannot be read; what was counted there begins anew");
            self.state.log(Level::Error, message);
        }
    }

    /// Answers requests whose bodies Envoy keeps back.
    fn answer_withheld(&mut self, now: SystemTime) {
        let overdue = self.body_watch.take_overdue(now);
        if overdue.is_empty() {
            return;
        }
        self.state.log(
            Level::Error,
            format_args!(
                "Envoy keeps the bodies of {} waiting requests back; set `allow_on_headers_stop_iteration: true` in the \
                 plugin's configuration",
                overdue.len()
            ),
        );
        for id in overdue {
            let Some((number, stream)) = self.streams.get_mut(id) else { continue };
            let Some((edits, reply)) = stream.deny_waiting(body_unavailable(), &mut self.state) else { continue };
            self.commands.push(Command::Reply(number, edits, reply));
        }
    }

    /// Resets streams whose sessions must end and did not.
    fn reset_overdue(&mut self, now: SystemTime) {
        for (number, stream) in self.streams.iter_mut() {
            if stream.tick(&mut self.state.sessions, now) {
                self.commands.push(Command::Reset(number));
            }
        }
    }

    /// Asks providers to end calls that must end.
    fn hang_up(&mut self, host: &mut dyn WorkerHost, now: SystemTime) {
        let WorkerState { calls, sessions, .. } = &mut self.state;
        let Overdue { keyless, unsent } = calls.tick(sessions, now, &mut |hangup| host.send(&hangup.callout()).ok());
        for id in keyless {
            let message = format_args!("cannot end call {id}, which must end: the filter has no key for it");
            self.state.log(Level::Warn, message);
        }
        for id in unsent {
            let message = format_args!("cannot end call {id} yet: its cluster takes no request; it is tried again");
            self.state.log(Level::Warn, message);
        }
    }
}
