//! TLS by rustls: certificates from PEM files, taken anew when they change, and the names of clients' certificates.

use super::Connection;
use crate::reload::{Current, Follower, Source};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is spoken over TLS: HTTP/2 for gRPC, HTTP/1.1 for pages and gRPC-Web.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificates are, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and behind it those that lead to a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The roots of clients' certificates; none: clients are not asked for one. A client without a certificate may connect, and
    /// say who it is by a token.
    pub client_ca: Option<PathBuf>,
}

/// TLS, ready to accept.
#[derive(Debug)]
pub struct Tls {
    follower: Follower<ServerConfig>,
}

impl Tls {
    /// Reads the files. A fault is described with the file and the remedy.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let paths = [Some(files.certificate.clone()), Some(files.key.clone()), files.client_ca.clone()];
        let read = move |contents: &[Vec<u8>]| match contents {
            [certificate, key] => configure(&files, certificate, key, None),
            [certificate, key, client_ca] => configure(&files, certificate, key, Some(client_ca)),
            _ => Err("tls: files are missing".to_owned()),
        };
        let paths = paths.into_iter().flatten().collect();
        let follower = Follower::load(Source { what: "certificates", paths, read: Box::new(read) })?;
        Ok(Self { follower })
    }

    pub(super) fn start(self) -> (Acceptor, Follower<ServerConfig>) {
        (Acceptor(self.follower.current()), self.follower)
    }
}

/// Accepts with the certificates as they are now.
#[derive(Clone)]
pub(super) struct Acceptor(Current<ServerConfig>);

impl Acceptor {
    pub async fn accept(&self, stream: TcpStream, place: OwnedSemaphorePermit) -> io::Result<Connection> {
        let acceptor = TlsAcceptor::from(self.0.get());
        let stream = acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(names).transpose().map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the client's certificate can't be read: {error}"))
        })?;
        Ok(Connection::tls(stream, names.map(Into::into), place))
    }
}

fn configure(
    files: &TlsFiles,
    certificate: &[u8],
    key: &[u8],
    client_ca: Option<&Vec<u8>>,
) -> Result<ServerConfig, String> {
    let chain = certificates(&files.certificate, certificate)?;
    let private = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| fault(&files.key, "has no private key in PEM (PKCS#8, PKCS#1 or SEC1)", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match client_ca.zip(files.client_ca.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((content, path)) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path, content)? {
                roots.add(root).map_err(|error| fault(path, "has a certificate that can't be a root", &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).allow_unauthenticated();
            let verifier = verifier.build().map_err(|error| fault(path, "can't verify clients", &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| {
        fault(&files.key, &format!("does not fit the certificate in {}", files.certificate.display()), &error)
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| fault(path, "is not PEM", &error))?;
    if found.is_empty() {
        return Err(format!("{}: has no certificate; it must have a PEM block `CERTIFICATE`", path.display()));
    }
    Ok(found)
}

fn fault(path: &Path, what: &str, error: &dyn Display) -> String {
    format!("{}: {what}: {error}", path.display())
}

/// By what a client's certificate may be known, most specific first: the URIs of its subject's alternative names (a SPIFFE id,
/// say), its DNS names there, and its common name if it has neither.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let certificate = certificate.tbs_certificate();
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    if let Some((_, SubjectAltName(found))) = certificate.get_extension::<SubjectAltName>()? {
        for name in found {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.to_string()),
                GeneralName::DnsName(host) => hosts.push(host.to_string()),
                _ => {}
            }
        }
    }
    uris.extend(hosts);
    if uris.is_empty() {
        uris.extend(certificate.subject().common_name()?.map(|name| name.value().into_owned()));
    }
    Ok(uris)
}
