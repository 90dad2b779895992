//! What a key of the configuration may be set to: the one place that turns what somebody wrote into a value.
//!
//! A file has types, an environment variable and a flag have only text; both arrive at the same [`toml::Value`] here, checked against
//! what the key accepts. Where it was written, and how that is shown, is left to the caller.

use std::ops::Range;

use toml::Spanned;
use toml::Value;
use toml::de::DeValue;

use super::network::{Destination, Network};
use super::values::{DatabaseUrl, Listen, PublicUrl};

/// What a key may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Address and port, or `off`.
    Listen,
    /// The URL of this server.
    Url,
    /// A name.
    Name,
    /// A file or a folder.
    Path,
    /// A database URL.
    Database,
    /// A list of addresses and networks.
    Networks,
    /// A list of addresses, networks and host names.
    Destinations,
    /// A list of names.
    Names,
    /// A whole number in a range, both ends included.
    Number {
        /// The least that is accepted.
        least: i64,
        /// The most that is accepted.
        most: i64,
    },
    /// One of a few words.
    Word(&'static [&'static str]),
}

/// Why a value in a file is refused.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Which bytes of the file are at fault.
    pub(super) span: Range<usize>,
    /// What is wrong with them.
    pub(super) message: String,
    /// Whether the type is wrong: then an example helps.
    pub(super) mistyped: bool,
}

impl Kind {
    /// What is accepted, in a few words, for the reference.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Listen => "address:port, or off".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Database => "database URL".to_owned(),
            Self::Networks => "list of addresses and networks".to_owned(),
            Self::Destinations => "list of hosts, addresses and networks".to_owned(),
            Self::Names => "list of names".to_owned(),
            Self::Number { least, most } => format!("number, {least} to {most}"),
            Self::Word(words) => words.join(", "),
        }
    }

    /// The value that a text stands for, in a variable or a flag. The items of a list are separated by commas.
    pub(super) fn parse_text(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Number { least, most } => {
                let number = text
                    .trim()
                    .parse::<i64>()
                    .map_err(|_| format!("\"{text}\" is not a whole number between {least} and {most}"))?;
                self.check_number(number)?;
                Ok(Value::Integer(number))
            }
            Self::Networks | Self::Destinations | Self::Names => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| self.check_text(item).map(|()| Value::String(item.to_owned())))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            _ => self.check_text(text).map(|()| Value::String(text.to_owned())),
        }
    }

    /// The value that stands in a file.
    pub(super) fn parse_toml(self, value: &Spanned<DeValue<'_>>) -> Result<Value, Wrong> {
        let wrong = |message| Wrong { span: value.span(), message, mistyped: false };
        match (self, value.get_ref()) {
            (Self::Number { least, most }, DeValue::Integer(digits)) => {
                i64::from_str_radix(digits.as_str(), digits.radix())
                    .map_err(|_| format!("{digits} is not between {least} and {most}"))
                    .and_then(|number| self.check_number(number).map(|()| Value::Integer(number)))
                    .map_err(wrong)
            }
            (Self::Networks | Self::Destinations | Self::Names, DeValue::Array(items)) => {
                items.iter().map(|item| self.item(item)).collect::<Result<_, _>>().map(Value::Array)
            }
            (Self::Number { .. }, other) => Err(mistyped("a whole number", other, value.span())),
            (Self::Networks | Self::Destinations | Self::Names, other) => {
                Err(mistyped("a list of strings", other, value.span()))
            }
            (_, DeValue::String(text)) => {
                self.check_text(text).map_err(wrong)?;
                Ok(Value::String(text.clone().into_owned()))
            }
            (_, other) => Err(mistyped("a string", other, value.span())),
        }
    }

    /// One item of a list in a file.
    fn item(self, item: &Spanned<DeValue<'_>>) -> Result<Value, Wrong> {
        let DeValue::String(text) = item.get_ref() else {
            return Err(mistyped("a string", item.get_ref(), item.span()));
        };
        match self.check_text(text) {
            Ok(()) => Ok(Value::String(text.clone().into_owned())),
            Err(message) => Err(Wrong { span: item.span(), message, mistyped: false }),
        }
    }

    fn check_number(self, number: i64) -> Result<(), String> {
        match self {
            Self::Number { least, most } if !(least..=most).contains(&number) => {
                Err(format!("{number} is not between {least} and {most}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a text is accepted: the whole value, or one item of a list.
    fn check_text(self, text: &str) -> Result<(), String> {
        fn parses<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<(), String> {
            text.parse::<T>().map(drop).map_err(|error| error.to_string())
        }
        match self {
            Self::Listen => parses::<Listen>(text),
            Self::Url => parses::<PublicUrl>(text),
            Self::Database => parses::<DatabaseUrl>(text),
            Self::Networks => parses::<Network>(text),
            Self::Destinations => parses::<Destination>(text),
            Self::Name | Self::Names if text.trim().is_empty() => Err("the name is empty".to_owned()),
            Self::Path if text.is_empty() => Err("the path is empty".to_owned()),
            Self::Word(words) if !words.contains(&text) => Err(format!("\"{text}\" is none of {}", words.join(", "))),
            Self::Name | Self::Names | Self::Path | Self::Word(_) | Self::Number { .. } => Ok(()),
        }
    }
}

fn mistyped(expected: &str, found: &DeValue<'_>, span: Range<usize>) -> Wrong {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Wrong { span, message: format!("expected {expected}, found {found}"), mistyped: true }
}
