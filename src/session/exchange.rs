//! A REST exchange whose usage is counted: what its answer tells, read as that passes.
//!
//! ```text
//! Awaited ─┬─ 2xx, JSON or server-sent events ─▶ Read ─ its end, or a cut ─▶ Over
//!          └─ anything else ────────────────────────────────────────────────▶ Over
//! ```
//!
//! Nothing is held back but an event that is not complete, and that only where the usage was asked for in the client's
//! place.

use std::fmt;
use std::rc::Rc;

use percent_encoding::percent_decode;

use super::admission::{Admission, Choice, Purpose};
use super::live::Relay;
use super::surroundings::{Response, ResponseStep};
use crate::auth::Caller;
use crate::http::{Edits, Target, is_json, media_type, trim};
use crate::inbound::Inbound;
use crate::policy::{Kind, Policy, Provider};
use crate::usage::{BodyMeter, Meter, Metered, MicroUsd, PriceList, Rejected, Tally, UnaskedUsage};

/// The longest JSON answer, and the longest event of a stream, that is read.
const MAX_READ: usize = 1 << 20;

/// Segments below which something that exists already is addressed: what it has used was counted when it was made.
const COLLECTIONS: [&[u8]; 4] = [b"completions", b"responses", b"runs", b"batches"];

/// The first version of Azure's API that knows `stream_options`.
const AZURE_STREAM_OPTIONS: &str = "2024-09";

/// One exchange, from its request on.
pub struct RestExchange {
    policy: Rc<Policy>,
    caller: Rc<Caller>,
    provider: Rc<Provider>,
    meter: Meter,
    answer: Answer,
    gap: Option<Gap>,
}

/// What an exchange has used.
pub struct RestUsage {
    /// Who sent it.
    pub caller: Rc<Caller>,
    /// The route's policy.
    pub policy: Rc<Policy>,
    /// Who served it.
    pub provider: Rc<Provider>,
    /// The request's model, else the answer's, if one is known.
    pub model: Option<String>,
    /// What was counted.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
    /// Why that may not be all.
    pub gap: Option<Gap>,
}

/// Why the usage of an exchange is not known, or not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// The answer has a content coding.
    Coded,
    /// The answer is a stream that told none.
    Untold,
    /// What the answer told cannot be counted.
    Rejected(Rejected),
}

/// The answer, as far as it has come.
enum Answer {
    /// Its headers have not come. The usage of a chat completion may have been asked for in the client's place.
    Awaited { is_asked: bool },
    /// Its body passes.
    Read { body: BodyMeter, is_stream: bool, unasked: Option<UnaskedUsage> },
    /// Nothing of it is to be read any more.
    Over,
}

impl RestExchange {
    /// The exchange that a request begins, if its usage is to be counted. `is_asked` says that it was asked for in the
    /// client's place.
    pub fn new(admission: &Admission, inbound: &Inbound<'_>, choice: &Choice<'_>, is_asked: bool) -> Option<Box<Self>> {
        is_counted(admission, inbound).then(|| {
            Box::new(Self {
                policy: admission.policy.clone(),
                caller: admission.caller.clone(),
                provider: choice.provider.clone(),
                meter: Meter::new(choice.model),
                answer: Answer::Awaited { is_asked },
                gap: None,
            })
        })
    }

    /// The answer's headers came.
    pub fn answered(&mut self, status: Option<u16>, response: &impl Response) -> ResponseStep {
        let answer = std::mem::replace(&mut self.answer, Answer::Over);
        let (Answer::Awaited { is_asked }, Some(200..=299)) = (answer, status) else { return ResponseStep::Pass };
        let content_type = response.content_type();
        let media_type = media_type(&content_type);
        let is_stream = media_type.eq_ignore_ascii_case(b"text/event-stream");
        if !is_stream && !is_json(media_type) {
            return ResponseStep::Pass;
        }
        let coding = response.content_encoding();
        if !trim(&coding).is_empty() && !trim(&coding).eq_ignore_ascii_case(b"identity") {
            self.gap = Some(Gap::Coded);
            return ResponseStep::Pass;
        }
        let body = if is_stream { BodyMeter::event_stream(MAX_READ) } else { BodyMeter::json(MAX_READ) };
        let unasked = (is_stream && is_asked).then(UnaskedUsage::new);
        let is_shortened = unasked.is_some();
        self.answer = Answer::Read { body, is_stream, unasked };
        if !is_shortened {
            return ResponseStep::Pass;
        }
        let mut edits = Edits::default();
        edits.remove("content-length");
        ResponseStep::Edit(edits)
    }

    /// Whether the answer's bytes are to be read as they pass.
    pub fn is_read(&self) -> bool {
        matches!(self.answer, Answer::Read { .. })
    }

    /// Bytes of the answer are on their way. `ends` says that none follow.
    pub fn pass(&mut self, bytes: &[u8], ends: bool, prices: &PriceList) -> Relay {
        let Answer::Read { body, unasked, .. } = &mut self.answer else { return Relay::Pass };
        let metered = body.read(bytes, &mut self.meter, prices);
        note(&mut self.gap, &metered);
        let passed = unasked.as_mut().map(|unasked| unasked.pass(bytes, ends)).filter(|passed| passed != bytes);
        passed.map_or(Relay::Pass, |passed| Relay::Replace(0, passed))
    }

    /// The exchange is over, or was cut off.
    pub fn end(mut self, prices: &PriceList) -> RestUsage {
        if let Answer::Read { body, is_stream, .. } = self.answer {
            let metered = body.finish(&mut self.meter, prices);
            note(&mut self.gap, &metered);
            if is_stream && *self.meter.tally() == Tally::default() {
                self.gap.get_or_insert(Gap::Untold);
            }
        }
        RestUsage {
            caller: self.caller,
            policy: self.policy,
            provider: self.provider,
            model: self.meter.model().map(str::to_owned),
            usage: *self.meter.tally(),
            cost: self.meter.cost(),
            gap: self.gap,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => formatter.write_str("the answer has a content coding"),
            Self::Untold => formatter.write_str("the stream told no usage"),
            Self::Rejected(rejected) => rejected.fmt(formatter),
        }
    }
}

/// Whether what a request uses is counted: a policy meters it, and it makes something. Reading what was made before, or
/// changing it, tells the same usage again.
pub fn is_counted(admission: &Admission, inbound: &Inbound<'_>) -> bool {
    let is_post = admission.purpose == Purpose::Rest && inbound.method == b"POST";
    is_post && admission.policy.is_metered && !addresses_existing(&inbound.target)
}

/// Whether a provider tells a stream's usage only to those who ask, and knows how to be asked: for completions, chat or
/// not.
pub fn must_ask(inbound: &Inbound<'_>, provider: &Provider) -> bool {
    let path = normalized(&inbound.target);
    let is_completion = segments(&path).next_back() == Some(b"completions");
    let is_too_old = |version: &str| provider.kind == Kind::AzureOpenAi && version < AZURE_STREAM_OPTIONS;
    let versions = inbound.target.params().filter(|param| param.is("api-version"));
    // Other versions than dates, such as `preview`, are later ones.
    is_completion && !versions.filter_map(|param| param.value()).any(|version| is_too_old(&version))
}

fn addresses_existing(target: &Target<'_>) -> bool {
    let path = normalized(target);
    let pairs = segments(&path).zip(segments(&path).skip(1));
    pairs.into_iter().any(|(collection, below)| COLLECTIONS.contains(&collection) && below != b"compact")
}

fn normalized(target: &Target<'_>) -> Vec<u8> {
    percent_decode(target.path).map(|byte| byte.to_ascii_lowercase()).collect()
}

fn segments(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty())
}

/// Keeps the first reason why something could not be counted.
fn note(gap: &mut Option<Gap>, all: &[Metered]) {
    let rejected = all.iter().find_map(|metered| match metered {
        Metered::Rejected(rejected) => Some(Gap::Rejected(*rejected)),
        _ => None,
    });
    *gap = gap.or(rejected);
}
