//! Tables `sessions`, `client_sessions` and `refresh_chains`: who is signed in, through which clients, and how far
//! each chain of rotated refresh tokens has come.

use grantor_model::Instant;
use grantor_model::revocation::Revocation;

use crate::Store;
use crate::database::{Row, Statement, StoreError};

/// A user session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The `sid` of tokens.
    pub id: String,
    /// Offline sessions outlive the others and may share their id.
    pub offline: bool,
    /// The realm's key.
    pub realm_id: String,
    /// The user's key.
    pub user_id: String,
    /// When it began.
    pub started: Instant,
    /// When it was used last, as far as written: see [`Store::touch_session`].
    pub used: Instant,
    /// When it can be swept away: not before every limit has passed.
    pub ends: Instant,
}

/// A client's part of a session.
#[derive(Clone, Debug)]
pub struct ClientSessionRow {
    /// The session's id.
    pub session_id: String,
    /// Which of the two kinds of session.
    pub offline: bool,
    /// The client's key.
    pub client_id: String,
    /// When the client joined.
    pub started: Instant,
    /// When the client used it last, as far as written.
    pub used: Instant,
}

/// A chain of rotated refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// The `reuse_id` of its tokens.
    pub id: String,
    /// The `jti` of the token that was used last; empty before the first use.
    pub used: String,
    /// How often it was used.
    pub uses: i64,
    /// The `jti` and second of issue of what was given out for it, as `jti@seconds`, in order.
    pub successors: Vec<String>,
    /// Raised by each rotation: two callers cannot rotate from the same state.
    pub revision: i64,
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: row.text(0)?.to_owned(),
        offline: row.bool(1)?,
        realm_id: row.text(2)?.to_owned(),
        user_id: row.text(3)?.to_owned(),
        started: Instant::from_millis(row.int(4)?),
        used: Instant::from_millis(row.int(5)?),
        ends: Instant::from_millis(row.int(6)?),
    })
}

fn client_session(row: &Row) -> Result<ClientSessionRow, StoreError> {
    Ok(ClientSessionRow {
        session_id: row.text(0)?.to_owned(),
        offline: row.bool(1)?,
        client_id: row.text(2)?.to_owned(),
        started: Instant::from_millis(row.int(3)?),
        used: Instant::from_millis(row.int(4)?),
    })
}

fn chain(row: &Row) -> Result<ChainRow, StoreError> {
    Ok(ChainRow {
        id: row.text(0)?.to_owned(),
        used: row.text(1)?.to_owned(),
        uses: row.int(2)?,
        successors: row.text(3)?.split_whitespace().map(str::to_owned).collect(),
        revision: row.int(4)?,
    })
}

impl Store {
    /// Starts a session with its first client and, where the realm rotates, the chain of its refresh tokens.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn start_session(
        &self,
        session: &SessionRow,
        client: &ClientSessionRow,
        chain: Option<&ChainRow>,
    ) -> Result<(), StoreError> {
        let mut statements = vec![
            Statement::new(
                "INSERT INTO sessions (id, offline, realm_id, user_id, started, used, ends) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [
                    session.id.as_str().into(),
                    session.offline.into(),
                    session.realm_id.as_str().into(),
                    session.user_id.as_str().into(),
                    session.started.millis().into(),
                    session.used.millis().into(),
                    session.ends.millis().into(),
                ],
            ),
            Statement::new(
                "INSERT INTO client_sessions (session_id, offline, client_id, started, used) VALUES ($1, $2, $3, $4, $5)",
                [
                    client.session_id.as_str().into(),
                    client.offline.into(),
                    client.client_id.as_str().into(),
                    client.started.millis().into(),
                    client.used.millis().into(),
                ],
            ),
        ];
        statements.extend(chain.map(|chain| insert_chain(client, chain)));
        self.apply(statements).await
    }

    /// A session by id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn session(&self, realm_id: &str, id: &str, offline: bool) -> Result<Option<SessionRow>, StoreError> {
        let sql = "SELECT id, offline, realm_id, user_id, started, used, ends FROM sessions \
                   WHERE id = $1 AND offline = $2 AND realm_id = $3";
        self.one(Statement::new(sql, [id.into(), offline.into(), realm_id.into()]), session).await
    }

    /// A client's part of a session.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn client_session(
        &self,
        session_id: &str,
        offline: bool,
        client_id: &str,
    ) -> Result<Option<ClientSessionRow>, StoreError> {
        let sql = "SELECT session_id, offline, client_id, started, used FROM client_sessions \
                   WHERE session_id = $1 AND offline = $2 AND client_id = $3";
        self.one(Statement::new(sql, [session_id.into(), offline.into(), client_id.into()]), client_session).await
    }

    /// Notes that a session is in use. The caller leaves it out when the last note is young: losing a touch
    /// shortens a session, it never revives one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn touch_session(
        &self,
        client: &ClientSessionRow,
        now: Instant,
        ends: Instant,
    ) -> Result<(), StoreError> {
        let key = || [client.session_id.as_str().into(), client.offline.into(), now.millis().into()];
        let [id, offline, moment] = key();
        let session = Statement::new(
            "UPDATE sessions SET used = $3, ends = $4 WHERE id = $1 AND offline = $2 AND used < $3",
            [id, offline, moment, ends.millis().into()],
        );
        let [id, offline, moment] = key();
        let part = Statement::new(
            "UPDATE client_sessions SET used = $3 WHERE session_id = $1 AND offline = $2 AND client_id = $4 AND used < $3",
            [id, offline, moment, client.client_id.as_str().into()],
        );
        self.apply(vec![session, part]).await
    }

    /// A chain of refresh tokens.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chain(&self, id: &str, session_id: &str) -> Result<Option<ChainRow>, StoreError> {
        let sql = "SELECT id, used, uses, successors, revision FROM refresh_chains WHERE id = $1 AND session_id = $2";
        self.one(Statement::new(sql, [id.into(), session_id.into()]), chain).await
    }

    /// Starts a chain in a session that is there: for tokens given out before the realm rotated.
    ///
    /// # Errors
    /// `Duplicate` when another caller started the same one first.
    pub async fn start_chain(&self, client: &ClientSessionRow, chain: &ChainRow) -> Result<(), StoreError> {
        self.apply(vec![insert_chain(client, chain)]).await
    }

    /// Moves a chain on, if it still is where the caller saw it.
    ///
    /// # Errors
    /// `Guard` when another caller moved it first.
    pub async fn rotate(&self, from: &ChainRow, to: &ChainRow) -> Result<(), StoreError> {
        let sql = "UPDATE refresh_chains SET used = $3, uses = $4, successors = $5, revision = revision + 1 \
                   WHERE id = $1 AND revision = $2";
        let values = [
            from.id.as_str().into(),
            from.revision.into(),
            to.used.as_str().into(),
            to.uses.into(),
            to.successors.join(" ").into(),
        ];
        self.apply(vec![Statement::new(sql, values).must_touch(1)]).await
    }

    /// Takes a client out of a session; the session ends with its last client.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn detach_client(
        &self,
        session_id: &str,
        offline: bool,
        client_id: &str,
        revocation: &Revocation,
    ) -> Result<(), StoreError> {
        let key = || [session_id.into(), offline.into()];
        let [id, kind] = key();
        let part = Statement::new(
            "DELETE FROM client_sessions WHERE session_id = $1 AND offline = $2 AND client_id = $3",
            [id, kind, client_id.into()],
        );
        let session = Statement::new(
            "DELETE FROM sessions WHERE id = $1 AND offline = $2 AND NOT EXISTS \
             (SELECT 1 FROM client_sessions WHERE session_id = $1 AND offline = $2)",
            key(),
        );
        self.revoked_with(vec![part, session], revocation).await
    }

    async fn revoked_with(&self, mut statements: Vec<Statement>, revocation: &Revocation) -> Result<(), StoreError> {
        statements.extend(crate::revocations::add(revocation));
        self.apply(statements).await
    }

    /// Takes a client out of a session that stays: the answer to a refresh token used twice.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn detach_client_keeping_session(
        &self,
        session_id: &str,
        offline: bool,
        client_id: &str,
        revocation: &Revocation,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM client_sessions WHERE session_id = $1 AND offline = $2 AND client_id = $3";
        let statement = Statement::new(sql, [session_id.into(), offline.into(), client_id.into()]);
        self.revoked_with(vec![statement], revocation).await
    }

    /// Ends a session with all its clients.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_session(&self, id: &str, offline: bool, revocation: &Revocation) -> Result<(), StoreError> {
        let sql = "DELETE FROM sessions WHERE id = $1 AND offline = $2";
        self.revoked_with(vec![Statement::new(sql, [id.into(), offline.into()])], revocation).await
    }
}

fn insert_chain(client: &ClientSessionRow, chain: &ChainRow) -> Statement {
    Statement::new(
        "INSERT INTO refresh_chains (id, session_id, offline, client_id, used, uses, successors, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            chain.id.as_str().into(),
            client.session_id.as_str().into(),
            client.offline.into(),
            client.client_id.as_str().into(),
            chain.used.as_str().into(),
            chain.uses.into(),
            chain.successors.join(" ").into(),
            chain.revision.into(),
        ],
    )
}
