//! What a request to the control API addresses, whose path is configured.

/// What stands below the control API's path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlResource<'a> {
    /// `{path}/sessions`
    Sessions,
    /// `{path}/sessions/{id}`
    Session(&'a str),
    /// `{path}/usage`
    Usage,
    /// Anything else.
    Unknown,
}

impl<'a> ControlResource<'a> {
    /// Reads a path that is `base` or below, by whole segments and byte for byte; `None` if it is not.
    pub fn read(base: &str, path: &'a [u8]) -> Option<Self> {
        let below = path.strip_prefix(base.as_bytes())?;
        if !below.is_empty() && !below.starts_with(b"/") {
            return None;
        }
        let mut segments = below.split(|&byte| byte == b'/').skip(1);
        Some(match (segments.next(), segments.next(), segments.next()) {
            (Some(b"sessions"), None, _) => Self::Sessions,
            (Some(b"sessions"), Some(id), None) => str::from_utf8(id).map_or(Self::Unknown, Self::Session),
            (Some(b"usage"), None, _) => Self::Usage,
            _ => Self::Unknown,
        })
    }
}
