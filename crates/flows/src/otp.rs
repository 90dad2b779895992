//! One-time codes: TOTP (RFC 6238) and HOTP (RFC 4226), with the parameters of the credential.

use aws_lc_rs::hmac;
use grantor_model::Instant;
use grantor_model::jose::constant_time_eq;
use serde::Deserialize;

/// A one-time credential: `credentialData` and the key of `secretData`.
#[derive(Debug)]
pub struct OneTime {
    settings: Settings,
    key: zeroize::Zeroizing<Vec<u8>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(default)]
    sub_type: Option<String>,
    #[serde(default = "six")]
    digits: u32,
    #[serde(default = "thirty")]
    period: i64,
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    secret_encoding: Option<String>,
}

#[derive(Deserialize)]
struct SecretData {
    value: String,
}

const fn six() -> u32 {
    6
}

const fn thirty() -> i64 {
    30
}

impl OneTime {
    /// Reads a time-based credential. Keycloak's key is the text's own bytes unless it says BASE32.
    pub fn read(credential_data: &str, secret_data: &str) -> Option<Self> {
        let settings: Settings = serde_json::from_str(credential_data).ok()?;
        let secret: SecretData = serde_json::from_str(secret_data).ok()?;
        if settings.sub_type.as_deref() == Some("hotp") || !(4..=9).contains(&settings.digits) || settings.period < 1 {
            return None;
        }
        let key = match settings.secret_encoding.as_deref() {
            Some("BASE32") => base32(&secret.value)?,
            _ => secret.value.into_bytes(),
        };
        Some(Self { settings, key: zeroize::Zeroizing::new(key) })
    }

    /// The time step that a code belongs to, now or one step to either side; the caller notes it as used.
    pub fn step_of(&self, code: &str, now: Instant) -> Option<i64> {
        let current = now.seconds().div_euclid(self.settings.period);
        (current - 1..=current + 1).find(|step| constant_time_eq(self.code(*step).as_bytes(), code.as_bytes()))
    }

    /// When a step can be forgotten.
    pub fn end_of(&self, step: i64) -> Instant {
        Instant::from_seconds((step + 3) * self.settings.period)
    }

    fn code(&self, step: i64) -> String {
        let algorithm = match self.settings.algorithm.as_deref() {
            Some("HmacSHA256") => hmac::HMAC_SHA256,
            Some("HmacSHA512") => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, &self.key), &step.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
        let word = bytes.get(offset..offset + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes);
        let digits = self.settings.digits;
        format!("{:0width$}", (word & 0x7fff_ffff) % 10_u32.pow(digits), width = digits as usize)
    }
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::OneTime;
    use grantor_model::Instant;

    /// RFC 6238 appendix B, with eight digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            ("HmacSHA1", "12345678901234567890", 59, "94287082"),
            ("HmacSHA1", "12345678901234567890", 1_111_111_109, "07081804"),
            ("HmacSHA256", "12345678901234567890123456789012", 59, "46119246"),
            ("HmacSHA512", "1234567890123456789012345678901234567890123456789012345678901234", 59, "90693936"),
        ];
        for (algorithm, key, seconds, code) in vectors {
            let open = format!(r#"{{"subType":"totp","digits":8,"period":30,"algorithm":"{algorithm}"}}"#);
            let one = OneTime::read(&open, &format!(r#"{{"value":"{key}"}}"#)).expect("readable");
            let now = Instant::from_seconds(seconds);
            assert_eq!(one.step_of(code, now), Some(seconds / 30), "{algorithm}");
            assert_eq!(one.step_of(code, now.plus_seconds(90)), None, "{algorithm}");
            assert_eq!(one.step_of("", now), None);
        }
    }

    #[test]
    fn base32_keys() {
        assert_eq!(super::base32("MZXW6YTBOI======").as_deref(), Some(b"foobar".as_slice()));
        assert_eq!(super::base32("1"), None);
    }
}
