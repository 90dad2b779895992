//! The JSON Web Signature vectors of Wycheproof (`vectors/README.md`), each judged by the key of its group.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use grantor_model::jose::{JoseError, Jwk, VerifyingKey, parse};
use serde_json::Value;

const VECTORS: &str = include_str!("vectors/wycheproof_json_web_signature.json");

/// Labelled valid, and refused: the `alg` of the key is not that of the header (346, 350), or is `ES521`, which does
/// not exist (347, 351); a `?` stands in the header or in the payload (372, 373), which base64url does not have.
const REFUSED_ALTHOUGH_VALID: [u64; 6] = [346, 347, 350, 351, 372, 373];

/// Labelled invalid, and accepted: byte for byte the same token under the same key as 357, which is labelled valid. The
/// padding that their comments speak of got lost upstream (C2SP/wycheproof issue 236).
const ACCEPTED_ALTHOUGH_INVALID: [u64; 2] = [367, 370];

struct Vector {
    id: u64,
    valid: bool,
    token: String,
    key: Value,
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let mut all = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        // Symmetric keys have no public half.
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            all.push(Vector {
                id: test["tcId"].as_u64().unwrap(),
                valid: test["result"] == "valid",
                token: test["jws"].as_str().unwrap().to_owned(),
                key: key.clone(),
            });
        }
    }
    all
}

fn judge(vector: &Vector) -> Result<(), JoseError> {
    let jwk = Jwk::parse(vector.key.to_string().as_bytes())?;
    let key = VerifyingKey::from_jwk(&jwk)?;
    parse(&vector.token)?.verify(&key)
}

#[test]
fn every_vector_is_judged_as_expected() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 401);
    let mut accepted = 0;
    for vector in &vectors {
        let verdict = judge(vector);
        let expected = if vector.valid {
            !REFUSED_ALTHOUGH_VALID.contains(&vector.id)
        } else {
            ACCEPTED_ALTHOUGH_INVALID.contains(&vector.id)
        };
        assert_eq!(verdict.is_ok(), expected, "vector {}: {verdict:?}", vector.id);
        accepted += usize::from(verdict.is_ok());
    }
    assert_eq!(vectors.iter().filter(|vector| !vector.valid).count(), 355);
    assert_eq!(accepted, 42);
}

#[test]
fn the_mislabelled_vectors_are_copies_of_a_valid_one() {
    let vectors = vectors();
    let find = |id: u64| vectors.iter().find(|vector| vector.id == id).unwrap();
    let original = find(357);
    assert!(original.valid);
    for id in ACCEPTED_ALTHOUGH_INVALID {
        let copy = find(id);
        assert_eq!((&copy.token, &copy.key), (&original.token, &original.key), "vector {id}");
    }
}
