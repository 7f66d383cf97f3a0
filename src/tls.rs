//! Certificates and keys: read from files, handed to the listeners of either shell, changed while they serve.
//!
//! The configuration's check reads and proves them, so that a reload with a bad certificate is refused as a whole and the
//! old one goes on. Listeners hold [`Certificates`], which they ask at each handshake; a reload stores another certificate
//! there and no socket is touched. Nothing of TLS exists in memory until a certificate is configured. No key is ever
//! printed: neither by [`Certificate`]'s `Debug` nor in an error.

mod trust;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt as _;
pub use trust::Trust;

/// Why a certificate cannot be used. Names the file; never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file of the certificate, or of the key.
    #[error("{} cannot be read: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no certificate in its file.
    #[error("{}: expected certificates in PEM, our own first (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// The same, where it is that of an authority.
    #[error("{}: expected certificates of authorities in PEM (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoAuthority(PathBuf),
    /// There is no key in its file.
    #[error("{}: expected a private key in PEM without password (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// The certificate is none that TLS can use.
    #[error("{}: this certificate cannot be used: {why}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key is none that TLS can use.
    #[error("{}: this key cannot be used; ECDSA (P-256, P-384), Ed25519 and RSA can", .0.display())]
    Key(PathBuf),
    /// They are of two pairs.
    #[error("{}: this is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl CertificateError {
    /// Whether the key's file is to blame, and not the certificate's.
    pub fn is_about_key(&self, key_file: &Path) -> bool {
        match self {
            Self::Unreadable { file, .. } => file == key_file,
            Self::NoKey(_) | Self::Key(_) | Self::Mismatch { .. } => true,
            Self::NoCertificate(_) | Self::NoAuthority(_) | Self::Certificate { .. } => false,
        }
    }
}

/// A certificate with its chain and key, which belong together.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// Reads the chain in `cert` (PEM, our own certificate first) and its `key` (PEM: PKCS #8, PKCS #1 or SEC 1). Whether
    /// clients will trust it, and for which names, is theirs to say.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let unreadable = |file: &Path| {
            let file = file.to_owned();
            move |cause| CertificateError::Unreadable { file, cause }
        };
        let chain = std::fs::read(cert).map_err(unreadable(cert))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| CertificateError::NoCertificate(cert.to_owned()))?;
        let secret = std::fs::read(key).map_err(unreadable(key))?;
        let secret = PrivateKeyDer::from_pem_slice(&secret)
            .map_err(|_: PemError| CertificateError::NoKey(key.to_owned()))?;
        let secret = provider()
            .key_provider
            .load_private_key(secret)
            .map_err(|_| CertificateError::Key(key.to_owned()))?;
        let pair = CertifiedKey::new(chain, secret);
        match pair.keys_match() {
            Ok(()) => Ok(Self(Arc::new(pair))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self(Arc::new(pair))),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(CertificateError::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
            }
            Err(error) => {
                Err(CertificateError::Certificate { file: cert.to_owned(), why: error.to_string() })
            }
        }
    }
}

/// Certificates that those of servers must come from, in place of what the system trusts.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

impl Authorities {
    /// Reads them from a file (PEM).
    pub fn load(file: &Path) -> Result<Self, CertificateError> {
        let unreadable = |cause| CertificateError::Unreadable { file: file.to_owned(), cause };
        let text = std::fs::read(file).map_err(unreadable)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        let found = found.ok_or_else(|| CertificateError::NoAuthority(file.to_owned()))?;
        let wrong = |why: rustls::Error| {
            let file = file.to_owned();
            CertificateError::Certificate { file, why: why.to_string() }
        };
        let mut roots = RootCertStore::empty();
        found.iter().try_for_each(|certificate| roots.add(certificate.clone())).map_err(wrong)?;
        Ok(Self(found.into()))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authorities({})", self.0.len())
    }
}

/// What a client connects with: TLS 1.2 and 1.3, and servers that prove to be who they are called by a certificate that
/// comes from `authorities`, or else from somebody whom the system trusts.
pub fn connecting(authorities: Option<&Authorities>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match authorities {
        Some(Authorities(certificates)) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier()?,
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Certificate(***)")
    }
}

impl PartialEq for Certificate {
    /// The same chain; the key belongs to it.
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl Eq for Certificate {}

/// The certificate that listeners show now. Shared by them and by whoever reloads.
#[derive(Default)]
pub struct Certificates(ArcSwapOption<CertifiedKey>);

impl Certificates {
    /// Shows another certificate from the next handshake on; with `None` handshakes fail.
    pub fn replace(&self, certificate: Option<Certificate>) {
        self.0.store(certificate.map(|Certificate(pair)| pair));
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Certificates(***)")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// What a listener accepts with: TLS 1.2 and 1.3 (QUIC takes 1.3 alone), no certificates of clients, no early data, these
/// application protocols (RFC 7301).
pub fn accepting(certificates: &Arc<Certificates>, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificates>::clone(certificates);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks both versions")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
