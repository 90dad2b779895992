//! Transient tokens, written once and completed for each request.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use grantor_model::Error;
use serde_json::{Map, Value};

use super::claims::Making;
use super::{Expiries, TokenAnswer, not_before, token_type};
use crate::engine::{Call, Engine};
use crate::grant::Granted;
use crate::realms::Realm;

/// So many are kept for a realm; beyond, all are dropped and written anew.
const KEPT: usize = 512;

/// The templates of a realm's snapshot: they go when the snapshot goes.
#[derive(Debug, Default)]
pub struct Templates {
    known: ArcSwap<HashMap<String, Arc<Template>>>,
}

/// A token without its times and id, and the answer around it.
#[derive(Debug)]
struct Template {
    /// Seconds that the token lives.
    lifespan: i64,
    /// The beginning of `jti`.
    prefix: String,
    /// The claims after `jti`, with the comma before and the brace behind.
    claims: String,
    /// The answer's members after the token.
    answer: String,
}

/// Issues a token that belongs to no session and brings no ID token.
pub(super) fn transient(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    granted: &Granted,
) -> Result<TokenAnswer, Error> {
    let key = key(call, granted);
    let known = realm.templates.known.load().get(&key).cloned();
    let template = match known {
        Some(template) => template,
        None => {
            let (template, lasts) = written(engine, call, realm, granted)?;
            let template = Arc::new(template);
            if lasts {
                realm.templates.keep(key, template.clone());
            }
            template
        }
    };
    let signer = super::claims::signer(realm, &granted.client, "access.token.signed.response.alg")?;
    let (now, id) = (call.now.seconds(), engine.entropy.uuid(call.now)?);
    let mut payload = String::with_capacity(96 + template.claims.len());
    let _ = write!(
        payload,
        "{{\"exp\":{},\"iat\":{now},\"jti\":\"{}:{id}\"{}",
        now + template.lifespan,
        template.prefix,
        template.claims
    );
    let at_jwt = super::claims::is_at_jwt(&granted.client);
    let token = engine.signatures.sign(signer, payload.as_bytes(), at_jwt)?;
    let mut body = String::with_capacity(token.len() + template.answer.len() + 20);
    body.push_str("{\"access_token\":\"");
    body.push_str(&token);
    body.push_str(&template.answer);
    Ok(TokenAnswer { body, locale: None })
}

/// Everything that a transient token depends on beside the snapshot.
fn key(call: &Call<'_>, granted: &Granted) -> String {
    let mut key = String::with_capacity(128);
    let _ = write!(key, "{}\n{}\n{}\n", granted.client.id, call.base, call.address);
    for scope in &granted.scopes.scopes {
        let _ = write!(key, "{}:{}", scope.name.len(), scope.name);
    }
    key
}

/// Writes a template; says whether the next token may be made of it as well.
fn written(engine: &Engine, call: &Call<'_>, realm: &Realm, granted: &Granted) -> Result<(Template, bool), Error> {
    let making = Making::new(engine, call, realm, granted)?;
    let expiry = Expiries::of(call, realm, granted).access;
    let mut claims = making.access(expiry)?.claims;
    let jti = claims.shift_remove("jti").and_then(|jti| jti.as_str().map(str::to_owned)).unwrap_or_default();
    let rest: Map<String, Value> = claims.into_iter().filter(|(name, _)| name != "exp" && name != "iat").collect();
    let json =
        |value: &Map<String, Value>| serde_json::to_string(value).map_err(|error| Error::internal(error.to_string()));
    let lifespan = expiry - call.now.seconds();
    let mut answer = Map::new();
    answer.insert("expires_in".to_owned(), Value::from(lifespan));
    answer.insert("refresh_expires_in".to_owned(), Value::from(0));
    answer.insert("token_type".to_owned(), Value::from(token_type(&granted.client)));
    answer.insert("not-before-policy".to_owned(), Value::from(not_before(realm, granted)));
    answer.insert("scope".to_owned(), Value::from(granted.scopes.visible()));
    super::add_mapped(&mut answer, &making);
    let after_brace = |text: String| text.strip_prefix('{').map(str::to_owned).unwrap_or_default();
    let template = Template {
        lifespan,
        prefix: jti.split(':').next().unwrap_or_default().to_owned(),
        claims: format!(",{}", after_brace(json(&rest)?)),
        answer: format!("\",{}", after_brace(json(&answer)?)),
    };
    Ok((template, !making.names_the_session()))
}

impl Templates {
    fn keep(&self, key: String, template: Arc<Template>) {
        self.known.rcu(|old| {
            let mut known = if old.len() >= KEPT { HashMap::new() } else { HashMap::clone(old) };
            known.insert(key.clone(), template.clone());
            known
        });
    }
}
