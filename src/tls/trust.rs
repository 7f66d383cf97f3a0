//! TLS from our side: whom to trust when we connect to others.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{connecting, provider};

/// How to connect to others. Nothing of it exists in memory until it is asked for: the roots of a system are many.
#[derive(Default)]
pub struct Trust {
    system: OnceLock<Result<Arc<ClientConfig>, String>>,
    anybody: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    /// Trusts whom this system trusts; or why that cannot be found out.
    pub fn system(&self) -> Result<Arc<ClientConfig>, String> {
        let make = || {
            connecting(None).map_err(|error| format!("whom this system trusts cannot be found out: {error}"))
        };
        self.system.get_or_init(make).clone()
    }

    /// Trusts whoever answers: what is sent may be read by anybody who stands between. The handshake still proves that the
    /// other end has the key of its certificate, and the octets are whole.
    pub fn anybody(&self) -> Arc<ClientConfig> {
        let make = || {
            let config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("ring speaks both versions")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider())));
            Arc::new(config.with_no_client_auth())
        };
        Arc::clone(self.anybody.get_or_init(make))
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
