//! Handshakes over real sockets.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::server::Connected;

/// Who signs.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Writes a fresh certificate for `localhost`.
    fn write_server(&self, folder: &Path) -> Vec<u8> {
        let (certificate, key) = self.sign(CertificateParams::new(vec!["localhost".into()]).unwrap());
        std::fs::write(folder.join("key.pem"), key).unwrap();
        std::fs::write(folder.join("cert.pem"), &certificate).unwrap();
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec()
    }

    fn client(&self, common_name: &str, names: &[SanType]) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }
}

fn files(folder: &Path) -> TlsFiles {
    let file = |name: &str| folder.join(name);
    TlsFiles { certificate: file("cert.pem"), key: file("key.pem"), client_ca: Some(file("ca.pem")) }
}

/// A listener whose certificates are an authority's, and the authority.
async fn listen(folder: &Path) -> (Authority, std::net::SocketAddr, mpsc::Receiver<Connection>, JoinSet<()>) {
    let authority = Authority::new();
    std::fs::write(folder.join("ca.pem"), authority.certificate.pem()).unwrap();
    authority.write_server(folder);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener::tls(tcp, Tls::load(files(folder)).unwrap());
    let (ready, connections) = Listener::channel();
    let mut accepting = JoinSet::new();
    accepting.spawn(listener.accept(ready));
    (authority, address, connections, accepting)
}

async fn connect(
    authority: &Authority,
    address: std::net::SocketAddr,
    identity: Option<(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn the_names_of_a_clients_certificate_are_known_most_specific_first() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, address, mut connections, _accepting) = listen(folder.path()).await;
    let uri = SanType::URI("spiffe://example.org/agent".try_into().unwrap());
    let host = SanType::DnsName("agent.example.org".try_into().unwrap());
    for (san, expected) in
        [(vec![host, uri], vec!["spiffe://example.org/agent", "agent.example.org"]), (vec![], vec!["the common name"])]
    {
        let _stream = connect(&authority, address, Some(authority.client("the common name", &san))).await.unwrap();
        let peer = connections.recv().await.unwrap().connect_info();
        assert_eq!(peer.names.as_deref().unwrap(), expected);
    }
    let _stream = connect(&authority, address, None).await.unwrap();
    assert!(connections.recv().await.unwrap().connect_info().names.is_none(), "without a certificate, without a name");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, address, mut connections, _accepting) = listen(folder.path()).await;
    let forged = Authority::new().client("admin", &[]);
    // The client learns of it when it reads: in TLS 1.3 its own handshake is over by then.
    let stream = connect(&authority, address, Some(forged)).await;
    if let Ok(mut stream) = stream {
        use tokio::io::AsyncReadExt;
        assert!(stream.read_u8().await.is_err());
    }
    let _good = connect(&authority, address, None).await.unwrap();
    assert!(connections.recv().await.unwrap().connect_info().names.is_none(), "only the good one came through");
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_restart_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, address, _connections, _accepting) = listen(folder.path()).await;
    let first = shown(&connect(&authority, address, None).await.unwrap());
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    let still = shown(&connect(&authority, address, None).await.unwrap());
    assert_eq!(first, still);
    let second = authority.write_server(folder.path());
    // Until the files have been looked at.
    let taken = tokio::time::timeout(Duration::from_secs(30), async {
        while shown(&connect(&authority, address, None).await.unwrap()) != second {
            tokio::task::yield_now().await;
        }
    });
    taken.await.expect("the new certificate is taken");
}

#[tokio::test]
async fn a_silent_client_does_not_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, address, mut connections, _accepting) = listen(folder.path()).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let _stream = connect(&authority, address, None).await.unwrap();
    assert!(connections.recv().await.is_some());
}

#[test]
fn what_is_wrong_with_which_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    let fault = || Tls::load(files(folder)).unwrap_err();
    assert!(fault().contains("cert.pem: can't be read"), "{}", fault());
    std::fs::write(folder.join("ca.pem"), authority.certificate.pem()).unwrap();
    authority.write_server(folder);
    assert!(Tls::load(files(folder)).is_ok());
    std::fs::write(folder.join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(fault().contains("key.pem: does not fit the certificate"), "{}", fault());
    std::fs::write(folder.join("key.pem"), "nothing").unwrap();
    assert!(fault().contains("key.pem: has no private key"), "{}", fault());
    std::fs::write(folder.join("cert.pem"), "nothing").unwrap();
    assert!(fault().contains("cert.pem: has no certificate"), "{}", fault());
}

#[tokio::test]
async fn connections_that_are_not_of_tcp_are_accepted() {
    let (mut client, server) = tokio::io::duplex(64);
    let (ready, mut connections) = Listener::channel();
    let listener = Listener::connections(futures::stream::iter([Ok(server)]));
    let mut accepting = JoinSet::new();
    accepting.spawn(listener.accept(ready));
    let mut connection = connections.recv().await.unwrap();
    client.write_all(b"a greeting of some length").await.unwrap();
    let mut heard = [0; 10];
    connection.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"a greeting");
    assert_eq!(connection.connect_info().names, None);
    assert!(connections.recv().await.is_none(), "there are no more");
}
