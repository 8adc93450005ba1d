//! A request that passes an instance in front: the credential of whatever slot is copied into one header, for a filter
//! behind to verify. Who that lets in is for the gateway behind both.

use std::borrow::Cow;
use std::sync::Arc;

use super::access_log::AccessLog;
use super::action::{DetailedReply, RequestAction};
use super::context::Context;
use super::denials::{credential_denial, too_many_tokens};
use super::forward::edits_of_denied;
use super::request_head::{Line, RequestHead};
use crate::credential::{Presenter, SubprotocolOffer, presented_token, query_keys};
use crate::denial::Denial;
use crate::endpoint::Path;
use crate::host::HeaderMap;
use crate::http::{Edits, HeaderValue};
use crate::metrics::Metric;
use crate::secret::Secret;

/// One HTTP stream of an instance in front.
pub struct Presentation {
    presenter: Arc<Presenter>,
    /// Why it was denied, if it was.
    denied: Option<Box<Denial>>,
}

impl Presentation {
    /// A stream that nothing has been seen of.
    pub fn new(presenter: Arc<Presenter>) -> Self {
        Self { presenter, denied: None }
    }

    /// The request's headers came.
    pub fn request_headers(&mut self, cx: &mut Context<'_>) -> RequestAction {
        let Presenter { gateway, strip, .. } = &*self.presenter;
        let head = RequestHead::read(cx.host.headers(HeaderMap::Request), gateway, strip);
        match self.edits(&head) {
            Ok(edits) => RequestAction::Forward(edits, None),
            Err(denial) => {
                let edits = edits_of_denied(gateway, strip, &head);
                cx.worker.sessions.metrics.add(Metric::Rejected { code: denial.code, caller: None, limit: None });
                let reply = Box::new(DetailedReply::from(&denial));
                self.denied = Some(Box::new(denial));
                RequestAction::Reply(reply, edits)
            }
        }
    }

    /// More of the request came.
    pub fn more(&self) -> RequestAction {
        if self.denied.is_some() { RequestAction::Hold } else { RequestAction::Pass }
    }

    /// The stream is over: what the access log is to show of it. What goes on is the gateway's to tell of.
    pub fn end(&mut self) -> AccessLog {
        self.denied.take().map_or(AccessLog::Nothing, AccessLog::Denied)
    }

    /// Puts the credential into the header; without one, no client's own is left there.
    fn edits(&self, head: &RequestHead) -> Result<Edits, Denial> {
        let Presenter { gateway, header, .. } = &*self.presenter;
        let presented = head.presented(gateway);
        if presented.are_too_many() {
            return Err(too_many_tokens());
        }
        let offer = SubprotocolOffer::parse(head.all(Line::Subprotocols), gateway).map_err(credential_denial)?;
        let query_keys = googles_keys(head);
        let mut edits = Edits::default();
        let token = presented_token(presented.sole(), head.slots(), &offer, &query_keys, gateway);
        match token.map_err(credential_denial)? {
            Some(token) => {
                edits.set(header.clone(), HeaderValue::Secret(Arc::new(Secret::new(token.into_owned()))));
            }
            None => edits.remove(header.clone()),
        }
        Ok(edits)
    }
}

/// Where Google's SDK for JavaScript puts it; which policy the request will have is not known here.
fn googles_keys(head: &RequestHead) -> Vec<Cow<'_, [u8]>> {
    let target = head.target();
    if Path::decode(target.path).is_ok_and(|path| path.is_googles()) { query_keys(&target) } else { Vec::new() }
}
