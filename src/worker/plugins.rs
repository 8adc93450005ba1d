//! The plugins of a worker, and which of their configurations have given way to newer ones.
//!
//! Envoy tells of a new configuration as of a new plugin: streams of the old one go on under that, and only when the last
//! of them is over does it end. So a configuration takes the place of all that came before it under the same name. But
//! plugins of one name may serve several ports at once. They are seen to where streams still begin under what seemed
//! replaced, at ports that its replacement has never seen; then only a port of the newest tells whose place that takes.

use std::collections::BTreeSet;

use crate::config::ConfigurationId;

/// All configurations that live, or of which sessions are left.
#[derive(Default)]
pub(crate) struct Plugins {
    known: Vec<Known>,
    last: u32,
}

struct Known {
    id: ConfigurationId,
    /// The plugin's name, as Envoy tells it.
    name: String,
    /// Ports that streams have come to while others of its name lived.
    ports: Ports,
    /// Those of them that came when another had taken its place.
    late_ports: Ports,
    /// Which has taken its place.
    successor: Option<ConfigurationId>,
    root_context: RootContext,
    arrival: Arrival,
}

type Ports = BTreeSet<Vec<u8>>;

/// More ports than these are not kept of a configuration.
const MAX_PORTS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum RootContext {
    Lives,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// It has taken the place of all before it.
    AsReplacement,
    /// Its ports tell whose place it takes.
    AmongOthers,
}

/// The configurations that have given way to another.
pub(crate) type Replaced = BTreeSet<ConfigurationId>;

impl Plugins {
    /// A plugin of this name is configured: which configuration that is, and which ones give way to it. `is_in_use` says of
    /// one that something that began under it goes on.
    pub(crate) fn configure(
        &mut self,
        name: &str,
        is_in_use: &dyn Fn(ConfigurationId) -> bool,
    ) -> (ConfigurationId, Replaced) {
        self.known.retain(|known| known.root_context == RootContext::Lives || is_in_use(known.id));
        self.last = self.last.wrapping_add(1);
        let id = ConfigurationId(self.last);
        let at_work = self.known.iter().filter(|known| known.name == name && self.is_at_work(known)).count();
        let (arrival, replaced) = match at_work {
            0 | 1 => (Arrival::AsReplacement, self.replace(id, |known| known.name == name)),
            _ => (Arrival::AmongOthers, Replaced::new()),
        };
        self.known.push(Known {
            id,
            name: name.to_owned(),
            ports: Ports::new(),
            late_ports: Ports::new(),
            successor: None,
            root_context: RootContext::Lives,
            arrival,
        });
        (id, replaced)
    }

    /// Whether it knows more than one configuration.
    #[inline]
    pub(crate) fn are_several(&self) -> bool {
        matches!(self.known.as_slice(), [_, _, ..])
    }

    /// Whether it is to be told which port the next stream of a configuration has come to: others of its name live.
    pub(crate) fn asks_for_port(&self, id: ConfigurationId) -> bool {
        let Some(known) = self.get(id) else { return false };
        self.known.iter().any(|other| other.id != id && other.name == known.name)
    }

    /// A stream of a configuration has come to this port: which configurations are known by that to have given way to it.
    pub(crate) fn serves(&mut self, id: ConfigurationId, port: &[u8]) -> Replaced {
        let Some(known) = self.known.iter_mut().find(|known| known.id == id) else { return Replaced::new() };
        let is_late = known.successor.is_some();
        if known.ports.len() >= MAX_PORTS || known.ports.contains(port) && (!is_late || known.late_ports.contains(port))
        {
            return Replaced::new();
        }
        known.ports.insert(port.to_vec());
        if is_late {
            known.late_ports.insert(port.to_vec());
        }
        match known.arrival {
            Arrival::AsReplacement => Replaced::new(),
            Arrival::AmongOthers => {
                let name = known.name.clone();
                self.replace(id, |known| known.name == name && known.id < id && known.ports.contains(port))
            }
        }
    }

    /// The root context of a configuration is gone.
    pub(crate) fn done(&mut self, id: ConfigurationId) {
        if let Some(known) = self.known.iter_mut().find(|known| known.id == id) {
            known.root_context = RootContext::Gone;
        }
    }

    /// Whether streams may begin under a configuration that are no remains of what was replaced.
    fn is_at_work(&self, known: &Known) -> bool {
        let is_separate = match known.successor {
            None => true,
            Some(successor) => {
                let ports = self.get(successor).map(|successor| &successor.ports);
                !known.late_ports.is_empty() && ports.is_none_or(|ports| ports.is_disjoint(&known.late_ports))
            }
        };
        known.root_context == RootContext::Lives && is_separate
    }

    fn replace(&mut self, by: ConfigurationId, is_replaced: impl Fn(&Known) -> bool) -> Replaced {
        let mut replaced = Replaced::new();
        for known in self.known.iter_mut().filter(|known| is_replaced(known)) {
            known.successor = Some(by);
            known.late_ports.clear();
            replaced.insert(known.id);
        }
        replaced
    }

    fn get(&self, id: ConfigurationId) -> Option<&Known> {
        self.known.iter().find(|known| known.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens on a worker, one after the other: configurations count from 1.
    enum Step {
        /// A plugin of this name is configured, and these give way.
        Configured(&'static str, &'static [u32]),
        /// The first stream of a configuration comes to a port, and these give way.
        Serves(u32, &'static str, &'static [u32]),
        /// A root context is gone.
        Done(u32),
    }
    use Step::{Configured, Done, Serves};

    fn ids(replaced: Replaced) -> Vec<u32> {
        replaced.into_iter().map(|ConfigurationId(id)| id).collect()
    }

    /// Where `in_use` outlive their root contexts.
    #[track_caller]
    fn happens(in_use: &[u32], steps: &[Step]) {
        let mut plugins = Plugins::default();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Configured(name, want) => {
                    let (_, replaced) = plugins.configure(name, &|ConfigurationId(id)| in_use.contains(&id));
                    assert_eq!(ids(replaced), *want, "step {at}");
                }
                Serves(id, port, want) => {
                    let id = ConfigurationId(*id);
                    let replaced =
                        if plugins.asks_for_port(id) { plugins.serves(id, port.as_bytes()) } else { Replaced::new() };
                    assert_eq!(ids(replaced), *want, "step {at}");
                }
                Done(id) => plugins.done(ConfigurationId(*id)),
            }
        }
    }

    #[test]
    fn a_configuration_takes_the_place_of_all_before_it() {
        let (a1, a12, a123): (&[u32], &[u32], &[u32]) = (&[1], &[1, 2], &[1, 2, 3]);
        happens(
            &[1, 2, 3],
            &[
                Configured("a", &[]),
                Serves(1, "80", &[]),
                Configured("a", a1),
                Configured("a", a12),
                Serves(3, "80", &[]),
                Done(2),
                Configured("a", a123),
            ],
        );
    }

    #[test]
    fn one_that_nothing_came_to_gives_way_too() {
        happens(&[], &[Configured("a", &[]), Configured("a", &[1]), Done(1), Configured("a", &[2])]);
    }

    #[test]
    fn one_that_serves_several_ports_is_one() {
        happens(
            &[1],
            &[
                Configured("a", &[]),
                Serves(1, "80", &[]),
                Configured("a", &[1]),
                Serves(2, "443", &[]),
                Configured("a", &[1, 2]),
            ],
        );
    }

    #[test]
    fn what_a_listener_that_drains_still_takes_belongs_to_what_was_replaced() {
        happens(
            &[],
            &[
                Configured("a", &[]),
                Serves(1, "80", &[]),
                Configured("a", &[1]),
                Serves(1, "80", &[]),
                Serves(2, "80", &[]),
                Configured("a", &[1, 2]),
            ],
        );
    }

    #[test]
    fn what_is_left_of_one_that_is_gone_gives_way_and_nothing_of_it_is_kept() {
        happens(&[1], &[Configured("a", &[]), Done(1), Configured("a", &[1]), Configured("a", &[1, 2])]);
        happens(&[], &[Configured("a", &[]), Done(1), Configured("a", &[])]);
    }

    #[test]
    fn another_name_is_another_plugin() {
        happens(
            &[1, 2],
            &[
                Configured("a", &[]),
                Configured("b", &[]),
                Serves(1, "80", &[]),
                Configured("b", &[2]),
                Configured("a", &[1]),
            ],
        );
    }

    #[test]
    fn of_one_name_and_two_ports_the_ports_of_the_newest_tell_which_gives_way() {
        happens(
            &[1, 2, 3, 4],
            &[
                Configured("a", &[]),
                Configured("a", &[1]),
                Serves(1, "80", &[]),
                Serves(2, "81", &[]),
                Configured("a", &[]),
                Serves(3, "81", &[2]),
                Configured("a", &[]),
                Serves(4, "80", &[1]),
                Serves(4, "80", &[]),
                Configured("a", &[]),
                Serves(5, "80", &[1, 4]),
            ],
        );
    }

    #[test]
    fn one_that_nothing_came_to_here_may_be_another_plugin() {
        happens(
            &[1],
            &[
                Configured("a", &[]),
                Configured("a", &[1]),
                Serves(1, "80", &[]),
                Configured("a", &[]),
                Serves(3, "81", &[]),
            ],
        );
    }

    #[test]
    fn nothing_is_known_of_a_configuration_that_never_was() {
        let mut plugins = Plugins::default();
        plugins.done(ConfigurationId(7));
        assert!(!plugins.asks_for_port(ConfigurationId(7)));
        assert_eq!(ids(plugins.serves(ConfigurationId(7), b"80")), Vec::<u32>::new());
    }

    #[test]
    fn ports_are_bounded() {
        let mut plugins = Plugins::default();
        let (id, _) = plugins.configure("a", &|_| true);
        (0..1000_u16).for_each(|port| drop(plugins.serves(id, &port.to_le_bytes())));
        assert_eq!(plugins.known[0].ports.len(), MAX_PORTS);
    }
}
