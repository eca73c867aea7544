//! TLS and mTLS from outside: the SDKs and the command against a server with certificates.

use callboard::{Client, Credentials, NewTask};
use callboard_tests::identity::Identities;
use callboard_tests::server::{Server, ServerBuilder};
use callboard_tests::{program, refused};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use std::path::{Path, PathBuf};
use tonic::Code;

/// A folder with `ca.pem`, and who signs for it.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // gRPC's Python takes a certificate whose subject has its issuer's name for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes `NAME.pem` and `NAME-key.pem`.
    fn write(&self, name: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(self.file(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }

    /// A client's certificate, and the credentials with it.
    fn client(&self, name: &str, uri: &str) -> Credentials {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.write(name, &params);
        let key = self.file(&format!("{name}-key.pem"));
        Credentials::new().ca(self.file("ca.pem")).client_cert(self.file(&format!("{name}.pem"))).client_key(key)
    }

    /// A server with a certificate of this authority, which also vouches for clients.
    pub fn server(&self, identities: Identities) -> ServerBuilder {
        self.write("server", &CertificateParams::new(vec!["127.0.0.1".into()]).unwrap());
        let arg = |builder: ServerBuilder, name: &str, file: &str| {
            builder.arg(name).arg(self.file(file).display().to_string())
        };
        let builder = arg(Server::builder(), "--tls-cert", "server.pem");
        let builder = arg(builder, "--tls-key", "server-key.pem");
        arg(builder, "--tls-client-ca", "ca.pem").identities(identities)
    }
}

fn client(server: &Server, credentials: Credentials) -> Client {
    let client = Client::builder().address(server.address()).credentials(credentials);
    client.timeout(std::time::Duration::from_secs(5)).build().unwrap()
}

#[tokio::test]
async fn a_client_certificate_is_its_principal_and_a_token_goes_before_it() {
    let mut identities = Identities::default();
    let authority = Authority::new(identities.directory());
    identities.certificate("fleet", "spiffe://example.org/fleet", "submitter", "default");
    let token = identities.token("ci", "submitter", "default");
    let server = authority.server(identities).start().await;
    assert!(server.address().starts_with("https://"), "{}", server.address());
    let ca = || Credentials::new().ca(authority.file("ca.pem"));
    let fleet = || authority.client("fleet", "spiffe://example.org/fleet");
    for (credentials, principal) in [(fleet(), "fleet"), (ca().token(&token), "ci"), (fleet().token(&token), "ci")] {
        let client = client(&server, credentials);
        let id = client.create(NewTask::new("t")).await.unwrap().task_id;
        assert_eq!(client.get(&id).await.unwrap().created_by, principal);
    }
    let stranger = client(&server, authority.client("other", "spiffe://example.org/other"));
    let error = stranger.create(NewTask::new("t")).await.unwrap_err();
    refused(&error, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let nameless = client(&server, ca()).create(NewTask::new("t")).await.unwrap_err();
    refused(&nameless, Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted_and_plain_text_is_not_understood() {
    let mut identities = Identities::default();
    let authority = Authority::new(identities.directory());
    let token = identities.token("ci", "submitter", "default");
    let server = authority.server(identities).start().await;
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path());
    let wrong = Credentials::new().token(&token).ca(folder.path().join("ca.pem"));
    let error = client(&server, wrong).create(NewTask::new("t")).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable), "{error:?}");
    let plain = Client::builder().address(server.address().replace("https", "http"));
    let plain = plain.timeout(std::time::Duration::from_secs(2)).build().unwrap();
    assert!(plain.create(NewTask::new("t")).await.is_err());
}

#[tokio::test]
async fn the_command_and_the_python_sdk_speak_tls_with_the_same_variables() {
    let mut identities = Identities::default();
    let authority = Authority::new(identities.directory());
    let token = identities.token("ci", "submitter", "default");
    let server = authority.server(identities).start().await;
    let token_file = authority.file("token");
    std::fs::write(&token_file, format!("{token}\n")).unwrap();
    let with_environment = |mut command: std::process::Command| {
        command.env("CALLBOARD_ADDRESS", server.address()).env("CALLBOARD_CA", authority.file("ca.pem"));
        command.env("CALLBOARD_TOKEN_FILE", &token_file);
        tokio::process::Command::from(command)
    };
    let mut command = with_environment(program::command(program::callboard()));
    let output = command.args(["task", "create", "a task", "--type", "t", "-o", "json"]).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut command = with_environment(program::command(program::python()));
    let script = "from callboard import Client; print(len(list(Client().list())))";
    let output = command.args(["-c", script]).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "{output:?}");
}
