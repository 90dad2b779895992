//! What a client is as an application: which grants, which kind of token, how long.

use crate::assertions;
use crate::grant::Grant;
use crate::realms::Client;

/// Attributes of clients that only this face reads.
pub mod setting {
    /// `JWT`, or anything else for opaque access tokens.
    pub const ACCESS_TOKEN_TYPE: &str = "grantor.access.token.type";
    /// Audiences beside the client id, separated by `##`.
    pub const AUDIENCES: &str = "grantor.audiences";
    /// Seconds that an access token lives which speaks of a user.
    pub const USER_LIFESPAN: &str = "grantor.user.token.lifespan";
    /// Seconds that an access token lives which speaks of the application.
    pub const APPLICATION_LIFESPAN: &str = "grantor.application.token.lifespan";
    /// Seconds that a refresh token lives.
    pub const REFRESH_LIFESPAN: &str = "grantor.refresh.token.lifespan";
    /// Seconds that an ID token lives.
    pub const ID_LIFESPAN: &str = "grantor.id.token.lifespan";
    /// `false` keeps a refresh token through its uses.
    pub const RENEWS: &str = "grantor.refresh.token.renew";
    /// `true` for an application whose credentials were revoked.
    pub const REVOKED: &str = "grantor.oauth.revoked";
    /// `true` for an application without OAuth.
    pub const WITHOUT_OAUTH: &str = "grantor.oauth.none";
    /// Keycloak's: `false` gives out no refresh tokens.
    pub const REFRESHES: &str = "use.refresh.tokens";
}

use setting as s;

/// Seconds that tokens live, unless the application says otherwise.
pub(crate) const LIFESPAN: i64 = 3_600;

/// The same for refresh tokens.
pub(crate) const REFRESH_LIFESPAN: i64 = 86_400;

/// Nothing lives longer: ten years.
const LONGEST: i64 = 10 * 366 * 86_400;

/// A client as this face sees it.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a>(pub &'a Client);

impl Application<'_> {
    fn seconds(self, name: &str, otherwise: i64) -> i64 {
        self.0.document.seconds(name).filter(|seconds| *seconds > 0).unwrap_or(otherwise).min(LONGEST)
    }

    /// Whether it may use a grant: whole names, never parts of one.
    pub fn allows(self, grant: Grant) -> bool {
        let document = &self.0.document;
        if document.switched_on(s::REVOKED) || document.switched_on(s::WITHOUT_OAUTH) {
            return false;
        }
        match grant {
            Grant::ClientCredentials => document.service_accounts_enabled && !document.is_public(),
            Grant::Password => document.allows_direct_access(),
            Grant::RefreshToken => document.attribute(s::REFRESHES) != Some("false"),
            Grant::JwtBearer => document.switched_on(assertions::ENABLED) && !document.is_public(),
        }
    }

    /// Whether its access tokens are JWTs.
    pub fn wants_jwt(self) -> bool {
        self.0.document.attribute(s::ACCESS_TOKEN_TYPE).is_some_and(|kind| kind.eq_ignore_ascii_case("jwt"))
    }

    /// For whom its tokens are: itself first, then its own audiences or, without any, those of all applications.
    pub fn audience(self, of_all: &[String]) -> Vec<String> {
        let own = grantor_model::identity_provider::entries(self.0.document.attribute(s::AUDIENCES));
        let mut audience = vec![self.0.client_id().to_owned()];
        for one in if own.is_empty() { of_all } else { &own } {
            if !audience.contains(one) {
                audience.push(one.clone());
            }
        }
        audience
    }

    /// Seconds that an access token lives.
    pub fn lifespan(self, of_user: bool) -> i64 {
        self.seconds(if of_user { s::USER_LIFESPAN } else { s::APPLICATION_LIFESPAN }, LIFESPAN)
    }

    /// Seconds that a refresh token lives.
    pub fn refresh_lifespan(self) -> i64 {
        self.seconds(s::REFRESH_LIFESPAN, REFRESH_LIFESPAN)
    }

    /// Seconds that an ID token lives.
    pub fn id_lifespan(self) -> i64 {
        self.seconds(s::ID_LIFESPAN, LIFESPAN)
    }

    /// Whether each use of a refresh token brings another one.
    pub fn renews(self) -> bool {
        self.0.document.attribute(s::RENEWS) != Some("false")
    }
}
