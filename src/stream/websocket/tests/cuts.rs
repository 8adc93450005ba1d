//! What a client may not say never comes to be a message for the upstream, however it is cut.

use proptest::prelude::*;

use super::*;

/// Messages, and whether they may pass under a lock on `instructions`.
const MESSAGES: [(&str, bool); 12] = [
    (r#"{"type":"response.create"}"#, true),
    (r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#, true),
    (r#"{"type":"session.update","session":{"voice":"marin"}}"#, true),
    (r#"{"type":"x","session":{"instructions":"quoted"}}"#, true),
    (r#"{"type":"session.update","session":{"instructions":"no"}}"#, false),
    (r#"{"session":{"instr\u0075ctions":""},"type":"session.update"}"#, false),
    (r#" {"session":{"instructions":null} , "typ\u0065":"session\u002eupdate"} "#, false),
    (r#"{"type":"response.create","response":{"instructions":{}}}"#, false),
    (r#"{"type":"response.create","type":"x"}"#, false),
    (r#"{"type":"session.update","session":{"Instructions":"no"}}"#, false),
    (r#"{"type":"x"}{"type":"session.update"}"#, false),
    ("", false),
];

/// One message on its way: which, the padding before it, how its frames are cut, and what stands between them.
type Sent = (usize, usize, Vec<(prop::sample::Index, bool)>, [u8; 4]);

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4);
    let padding = prop_oneof![4 => Just(0_usize), 1 => 4000..5000_usize, 1 => Just(20_000)];
    prop::collection::vec((0..MESSAGES.len(), padding, cuts, any::<[u8; 4]>()), 1..5)
}

fn frame(fin: bool, opcode: OpCode, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    FrameHeader { fin, opcode, mask: Some(mask), length: payload.len() as u64 }.encode(&mut bytes);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask::apply(mask, 0, &mut bytes[start..]);
    bytes
}

/// The text of a message, and its frames.
fn frames((which, padding, cuts, mask): &Sent) -> (String, Vec<u8>) {
    let (message, _) = MESSAGES[*which];
    let text = if message.is_empty() { String::new() } else { " ".repeat(*padding) + message };
    let mut cuts: Vec<_> = cuts.iter().map(|(cut, pings)| (cut.index(text.len() + 1), *pings)).collect();
    cuts.sort_unstable();
    let (mut bytes, mut from, mut opcode) = (Vec::new(), 0, OpCode::Text);
    for (cut, pings) in cuts {
        bytes.extend(frame(false, opcode, *mask, &text.as_bytes()[from..cut]));
        if pings {
            bytes.extend(frame(true, OpCode::Ping, *mask, b"ping"));
        }
        (from, opcode) = (cut, OpCode::Continuation);
    }
    bytes.extend(frame(true, opcode, *mask, &text.as_bytes()[from..]));
    (text, bytes)
}

/// The whole messages in what an upstream gets, up to a Close.
fn received(mut bytes: &[u8]) -> Vec<String> {
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    while let Ok(Some((header, size))) = FrameHeader::parse(bytes, Sender::Client) {
        let end = size + usize::try_from(header.length).unwrap();
        if header.opcode == OpCode::Close || bytes.len() < end {
            break;
        }
        if !header.opcode.is_control() {
            let mut payload = bytes[size..end].to_vec();
            mask::apply(header.mask.unwrap(), 0, &mut payload);
            message.extend(payload);
            if header.fin {
                messages.push(String::from_utf8(std::mem::take(&mut message)).unwrap());
            }
        }
        bytes = &bytes[end..];
    }
    messages
}

/// What an upstream gets of these reads.
fn relayed<'a>(relay: &mut WebSocketRelay, reads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut got = Vec::new();
    for read in reads.filter(|read| !read.is_empty()) {
        match relay.client_bytes(read, at(1)) {
            BodyAction::Pass => got.extend_from_slice(read),
            BodyAction::Replace(from, bytes) => got.extend(read[..from].iter().chain(&bytes)),
        }
    }
    got
}

#[test]
fn what_a_client_says_behind_its_close_goes_no_further() {
    let close = CloseFrame::new(CloseCode::NORMAL, "").encode(Some(MASK));
    let update = client_text(r#"{"type":"session.update","session":{"instructions":"no"}}"#);
    let bytes = [client_text("{}"), close.clone(), update].concat();
    let want = [client_text("{}"), close].concat();
    for cut in 0..=bytes.len() {
        let mut relay = relay(free(), &["instructions"], NameRule::Any);
        let got = relayed(&mut relay, [&bytes[..cut], &bytes[cut..]].into_iter());
        assert_eq!(got, want, "cut at {cut}");
        assert_eq!(relay.record(Status::Closed, at(2)).close.unwrap().by, ClosedBy::Client);
    }
}

proptest! {
    #[test]
    fn no_cut_lets_a_message_through_before_it_is_judged(
        sent in sent(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        is_open in any::<bool>(),
    ) {
        let all: Vec<_> = sent.iter().map(frames).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let may_pass = |(which, ..): &Sent| MESSAGES[*which].1;
        let allowed = sent.iter().take_while(|sent| may_pass(sent)).count();
        let want: Vec<_> = all.iter().take(allowed).map(|(text, _)| text.clone()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut relay = relay(free(), &["instructions"], NameRule::Any);
        if !is_open {
            relay.started = None;
        }
        let got = relayed(&mut relay, cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]));
        prop_assert_eq!(received(&got), want.clone());
        prop_assert_eq!(relay.closing.is_some(), allowed < sent.len());

        let mut relay = live_of(free(), &["instructions"], NameRule::Any, None);
        let got = relayed(&mut relay, bytes.chunks(if bytes.len() < 2000 { 1 } else { 77 }));
        prop_assert_eq!(received(&got), want);
    }
}
