//! The endpoint behind TLS: a certificate that an operator's authority signed for its name, and every one that is not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::dial::Dial;
use super::endpoint::Upstream;
use super::trouble::Trouble;

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate of it for `name`.
fn certificates(folder: &Path, name: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    openssl(
        folder,
        &[&["req", "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"], &key[..]]
            .concat(),
    );
    let alternative = format!("subjectAltName={name}");
    let leaf = [
        &[
            "req",
            "-x509",
            "-subj",
            "/CN=endpoint",
            "-keyout",
            "leaf.key",
            "-out",
            "leaf.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            &alternative,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
        &key[..],
    ];
    openssl(folder, &leaf.concat());
}

/// What comes of one request to a server that has `folder`'s leaf, where `ca` is trusted.
async fn asked(folder: &Path, ca: &Path, host: &str) -> Result<u16, (Trouble, bool, String)> {
    let chain = CertificateDer::pem_file_iter(folder.join("leaf.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.ok();
    });
    let upstream = Upstream::parse(&format!("https://{host}:{port}/v1")).unwrap();
    let dial = Dial::new(upstream, Some(ca)).unwrap();
    let request = Request::post("/v1/responses")
        .header("host", "x")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let answered = dial.send(request).await;
    server.abort();
    answered
        .map(|(answer, _)| answer.status().as_u16())
        .map_err(|error| (error.trouble, error.may_have_left, error.why))
}

#[tokio::test]
async fn the_certificate_has_to_be_of_a_trusted_authority_and_for_the_endpoints_name() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(ours.path(), "DNS:localhost");
    certificates(theirs.path(), "DNS:localhost");
    let trusted = ours.path().join("ca.pem");
    assert_eq!(asked(ours.path(), &trusted, "localhost").await, Ok(200), "control");
    for (folder, host) in [(theirs.path(), "localhost"), (ours.path(), "127.0.0.1")] {
        let (trouble, may_have_left, why) = asked(folder, &trusted, host).await.unwrap_err();
        assert_eq!((trouble, may_have_left), (Trouble::Unreachable, false), "{why}");
        assert!(why.contains("certificate"), "{why}");
    }
}

#[test]
fn a_file_of_authorities_that_holds_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = || Upstream::parse("https://api.example.com/v1").unwrap();
    assert!(Dial::new(upstream(), Some(&folder.path().join("none"))).is_err());
    std::fs::write(folder.path().join("empty"), "not a certificate").unwrap();
    let error = Dial::new(upstream(), Some(&folder.path().join("empty"))).unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
}
