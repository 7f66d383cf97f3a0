//! DNS over TLS, HTTPS and QUIC with real clients, HTTP over TLS, and certificates that change while they are shown.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use athena::app::Secure;
use hickory_proto::op::{Message, ResponseCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::config::Folder;
use crate::dns_table::query;
use crate::harness::{Athena, PATIENCE, until};

/// The name in the certificates.
const NAME: &str = "athena.test";
const FARM: &str = "[backends.app01]\naddress = \"127.0.1.1\"\n[farms.farm_one]\nmembers = [\"app01\"]\n";

/// A certificate that vouches for itself, and its key, in PEM.
pub struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    pub fn new(name: &str) -> Self {
        let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Writes `NAME.cert.pem` and `NAME.key.pem`.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.cert.pem")), &self.cert).unwrap();
        std::fs::write(folder.join(format!("{name}.key.pem")), &self.key).unwrap();
    }

    /// What a client trusts that trusts nobody else.
    fn client(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(athena::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

/// An Athena that speaks everything, and what its clients trust.
struct Served {
    athena: Athena,
    pair: Pair,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new(NAME);
        pair.write(folder.path(), "dns");
        let athena = Athena::start(&toml(folder.path(), more));
        Self { athena, pair, folder }
    }

    fn reload(&mut self) -> Result<Vec<String>, String> {
        self.athena.reload(&toml(self.folder.path(), ""))
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("dns.cert.pem")
    }

    /// A sample of `/metrics`.
    fn metric(&self, sample: &str) -> u64 {
        let page = self.athena.tell("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{sample} ")));
        line.unwrap_or_else(|| panic!("no {sample} in\n{page}")).parse().unwrap()
    }

    fn messages(&self, transport: &str) -> u64 {
        self.metric(&format!("athena_dns_messages_total{{transport=\"{transport}\"}}"))
    }

    /// A TLS connection of a client that trusts `pair`; fails where the handshake does.
    fn connect(&self, pair: &Pair) -> std::io::Result<Tls> {
        connect(self.athena.secure(Secure::Tls), pair.client(b"dot"))
    }

    /// What a client says and gets over plain TCP.
    fn over_tcp(&self, message: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.athena.dns).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(&mut stream, message)
    }

    /// Runs kdig against a service; what it says.
    fn kdig(&self, service: Secure, arguments: &[&str]) -> String {
        let address = self.athena.secure(service);
        let output = Command::new("kdig")
            .args(["@127.0.0.1", "-p", &address.port().to_string(), "+timeout=20", "+retry=0"])
            .args([format!("+tls-ca={}", self.ca().display()), format!("+tls-hostname={NAME}")])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("kdig cannot be started ({error}); tests/run installs it"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Runs curl against a path of DNS over HTTPS; status, header and body.
    fn curl(&self, path: &str, arguments: &[&str]) -> (String, Vec<u8>) {
        let port = self.athena.secure(Secure::Https).port();
        let head = self.folder.path().join("head");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--http2", "--dump-header", &head.display().to_string()])
            .args(["--cacert", &self.ca().display().to_string()])
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
            .args(arguments)
            .arg(format!("https://{NAME}:{port}{path}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (std::fs::read_to_string(head).unwrap(), output.stdout)
    }

    /// Everything that was received was either answered, in one way, or dropped.
    fn counts_are_exact(&self) {
        let page = self.athena.tell("/metrics");
        let sum = |name: &str| -> u64 {
            let samples = page.lines().filter(|line| line.starts_with(name));
            samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        let (received, replied) = (sum("athena_dns_messages_total"), sum("athena_dns_replies_total"));
        assert_eq!(received, replied + sum("athena_dns_dropped_total"), "{page}");
    }
}

fn toml(folder: &Path, more: &str) -> String {
    let folder = folder.display();
    let any = "[\"127.0.0.1:0\"]";
    format!(
        "dns.tls.cert = \"{folder}/dns.cert.pem\"\ndns.tls.key = \"{folder}/dns.key.pem\"\n\
         dns.tls.tls_listen = {any}\ndns.tls.https_listen = {any}\ndns.tls.quic_listen = {any}\n{more}\n{FARM}"
    )
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Tls> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let session = ClientConnection::new(config, ServerName::try_from(NAME).unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn exchange(stream: &mut (impl Read + Write), message: &[u8]) -> Vec<u8> {
    stream.write_all(&framed(message)).unwrap();
    stream.flush().unwrap();
    receive(stream)
}

fn receive(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).unwrap();
    reply
}

fn numbered(mut message: Vec<u8>, id: u16) -> Vec<u8> {
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

/// A QUIC client and what it gets.
struct Quic {
    runtime: tokio::runtime::Runtime,
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
}

impl Quic {
    fn connect(served: &Served) -> Result<Self, quinn::ConnectionError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config: rustls::ClientConfig = served.pair.client(b"doq").as_ref().clone();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let address = served.athena.secure(Secure::Quic);
        let (endpoint, connection) = runtime.block_on(async {
            let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
            let connection = endpoint.connect(address, NAME).unwrap().await;
            (endpoint, connection)
        });
        Ok(Self { runtime, connection: connection?, endpoint })
    }

    /// One stream: what is said, and all that comes back.
    fn exchange(&self, octets: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.connection.open_bi().await.unwrap();
            let _ = send.write_all(octets).await;
            let _ = send.finish();
            receive.read_to_end(1 << 17).await
        })
    }

    /// The code with which the server closes the connection.
    fn closed(&self) -> u64 {
        match self.runtime.block_on(self.connection.closed()) {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("{other}"),
        }
    }
}

impl Drop for Quic {
    /// Says good-bye: the server would wait for the acknowledgements of a client that just vanishes.
    fn drop(&mut self) {
        self.connection.close(0_u32.into(), b"");
        self.runtime.block_on(self.endpoint.wait_idle());
    }
}

#[test]
fn kdig_asks_in_every_way_and_believes_the_certificate() {
    let served = Served::start("");
    for (service, how) in [
        (Secure::Tls, &["+tls"][..]),
        (Secure::Https, &["+https=athena.test/dns-query"]),
        (Secure::Https, &["+https=athena.test/dns-query", "+https-get"]),
        (Secure::Quic, &["+quic"]),
    ] {
        let said = served.kdig(service, &[how, &["farm_one.athena.", "A"]].concat());
        assert!(said.contains("status: NOERROR") && said.contains("aa"), "{how:?}: {said}");
        assert!(said.contains("farm_one.athena.") && said.contains("127.0.1.1"), "{how:?}: {said}");
    }
    assert_eq!([served.messages("tls"), served.messages("https"), served.messages("quic")], [1, 2, 1]);
    served.counts_are_exact();
}

#[test]
fn a_reply_is_the_same_to_the_octet_whichever_way_it_goes() {
    let served = Served::start("dns.nsid = \"ns1\"");
    let (mut tls, quic) = (served.connect(&served.pair).unwrap(), Quic::connect(&served).unwrap());
    let file = served.folder.path().join("query");
    let mut broken = query("farm_one.athena. A");
    broken.push(0);
    let mut two_questions = query("farm_one.athena. A");
    two_questions[5] = 2;
    let unknown_opcode = {
        let mut message = query("farm_one.athena. A");
        message[2] |= 5 << 3;
        message
    };
    let messages = [
        query("FARM_one.athena. A"),
        query("_http._tcp.farm_one.athena. SRV +edns=1232"),
        query("nobody.athena. A +edns=1232"),
        query("farm_one.athena. AAAA"),
        query("elsewhere. A"),
        broken,
        two_questions,
        unknown_opcode,
    ];
    let count = messages.len() as u64;
    for message in messages {
        // RFC 9250, 4.2.1 wants 0 over QUIC, so let it be 0 everywhere.
        let message = numbered(message, 0);
        let expected = served.over_tcp(&message);
        assert_eq!(exchange(&mut tls, &message), expected, "tls: {message:02x?}");
        assert_eq!(quic.exchange(&framed(&message)).unwrap(), framed(&expected), "quic: {message:02x?}");
        std::fs::write(&file, &message).unwrap();
        let data = format!("@{}", file.display());
        let (head, body) = served.curl(
            "/dns-query",
            &["-H", "content-type: application/dns-message", "--data-binary", data.as_str()],
        );
        assert!(head.starts_with("HTTP/2 200"), "{head}");
        assert!(head.contains("content-type: application/dns-message"), "{head}");
        assert_eq!(body, expected, "https: {message:02x?}");
    }
    for transport in ["tcp", "tls", "https", "quic"] {
        assert_eq!(served.messages(transport), count, "{transport}");
    }
    served.counts_are_exact();
}

#[test]
fn a_tls_client_sends_many_queries_at_once_and_gets_all_replies_in_order() {
    let served = Served::start("");
    let mut stream = served.connect(&served.pair).unwrap();
    let message = query("farm_one.athena. A");
    let queries: Vec<u8> = (0..200).flat_map(|id| framed(&numbered(message.clone(), id))).collect();
    stream.write_all(&queries).unwrap();
    for id in 0..200 {
        assert_eq!(receive(&mut stream)[..2], u16::to_be_bytes(id));
    }
    assert_eq!(served.messages("tls"), 200);
}

#[test]
fn whoever_pads_is_padded_where_it_hides_something() {
    let served = Served::start("");
    let mut message = query("farm_one.athena. A");
    message[11] = 1;
    message.extend(b"\0\0\x29\x10\0\0\0\0\0\0\x08\0\x0c\0\x04\0\0\0\0");
    let message = numbered(message, 0);
    let padded = exchange(&mut served.connect(&served.pair).unwrap(), &message);
    assert_eq!(padded.len(), 468, "RFC 8467, 4.1");
    let reply = Message::from_vec(&padded).unwrap();
    assert_eq!((reply.answers.len(), reply.metadata.response_code), (1, ResponseCode::NoError));
    let quic = Quic::connect(&served).unwrap().exchange(&framed(&message)).unwrap();
    assert_eq!(quic, framed(&padded));
    assert!(served.over_tcp(&message).len() < 100, "everybody can read it anyway");
    let bare = numbered(query("farm_one.athena. A +edns=1232"), 0);
    assert!(exchange(&mut served.connect(&served.pair).unwrap(), &bare).len() < 100, "nobody asked for it");
}

#[test]
fn a_reload_shows_the_new_certificate_and_a_bad_one_changes_nothing() {
    let mut served = Served::start("");
    let mut open = served.connect(&served.pair).unwrap();
    let message = query("farm_one.athena. A");
    exchange(&mut open, &message);
    let addresses = [Secure::Tls, Secure::Https, Secure::Quic].map(|service| served.athena.secure(service));

    let new = Pair::new(NAME);
    new.write(served.folder.path(), "dns");
    assert!(served.connect(&served.pair).is_ok(), "nobody has read it yet");
    served.reload().unwrap();
    assert!(served.connect(&served.pair).is_err(), "the old certificate is gone");
    let old = std::mem::replace(&mut served.pair, new);
    exchange(&mut served.connect(&served.pair).unwrap(), &message);
    Quic::connect(&served).unwrap();
    assert!(
        served
            .kdig(Secure::Https, &["+https=athena.test/dns-query", "farm_one.athena"])
            .contains("127.0.1.1")
    );
    exchange(&mut open, &message);
    let same = [Secure::Tls, Secure::Https, Secure::Quic].map(|service| served.athena.secure(service));
    assert_eq!(addresses, same, "no listener was started anew");

    std::fs::write(served.folder.path().join("dns.key.pem"), &old.key).unwrap();
    let refused = served.reload().unwrap_err();
    assert!(refused.contains("dns.key.pem: this is not the key of the certificate in"), "{refused}");
    exchange(&mut served.connect(&served.pair).unwrap(), &message);
}

#[test]
fn a_stop_says_good_bye() {
    let mut served = Served::start("");
    let mut tls = served.connect(&served.pair).unwrap();
    let quic = Quic::connect(&served).unwrap();
    let message = numbered(query("farm_one.athena. A"), 0);
    exchange(&mut tls, &message);
    quic.exchange(&framed(&message)).unwrap();
    served.athena.stop();
    assert_eq!(tls.read(&mut [0; 1]).unwrap(), 0, "close_notify, and not just the end of the stream");
    assert_eq!(quic.closed(), 0, "DOQ_NO_ERROR");
}

#[test]
fn who_breaks_the_rules_of_quic_is_told_so_and_others_are_not_held_up() {
    let served = Served::start("");
    let message = query("farm_one.athena. A");
    let with_keepalive = {
        let mut message = numbered(message.clone(), 0);
        message[11] = 1;
        message.extend(b"\0\0\x29\x10\0\0\0\0\0\0\x04\0\x0b\0\0");
        message
    };
    let good = Quic::connect(&served).unwrap();
    for broken in [
        framed(&numbered(message.clone(), 7)),
        framed(&with_keepalive),
        [framed(&numbered(message.clone(), 0)), b"x".to_vec()].concat(),
        b"\0".to_vec(),
        vec![0; 1 << 17],
    ] {
        let client = Quic::connect(&served).unwrap();
        assert!(client.exchange(&broken).is_err());
        assert_eq!(client.closed(), 2, "DOQ_PROTOCOL_ERROR");
    }
    good.exchange(&framed(&numbered(message, 0))).unwrap();
    assert_eq!(served.messages("quic"), 3, "two of the others were messages");
    served.counts_are_exact();
}

#[test]
fn https_refuses_what_is_no_message() {
    let served = Served::start("dns.tls.https_path = \"/names\"");
    let status = |path: &str, arguments: &[&str]| {
        let (head, _) = served.curl(path, arguments);
        head.split(' ').nth(1).unwrap().to_owned()
    };
    let media = "content-type: application/dns-message";
    let long = served.folder.path().join("long");
    std::fs::write(&long, vec![0; 65_536]).unwrap();
    let long = format!("@{}", long.display());
    assert_eq!(status("/dns-query?dns=AAAB", &[]), "404");
    assert_eq!(status("/names", &[]), "400");
    assert_eq!(status("/names?dns=A*", &[]), "400");
    assert_eq!(status("/names?dns=AAAB", &[]), "400");
    assert_eq!(status("/names", &["-X", "PUT"]), "405");
    assert_eq!(status("/names", &["--data-binary", "x"]), "415");
    assert_eq!(status("/names", &["-H", media, "--data-binary", &long]), "413");
    assert_eq!(served.messages("https"), 1, "three octets, which were dropped");
    let text = data_encoding::BASE64URL_NOPAD.encode(&query("www.athena. A"));
    let (head, body) = served.curl(&format!("/names?dns={text}"), &[]);
    let reply = Message::from_vec(&body).unwrap();
    let least = reply.answers.iter().chain(&reply.authorities).map(|record| record.ttl).min().unwrap();
    assert!(head.contains(&format!("cache-control: max-age={least}")), "{head}");
    served.counts_are_exact();
}

#[test]
fn all_ways_share_the_limits_of_connections() {
    let served = Served::start("dns.tcp_connections_per_client = 1");
    let mut first = served.connect(&served.pair).unwrap();
    let message = query("farm_one.athena. A");
    exchange(&mut first, &message);
    assert!(served.connect(&served.pair).is_err());
    assert!(Quic::connect(&served).is_err());
    assert_eq!(served.metric("athena_dns_tcp_connections_total{outcome=\"refused\"}"), 1);
    assert_eq!(served.metric("athena_dns_quic_connections_total{outcome=\"refused\"}"), 1);
    drop(first);
    until("the seat is free again", || Quic::connect(&served).is_ok());
}

#[test]
fn who_does_not_speak_tls_is_counted_and_closed() {
    let served = Served::start("");
    let mut stream = TcpStream::connect(served.athena.secure(Secure::Tls)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&framed(&query("farm_one.athena. A"))).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    until("it is counted", || served.metric("athena_dns_handshake_failures_total") == 1);
    assert_eq!(served.messages("tls"), 0);
}

#[test]
fn http_speaks_tls_where_it_has_a_certificate_and_so_does_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    Pair::new(NAME).write(folder.path(), "http");
    let (cert, key) = (folder.path().join("http.cert.pem"), folder.path().join("http.key.pem"));
    let with_tls =
        format!("http.tls_cert = \"{}\"\nhttp.tls_key = \"{}\"\n{FARM}", cert.display(), key.display());
    let mut athena = Athena::start(&with_tls);
    let server = format!("https://{}", athena.http);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--cacert", &cert.display().to_string()])
        .arg(format!("{server}/ath/balance/?farm_one"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "127.0.1.1", "{output:?}");
    let asked = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athena"));
        command.args(["balance", "farm_one", "--server", &server]).args(arguments).output().unwrap()
    };
    let trusting = asked(&["--ca", &cert.display().to_string()]);
    assert_eq!(String::from_utf8_lossy(&trusting.stdout).trim(), "127.0.1.1", "{trusting:?}");
    let wary = asked(&[]);
    assert_eq!(wary.status.code(), Some(3), "{wary:?}");
    let confused = asked(&["--ca", &key.display().to_string()]);
    assert_eq!(confused.status.code(), Some(2), "{confused:?}");

    athena.reload(FARM).unwrap();
    assert_eq!(
        athena.tell("/ath/balance/?farm_one").trim(),
        "127.0.1.1",
        "without a certificate: http again"
    );
}

#[test]
fn what_is_wrong_with_certificates_is_said_where_it_stands() {
    let said = |toml: &str| {
        let folder = Folder::with(&format!("{toml}\n{FARM}"));
        Pair::new("one").write(folder.folder.path(), "one");
        Pair::new("two").write(folder.folder.path(), "two");
        let folder = folder.and("empty.pem", "").and("dir/file", "");
        let problems = folder.load(&[]).err().map_or_else(String::new, |problems| problems.to_string());
        assert!(!problems.contains("PRIVATE KEY-----\n"), "{problems}");
        folder.hide(&problems)
    };
    let tls = |cert: &str, key: &str| said(&format!("[dns.tls]\ncert = \"{cert}\"\nkey = \"{key}\""));
    assert_eq!(tls("one.cert.pem", "one.key.pem"), "");
    insta::assert_snapshot!(tls("none.pem", "dir"), @r#"
    athena.toml:2: dns.tls.cert: none.pem cannot be read: No such file or directory (os error 2)
    athena.toml:3: dns.tls.key: dir is a folder, not a file
    "#);
    insta::assert_snapshot!(tls("empty.pem", "one.key.pem"), @r#"athena.toml:2: dns.tls.cert: empty.pem: expected certificates in PEM, our own first (-----BEGIN CERTIFICATE-----)"#);
    insta::assert_snapshot!(tls("one.key.pem", "one.key.pem"), @r#"athena.toml:2: dns.tls.cert: one.key.pem: expected certificates in PEM, our own first (-----BEGIN CERTIFICATE-----)"#);
    insta::assert_snapshot!(tls("one.cert.pem", "one.cert.pem"), @r#"athena.toml:3: dns.tls.key: one.cert.pem: expected a private key in PEM without password (-----BEGIN PRIVATE KEY-----)"#);
    insta::assert_snapshot!(tls("one.cert.pem", "two.key.pem"), @r#"athena.toml:3: dns.tls.key: two.key.pem: this is not the key of the certificate in one.cert.pem"#);
    insta::assert_snapshot!(said("[dns.tls]\ncert = \"one.cert.pem\""), @r#"athena.toml:2: dns.tls.cert: needs dns.tls.key: the file of the certificate's private key"#);
    insta::assert_snapshot!(said("[http]\ntls_key = \"one.key.pem\""), @r#"athena.toml:2: http.tls_key: needs http.tls_cert: the file of the certificate"#);
    insta::assert_snapshot!(
        said("[dns.tls]\ntls_listen = [\"127.0.0.1:8853\"]\nquic_listen = \"127.0.0.1\"\nhttps_path = \"dns\""),
        @r#"
    athena.toml:2: dns.tls.tls_listen: needs a certificate: give dns.tls.cert and dns.tls.key
    athena.toml:3: dns.tls.quic_listen: expected an address with a port such as "127.0.0.1:853" or "[::1]:853", found the string "127.0.0.1"; did you mean "127.0.0.1:853"?
    athena.toml:4: dns.tls.https_path: a path begins with '/': "dns"; did you mean "/dns"?
    "#
    );
    insta::assert_snapshot!(
        said(
            "[dns.tls]\ncert = \"one.cert.pem\"\nkey = \"one.key.pem\"\ntls_listen = [\"127.0.0.1:8853\"]\n\
             https_listen = [\"127.0.0.1:8853\", \"127.0.0.1:8053\"]\nquic_listen = [\"127.0.0.1:5300\"]"
        ),
        @r#"
    athena.toml:5: dns.tls.https_listen: 127.0.0.1:8053 is taken twice: http.listen and dns.tls.https_listen both need TCP on it
    athena.toml:5: dns.tls.https_listen: 127.0.0.1:8853 is taken twice: dns.tls.tls_listen and dns.tls.https_listen both need TCP on it
    athena.toml:6: dns.tls.quic_listen: 127.0.0.1:5300 is taken twice: dns.listen and dns.tls.quic_listen both need UDP on it
    "#
    );
}
