//! The plugins of a worker, and which of their configurations have given way to newer ones.
//!
//! Envoy tells of a new configuration as of a new plugin: streams of the old one go on under that, and only when the last
//! of them is over does it end. So a configuration takes the place of all that came before it under the same name. Where
//! plugins of one name serve several ports, that is known only when the first stream of the newest tells which port it has.

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
    port: Port,
    life: Life,
}

/// Which port a configuration serves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    /// Nothing has come yet.
    Unknown,
    /// That of the configuration whose place it took.
    Inherited(Vec<u8>),
    /// That which its streams have come to.
    Seen(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It lives, and whose place it takes is to be seen.
    Newcomer,
    /// It lives.
    Settled,
    /// Its root context is gone.
    Over,
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
        self.known.retain(|known| known.life != Life::Over || is_in_use(known.id));
        self.last = self.last.wrapping_add(1);
        let id = ConfigurationId(self.last);
        let living: Vec<_> = self.of(name).filter(|known| known.life != Life::Over).map(|known| &known.port).collect();
        let (life, port, replaced) = match living.as_slice() {
            [first, others @ ..] if !others.iter().all(|port| port.is_that_of(first)) => {
                (Life::Newcomer, Port::Unknown, Replaced::new())
            }
            living => {
                let port = living.first().map_or(Port::Unknown, |port| port.inherited());
                (Life::Settled, port, self.of(name).map(|known| known.id).collect())
            }
        };
        self.known.push(Known { id, name: name.to_owned(), port, life });
        (id, replaced)
    }

    /// Whether it is to be told which port the next stream of a configuration has come to.
    #[inline]
    pub(crate) fn misses_port(&self, id: ConfigurationId) -> bool {
        self.known.iter().any(|known| known.id == id && !matches!(known.port, Port::Seen(_)))
    }

    /// A stream of a configuration has come to this port: which configurations are known by that to have given way to it.
    pub(crate) fn serves(&mut self, id: ConfigurationId, port: &[u8]) -> Replaced {
        let Some(newest) = self.known.iter_mut().find(|known| known.id == id) else { return Replaced::new() };
        newest.port = Port::Seen(port.to_vec());
        if newest.life != Life::Newcomer {
            return Replaced::new();
        }
        newest.life = Life::Settled;
        let name = newest.name.clone();
        let before = self.of(&name).filter(|known| known.id < id && known.port.value() == Some(port));
        before.map(|known| known.id).collect()
    }

    /// The root context of a configuration is gone.
    pub(crate) fn done(&mut self, id: ConfigurationId) {
        if let Some(known) = self.known.iter_mut().find(|known| known.id == id) {
            known.life = Life::Over;
        }
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Known> {
        self.known.iter().filter(move |known| known.name == name)
    }
}

impl Port {
    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Unknown => None,
            Self::Inherited(port) | Self::Seen(port) => Some(port),
        }
    }

    fn is_that_of(&self, other: &Self) -> bool {
        self.value().is_some() && self.value() == other.value()
    }

    fn inherited(&self) -> Self {
        self.value().map_or(Self::Unknown, |port| Self::Inherited(port.to_vec()))
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
                    assert!(plugins.misses_port(ConfigurationId(*id)), "step {at}");
                    assert_eq!(ids(plugins.serves(ConfigurationId(*id), port.as_bytes())), *want, "step {at}");
                    assert!(!plugins.misses_port(ConfigurationId(*id)));
                }
                Done(id) => plugins.done(ConfigurationId(*id)),
            }
        }
    }

    #[test]
    fn a_configuration_takes_the_place_of_all_before_it() {
        happens(
            &[1, 2, 3],
            &[
                Configured("a", &[]),
                Serves(1, "80", &[]),
                Configured("a", &[1]),
                Configured("a", &[1, 2]),
                Serves(3, "80", &[]),
                Done(2),
                Configured("a", &[1, 2, 3]),
            ],
        );
    }

    #[test]
    fn one_that_nothing_came_to_gives_way_too() {
        happens(&[], &[Configured("a", &[]), Configured("a", &[1]), Done(1), Configured("a", &[2])]);
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
    fn of_one_name_and_two_ports_the_first_stream_tells_which_gives_way() {
        happens(
            &[1, 2],
            &[
                Configured("a", &[]),
                Configured("a", &[1]),
                Serves(1, "80", &[]),
                Serves(2, "81", &[]),
                Configured("a", &[]),
                Serves(3, "81", &[2]),
                Configured("a", &[]),
                Serves(4, "80", &[1]),
                Configured("a", &[]),
            ],
        );
    }

    #[test]
    fn a_plugin_that_nothing_came_to_here_may_be_another() {
        happens(
            &[2],
            &[
                Configured("a", &[]),
                Configured("a", &[1]),
                Serves(2, "81", &[]),
                Configured("a", &[]),
                Serves(3, "80", &[]),
            ],
        );
    }

    #[test]
    fn nothing_is_known_of_a_configuration_that_never_was() {
        let mut plugins = Plugins::default();
        plugins.done(ConfigurationId(7));
        assert!(!plugins.misses_port(ConfigurationId(7)));
        assert_eq!(ids(plugins.serves(ConfigurationId(7), b"80")), Vec::<u32>::new());
    }
}
