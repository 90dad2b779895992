//! Randomness, from the one crypto backend. Everything random in Grantor comes through here.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantor_model::{Error, Instant};

/// The source of random bytes.
#[derive(Debug, Default)]
pub struct Entropy {
    random: SystemRandom,
}

impl Entropy {
    /// A source on the operating system's generator.
    pub fn new() -> Self {
        Self::default()
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| Error::internal("the system gave no random bytes"))?;
        Ok(bytes)
    }

    /// A time-ordered UUID (version 7): keys that are born together lie together in an index.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn uuid(&self, now: Instant) -> Result<String, Error> {
        let millis = u64::try_from(now.millis()).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()?).into_uuid();
        Ok(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned())
    }

    /// A session id in Keycloak's shape: 24 url-safe characters. It begins with the time, so that sessions of one
    /// moment share a page of the index; 96 random bits follow.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn session_id(&self, now: Instant) -> Result<String, Error> {
        let mut id = [0_u8; 18];
        let (time, random) = id.split_at_mut(6);
        let millis = now.millis().to_be_bytes();
        time.copy_from_slice(millis.get(2..).unwrap_or(&[0; 6]));
        random.copy_from_slice(&self.bytes::<12>()?);
        Ok(URL_SAFE_NO_PAD.encode(id))
    }

    /// `N` random bytes as lower-case hexadecimal text: ids that people type.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn hex<const N: usize>(&self) -> Result<String, Error> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let mut text = String::with_capacity(2 * N);
        for byte in self.bytes::<N>()? {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
        Ok(text)
    }

    /// So many random letters and digits: ids that other programs insist on.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn letters(&self, length: usize) -> Result<String, Error> {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(length);
        while text.len() < length {
            // The last two of 64 values are thrown away, so that each letter is as likely as another.
            let letters = self.bytes::<32>()?.into_iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
            text.extend(letters.take(length - text.len()).map(|byte| char::from(*byte)));
        }
        Ok(text)
    }

    /// A secret of `N` random bytes as url-safe text.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn secret<const N: usize>(&self) -> Result<String, Error> {
        Ok(URL_SAFE_NO_PAD.encode(self.bytes::<N>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Entropy;
    use grantor_model::Instant;

    #[test]
    fn ids_have_their_shapes_and_rise_with_time() {
        let entropy = Entropy::new();
        let [early, late] = [1_700_000_000_000, 1_700_000_000_001].map(Instant::from_millis);
        assert_eq!(entropy.session_id(early).map(|id| id.len()).ok(), Some(24));
        assert!(entropy.uuid(early).ok() < entropy.uuid(late).ok());
    }
}
