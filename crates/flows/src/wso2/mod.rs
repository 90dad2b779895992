//! WSO2 Identity Server's face: the same realms, clients and grants, told in its words.

/// What the face is configured with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The realm of URLs that name none.
    pub default_realm: String,
}
