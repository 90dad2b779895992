//! One row of an answer, read column by column.

use super::{StoreError, Value};

/// A row. Columns are read by position, which a table file keeps next to its SQL; a column that is missing or
/// of another type is [`StoreError::Corrupt`], never a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Vec<Value>,
}

impl Row {
    /// A row of these columns.
    #[must_use]
    pub fn new(columns: Vec<Value>) -> Row {
        Row { columns }
    }

    /// The text in a column.
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.column(index)? {
            Value::Text(text) => Ok(text),
            other => Err(unexpected(index, "a text", other)),
        }
    }

    /// The text in a column that may be NULL.
    pub fn opt_text(&self, index: usize) -> Result<Option<&str>, StoreError> {
        self.unless_null(index, Row::text)
    }

    /// The integer in a column.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.column(index)? {
            Value::Int(number) => Ok(*number),
            other => Err(unexpected(index, "an integer", other)),
        }
    }

    /// The integer in a column that may be NULL.
    pub fn opt_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        self.unless_null(index, Row::int)
    }

    /// The boolean in a column. SQLite stores 0 and 1; every other number is an error.
    pub fn bool(&self, index: usize) -> Result<bool, StoreError> {
        match self.column(index)? {
            Value::Bool(truth) => Ok(*truth),
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            other => Err(unexpected(index, "a boolean", other)),
        }
    }

    /// The boolean in a column that may be NULL.
    pub fn opt_bool(&self, index: usize) -> Result<Option<bool>, StoreError> {
        self.unless_null(index, Row::bool)
    }

    /// The bytes in a column.
    pub fn bytes(&self, index: usize) -> Result<&[u8], StoreError> {
        match self.column(index)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(index, "bytes", other)),
        }
    }

    /// The bytes in a column that may be NULL.
    pub fn opt_bytes(&self, index: usize) -> Result<Option<&[u8]>, StoreError> {
        self.unless_null(index, Row::bytes)
    }

    fn column(&self, index: usize) -> Result<&Value, StoreError> {
        self.columns.get(index).ok_or_else(|| {
            StoreError::Corrupt(format!("column {index} is missing: the row has {} columns", self.columns.len()))
        })
    }

    fn unless_null<'a, T>(
        &'a self,
        index: usize,
        read: impl FnOnce(&'a Row, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.column(index)? {
            Value::Null => Ok(None),
            _ => read(self, index).map(Some),
        }
    }
}

fn unexpected(index: usize, wanted: &str, found: &Value) -> StoreError {
    StoreError::Corrupt(format!("column {index} should be {wanted} but is {}", found.kind()))
}
