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
    #[serde(default)]
    counter: i64,
}

/// What a code that is right is used up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// A time step: noted, so that it is good once.
    Step(i64),
    /// A counter: the credential goes on with the next one.
    Counter(i64),
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
    /// Reads a credential. Keycloak's key is the text's own bytes unless it says BASE32.
    pub fn read(credential_data: &str, secret_data: &str) -> Option<Self> {
        let settings: Settings = serde_json::from_str(credential_data).ok()?;
        let secret: SecretData = serde_json::from_str(secret_data).ok()?;
        if !(4..=9).contains(&settings.digits) || settings.period < 1 {
            return None;
        }
        let key = match settings.secret_encoding.as_deref() {
            Some("BASE32") => base32(&secret.value)?,
            _ => secret.value.into_bytes(),
        };
        Some(Self { settings, key: zeroize::Zeroizing::new(key) })
    }

    /// What a code belongs to: a time step, now or `window` steps to either side, or the next counter or one of `window`
    /// after it. The caller notes it as used.
    pub fn find(&self, code: &str, now: Instant, window: i64) -> Option<Right> {
        // No device is further off than that, and each step is another code that a guess may hit.
        let window = window.clamp(0, 100);
        let is_it = |moving: &i64| constant_time_eq(self.code(*moving).as_bytes(), code.as_bytes());
        if self.settings.sub_type.as_deref() == Some("hotp") {
            let next = self.settings.counter;
            return (next..=next.saturating_add(window)).find(is_it).map(Right::Counter);
        }
        let current = now.seconds().div_euclid(self.settings.period);
        (current - window..=current + window).find(is_it).map(Right::Step)
    }

    /// When a step can be forgotten.
    pub fn end_of(&self, step: i64, window: i64) -> Instant {
        Instant::from_seconds((step + window.clamp(0, 100) + 2) * self.settings.period)
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

/// `credentialData` with another counter.
pub fn with_counter(credential_data: &str, counter: i64) -> Option<String> {
    let mut data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(credential_data).ok()?;
    data.insert("counter".to_owned(), counter.into());
    serde_json::to_string(&data).ok()
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
    use super::{OneTime, Right};
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
            assert_eq!(one.find(code, now, 1), Some(Right::Step(seconds / 30)), "{algorithm}");
            assert_eq!(one.find(code, now.plus_seconds(30), 0), None, "{algorithm}");
            assert_eq!(one.find(code, now.plus_seconds(90), 1), None, "{algorithm}");
            assert_eq!(one.find("", now, 1), None);
        }
    }

    /// RFC 4226 appendix D.
    #[test]
    fn the_vectors_of_counters() {
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in codes.iter().enumerate() {
            let open = format!(r#"{{"subType":"hotp","digits":6,"counter":{counter},"algorithm":"HmacSHA1"}}"#);
            let one = OneTime::read(&open, r#"{"value":"12345678901234567890"}"#).expect("readable");
            let now = Instant::from_seconds(0);
            assert_eq!(one.find(code, now, 0), Some(Right::Counter(i64::try_from(counter).expect("small"))));
            if let Some(later) = codes.get(counter + 2) {
                assert_eq!(one.find(later, now, 1), None);
                assert!(one.find(later, now, 2).is_some());
            }
        }
    }

    #[test]
    fn what_is_set_stays_when_a_counter_moves() {
        let open = r#"{"subType":"hotp","digits":6,"counter":2,"period":30,"own":"x"}"#;
        let moved = super::with_counter(open, 7).expect("an object");
        assert_eq!(moved, r#"{"subType":"hotp","digits":6,"counter":7,"period":30,"own":"x"}"#);
        assert_eq!(super::with_counter("[]", 7), None);
    }

    #[test]
    fn base32_keys() {
        assert_eq!(super::base32("MZXW6YTBOI======").as_deref(), Some(b"foobar".as_slice()));
        assert_eq!(super::base32("1"), None);
    }
}
