//! The vault: what must come back in clear is sealed with AES-256-GCM under the master key.
//!
//! The master key lives in a file outside the database, so that a stolen database gives no secret away. Each sealed
//! value is bound to its place (table and row): moved elsewhere, it does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantor_model::Error;
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// The first byte of each sealed value: the layout, so that it can change one day.
const LAYOUT: u8 = 1;

/// The master key, ready for use.
pub struct Vault {
    key: RandomizedNonceKey,
    marks: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Vault([redacted])")
    }
}

impl Vault {
    /// Reads the master key: base64 of 32 bytes, white space around it allowed.
    ///
    /// # Errors
    /// When the text is not that.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let bad = || Error::internal("the master key file does not hold base64 of 32 bytes");
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| bad())?);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| bad())?;
        let marks = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"grantor marks");
        Ok(Self { key, marks: hmac::Key::new(hmac::HMAC_SHA256, marks.as_ref()) })
    }

    /// A new master key as the text of its file.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new_key_text(entropy: &Entropy) -> Result<Zeroizing<String>, Error> {
        let bytes = Zeroizing::new(entropy.bytes::<32>()?);
        Ok(Zeroizing::new(format!("{}\n", STANDARD.encode(bytes.as_slice()))))
    }

    /// Seals `clear` for `place`, such as `clients/ID`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, place: &str, clear: &[u8]) -> Result<Vec<u8>, Error> {
        let mut body = clear.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place), &mut body)
            .map_err(|_| Error::internal("a value could not be sealed"))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(LAYOUT);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// A number that stands for `text` at `place`, and that nobody without the master key can foretell.
    pub(crate) fn mark(&self, place: &str, text: &str) -> u64 {
        let mut context = hmac::Context::with_key(&self.marks);
        for part in [place, "\0", text] {
            context.update(part.as_bytes());
        }
        context.sign().as_ref().iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
    }

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// When the master key is another, or the value was changed or moved.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let bad = || {
            Error::internal(format!(
                "{place} does not open: the master key file is not the one that belongs to this database"
            ))
        };
        let (layout, rest) = sealed.split_first().ok_or_else(bad)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(bad)?;
        if *layout != LAYOUT {
            return Err(bad());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| bad())?;
        let mut body = Zeroizing::new(body.to_vec());
        let clear = self.key.open_in_place(nonce, Aad::from(place), &mut body).map_err(|_| bad())?.len();
        body.truncate(clear);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::Vault;
    use crate::entropy::Entropy;

    fn vault() -> Vault {
        Vault::from_text(&Vault::new_key_text(&Entropy::new()).expect("a key")).expect("a vault")
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let vault = vault();
        let sealed = vault.seal("clients/1", b"secret").expect("sealed");
        assert_eq!(vault.open("clients/1", &sealed).expect("opens").as_slice(), b"secret");
        assert!(vault.open("clients/2", &sealed).is_err());
        assert!(self::vault().open("clients/1", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("clients/1", &changed).is_err(), "byte {at}");
        }
        assert!(vault.open("clients/1", &[]).is_err());
    }

    #[test]
    fn a_bad_key_file_is_refused() {
        for text in ["", "abc", "AAAA", "!!!!"] {
            assert!(Vault::from_text(text).is_err(), "{text}");
        }
    }
}
