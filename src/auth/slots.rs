//! The slots in which a client may offer its gateway token, and what is a credential there.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::http::{is_token, members, trim};

/// The longest list of subprotocols that is read, all its lines together, in bytes.
const MAX_SUBPROTOCOLS: usize = 16 * 1024;

/// Subprotocols of the official SDKs that hold a provider's key.
const PROVIDER_KEYS: [&str; 2] = ["openai-insecure-api-key.", "xai-client-secret."];

/// Subprotocols of the official SDKs that are not for the upstream: they would pick another account, or the beta shape.
const PROVIDER_SETTINGS: [&str; 3] = ["openai-organization.", "openai-project.", "openai-beta."];

/// Where gateway tokens are looked for.
pub struct Gateway {
    /// The gateway header's name, in lower case.
    pub header: String,
    /// The gateway subprotocol's name, as configured.
    pub subprotocol: String,
    /// Whether a provider slot may hold a gateway token too.
    pub accept_provider_slot: bool,
    prefix: String,
    base64url_prefix: String,
}

impl Gateway {
    /// Slots of these names.
    pub fn new(header: &str, subprotocol: &str, accept_provider_slot: bool) -> Self {
        Self {
            header: header.to_ascii_lowercase(),
            subprotocol: subprotocol.to_owned(),
            accept_provider_slot,
            prefix: format!("{subprotocol}."),
            base64url_prefix: format!("{subprotocol}-base64url."),
        }
    }
}

/// What one offered subprotocol is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subprotocol {
    /// Holds a gateway token, from this byte on.
    Token(usize),
    /// Holds a gateway token in base64url, from this byte on.
    EncodedToken(usize),
    /// Holds what an SDK takes for the provider's key, from this byte on.
    ProviderKey(usize),
    /// An SDK's setting for the provider's account or API version; removed.
    ProviderSetting,
    /// None of these: for the upstream.
    Plain,
}

impl Subprotocol {
    /// Whether it never reaches an upstream.
    pub fn is_removed(self) -> bool {
        self != Self::Plain
    }

    fn of(name: &[u8], gateway: &Gateway) -> Self {
        let starts = |prefix: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
                .then_some(prefix.len())
        };
        if let Some(at) = starts(&gateway.prefix) {
            Self::Token(at)
        } else if let Some(at) = starts(&gateway.base64url_prefix) {
            Self::EncodedToken(at)
        } else if let Some(at) = PROVIDER_KEYS.iter().find_map(|prefix| starts(prefix)) {
            Self::ProviderKey(at)
        } else if PROVIDER_SETTINGS.iter().any(|prefix| starts(prefix).is_some()) {
            Self::ProviderSetting
        } else {
            Self::Plain
        }
    }
}

/// The subprotocols that a client offers, of all lines, in order.
pub struct Offered<'a>(Vec<(&'a [u8], Subprotocol)>);

impl<'a> Offered<'a> {
    /// Reads the lines of `sec-websocket-protocol`.
    ///
    /// RFC 6455 section 4.1: the elements "MUST all be unique strings" of token characters.
    pub fn parse(lines: &[&'a [u8]], gateway: &Gateway) -> Result<Self, FormError> {
        if lines.iter().map(|line| line.len()).sum::<usize>() > MAX_SUBPROTOCOLS {
            return Err(FormError::Malformed("sec-websocket-protocol is longer than 16 KiB"));
        }
        let mut offered = Vec::new();
        let mut seen = HashSet::new();
        for name in lines.iter().flat_map(|line| members(line)) {
            if !is_token(name) {
                return Err(FormError::Malformed("a subprotocol is not a token (RFC 9110 section 5.6.2)"));
            }
            if !seen.insert(name) {
                return Err(FormError::Malformed("a subprotocol is offered twice"));
            }
            offered.push((name, Subprotocol::of(name, gateway)));
        }
        Ok(Self(offered))
    }

    /// Name and kind of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Subprotocol)> {
        self.0.iter().copied()
    }

    /// The one to select when the upstream selects none: the first that is no credential, else the gateway's, else the
    /// first. Browsers abort a connection whose offer is not answered.
    pub fn fallback(&self) -> Option<&'a [u8]> {
        let rank = |kind| match kind {
            Subprotocol::Plain | Subprotocol::ProviderSetting => 0,
            Subprotocol::Token(_) | Subprotocol::EncodedToken(_) => 1,
            Subprotocol::ProviderKey(_) => 2,
        };
        self.iter().min_by_key(|&(_, kind)| rank(kind)).map(|(name, _)| name)
    }
}

/// Why what stands in the slots is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormError {
    /// It cannot be a credential; says why.
    Malformed(&'static str),
    /// Two different credentials.
    Conflicting,
}

/// The header lines of the slots, as they came.
#[derive(Default)]
pub struct Slots<'a> {
    /// Lines of the gateway header.
    pub gateway: Vec<&'a [u8]>,
    /// Lines of `authorization`.
    pub authorization: Vec<&'a [u8]>,
    /// Lines of `api-key`, `x-api-key` and `x-goog-api-key`.
    pub api_keys: Vec<&'a [u8]>,
}

impl<'a> Slots<'a> {
    /// The one token that the client offers, if it offers any. A gateway slot wins over what an SDK takes for a key.
    pub fn token(&self, offered: &Offered<'a>, gateway: &Gateway) -> Result<Option<Cow<'a, [u8]>>, FormError> {
        match one(self.gateway_tokens(offered))? {
            None if gateway.accept_provider_slot => one(self.provider_tokens(offered)),
            token => Ok(token),
        }
    }

    fn gateway_tokens(&self, offered: &Offered<'a>) -> impl Iterator<Item = Result<Cow<'a, [u8]>, FormError>> {
        let headers =
            self.gateway.iter().flat_map(|line| values(line)).map(|value| well_formed(bearer(value).unwrap_or(value)));
        let subprotocols = offered.iter().filter_map(|(name, kind)| match kind {
            Subprotocol::Token(at) => Some(well_formed(name.get(at..).unwrap_or_default())),
            Subprotocol::EncodedToken(at) => Some(decoded(name.get(at..).unwrap_or_default())),
            _ => None,
        });
        headers.chain(subprotocols)
    }

    fn provider_tokens(&self, offered: &Offered<'a>) -> impl Iterator<Item = Result<Cow<'a, [u8]>, FormError>> {
        let authorization = self.authorization.iter().flat_map(|line| values(line)).filter_map(|value| match value {
            [] => Some(well_formed(value)),
            _ => bearer(value).map(well_formed),
        });
        let api_keys = self.api_keys.iter().flat_map(|line| values(line)).map(well_formed);
        let subprotocols = offered.iter().filter_map(|(name, kind)| match kind {
            Subprotocol::ProviderKey(at) => Some(well_formed(name.get(at..).unwrap_or_default())),
            _ => None,
        });
        authorization.chain(api_keys).chain(subprotocols)
    }
}

/// The credentials of one header line. Proxies join repeated lines with commas (RFC 9110 section 5.3), and no
/// credential holds one; a line with none at all reads as one empty credential.
fn values<'a>(line: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let empty: Option<&'a [u8]> = members(line).next().is_none().then_some(&[]);
    members(line).chain(empty)
}

/// What follows the scheme in `Bearer <token>`; RFC 9110 section 11.1: the scheme is case-insensitive.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let separated = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| trim(rest))
}

fn well_formed(token: &[u8]) -> Result<Cow<'_, [u8]>, FormError> {
    check(token)?;
    Ok(Cow::Borrowed(token))
}

fn decoded<'a>(text: &[u8]) -> Result<Cow<'a, [u8]>, FormError> {
    let token =
        URL_SAFE_NO_PAD.decode(text).map_err(|_| FormError::Malformed("a base64url subprotocol does not decode"))?;
    check(&token)?;
    Ok(Cow::Owned(token))
}

fn check(token: &[u8]) -> Result<(), FormError> {
    if token.is_empty() {
        return Err(FormError::Malformed("a credential is empty"));
    }
    if token.iter().any(u8::is_ascii_control) {
        return Err(FormError::Malformed("a credential holds a control character"));
    }
    Ok(())
}

/// The one value of all, none if there is none. They are compared in constant time, as they are secrets.
fn one<'a>(
    mut tokens: impl Iterator<Item = Result<Cow<'a, [u8]>, FormError>>,
) -> Result<Option<Cow<'a, [u8]>>, FormError> {
    let Some(first) = tokens.next().transpose()? else { return Ok(None) };
    let mut same = true;
    for token in tokens {
        same &= bool::from(token?.ct_eq(&first));
    }
    if same { Ok(Some(first)) } else { Err(FormError::Conflicting) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway::new("cf-aig-authorization", "cf-aig-authorization", true)
    }

    #[derive(Default)]
    struct Case<'a> {
        header: &'a [&'a str],
        authorization: &'a [&'a str],
        api_keys: &'a [&'a str],
        subprotocols: &'a [&'a str],
    }

    fn read(case: &Case<'_>, gateway: &Gateway) -> Result<Option<String>, FormError> {
        let lines: Vec<&[u8]> = case.subprotocols.iter().map(|line| line.as_bytes()).collect();
        let offered = Offered::parse(&lines, gateway)?;
        let slots = Slots {
            gateway: case.header.iter().map(|line| line.as_bytes()).collect(),
            authorization: case.authorization.iter().map(|line| line.as_bytes()).collect(),
            api_keys: case.api_keys.iter().map(|line| line.as_bytes()).collect(),
        };
        let token = slots.token(&offered, gateway)?;
        Ok(token.map(|token| String::from_utf8(token.into_owned()).unwrap()))
    }

    #[test]
    fn a_token_is_found_in_every_slot() {
        let cases = [
            Case { header: &["Bearer t"], ..Case::default() },
            Case { header: &["t"], ..Case::default() },
            Case { header: &["bEARER \t t "], ..Case::default() },
            Case { header: &["t", "Bearer t"], ..Case::default() },
            Case { header: &["t, Bearer t"], ..Case::default() },
            Case { subprotocols: &["realtime, cf-aig-authorization.t"], ..Case::default() },
            Case { subprotocols: &["realtime", " ,,CF-AIG-Authorization.t, "], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization-base64url.dA"], ..Case::default() },
            Case { authorization: &["Bearer t"], ..Case::default() },
            Case { authorization: &["Bearer t,Bearer t"], ..Case::default() },
            Case { authorization: &["Basic YTpi", "BEARER t"], ..Case::default() },
            Case { api_keys: &["t"], ..Case::default() },
            Case { subprotocols: &["openai-insecure-api-key.t"], ..Case::default() },
            Case { subprotocols: &["xai-client-secret.t"], ..Case::default() },
            Case {
                authorization: &["Bearer t"],
                api_keys: &["t"],
                subprotocols: &["openai-insecure-api-key.t"],
                ..Case::default()
            },
        ];
        for (index, case) in cases.iter().enumerate() {
            assert_eq!(read(case, &gateway()), Ok(Some("t".into())), "case {index}");
        }
    }

    #[test]
    fn a_gateway_slot_wins_and_what_is_in_a_provider_slot_is_not_even_read() {
        let case = Case {
            header: &["t"],
            authorization: &["Bearer"],
            api_keys: &["", "other"],
            subprotocols: &["openai-insecure-api-key.sk"],
        };
        assert_eq!(read(&case, &gateway()), Ok(Some("t".into())));
    }

    #[test]
    fn provider_slots_can_be_closed() {
        let closed = Gateway::new("cf-aig-authorization", "cf-aig-authorization", false);
        let case = Case { authorization: &["Bearer t"], subprotocols: &["xai-client-secret.u"], ..Case::default() };
        assert_eq!(read(&case, &closed), Ok(None));
    }

    #[test]
    fn another_scheme_is_no_credential() {
        for value in ["Basic YTpi", "Bearerx", "Digest a=\"b\", c=\"d\""] {
            assert_eq!(read(&Case { authorization: &[value], ..Case::default() }, &gateway()), Ok(None), "{value}");
        }
    }

    #[test]
    fn different_tokens_conflict() {
        let cases = [
            Case { header: &["a", "b"], ..Case::default() },
            Case { header: &["a"], subprotocols: &["cf-aig-authorization.b"], ..Case::default() },
            Case { header: &["a"], subprotocols: &["cf-aig-authorization.ab"], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization.a, cf-aig-authorization-base64url.dA"], ..Case::default() },
            Case { authorization: &["Bearer a"], api_keys: &["b"], ..Case::default() },
            Case { authorization: &["Bearer a,Bearer b"], ..Case::default() },
            Case { subprotocols: &["openai-insecure-api-key.a", "xai-client-secret.b"], ..Case::default() },
        ];
        for (index, case) in cases.iter().enumerate() {
            assert_eq!(read(case, &gateway()), Err(FormError::Conflicting), "case {index}");
        }
    }

    #[test]
    fn what_cannot_be_a_credential_is_malformed() {
        let cases = [
            Case { header: &[""], ..Case::default() },
            Case { header: &["Bearer"], ..Case::default() },
            Case { header: &["Bearer  "], ..Case::default() },
            Case { header: &["a\tb"], ..Case::default() },
            Case { header: &["a\u{7f}"], ..Case::default() },
            Case { authorization: &[""], ..Case::default() },
            Case { authorization: &["Bearer "], ..Case::default() },
            Case { api_keys: &[" "], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization."], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization-base64url."], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization-base64url.d"], ..Case::default() },
            Case { subprotocols: &["cf-aig-authorization-base64url.AAAA"], ..Case::default() },
            Case { subprotocols: &["openai-insecure-api-key."], ..Case::default() },
            Case { subprotocols: &["realtime, re altime"], ..Case::default() },
            Case { subprotocols: &["realtime\tx"], ..Case::default() },
            Case { subprotocols: &["realtime", "realtime"], ..Case::default() },
            Case { subprotocols: &["a=b"], ..Case::default() },
        ];
        for (index, case) in cases.iter().enumerate() {
            assert!(matches!(read(case, &gateway()), Err(FormError::Malformed(_))), "case {index}");
        }
    }

    #[test]
    fn a_list_over_16_kib_is_malformed_and_a_long_one_below_is_read() {
        let five_hundred: String = (0..500).map(|n| format!("p{n},")).collect();
        assert_eq!(read(&Case { subprotocols: &[&five_hundred], ..Case::default() }, &gateway()), Ok(None));
        let long = "x".repeat(MAX_SUBPROTOCOLS);
        assert!(matches!(
            read(&Case { subprotocols: &[&long, "a"], ..Case::default() }, &gateway()),
            Err(FormError::Malformed(_))
        ));
    }

    #[test]
    fn the_fallback_selection_prefers_what_is_no_credential() {
        for (line, want) in [
            ("openai-insecure-api-key.k, cf-aig-authorization.t, realtime, other", Some("realtime")),
            ("openai-insecure-api-key.k, cf-aig-authorization.t", Some("cf-aig-authorization.t")),
            ("cf-aig-authorization.t, openai-beta.realtime-v1", Some("openai-beta.realtime-v1")),
            ("openai-insecure-api-key.k, xai-client-secret.k", Some("openai-insecure-api-key.k")),
            ("", None),
        ] {
            let lines = [line.as_bytes()];
            let offered = Offered::parse(&lines, &gateway()).unwrap();
            assert_eq!(offered.fallback(), want.map(str::as_bytes), "{line}");
        }
    }
}
