//! Mutual TLS as core wants it: a certificate for the life of this process, and exactly one client, the one whose
//! certificate core has put into the environment.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName as Subject, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};

/// How far in the past the certificate begins: the clock may be set back while the process runs.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// How long the certificate is good for: longer than any process, a debugged one included.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The server's side of TLS.
pub(crate) struct ServerTls {
    /// Accepts the one client and nobody else.
    pub(crate) config: Arc<ServerConfig>,
    /// What core must trust.
    pub(crate) certificate: CertificateDer<'static>,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("PLUGIN_CLIENT_CERT holds no certificate")]
    ClientCertificate(#[source] rustls_pki_types::pem::Error),
    #[error("cannot make a certificate")]
    ServerCertificate(#[from] rcgen::Error),
    #[error("cannot set TLS up")]
    Config(#[from] rustls::Error),
}

impl ServerTls {
    /// Makes a new key and certificate, for the client with the given certificate only. The key never leaves memory.
    pub(crate) fn for_client(certificate_pem: &str) -> Result<Self, TlsError> {
        let client = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(TlsError::ClientCertificate)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateDer::from(certificate_params()?.self_signed(&key)?);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());

        // Named, not the process's default: rustls panics when it has two to choose from. Of the two only this one
        // knows the curve of core's certificates, P-521.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(OnlyClient::new(client, &provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { config: Arc::new(config), certificate })
    }
}

fn certificate_params() -> Result<CertificateParams, rcgen::Error> {
    // The name that core asks for, whatever the address is.
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = rcgen::date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = now - BACKDATED;
    params.not_after = now + LIFETIME;
    Ok(params)
}

/// Takes one certificate, to the byte, from a client that has its key.
///
/// The verifier that rustls comes with cannot do this: core's certificate is marked as an authority's, and webpki
/// takes no such certificate from a client. Nothing is lost: there is no chain to build, since the certificate itself
/// was handed over by core, and its time is that of this process.
#[derive(Debug)]
struct OnlyClient {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl OnlyClient {
    fn new(certificate: CertificateDer<'static>, provider: &CryptoProvider) -> Self {
        Self { certificate, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for OnlyClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[Subject] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.certificate.as_ref() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::error::Error;
    use std::io;

    use rcgen::{BasicConstraints, IsCa, PKCS_ECDSA_P521_SHA512};
    use rustls::client::WantsClientCert;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion};
    use rustls_pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    type Outcome<T = ()> = Result<T, Box<dyn Error>>;

    /// A client with a certificate of the form that core makes.
    pub(crate) struct Core {
        pub(crate) certificate_pem: String,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    }

    impl Core {
        pub(crate) fn new() -> Outcome<Self> {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?;
            let mut params = CertificateParams::new(["localhost".to_owned()])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            let certificate = params.self_signed(&key)?;
            Ok(Self {
                certificate_pem: certificate.pem(),
                certificate: certificate.into(),
                key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            })
        }

        /// How this client connects to a server whose certificate it was given.
        pub(crate) fn config(&self, server: &CertificateDer<'static>) -> Outcome<ClientConfig> {
            self.config_in(rustls::DEFAULT_VERSIONS, server)
        }

        fn config_in(
            &self,
            versions: &[&'static SupportedProtocolVersion],
            server: &CertificateDer<'static>,
        ) -> Outcome<ClientConfig> {
            let mut config = trusting(versions, server)?
                .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            Ok(config)
        }
    }

    fn trusting(
        versions: &[&'static SupportedProtocolVersion],
        server: &CertificateDer<'static>,
    ) -> Outcome<ConfigBuilder<ClientConfig, WantsClientCert>> {
        let mut roots = RootCertStore::empty();
        roots.add(server.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        Ok(builder.with_protocol_versions(versions)?.with_root_certificates(roots))
    }

    /// What the client reads after a handshake: the protocol that the server has agreed on.
    async fn connect(server: &ServerTls, client: ClientConfig) -> Outcome<Vec<u8>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let serve = async {
            let mut stream = TlsAcceptor::from(Arc::clone(&server.config)).accept(near).await?;
            let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
            stream.write_all(&agreed).await?;
            stream.shutdown().await
        };
        let read = async {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let mut stream = TlsConnector::from(Arc::new(client)).connect(name, far).await?;
            let mut agreed = Vec::new();
            stream.read_to_end(&mut agreed).await?;
            Ok::<_, io::Error>(agreed)
        };
        let (served, agreed) = tokio::join!(serve, read);
        served?;
        Ok(agreed?)
    }

    /// Why the server has refused a client.
    async fn refusal(server: &ServerTls, client: ClientConfig) -> Option<rustls::Error> {
        let error = connect(server, client).await.err()?;
        error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>().cloned()
    }

    #[tokio::test]
    async fn the_client_that_core_named_is_served() -> Outcome {
        let core = Core::new()?;
        let server = ServerTls::for_client(&core.certificate_pem)?;
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let client = core.config_in(&[version], &server.certificate)?;
            assert_eq!(connect(&server, client).await?, b"h2", "{version:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_client_without_a_certificate_is_refused() -> Outcome {
        let server = ServerTls::for_client(&Core::new()?.certificate_pem)?;
        let client = trusting(rustls::DEFAULT_VERSIONS, &server.certificate)?.with_no_client_auth();
        assert_eq!(refusal(&server, client).await, Some(rustls::Error::NoCertificatesPresented));
        Ok(())
    }

    #[tokio::test]
    async fn a_client_with_another_certificate_of_the_same_form_is_refused() -> Outcome {
        let server = ServerTls::for_client(&Core::new()?.certificate_pem)?;
        let client = Core::new()?.config(&server.certificate)?;
        let expected = rustls::Error::from(CertificateError::ApplicationVerificationFailure);
        assert_eq!(refusal(&server, client).await, Some(expected));
        Ok(())
    }

    #[tokio::test]
    async fn the_right_certificate_without_its_key_is_refused() -> Outcome {
        let (core, thief) = (Core::new()?, Core::new()?);
        let server = ServerTls::for_client(&core.certificate_pem)?;
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(thief.key.clone_key())?;
        let stolen = SingleCertAndKey::from(CertifiedKey::new(vec![core.certificate.clone()], key));
        let client =
            trusting(rustls::DEFAULT_VERSIONS, &server.certificate)?.with_client_cert_resolver(Arc::new(stolen));
        let expected = rustls::Error::from(CertificateError::BadSignature);
        assert_eq!(refusal(&server, client).await, Some(expected));
        Ok(())
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(ServerTls::for_client(text), Err(TlsError::ClientCertificate(_))), "{text:?}");
        }
    }
}
