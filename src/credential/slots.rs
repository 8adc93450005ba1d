//! The slots in which a client may offer its gateway token, and what is a credential there.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::bearer::bearer;
use super::error::CredentialError;
use super::settings::GatewaySettings;
use super::subprotocols::{SubprotocolOffer, TokenEncoding};
use crate::http::{Target, members, trim};

/// A header in which a client may offer its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// The gateway header.
    Gateway,
    /// `authorization`
    Authorization,
    /// `api-key`, `api_key`, `x-api-key` or `x-goog-api-key`
    ApiKey,
}

impl Slot {
    /// The slot that a header of this name is, in lower case.
    #[inline(always)]
    pub fn of(name: &[u8], gateway: &GatewaySettings) -> Option<Self> {
        match name {
            _ if name == gateway.header.as_bytes() => Some(Self::Gateway),
            b"authorization" => Some(Self::Authorization),
            b"api-key" | b"api_key" | b"x-api-key" | b"x-goog-api-key" => Some(Self::ApiKey),
            _ => None,
        }
    }
}

/// One value of a slot, of which a line may hold several.
#[derive(Clone, Copy)]
pub struct SlotValue<'a> {
    slot: Slot,
    value: &'a [u8],
    /// The token of the scheme `Bearer`, if it is of that.
    bearer: Option<&'a [u8]>,
}

impl<'a> SlotValue<'a> {
    /// Reads a value that has no space around it.
    pub(super) fn read(slot: Slot, value: &'a [u8]) -> Self {
        Self { slot, value, bearer: bearer(value) }
    }

    /// The value of these lines if there is but one: nearly all that clients send.
    pub(super) fn sole(mut lines: impl Iterator<Item = (Slot, &'a [u8])>) -> Option<Self> {
        match (lines.next(), lines.next()) {
            (Some((slot, line)), None) if !line.contains(&b',') => Some(Self::read(slot, trim(line))),
            _ => None,
        }
    }

    /// The token that it presents, whether that is read or only removed; `None` if it is of another scheme than those are.
    pub(super) fn presented(self) -> Option<&'a [u8]> {
        self.bearer.or((self.slot != Slot::Authorization).then_some(self.value))
    }

    /// The credential that it offers; `None` if it is of another scheme than those are.
    fn offered(self) -> Option<Result<Cow<'a, [u8]>, CredentialError>> {
        match self.slot {
            Slot::Gateway => Some(well_formed(self.bearer.unwrap_or(self.value))),
            Slot::Authorization if self.value.is_empty() => Some(well_formed(self.value)),
            Slot::Authorization => self.bearer.map(well_formed),
            Slot::ApiKey => Some(well_formed(self.value)),
        }
    }
}

/// The one token that a client offers in these header lines, subprotocols and query keys, if it offers any. A gateway slot
/// wins over what an SDK takes for a key. `sole` is what the lines say if they hold but one value.
///
/// # Errors
///
/// If what stands in the slots cannot be a credential, or is several.
pub fn presented_token<'a>(
    sole: Option<SlotValue<'a>>,
    lines: impl Iterator<Item = (Slot, &'a [u8])> + Clone,
    offer: &'a SubprotocolOffer,
    query_keys: &'a [Cow<'a, [u8]>],
    gateway: &GatewaySettings,
) -> Result<Option<Cow<'a, [u8]>>, CredentialError> {
    if let Some(sole) = sole
        && offer.iter().next().is_none()
        && query_keys.is_empty()
    {
        let is_read = sole.slot == Slot::Gateway || gateway.accept_provider_slot;
        return sole.offered().filter(|_| is_read).transpose();
    }
    let all = |slot| {
        let lines = lines.clone().filter(move |(other, _)| *other == slot);
        lines.flat_map(|(_, line)| values(line)).filter_map(move |value| SlotValue::read(slot, value).offered())
    };
    let subprotocols = offer.gateway_tokens().map(|(token, encoding)| match encoding {
        TokenEncoding::Plain => well_formed(token),
        TokenEncoding::Base64Url => decoded(token),
    });
    let token = one(all(Slot::Gateway).chain(subprotocols))?;
    if token.is_some() || !gateway.accept_provider_slot {
        return Ok(token);
    }
    let subprotocols = offer.provider_slots().map(well_formed);
    let query_keys = query_keys.iter().map(|key| well_formed(key));
    one(all(Slot::Authorization).chain(all(Slot::ApiKey)).chain(subprotocols).chain(query_keys))
}

/// What a query gives as `key`.
pub fn query_keys<'a>(target: &Target<'a>) -> Vec<Cow<'a, [u8]>> {
    target.params().filter(|param| param.is("key")).map(|param| param.bytes()).collect()
}

/// The credentials of one header line. Proxies join repeated lines with commas (RFC 9110 section 5.3), and no
/// credential holds one; a line with none at all reads as one empty credential.
pub(super) fn values<'a>(line: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let is_blank = line.iter().all(|byte| matches!(byte, b',' | b' ' | b'\t'));
    let empty: Option<&'a [u8]> = is_blank.then_some(&[]);
    members(line).chain(empty)
}

fn well_formed(token: &[u8]) -> Result<Cow<'_, [u8]>, CredentialError> {
    check(token)?;
    Ok(Cow::Borrowed(token))
}

fn decoded<'a>(text: &[u8]) -> Result<Cow<'a, [u8]>, CredentialError> {
    let token = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CredentialError::Malformed("a base64url subprotocol does not decode"))?;
    check(&token)?;
    Ok(Cow::Owned(token))
}

fn check(token: &[u8]) -> Result<(), CredentialError> {
    if token.is_empty() {
        return Err(CredentialError::Malformed("a credential is empty"));
    }
    if token.iter().any(u8::is_ascii_control) {
        return Err(CredentialError::Malformed("a credential holds a control character"));
    }
    Ok(())
}

/// The one value of all, none if there is none. They are compared in constant time, as they are secrets.
fn one<'a>(
    mut tokens: impl Iterator<Item = Result<Cow<'a, [u8]>, CredentialError>>,
) -> Result<Option<Cow<'a, [u8]>>, CredentialError> {
    let Some(first) = tokens.next().transpose()? else { return Ok(None) };
    let mut same = true;
    for token in tokens {
        same &= bool::from(token?.ct_eq(&first));
    }
    if same { Ok(Some(first)) } else { Err(CredentialError::Conflicting) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> GatewaySettings {
        GatewaySettings::new("cf-aig-authorization", "cf-aig-authorization", true)
    }

    #[derive(Default)]
    struct Case<'a> {
        header: &'a [&'a str],
        authorization: &'a [&'a str],
        api_keys: &'a [&'a str],
        subprotocols: &'a [&'a str],
        query_keys: &'a [&'a str],
    }

    fn read(case: &Case<'_>, gateway: &GatewaySettings) -> Result<Option<String>, CredentialError> {
        let offer = SubprotocolOffer::parse(case.subprotocols.iter().map(|line| line.as_bytes()), gateway)?;
        let slots =
            [(Slot::ApiKey, case.api_keys), (Slot::Authorization, case.authorization), (Slot::Gateway, case.header)];
        let lines = slots.iter().flat_map(|(slot, lines)| lines.iter().map(|line| (*slot, line.as_bytes())));
        let query_keys: Vec<_> = case.query_keys.iter().map(|key| Cow::Borrowed(key.as_bytes())).collect();
        let token = presented_token(SlotValue::sole(lines.clone()), lines, &offer, &query_keys, gateway)?;
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
            Case { query_keys: &["t"], ..Case::default() },
            Case { api_keys: &["t"], query_keys: &["t", "t"], ..Case::default() },
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
            query_keys: &["", "another"],
        };
        assert_eq!(read(&case, &gateway()), Ok(Some("t".into())));
    }

    #[test]
    fn provider_slots_can_be_closed() {
        let closed = GatewaySettings::new("cf-aig-authorization", "cf-aig-authorization", false);
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
            assert_eq!(read(case, &gateway()), Err(CredentialError::Conflicting), "case {index}");
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
            Case { query_keys: &[""], ..Case::default() },
            Case { query_keys: &["a\n"], ..Case::default() },
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
            assert!(matches!(read(case, &gateway()), Err(CredentialError::Malformed(_))), "case {index}");
        }
    }

    #[test]
    fn a_list_over_16_kib_is_malformed_and_a_long_one_below_is_read() {
        let five_hundred: String = (0..500).map(|n| format!("p{n},")).collect();
        assert_eq!(read(&Case { subprotocols: &[&five_hundred], ..Case::default() }, &gateway()), Ok(None));
        let long = "x".repeat(16 * 1024);
        assert!(matches!(
            read(&Case { subprotocols: &[&long, "a"], ..Case::default() }, &gateway()),
            Err(CredentialError::Malformed(_))
        ));
    }
}
