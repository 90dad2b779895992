//! Values in PostgreSQL's types.
//!
//! PostgreSQL says which type each parameter of a prepared statement has, and takes nothing else. This module
//! gives it an argument in that type, or says which argument does not fit.

use tokio_postgres::types::{FromSqlOwned, ToSql, Type};

use super::super::{NUL_IN_TEXT, Row, StoreError, Value};

/// An argument ready to be sent.
pub(super) type Argument<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Fits the arguments to the parameters of a statement.
pub(super) fn bind<'a>(values: &'a [Value], parameters: &[Type]) -> Result<Vec<Argument<'a>>, StoreError> {
    if values.len() != parameters.len() {
        return Err(StoreError::Refused(format!(
            "the statement takes {} arguments but got {}",
            parameters.len(),
            values.len()
        )));
    }
    let fitted = values.iter().zip(parameters).enumerate();
    fitted.map(|(index, (value, parameter))| argument(index + 1, value, parameter)).collect()
}

fn argument<'a>(number: usize, value: &'a Value, parameter: &Type) -> Result<Argument<'a>, StoreError> {
    let refused = |reason: &str| Err(StoreError::Refused(format!("argument ${number}: {reason}")));
    match (value, parameter) {
        (Value::Null, _) => Ok(null(parameter)),
        (Value::Text(text), _) if text.contains('\0') => refused(NUL_IN_TEXT),
        (Value::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR) => Ok(Box::new(text.as_str())),
        (Value::Int(number), &Type::INT8) => Ok(Box::new(*number)),
        (Value::Int(number), &Type::INT4) => match i32::try_from(*number) {
            Ok(number) => Ok(Box::new(number)),
            Err(_) => refused("too large for the column"),
        },
        (Value::Bytes(bytes), &Type::BYTEA) => Ok(Box::new(bytes.as_slice())),
        (Value::Bool(truth), &Type::BOOL) => Ok(Box::new(*truth)),
        (other, wanted) => refused(&format!("the column is {wanted}, the value is {}", other.kind())),
    }
}

/// NULL has a type too.
fn null(parameter: &Type) -> Argument<'static> {
    match *parameter {
        Type::INT8 => Box::new(None::<i64>),
        Type::INT4 => Box::new(None::<i32>),
        Type::BYTEA => Box::new(None::<&[u8]>),
        Type::BOOL => Box::new(None::<bool>),
        _ => Box::new(None::<&str>),
    }
}

/// Reads a row that the server sent.
pub(super) fn row(sent: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let columns = sent.columns().iter().enumerate();
    let values = columns.map(|(index, column)| value(sent, index, column.type_()));
    values.collect::<Result<Vec<_>, _>>().map(Row::new)
}

fn value(sent: &tokio_postgres::Row, index: usize, kind: &Type) -> Result<Value, StoreError> {
    match *kind {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => get::<String>(sent, index),
        Type::INT8 => get::<i64>(sent, index),
        Type::INT4 => get::<i32>(sent, index),
        Type::BYTEA => get::<Vec<u8>>(sent, index),
        Type::BOOL => get::<bool>(sent, index),
        _ => Err(StoreError::Corrupt(format!("column {index} has the type {kind}, which has no counterpart"))),
    }
}

fn get<T: FromSqlOwned + Into<Value>>(sent: &tokio_postgres::Row, index: usize) -> Result<Value, StoreError> {
    let value = sent.try_get::<_, Option<T>>(index);
    value.map(Value::from).map_err(|error| StoreError::Corrupt(format!("column {index}: {error}")))
}
