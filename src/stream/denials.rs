//! The texts of a stream's denials: what to do, and nothing that was offered as a credential.

use crate::client_secret::{InvalidGatewayObject, InvalidMintResponse, MintRequestError};
use crate::config::Plan;
use crate::credential::{CredentialError, TokenError};
use crate::denial::{Denial, DenialCode};
use crate::endpoint::{InvalidPath, NoEndpoint};
use crate::limit::{Exceeded, Limit};
use crate::policy::Route;

/// How much of a name that Envoy's configuration has is shown, in characters.
const MAX_NAME: usize = 64;

/// The answer to a request whose body has come, and cannot be had from Envoy.
pub(super) fn unread_body() -> Denial {
    Denial::new(DenialCode::BodyUnavailable, "The gateway cannot read this request's body. Send it again.")
}

/// The worker's streams hold as much as they may. What they hold can be gone at any moment.
pub(super) fn overloaded() -> Denial {
    let message = "The gateway has no memory left for this request. Send it again in a moment.";
    Denial::new(DenialCode::Overloaded, message).retry_after(1)
}

pub(super) fn no_endpoint(why: NoEndpoint) -> Denial {
    let message = match why {
        NoEndpoint::Echo => {
            let message =
                "This method is not served here: an upstream would send the request back, credentials and all.";
            return Denial::new(DenialCode::MethodNotAllowed, message);
        }
        NoEndpoint::Connect => "CONNECT is not served here.",
        NoEndpoint::Protocol => "The only protocol to upgrade to here is websocket.",
        NoEndpoint::UpgradeMethod => "A WebSocket is opened with GET (RFC 6455 section 4.1).",
        NoEndpoint::Path(InvalidPath::Relative) => "The path must begin with a slash.",
        NoEndpoint::Path(InvalidPath::DotSegment) => "The path holds a dot segment. Send it resolved.",
        NoEndpoint::Path(InvalidPath::EncodedSlash) => {
            "The path holds an encoded slash, which upstreams differ in how they read."
        }
        NoEndpoint::Path(InvalidPath::Character) => {
            "Decoded once, the path may hold only letters, digits and -._~/:@!$&'()*+,= since upstreams differ in how \
             they read other characters."
        }
    };
    Denial::new(DenialCode::MalformedRequest, message)
}

/// No policy was found for a route. `misplaced` is what its metadata has under `realtime-byok`, where nobody looks.
pub(super) fn no_policy(route: &Route, misplaced: Option<&[u8]>) -> Denial {
    let found = match (route, misplaced) {
        (Route::Metadata(name), _) => format!(
            "The route's metadata names the policy `{}`, and none has that name. Configure it, or name another as \
             `realtime_byok.policy`.",
            shown(name)
        ),
        (_, Some(name)) => format!(
            "The route's metadata names the policy `{}` under `realtime-byok`, where nobody looks. Write `realtime_byok`, \
             with an underscore.",
            shown(name)
        ),
        (Route::Name(name), None) if !name.is_empty() => format!(
            "No policy has the name of the route, `{}`, and its metadata names none. Name one there as \
             `realtime_byok.policy`, or configure `default`.",
            shown(name)
        ),
        (Route::Name(_) | Route::Unnamed, None) => {
            "No policy has the name of the route, and its metadata names none. Name \
                                                    one there as `realtime_byok.policy`, or configure `default`."
                .to_owned()
        }
    };
    Denial::new(DenialCode::NoPolicy, found)
}

/// A name of Envoy's configuration, as far as a message holds it.
fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars().filter(|char| !char.is_control()).take(MAX_NAME).collect()
}

pub(super) fn missing_token(plan: &Plan) -> Denial {
    let (header, subprotocol) = (&plan.gateway.header, &plan.gateway.subprotocol);
    let sdk = if plan.gateway.accept_provider_slot { ", or give it to your SDK as its API key" } else { "" };
    let identity =
        if plan.callers.have_identities() { ", and Envoy says of no caller that this is theirs" } else { "" };
    let message = format!(
        "No gateway token{identity}. Send it as the header `{header}: Bearer <token>` or as the WebSocket subprotocol \
         `{subprotocol}.<token>`{sdk}."
    );
    Denial::new(DenialCode::MissingGatewayToken, message)
}

/// Envoy says of a request that it is of two callers.
pub(super) fn two_identified() -> Denial {
    let message = "What Envoy has verified of this request is true of two callers of the gateway's. The gateway's operator \
                   must tell them apart.";
    Denial::new(DenialCode::ConflictingCredentials, message)
}

/// Envoy says that a request is of one caller, and its client secret is another's.
pub(super) fn two_callers() -> Denial {
    let message = "This client secret is not of the caller that Envoy says the request is of. Send it without that identity, \
                   or leave it out.";
    Denial::new(DenialCode::ConflictingCredentials, message)
}

/// What Envoy says of the user cannot be a name.
pub(super) fn unusable_user() -> Denial {
    let message = "What Envoy has verified of this request names its user by something else than a string of 1 to 512 bytes \
                   without control characters.";
    Denial::new(DenialCode::MalformedCredentials, message)
}

/// A client secret was asked for in the name of somebody else than Envoy says it is.
pub(super) fn another_user() -> Denial {
    let message =
        "Envoy says whose request this is, and a client secret can be for nobody else: leave `gateway.user` out.";
    Denial::new(DenialCode::InvalidGatewayObject, message).param("gateway.user")
}

pub(super) fn token_denial(error: TokenError) -> Denial {
    match error {
        TokenError::Invalid => Denial::new(
            DenialCode::InvalidGatewayToken,
            "This gateway token is not known here. A provider's own key is no gateway token.",
        ),
        TokenError::Expired => {
            Denial::new(DenialCode::ExpiredGatewayToken, "This gateway token has expired. Get a new one.")
        }
    }
}

pub(super) fn credential_denial(error: CredentialError) -> Denial {
    match error {
        CredentialError::Malformed(what) => {
            Denial::new(DenialCode::MalformedCredentials, format!("The credentials cannot be read: {what}."))
        }
        CredentialError::Conflicting => Denial::new(
            DenialCode::ConflictingCredentials,
            "The request offers two different tokens. Send one, in as many places as you like.",
        ),
    }
}

pub(super) fn too_many_tokens() -> Denial {
    credential_denial(CredentialError::Malformed("more different ones are sent than one request may hold"))
}

pub(super) fn token_elsewhere() -> Denial {
    let message = "A token stands where it cannot be taken out: in the path, the authority, the content type, or a parameter \
                   that is read here. Send it in a slot alone.";
    Denial::new(DenialCode::MalformedCredentials, message)
}

pub(super) fn limit_denial(Exceeded { limit, retry_after }: Exceeded) -> Denial {
    let (code, message) = match limit {
        Limit::CallerConcurrentSessions => {
            (DenialCode::SessionLimitExceeded, "Too many sessions are open. End one, or try again later.")
        }
        Limit::SecretSessions => {
            (DenialCode::SessionLimitExceeded, "This client secret has been used as often as it may. Mint a new one.")
        }
        Limit::CallSidebands => (
            DenialCode::SessionLimitExceeded,
            "This call has as many sidebands as it may. Close one, or only watch: offer `realtime-byok-watch`.",
        ),
        Limit::CallerSessionsPerMinute => {
            (DenialCode::RateLimitExceeded, "Too many sessions were started within a minute. Try again later.")
        }
        Limit::CallerTokensPerDay | Limit::CallerCostPerDay => {
            (DenialCode::BudgetExceeded, "Today's budget is used up. It begins anew at midnight UTC.")
        }
        Limit::SecretTokens | Limit::SecretCost | Limit::SecretDuration => {
            (DenialCode::BudgetExceeded, "What this client secret may use is used up. Mint a new one.")
        }
        Limit::SessionTokens | Limit::SessionCost | Limit::SessionDuration | Limit::SessionIdle => {
            (DenialCode::BudgetExceeded, "The budget of this session is used up. Open a new one to go on.")
        }
    };
    Denial::new(code, message).limit(limit).retry_after(retry_after)
}

pub(super) fn nothing_to_watch() -> Denial {
    let message = "The subprotocol `realtime-byok-watch` is for a WebSocket that names a call, by `?call_id=`.";
    Denial::new(DenialCode::MalformedRequest, message).param("call_id")
}

pub(super) fn unreadable_body() -> Denial {
    let message =
        "The body must be one JSON object, without a content coding, that names its model once and by a string.";
    Denial::new(DenialCode::MalformedRequest, message)
}

pub(super) fn foreign_charset() -> Denial {
    let message = "JSON is sent in UTF-8 (RFC 8259 section 8.1): leave the charset out of `content-type`.";
    Denial::new(DenialCode::MalformedRequest, message)
}

pub(super) fn unreadable_live_call() -> Denial {
    let message = "The body must be one JSON object, without a content coding, that names its model once, by a string, as \
                   `session.model`; the query names none.";
    Denial::new(DenialCode::MalformedRequest, message).param("session.model")
}

pub(super) fn no_offer() -> Denial {
    Denial::new(
        DenialCode::MalformedRequest,
        "A call begins with an offer of its client's, which is the body: send one.",
    )
}

pub(super) fn ambiguous_stream() -> Denial {
    let message = "The body must say once whether it asks for a stream: `stream`, `stream_options` and its \
                   `include_usage` may each stand there only once.";
    Denial::new(DenialCode::MalformedRequest, message)
}

pub(super) fn uncountable_body() -> Denial {
    let message = "This caller has a budget of the day, and what this body asks for could not be counted. Send one JSON \
                   object as `application/json`; files in a form need a caller without a limit in dollars.";
    Denial::new(DenialCode::MalformedRequest, message)
}

pub(super) fn background() -> Denial {
    let message = "This caller has a budget of the day, and a response in the background tells its usage only later, \
                   where it could not be counted. Leave `background` out.";
    Denial::new(DenialCode::MalformedRequest, message).param("background")
}

pub(super) fn deferred() -> Denial {
    let message = "This caller has a budget of the day, and what is asked for here tells its usage only later, where it \
                   could not be counted.";
    Denial::new(DenialCode::MalformedRequest, message)
}

pub(super) fn unpriced_model() -> Denial {
    let message = "This model is not allowed here: dollars are limited, and the gateway has no price for it. Choose one \
                   that has a price, or have its price added to the gateway's `prices`.";
    Denial::new(DenialCode::ModelNotAllowed, message).param("model")
}

pub(super) fn model_of_unknown_price() -> Denial {
    let message = "Name a model: dollars are limited here, and what this costs depends on it.";
    Denial::new(DenialCode::ModelRequired, message).param("model")
}

pub(super) fn ambiguous_version() -> Denial {
    Denial::new(DenialCode::MalformedRequest, "The query must name its `api-version` only once.").param("api-version")
}

pub(super) fn unreported_stream() -> Denial {
    let message = "This API version tells nobody what a stream uses, and this caller has a budget of the day. Use a later \
                   `api-version`, 2024-09-01-preview or above, or do not stream.";
    Denial::new(DenialCode::MalformedRequest, message).param("api-version")
}

pub(super) fn route_not_allowed() -> Denial {
    Denial::new(DenialCode::RouteNotAllowed, "This gateway token or client secret may not be used on this route.")
}

pub(super) fn call_not_allowed() -> Denial {
    let message = "This call is another caller's or user's, or its id is none that this gateway has made.";
    Denial::new(DenialCode::RouteNotAllowed, message)
}

pub(super) fn raw_call_id() -> Denial {
    let message = "Name the call by the id that this gateway gave for it: `location`, or `session.id`, of the response that \
                   began it. The provider's own ids are refused here, unless the policy says `calls: { raw_ids: allow }`.";
    Denial::new(DenialCode::RouteNotAllowed, message)
}

pub(super) fn locked_call() -> Denial {
    let message = "Fields of the session are locked, preset or hidden, and what is said in a call passes the gateway by, so \
                   that nothing could keep them so. Use a WebSocket.";
    Denial::new(DenialCode::RouteNotAllowed, message)
}

pub(super) fn unpresettable() -> Denial {
    let message = "The gateway sets fields of the session first, which it cannot do in a session of this kind.";
    Denial::new(DenialCode::RouteNotAllowed, message)
}

pub(super) fn unnamed_call() -> Denial {
    let message = "The provider's answer does not name the call that it began, which could be neither limited nor ended; \
                   it is not passed on.";
    Denial::new(DenialCode::InvalidUpstreamResponse, message)
}

pub(super) fn unsealable_call() -> Denial {
    let message = "The gateway could not seal the id of this call, which is ended.";
    Denial::new(DenialCode::InvalidUpstreamResponse, message)
}

pub(super) fn origin_not_allowed() -> Denial {
    let message = "This gateway token or client secret may not be used from this page's origin.";
    Denial::new(DenialCode::OriginNotAllowed, message)
}

pub(super) fn model_of_another_secret() -> Denial {
    let message = "This client secret was minted for another model. Leave `model` out, or mint a secret for this one.";
    Denial::new(DenialCode::ModelNotAllowed, message).param("model")
}

pub(super) fn model_out_of_sight() -> Denial {
    let message = "This client secret was minted for one model, and only SDP is known to name no other: send the offer as \
                   `application/sdp`.";
    Denial::new(DenialCode::ModelNotAllowed, message).param("model")
}

pub(super) fn unsupported_content_type() -> Denial {
    let message = "A client secret is asked for in JSON: send `content-type: application/json`.";
    Denial::new(DenialCode::UnsupportedContentType, message)
}

pub(super) fn mint_denial(error: MintRequestError) -> Denial {
    match error {
        MintRequestError::Malformed { param, message } => {
            let denial = Denial::new(DenialCode::MalformedRequest, message);
            if let Some(param) = param { denial.param(param) } else { denial }
        }
        MintRequestError::InvalidGatewayObject(InvalidGatewayObject { param, message }) => {
            Denial::new(DenialCode::InvalidGatewayObject, message).param(param)
        }
    }
}

pub(super) fn unkept_limits() -> Denial {
    let message = "This route's sessions are not metered, so that limits of a client secret could not be kept. Leave \
                   them out, or meter the policy.";
    Denial::new(DenialCode::InvalidGatewayObject, message).param("gateway")
}

pub(super) fn invalid_mint_response(why: InvalidMintResponse) -> Denial {
    let what = match why {
        InvalidMintResponse::TooLong => "is longer than 1 MiB",
        InvalidMintResponse::NotReadable => "is not one JSON object",
        InvalidMintResponse::Coding => "is in a content coding other than gzip, or not even in that",
        InvalidMintResponse::NoSecret => "holds no client secret",
        InvalidMintResponse::UnusableSecret => "holds a client secret that cannot stand in a header",
        InvalidMintResponse::NoExpiry => "does not say when the client secret expires",
        InvalidMintResponse::SecretElsewhere => "repeats the client secret in another place",
    };
    Denial::new(
        DenialCode::InvalidUpstreamResponse,
        format!("The provider's answer {what}; no client secret was made."),
    )
}

pub(super) fn unreadable_response() -> Denial {
    Denial::new(DenialCode::InvalidUpstreamResponse, "The gateway cannot read the head of the provider's answer.")
}

pub(super) fn too_long(claim: &str) -> Denial {
    let message = format!("The {claim} is longer than a client secret can hold; none was made.");
    Denial::new(DenialCode::InvalidUpstreamResponse, message)
}

pub(super) fn unsealable() -> Denial {
    Denial::new(
        DenialCode::InvalidUpstreamResponse,
        "The gateway has no randomness to seal with; no client secret was made.",
    )
}

pub(super) fn provider_key_rejected() -> Denial {
    let message =
        "The provider refused the gateway's key. The gateway's operator must mend it; your own token is fine.";
    Denial::new(DenialCode::ProviderKeyRejected, message)
}

pub(super) fn upstream_secret_rejected() -> Denial {
    let message = "The provider takes this client secret no more. Mint a new one.";
    Denial::new(DenialCode::ExpiredGatewayToken, message)
}
