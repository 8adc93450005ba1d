//! Who Envoy says it is: the settings of identities, of users, and of an instance in front.

/// An instance in front: it copies the credential of whatever slot into one header, for a filter such as `jwt_authn` between
/// it and the gateway to verify, and lets everything through whose credentials can be read.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Present {
    /// The header, such as `x-gateway-token`. A client's own of this name is removed; list it in the gateway's `strip_headers`.
    pub header: String,
}

/// A property of a request that Envoy has verified before this filter, and what it must be: exactly one of `equals` and `glob`.
/// One that is absent or no string is nobody's.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = super::one_of::one_value))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Identity {
    /// The path of an attribute of Envoy's, such as `[connection, uri_san_peer_certificate]` or
    /// `[metadata, filter_metadata, envoy.filters.http.jwt_authn, corp, tenant]`. It cannot begin with `request`: that is
    /// what clients write.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub property: Vec<String>,
    /// The string that it must be.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub equals: Option<String>,
    /// A glob that the string must match: `*` stands for any characters, `?` for one.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub glob: Option<String>,
}

/// The property that names a user.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct User {
    /// The path of an attribute of Envoy's, as that of an identity.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub property: Vec<String>,
}
