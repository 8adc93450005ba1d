//! Which sessions a list shows: those that pass a filter, page by page.

use serde::Serialize;

use super::errors::malformed;
use crate::http::{Param, Target};
use crate::local_reply::LocalReply;
use crate::process::Filter;
use crate::usage::{Record, RecordId};

/// How many sessions a page has, unless the request says.
const USUAL: usize = 20;

/// How many sessions a page has at most.
const MOST: usize = 100;

/// What a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which sessions.
    pub filter: Filter,
    /// How many of them at most, 1 to 100.
    limit: usize,
    /// Only those that come behind this one.
    pub after: Option<RecordId>,
}

/// A page of a list, the newest session first.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    object: &'static str,
    data: &'a [Record],
    first_id: Option<RecordId>,
    last_id: Option<RecordId>,
    has_more: bool,
}

impl Listing {
    /// Reads a query.
    pub(super) fn read(target: &Target<'_>) -> Result<Self, LocalReply> {
        let (mut filter, mut limit, mut after) = (Filter::default(), None, None);
        for_each(target, |param, value| {
            if param.is("limit") {
                set(&mut limit, limit_in(value)?)
            } else if param.is("after") {
                let message = "`after` is the id of a session, as in `last_id` of the page before.";
                set(&mut after, value.parse().map_err(|_| malformed(message))?)
            } else if param.is("status") {
                set(&mut filter.is_closed, is_closed(value)?)
            } else {
                owner(&mut filter, param, value)
            }
        })?;
        Ok(Self { filter, limit: limit.unwrap_or(USUAL), after })
    }

    /// The page of all sessions that pass the filter, the newest first. `after` is the record of the session behind which
    /// it begins, which need not pass the filter any more.
    pub(super) fn page<'a>(&self, all: &'a [Record], after: Option<&Record>) -> Page<'a> {
        let place = |record: &Record| (record.started_at, record.id);
        let from = after.map_or(0, |after| all.partition_point(|record| place(record) >= place(after)));
        let rest = all.get(from..).unwrap_or_default();
        let data = rest.get(..self.limit).unwrap_or(rest);
        Page {
            object: "list",
            data,
            first_id: data.first().map(|record| record.id),
            last_id: data.last().map(|record| record.id),
            has_more: data.len() < rest.len(),
        }
    }
}

/// Whose sessions are to stop.
pub(super) fn owners(target: &Target<'_>) -> Result<Filter, LocalReply> {
    let mut filter = Filter::default();
    for_each(target, |param, value| owner(&mut filter, param, value))?;
    if filter.caller.is_none() && filter.user.is_none() {
        return Err(malformed("Say whose sessions are to stop: `caller` or `user`."));
    }
    Ok(filter)
}

/// Of a request that takes none.
pub(super) fn no_parameters(target: &Target<'_>) -> Result<(), LocalReply> {
    for_each(target, |_, _| Err(unknown_parameter()))
}

/// Gives each parameter and its value. Every one must say something.
fn for_each(
    target: &Target<'_>,
    mut each: impl FnMut(&Param<'_>, &str) -> Result<(), LocalReply>,
) -> Result<(), LocalReply> {
    for param in target.params().filter(|param| !is_nothing(param)) {
        let value = param.value().ok_or_else(|| malformed("A query parameter is not percent-encoded UTF-8."))?;
        each(&param, &value)?;
        if value.is_empty() {
            return Err(unclear());
        }
    }
    Ok(())
}

fn owner(filter: &mut Filter, param: &Param<'_>, value: &str) -> Result<(), LocalReply> {
    if param.is("caller") {
        set(&mut filter.caller, value.to_owned())
    } else if param.is("user") {
        set(&mut filter.user, value.to_owned())
    } else {
        Err(unknown_parameter())
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), LocalReply> {
    if place.replace(value).is_none() { Ok(()) } else { Err(unclear()) }
}

fn limit_in(value: &str) -> Result<usize, LocalReply> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| is_number && (1..=MOST).contains(limit));
    limit.ok_or_else(|| malformed("`limit` is a number from 1 to 100."))
}

fn is_closed(value: &str) -> Result<bool, LocalReply> {
    match value {
        "open" => Ok(false),
        "closed" => Ok(true),
        _ => Err(malformed("`status` is `open` or `closed`.")),
    }
}

/// What stands between two ampersands, or behind a question mark alone.
fn is_nothing(param: &Param<'_>) -> bool {
    param.is("") && param.value().is_some_and(|value| value.is_empty())
}

fn unclear() -> LocalReply {
    malformed("A query parameter stands there twice, or without a value.")
}

fn unknown_parameter() -> LocalReply {
    malformed(
        "A query parameter is not known here. Sessions are listed by `caller`, `user`, `status`, `limit` and `after`, and \
         stopped by `caller` and `user`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    fn read(query: &str) -> Option<Listing> {
        Listing::read(&Target::parse(format!("/sessions{query}").as_bytes())).ok()
    }

    #[test]
    fn a_page_has_twenty_sessions_unless_the_query_says_how_many() {
        for (query, want) in [
            ("", Some(20)),
            ("?limit=1", Some(1)),
            ("?limit=100", Some(100)),
            ("?limit=0", None),
            ("?limit=101", None),
            ("?limit=-1", None),
            ("?limit=%2B5", None),
            ("?limit=5.0", None),
            ("?limit=", None),
            ("?limit=18446744073709551621", None),
            ("?limit=5&limit=5", None),
        ] {
            assert_eq!(read(query).map(|listing| listing.limit), want, "{query}");
        }
        let id = RecordId::new(7);
        assert_eq!(read(&format!("?after={id}")).and_then(|listing| listing.after), Some(id));
        for bad in ["?after=", "?after=rb_7", "?after=7", &format!("?after={id}&after={id}")] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_while_sessions_come_and_go() {
        // Two began in the same millisecond.
        let mut all: Vec<Record> = [(7, 50), (6, 40), (5, 40), (3, 30), (2, 20)].map(|(id, at)| record(id, at)).into();
        let listing = Listing { limit: 2, ..read("").unwrap() };
        let ids = |page: &Page<'_>| page.data.iter().map(|record| record.id).collect::<Vec<_>>();
        let named = |ids: &[u128]| ids.iter().map(|id| RecordId::new(*id)).collect::<Vec<_>>();
        let first = listing.page(&all, None);
        assert_eq!((ids(&first), first.has_more), (named(&[7, 6]), true));
        assert_eq!((first.first_id, first.last_id), (Some(RecordId::new(7)), Some(RecordId::new(6))));
        let last = record(6, 40);
        // Meanwhile that one passes the filter no more, and another has come.
        all.remove(1);
        all.insert(0, record(9, 60));
        let second = listing.page(&all, Some(&last));
        assert_eq!((ids(&second), second.has_more), (named(&[5, 3]), true));
        let third = listing.page(&all, Some(&record(3, 30)));
        assert_eq!((ids(&third), third.has_more), (named(&[2]), false));
        let none = listing.page(&all, Some(&record(2, 20)));
        assert_eq!((ids(&none), none.has_more, none.first_id, none.last_id), (vec![], false, None, None));
    }
}
