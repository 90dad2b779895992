//! Password hashes as Keycloak stores them: `secretData` and `credentialData`, JSON in texts.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantor_model::Secret;
use grantor_model::jose::constant_time_eq;
use grantor_model::realm::{CredentialDocument, PasswordPolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Memory;

/// Keycloak's default since 25, and one of OWASP's: Argon2id with 7 MiB, five passes, one lane.
const ARGON2: (u32, u32, u32) = (7_168, 5, 1);

/// How a realm wants passwords hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    algorithm: String,
    iterations: u32,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { algorithm: "argon2".to_owned(), iterations: ARGON2.1 }
    }
}

impl Hashing {
    /// Reads `hashAlgorithm(…)` and `hashIterations(…)` of a password policy.
    pub fn of_policy(policy: PasswordPolicy<'_>) -> Self {
        let mut hashing = Self::default();
        if let Some(algorithm) = policy.argument("hashAlgorithm") {
            hashing.iterations = match algorithm {
                "pbkdf2" => 1_300_000,
                "pbkdf2-sha256" => 600_000,
                "pbkdf2-sha512" => 210_000,
                _ => ARGON2.1,
            };
            hashing.algorithm = algorithm.to_owned();
        }
        if let Some(iterations) =
            policy.argument("hashIterations").and_then(|text| text.parse().ok()).filter(|n| *n > 0)
        {
            hashing.iterations = iterations;
        }
        // A policy that no machine could follow would stop every login.
        let most = if hashing.algorithm == "argon2" { 100 } else { 10_000_000 };
        hashing.iterations = hashing.iterations.min(most);
        hashing
    }

    /// Hashes a password. `None` for an algorithm that is not known.
    pub(super) fn hash(&self, password: &Secret, salt: [u8; 16], memory: &Memory) -> Option<StoredPassword> {
        let parameters = match self.algorithm.as_str() {
            "argon2" => {
                json!({"hashLength": ["32"], "memory": [ARGON2.0.to_string()], "type": ["id"], "version": ["1.3"],
                "parallelism": [ARGON2.2.to_string()]})
            }
            _ => json!({}),
        };
        let length = if self.algorithm == "argon2" || self.algorithm == "pbkdf2-sha256" { 32 } else { 64 };
        let mut stored = StoredPassword {
            algorithm: self.algorithm.clone(),
            iterations: self.iterations,
            parameters: parameters.as_object().cloned().unwrap_or_default(),
            value: vec![0; length],
            salt: salt.to_vec(),
        };
        stored.value = stored.derive(password, memory)?;
        Some(stored)
    }
}

/// A password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPassword {
    algorithm: String,
    iterations: u32,
    parameters: Map<String, Value>,
    value: Vec<u8>,
    salt: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretData {
    value: String,
    salt: String,
    #[serde(default)]
    additional_parameters: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialData {
    hash_iterations: u32,
    algorithm: String,
    #[serde(default, alias = "algorithmData")]
    additional_parameters: Map<String, Value>,
}

impl StoredPassword {
    /// Reads the two texts of a credential.
    pub fn read(credential_data: &str, secret_data: &str) -> Option<Self> {
        let open: CredentialData = serde_json::from_str(credential_data).ok()?;
        let secret: SecretData = serde_json::from_str(secret_data).ok()?;
        Some(Self {
            algorithm: open.algorithm,
            iterations: open.hash_iterations,
            parameters: open.additional_parameters,
            value: STANDARD.decode(secret.value).ok()?,
            salt: STANDARD.decode(secret.salt).ok()?,
        })
    }

    /// Reads the layout of before version 8, where the four members stand beside `type`.
    pub fn read_old(document: &CredentialDocument) -> Option<Self> {
        Some(Self {
            algorithm: document.algorithm.clone().unwrap_or_else(|| "pbkdf2".to_owned()),
            iterations: u32::try_from(document.hash_iterations?).ok()?,
            parameters: Map::new(),
            value: STANDARD.decode(document.hashed_salted_value.as_deref()?).ok()?,
            salt: STANDARD.decode(document.salt.as_deref()?).ok()?,
        })
    }

    /// `credentialData`.
    pub fn credential_data(&self) -> String {
        let data = CredentialData {
            hash_iterations: self.iterations,
            algorithm: self.algorithm.clone(),
            additional_parameters: self.parameters.clone(),
        };
        serde_json::to_string(&data).unwrap_or_default()
    }

    /// `secretData`.
    pub fn secret_data(&self) -> String {
        let data = SecretData {
            value: STANDARD.encode(&self.value),
            salt: STANDARD.encode(&self.salt),
            additional_parameters: Map::new(),
        };
        serde_json::to_string(&data).unwrap_or_default()
    }

    /// Whether a password has this hash. `None` for a hash that cannot be computed: nothing matches it.
    pub(super) fn matches(&self, password: &Secret, memory: &Memory) -> Option<bool> {
        let made = self.derive(password, memory).filter(|made| !made.is_empty())?;
        Some(constant_time_eq(&made, &self.value))
    }

    /// Whether the realm would hash this way today. Keycloak compares algorithm and iterations as well.
    pub(super) fn is_hashed_by(&self, wanted: &Hashing) -> bool {
        self.algorithm == wanted.algorithm && self.iterations == wanted.iterations
    }

    /// The hash of a password with these parameters, as long as the stored one: files of several generations differ.
    fn derive(&self, password: &Secret, memory: &Memory) -> Option<Vec<u8>> {
        const LONGEST: usize = 1_024;
        if self.value.len() > LONGEST || self.is_too_costly() {
            return None;
        }
        let mut made = vec![0; self.value.len()];
        let algorithm = match self.algorithm.as_str() {
            "argon2" => return self.argon2(password, memory, made),
            "pbkdf2" => pbkdf2::PBKDF2_HMAC_SHA1,
            "pbkdf2-sha256" => pbkdf2::PBKDF2_HMAC_SHA256,
            "pbkdf2-sha512" => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return None,
        };
        pbkdf2::derive(
            algorithm,
            NonZeroU32::new(self.iterations)?,
            &self.salt,
            password.expose().as_bytes(),
            &mut made,
        );
        Some(made)
    }

    /// Whether one check would keep a worker for seconds: more than ten million rounds of PBKDF2, or more than 128 MiB
    /// of Argon2 memory, or more than 1 GiB of it counting each pass. Whoever may write a realm file must not be able
    /// to stop the logins of all realms.
    pub fn is_too_costly(&self) -> bool {
        const MOST_ROUNDS: u32 = 10_000_000;
        const MOST_MEMORY: u64 = 128 * 1_024;
        const MOST_WORK: u64 = 1_024 * 1_024;
        if self.algorithm != "argon2" {
            return self.iterations > MOST_ROUNDS;
        }
        let memory = self.number("memory", ARGON2.0).map_or(u64::MAX, u64::from);
        memory > MOST_MEMORY || memory.saturating_mul(u64::from(self.iterations)) > MOST_WORK
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)?.as_array()?.first()?.as_str()
    }

    fn number(&self, name: &str, default: u32) -> Option<u32> {
        self.setting(name).map_or(Some(default), |text| text.parse().ok())
    }

    fn argon2(&self, password: &Secret, memory: &Memory, mut made: Vec<u8>) -> Option<Vec<u8>> {
        let kilobytes = self.number("memory", ARGON2.0)?;
        let algorithm = match self.setting("type") {
            Some("d") => Algorithm::Argon2d,
            Some("i") => Algorithm::Argon2i,
            _ => Algorithm::Argon2id,
        };
        let version = if self.setting("version") == Some("1.0") { Version::V0x10 } else { Version::V0x13 };
        let lanes = self.number("parallelism", ARGON2.2)?;
        let params = Params::new(kilobytes, self.iterations, lanes, Some(made.len())).ok()?;
        let blocks = params.block_count();
        let argon2 = Argon2::new(algorithm, version, params);
        let work = |blocks: &mut [argon2::Block]| {
            argon2.hash_password_into_with_memory(password.expose().as_bytes(), &self.salt, &mut made, blocks)
        };
        memory.with(blocks, work).ok()?;
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hashing, StoredPassword};
    use crate::passwords::Memory;
    use grantor_model::Secret;
    use grantor_model::realm::PasswordPolicy;

    #[test]
    fn policies_name_the_hash() {
        let of = |policy: &str| Hashing::of_policy(PasswordPolicy::new(Some(policy)));
        assert_eq!(of("length(8) and digits(1)"), Hashing::default());
        assert_eq!(of("hashAlgorithm(pbkdf2-sha256)").iterations, 600_000);
        assert_eq!(of("hashIterations(1000) and hashAlgorithm(pbkdf2-sha512)").iterations, 1000);
        assert_eq!(of("hashIterations(0)").iterations, 5);
    }

    #[test]
    fn a_hash_exported_by_keycloak_is_recognised() {
        let stored = StoredPassword::read(
            r#"{"hashIterations": 27500, "algorithm": "pbkdf2-sha256", "additionalParameters": {}}"#,
            r#"{"value": "WQx9gDwX4DLb2HZA6VR0IJMBKYmkJ9hExleoLBQHh1xaJKaiB7DVHN9uc+7zK6DFAnTqesfTL9M9C0RYs6UCGQ==", "salt": "MDEyMzQ1Njc4OWFiY2RlZg==", "additionalParameters": {}}"#,
        )
        .expect("readable");
        assert_eq!(stored.matches(&Secret::new("test-password-hashed"), &Memory::default()), Some(true));
        assert_eq!(stored.matches(&Secret::new("test-password-hashe"), &Memory::default()), Some(false));
    }

    #[test]
    fn what_would_keep_a_worker_for_long_is_not_computed() {
        let costly = |open: &str| StoredPassword::read(open, r#"{"value":"AAAA","salt":"AAAA"}"#).expect("readable");
        let argon2 = |memory: &str, passes: u32| {
            format!(
                r#"{{"hashIterations":{passes},"algorithm":"argon2","additionalParameters":{{"memory":["{memory}"]}}}}"#
            )
        };
        for open in [
            r#"{"hashIterations":4000000000,"algorithm":"pbkdf2-sha512"}"#.to_owned(),
            argon2("1048576", 1),
            argon2("131072", 9),
            argon2("7168", 4_000_000_000),
            argon2("many", 1),
        ] {
            let stored = costly(&open);
            assert!(stored.is_too_costly(), "{open}");
            assert_eq!(stored.matches(&Secret::new(""), &Memory::default()), None);
        }
        assert!(!costly(&argon2("65536", 3)).is_too_costly());
        assert_eq!(Hashing::of_policy(PasswordPolicy::new(Some("hashIterations(4000000000)"))).iterations, 100);
    }

    #[test]
    fn nonsense_matches_nothing() {
        let read = |open: &str, secret: &str| StoredPassword::read(open, secret);
        assert!(read("{}", "{}").is_none());
        let open = r#"{"hashIterations":0,"algorithm":"pbkdf2"}"#;
        let stored = read(open, r#"{"value":"","salt":""}"#).expect("readable");
        assert_eq!(stored.matches(&Secret::new(""), &Memory::default()), None);
        let open = r#"{"hashIterations":4000000000,"algorithm":"scrypt"}"#;
        let stored = read(open, r#"{"value":"AAAA","salt":"AAAA"}"#).expect("readable");
        assert_eq!(stored.matches(&Secret::new(""), &Memory::default()), None);
    }
}
