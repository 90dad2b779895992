//! The certificate of HTTPS: read from PEM files, read again when they change.
//!
//! Whoever renews a certificate replaces the files and need not tell the server. The files are looked at when a connection comes in, at
//! most once in a few seconds. Files that cannot be used leave the certificate in use as it is and are reported once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long the files are taken to be unchanged.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Why a certificate or its key cannot be used, as a message that names the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// A certificate and its key, kept up to date with their files. Clones share it.
#[derive(Clone)]
pub struct TlsSource(Arc<Source>);

struct Source {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// The files when they were last looked at.
struct Seen {
    at: Instant,
    files: Fingerprint,
}

/// What changes when a file is replaced: time and size of both files; nothing for one that cannot be looked at.
type Fingerprint = [Option<(SystemTime, u64)>; 2];

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSource")
            .field("certificate", &self.0.certificate)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

impl TlsSource {
    /// Reads a certificate chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, does not hold what it should, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        // Looked at before they are read: what changes in between is noticed later.
        let files = fingerprint(certificate, key);
        let config = read(certificate, key)?;
        Ok(Self(Arc::new(Source {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(Seen { at: Instant::now(), files }),
        })))
    }

    /// The certificate to use for a connection that comes in now.
    pub(super) async fn current(&self) -> Arc<ServerConfig> {
        if self.0.is_due(Instant::now()) {
            let source = Arc::clone(&self.0);
            // This connection waits for the answer, so that after a quiet night it is not given yesterday's certificate.
            if let Err(error) = tokio::task::spawn_blocking(move || source.look()).await {
                tracing::error!(%error, "the certificate could not be looked at");
            }
        }
        self.0.current.load_full()
    }
}

impl Source {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look at the files; says so to one caller only.
    fn is_due(&self, now: Instant) -> bool {
        let mut seen = self.seen();
        let due = now.duration_since(seen.at) >= LOOK_EVERY;
        if due {
            seen.at = now;
        }
        due
    }

    /// Takes the files into use if they changed.
    fn look(&self) {
        let files = fingerprint(&self.certificate, &self.key);
        {
            let mut seen = self.seen();
            if seen.files == files {
                return;
            }
            seen.files = files;
        }
        match read(&self.certificate, &self.key) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(certificate = %self.certificate.display(), "the certificate changed and is in use");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate changed and cannot be used; the one before stays");
            }
        }
    }
}

fn fingerprint(certificate: &Path, key: &Path) -> Fingerprint {
    [certificate, key].map(|file| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// Reads both files and makes the configuration of a server of them.
fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let unreadable = |file: &Path, error: io::Error| TlsError(format!("{} cannot be read: {error}", file.display()));
    let chain = std::fs::read(certificate).map_err(|error| unreadable(certificate, error))?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError(format!("{} is not a PEM file: {error}", certificate.display())))?;
    if chain.is_empty() {
        return Err(TlsError(format!("{} holds no certificate", certificate.display())));
    }
    let secret = std::fs::read(key).map_err(|error| unreadable(key, error)).map(Zeroizing::new)?;
    // What the parser says is not repeated: it quotes the line, and this file holds a key.
    let secret = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|_| TlsError(format!("{} holds no private key that is not encrypted", key.display())))?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(format!("no TLS version can be used: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError(format!("{} is not the key of {}", key.display(), certificate.display()))
            }
            other => TlsError(format!("{} with {}: {other}", certificate.display(), key.display())),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::tests::Folder;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn refusal(certificate: &Path, key: &Path) -> String {
        TlsSource::load(certificate, key).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string())
    }

    #[test]
    fn what_cannot_be_used_is_named() -> Outcome {
        let folder = Folder::new()?;
        let (certificate, key, _) = folder.certificate("one")?;
        let (_, other, _) = folder.certificate("two")?;
        let missing = Path::new("/nonexistent/tls.pem");
        assert_eq!(
            refusal(missing, &key),
            "/nonexistent/tls.pem cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(refusal(&key, &key), format!("{} holds no certificate", key.display()));
        assert_eq!(
            refusal(&certificate, &certificate),
            format!("{} holds no private key that is not encrypted", certificate.display())
        );
        assert_eq!(
            refusal(&certificate, &other),
            format!("{} is not the key of {}", other.display(), certificate.display())
        );
        assert_eq!(refusal(&certificate, &key), "accepted");
        Ok(())
    }

    #[test]
    fn changed_files_are_used_and_broken_ones_are_not() -> Outcome {
        let folder = Folder::new()?;
        let (certificate, key, _) = folder.certificate("one")?;
        let source = TlsSource::load(&certificate, &key)?;
        let first = source.0.current.load_full();

        source.0.look();
        assert!(Arc::ptr_eq(&first, &source.0.current.load_full()));

        std::fs::write(&certificate, "not a certificate any more")?;
        source.0.look();
        assert!(Arc::ptr_eq(&first, &source.0.current.load_full()));

        let (new_certificate, new_key, _) = folder.certificate("two")?;
        std::fs::copy(new_certificate, &certificate)?;
        source.0.look();
        assert!(Arc::ptr_eq(&first, &source.0.current.load_full()), "the key is still the old one");
        // A byte longer, in case both were written within one tick of the file system's clock.
        std::fs::write(&key, std::fs::read_to_string(new_key)? + "\n")?;
        source.0.look();
        assert!(!Arc::ptr_eq(&first, &source.0.current.load_full()));
        Ok(())
    }

    #[test]
    fn the_files_are_looked_at_now_and_then() -> Outcome {
        let folder = Folder::new()?;
        let (certificate, key, _) = folder.certificate("one")?;
        let source = TlsSource::load(&certificate, &key)?;
        let loaded = source.0.seen().at;
        assert!(!source.0.is_due(loaded + LOOK_EVERY / 2));
        assert!(source.0.is_due(loaded + LOOK_EVERY));
        assert!(!source.0.is_due(loaded + LOOK_EVERY));
        Ok(())
    }
}
