//! Names that may be used: all of them, or those that a glob matches.

use wildmatch::WildMatch;

/// Which names are allowed. In a glob, `*` stands for any characters and `?` for one.
pub enum NameRule {
    /// Every name.
    Any,
    /// Names that one of these matches.
    Globs(Vec<WildMatch>),
}

impl NameRule {
    /// Names that one of `patterns` matches.
    pub fn globs<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        Self::Globs(patterns.into_iter().map(|pattern| WildMatch::new(pattern.as_ref())).collect())
    }

    /// Whether the name is allowed.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Globs(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }

    /// Whether there is a name that is not allowed.
    pub fn is_restricted(&self) -> bool {
        matches!(self, Self::Globs(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        let globs = NameRule::globs(["gpt-realtime*", "o?"]);
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
        assert!(NameRule::Any.allows("anything"));
        assert!(!NameRule::globs([""; 0]).allows("anything"));
    }
}
