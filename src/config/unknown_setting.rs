//! Unknown settings: an error that says where each stands, which are known there, and which one was meant.

use super::document::Document;
use super::error::ConfigError;
use super::found;
use super::path::Path;
use crate::spelling::{did_you_mean, meant};

/// The members of a map that is at `location` that are none of `known`: where each stands, and what is wrong. A name that
/// may be a secret in the wrong place is not shown: its map is named in its place.
pub(super) fn unknown_settings<'a>(
    location: &'a Path,
    members: &'a [(String, Document)],
    known: &'a [&str],
) -> impl Iterator<Item = (Path, ConfigError)> + 'a {
    members.iter().filter(|(name, _)| !known.contains(&name.as_str())).map(|(name, _)| {
        let member = location.key(name);
        let meant = meant(name, known.iter().copied());
        let may_be_shown = meant.is_some() || found::is_name(name);
        let path = if may_be_shown { member.clone() } else { location.clone() };
        let hint = meant.map(did_you_mean).unwrap_or_default();
        let message = format!("unknown setting; known here: {}{hint}", known.join(", "));
        (member, ConfigError { path, message })
    })
}
