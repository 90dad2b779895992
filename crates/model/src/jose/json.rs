//! JSON objects in which every member has one value.
//!
//! RFC 7515 section 4 and RFC 7519 section 4 let a parser refuse duplicate names or take the last. Taking the last is
//! how two programs come to read one token differently, and it is what `serde_json` does by itself, so the check is
//! made here, at every depth. A member that stands twice with one value reads alike everywhere: [`object_with_repeats`]
//! lets that be in the claims of access tokens, because Keycloak 24 writes such tokens (a mapper for `session_state`
//! beside the claim of its own), and they are to stay good.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::JoseError;

/// Reads an object. The two texts name what is read, so that the error says which part of a token it was.
pub(crate) fn object(
    bytes: &[u8],
    not_an_object: &'static str,
    member_twice: &'static str,
) -> Result<Map<String, Value>, JoseError> {
    read::<false>(bytes, not_an_object, member_twice)
}

/// As [`object`], but a member may stand again with the value that it has already.
pub(crate) fn object_with_repeats(
    bytes: &[u8],
    not_an_object: &'static str,
    two_values: &'static str,
) -> Result<Map<String, Value>, JoseError> {
    read::<true>(bytes, not_an_object, two_values)
}

fn read<const REPEATS: bool>(
    bytes: &[u8],
    not_an_object: &'static str,
    member_twice: &'static str,
) -> Result<Map<String, Value>, JoseError> {
    match serde_json::from_slice::<Unique<REPEATS>>(bytes) {
        Ok(Unique(Value::Object(members))) => Ok(members),
        // `Unique` takes every kind of value, so the only thing it can object to is a member that came before.
        Err(error) if error.is_data() => Err(JoseError::Malformed(member_twice)),
        Ok(_) | Err(_) => Err(JoseError::Malformed(not_an_object)),
    }
}

/// A value whose objects have no member twice, or with `REPEATS` none with two values. Depth is bounded by
/// `serde_json`'s own limit of 128.
struct Unique<const REPEATS: bool>(Value);

impl<'de, const REPEATS: bool> Deserialize<'de> for Unique<REPEATS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor::<REPEATS>).map(Self)
    }
}

struct UniqueVisitor<const REPEATS: bool>;

impl<'de, const REPEATS: bool> Visitor<'de> for UniqueVisitor<REPEATS> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value whose members have one value each")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique::<REPEATS>(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique<REPEATS>>()? {
            match object.get(&name) {
                Some(before) if REPEATS && *before == value => {}
                Some(_) => return Err(de::Error::custom("a member occurs twice")),
                None => drop(object.insert(name, value)),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::{object, object_with_repeats};
    use crate::jose::JoseError;

    fn read(text: &str) -> Result<Map<String, Value>, JoseError> {
        object(text.as_bytes(), "no object", "twice")
    }

    #[test]
    fn values_come_out_as_serde_json_reads_them() {
        let text = r#" {"b":[1,-2,3.5,1e400000000000000000000,true,null,{"x":"é\u0000"}],"a":18446744073709551615} "#;
        assert_eq!(read(text), Err(JoseError::Malformed("no object")), "a number beyond every range");
        let text = text.replace("1e400000000000000000000,", "");
        let members = read(&text).unwrap();
        assert_eq!(Value::Object(members.clone()), serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(members.keys().collect::<Vec<_>>(), ["b", "a"], "the order is kept");
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused_at_every_depth() {
        for text in [
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","\u0061lg":"RS512"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":{"b":1,"b":1.0}}"#,
            r#"{"a":[0,{"b":null,"b":false}]}"#,
            r#"{"a":1,"a":1,"a":"1"}"#,
        ] {
            assert_eq!(read(text), Err(JoseError::Malformed("twice")), "{text}");
            assert_eq!(object_with_repeats(text.as_bytes(), "", "two values"), Err(JoseError::Malformed("two values")));
        }
        assert!(read(r#"{"a":{"b":1},"b":{"a":1}}"#).is_ok());
        let repeated = r#"{"sid":"x","\u0073id":"x"}"#;
        assert_eq!(read(repeated), Err(JoseError::Malformed("twice")));
        assert_eq!(object_with_repeats(repeated.as_bytes(), "", "").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["", "{", "[]", "null", "\"a\"", "{}{}", "{'a':1}", "{\"a\":1,}", "\u{feff}{}", deep.as_str()] {
            assert_eq!(read(text), Err(JoseError::Malformed("no object")), "{:.20}", text);
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", "no object", "twice"), Err(JoseError::Malformed("no object")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = object(&bytes, "no object", "twice");
        }
    }
}
