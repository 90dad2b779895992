//! Table `decisions`: refusals with their checks, for hours.

use grantor_model::Decision;

use crate::Store;
use crate::database::{Statement, StoreError};

/// At most so many are kept, however many are refused within the hours.
const KEPT: i64 = 20_000;

impl Store {
    /// Keeps refusals. The oldest beyond the limit go.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_decisions(&self, decisions: &[Decision]) -> Result<(), StoreError> {
        let mut statements = Vec::with_capacity(decisions.len() + 1);
        for decision in decisions {
            let body = serde_json::to_string(decision).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            statements.push(Statement::new(
                "INSERT INTO decisions (id, made, body) VALUES ($1, $2, $3)",
                [decision.id.as_str().into(), decision.at.millis().into(), body.into()],
            ));
        }
        statements.push(Statement::new(
            "DELETE FROM decisions WHERE made < (SELECT made FROM decisions ORDER BY made DESC LIMIT 1 OFFSET $1)",
            [KEPT.into()],
        ));
        self.apply(statements).await
    }

    /// A refusal by its id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn decision(&self, id: &str) -> Result<Option<Decision>, StoreError> {
        let sql = "SELECT body FROM decisions WHERE id = $1";
        self.one(Statement::new(sql, [id.into()]), |row| {
            serde_json::from_str(row.text(0)?).map_err(|error| StoreError::Corrupt(format!("decision: {error}")))
        })
        .await
    }
}
