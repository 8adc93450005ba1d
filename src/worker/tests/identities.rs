//! Requests whose senders Envoy says, with and without tokens beside that.

use super::*;
use crate::denial::DenialCode;
use crate::host::Property;

const TENANT: &str = "metadata\0filter_metadata\0jwt\0tenant";
const USER: &str = "metadata\0filter_metadata\0jwt\0sub";

/// `tenant` by what a JWT says, `web-app` by that or by its token, both with the user that the JWT names.
fn configuration() -> Value {
    let property = |name| json!(["metadata", "filter_metadata", "jwt", name]);
    let caller = |value| {
        let identity = json!({ "property": property("tenant"), "equals": value });
        json!({ "identities": [identity], "user": { "property": property("sub") } })
    };
    let mut web_app = caller("web");
    web_app["tokens"] = json!([{ "env": "TOKEN" }]);
    json!({
        "providers": { "openai": { "kind": "openai", "key": { "env": "KEY" } } },
        "callers": { "tenant": caller("acme"), "web-app": web_app },
        "policies": { "default": { "provider": "openai" } },
        "client_secrets": { "mode": "local", "sealing_keys": [{ "env": "SEALING_KEY" }] },
    })
}

const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A host that says this of a request with these header lines.
fn host(lines: &[(&str, &str)], properties: &[(&str, Property)]) -> FakeHost {
    let host =
        lines.iter().fold(FakeHost::new().at(START), |host, (name, value)| host.line(HeaderMap::Request, name, value));
    properties.iter().cloned().fold(host, |host, (path, value)| host.with_property(path, value))
}

fn text(text: &str) -> Property {
    Property::String(text.into())
}

fn upgrade(token: Option<&str>) -> Vec<(&'static str, String)> {
    let lines = UPGRADE.iter().take(6).map(|(name, value)| (*name, (*value).to_owned()));
    lines.chain(token.map(|token| ("authorization", format!("Bearer {token}")))).collect()
}

struct Identities {
    fixture: Fixture,
}

impl Identities {
    fn new() -> Self {
        let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
        fixture.worker.plugin_done(fixture.configuration.as_ref());
        let variable = |name: &str| match name {
            "KEY" => Some("sk-provider".to_owned()),
            "TOKEN" => Some("token-of-the-web-app".to_owned()),
            "SEALING_KEY" => Some(SEALING_KEY.to_owned()),
            _ => None,
        };
        let configuration = configuration().to_string();
        let configured = fixture.worker.configure("gateway", configuration.as_bytes(), &variable, &fixture.host);
        assert!(configured.is_some(), "{:?}", log(&mut fixture.worker));
        fixture.configuration = configured;
        Self { fixture }
    }

    /// What becomes of an upgrade: the caller and user of its session, or the code of its denial.
    fn upgraded(
        &mut self,
        token: Option<&str>,
        properties: &[(&str, Property)],
    ) -> Result<(String, Option<String>), String> {
        let lines = upgrade(token);
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let worker = &mut self.fixture.worker;
        let id = worker.open(NUMBER, self.fixture.configuration.clone());
        let action = worker.request_headers(id, false, &host(&lines, properties));
        if let RequestAction::Forward(edits, _) = &action {
            let names: Vec<_> = edits.iter().map(Edit::name).collect();
            assert!(names.contains(&"authorization"), "the key stands where a token stood");
            let response = self.fixture.response("101");
            self.fixture.worker.response_headers(id, false, &response);
        }
        let worker = &mut self.fixture.worker;
        let fields = fields(&worker.end(id, &FakeHost::new().at(START)));
        let field = |name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        worker.close(id);
        match action {
            RequestAction::Forward(..) => Ok((field("realtime_byok.caller").unwrap(), field("realtime_byok.user"))),
            RequestAction::Reply(reply, _) => Err(reply.details.into_owned()),
            _ => panic!("neither goes on nor is answered"),
        }
    }

    /// A client secret for this `gateway` object, or the code of the denial.
    fn minted(&mut self, gateway: &Value, properties: &[(&str, Property)]) -> Result<String, String> {
        let lines =
            [(":method", "POST"), (":path", "/v1/realtime/client_secrets"), ("content-type", "application/json")];
        let worker = &mut self.fixture.worker;
        let id = worker.open(NUMBER, self.fixture.configuration.clone());
        let host = host(&lines, properties);
        assert!(matches!(worker.request_headers(id, false, &host), RequestAction::Hold));
        let body =
            json!({ "session": { "type": "realtime", "model": "gpt-realtime" }, "gateway": gateway }).to_string();
        let action = worker.request_body(id, &mut body.as_bytes(), true, &host);
        worker.close(id);
        let RequestAction::Reply(reply, _) = action else { panic!("not answered") };
        if reply.reply.status != 200 {
            return Err(reply.details.into_owned());
        }
        let body: Value = serde_json::from_slice(&reply.reply.body).unwrap();
        Ok(body["value"].as_str().unwrap().to_owned())
    }
}

fn code(code: DenialCode) -> String {
    code.details()
}

#[test]
fn what_envoy_says_decides_whatever_token_stands_beside_it() {
    let mut gateway = Identities::new();
    let tenant = |name: &str, user: &str| vec![(TENANT, text(name)), (USER, text(user))];
    let known = |caller: &str, user: Option<&str>| Ok((caller.to_owned(), user.map(str::to_owned)));
    for (token, properties, want) in [
        (None, tenant("acme", "u1"), known("tenant", Some("u1"))),
        (None, tenant("acme", ""), known("tenant", None)),
        (Some("token-of-the-web-app"), tenant("acme", "u1"), known("tenant", Some("u1"))),
        (Some("token-of-nobody-known"), tenant("acme", "u1"), known("tenant", Some("u1"))),
        (Some("ek_of-the-provider-itself"), tenant("acme", "u1"), known("tenant", Some("u1"))),
        (Some("token-of-the-web-app"), vec![], known("web-app", None)),
        (Some("token-of-the-web-app"), tenant("nobody", "u2"), known("web-app", Some("u2"))),
        (None, tenant("nobody", "u1"), Err(code(DenialCode::MissingGatewayToken))),
        (Some("token-of-nobody-known"), tenant("nobody", "u1"), Err(code(DenialCode::InvalidGatewayToken))),
        (None, vec![(TENANT, Property::Other)], Err(code(DenialCode::MissingGatewayToken))),
        (None, vec![(TENANT, text("acme")), (USER, Property::Other)], Err(code(DenialCode::MalformedCredentials))),
        (None, tenant("acme", "u\n"), Err(code(DenialCode::MalformedCredentials))),
        (None, tenant("acme", &"u".repeat(513)), Err(code(DenialCode::MalformedCredentials))),
    ] {
        assert_eq!(gateway.upgraded(token, &properties), want, "{token:?} {properties:?}");
    }
}

#[test]
fn a_client_secret_is_for_the_user_that_envoy_names_and_for_its_caller() {
    let mut gateway = Identities::new();
    let by = |tenant: &str, user: &str| vec![(TENANT, text(tenant)), (USER, text(user))];
    for (named, user, want) in [
        (json!({}), "u1", Ok(Some("u1"))),
        (json!({ "user": "u1" }), "u1", Ok(Some("u1"))),
        (json!({ "user": "u2" }), "u1", Err(code(DenialCode::InvalidGatewayObject))),
        (json!({ "user": "u2" }), "", Ok(Some("u2"))),
        (json!({}), "", Ok(None)),
    ] {
        let minted = gateway.minted(&named, &by("acme", user));
        let used = minted.map(|secret| gateway.upgraded(Some(&secret), &[]).unwrap());
        let want = want.map(|user: Option<&str>| ("tenant".to_owned(), user.map(str::to_owned)));
        assert_eq!(used, want, "{named} {user}");
    }
    let secret = gateway.minted(&json!({ "user": "u3" }), &by("acme", "")).unwrap();
    let used = gateway.upgraded(Some(&secret), &by("acme", "u1"));
    assert_eq!(used, Ok(("tenant".to_owned(), Some("u3".to_owned()))), "the secret holds beside its own caller");
    let used = gateway.upgraded(Some(&secret), &by("web", "u1"));
    assert_eq!(used, Err(code(DenialCode::ConflictingCredentials)), "and is nobody else's");
}
