//! Names that may be used: all of them, or those that a glob matches.

use wildmatch::WildMatch;

/// Which names are allowed. In a glob, `*` stands for any characters and `?` for one.
pub enum Globs {
    /// Every name.
    All,
    /// Names that one of these matches.
    Only(Vec<WildMatch>),
}

impl Globs {
    /// Names that one of `patterns` matches.
    pub fn only<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        Self::Only(patterns.into_iter().map(|pattern| WildMatch::new(pattern.as_ref())).collect())
    }

    /// Whether the name is allowed.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }

    /// Whether there is a name that is not allowed.
    pub fn is_restricted(&self) -> bool {
        matches!(self, Self::Only(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        let globs = Globs::only(["gpt-realtime*", "o?"]);
        for (name, allowed) in [
            ("gpt-realtime", true),
            ("gpt-realtime-mini", true),
            ("o3", true),
            ("o", false),
            ("o33", false),
            ("my-gpt-realtime", false),
            ("GPT-realtime", false),
            ("", false),
        ] {
            assert_eq!(globs.allows(name), allowed, "{name}");
        }
        assert!(Globs::All.allows("anything"));
        assert!(!Globs::only([""; 0]).allows("anything"));
    }
}
