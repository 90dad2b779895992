//! The values that go into a statement and come out of a row.

use std::fmt;

/// Why both databases refuse a text with a NUL character: PostgreSQL cannot store it, and a name that exists
/// on one database only is a trap.
pub(crate) const NUL_IN_TEXT: &str = "a text must not contain the NUL character";

/// One value. The five kinds are those both databases store without loss.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// `TEXT`
    Text(String),
    /// `BIGINT`
    Int(i64),
    /// `BYTEA`
    Bytes(Vec<u8>),
    /// `BOOLEAN`. SQLite has no such type and gives [`Value::Int`] back; [`Row::bool`](super::Row::bool) reads
    /// both.
    Bool(bool),
}

impl Value {
    /// The kind, in words for an error message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Text(_) => "a text",
            Value::Int(_) => "an integer",
            Value::Bytes(_) => "bytes",
            Value::Bool(_) => "a boolean",
        }
    }
}

/// Shows texts and bytes by their length only: they may be secrets, and a debug print ends in a log.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("Null"),
            Value::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Value::Int(number) => write!(f, "Int({number})"),
            Value::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Value::Bool(truth) => write!(f, "Bool({truth})"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(text.clone())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Int(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Int(number.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Value {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// The arguments of a [`Statement`](crate::Statement), each of its own type: `args![id, "name", None::<i64>]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        [$($crate::Value::from($value)),*]
    };
}
