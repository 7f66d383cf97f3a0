//! Peers that are reached over HTTPS: only one that proves who it is is told anything.

use crate::dns_secure::Pair;
use crate::harness::{Athena, until};

fn toml(more: &str) -> String {
    let backends = "[backends]\napp01 = { address = \"10.0.0.1\" }\napp02 = { address = \"10.0.0.2\" }\n";
    let access = "[access]\nupdate_key = \"hush-reports\"\nadmin_key = \"hush-people\"\n";
    let farm = "[farms.farm_one]\nmembers = [\"app01\", \"app02\"]\nalgorithm = \"failover\"\n";
    format!("{more}\n{backends}{access}{farm}")
}

fn given(athena: &Athena) -> Vec<String> {
    athena.addresses("farm_one.athena.").iter().map(ToString::to_string).collect()
}

#[test]
fn a_peer_over_https_is_told_what_others_are_told_once_it_has_proved_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    Pair::new("localhost").write(folder.path(), "peer");
    Pair::new("localhost").write(folder.path(), "other");
    let (cert, key) = (file("peer.cert.pem"), file("peer.key.pem"));
    let peer = Athena::start(&toml(&format!("http.tls_cert = {cert:?}\nhttp.tls_key = {key:?}")));
    let mirror = |host: &str, ca: &str| {
        let (url, ca) = (format!("https://{host}:{}", peer.http.port()), file(ca));
        toml(&format!("[mirror]\npeers = [{url:?}]\nca = {ca:?}\nkey = \"hush-people\"\n"))
    };
    let mut athena = Athena::start(&mirror("localhost", "peer.cert.pem"));
    athena.tell("/ath/update/phys/?h=app01,s=off,k=hush-people");
    until("the peer knows", || given(&peer) == ["10.0.0.2"]);
    let in_step = |athena: &Athena| athena.tell("/ath/status/engine/?f=\"%M\"") == "1/1\n";
    until("it is in step", || in_step(&athena));

    // By its address as well; and a reload that trusts somebody else takes its trust away.
    athena.reload(&mirror("127.0.0.1", "peer.cert.pem")).unwrap();
    until("it is in step by its address", || in_step(&athena));
    let changed = athena.reload(&mirror("127.0.0.1", "other.cert.pem")).unwrap();
    assert_eq!(changed, ["[mirror]: changed"]);
    until("the certificate is refused", || athena.get("/readyz").1.contains("invalid peer certificate"));
    athena.tell("/ath/update/phys/?h=app01,s=on,k=hush-people");
    assert_eq!(given(&peer), ["10.0.0.2"], "it was told nothing");
    athena.reload(&mirror("localhost", "peer.cert.pem")).unwrap();
    until("what it missed is made good", || given(&peer) == ["10.0.0.1"]);

    // Without a file it is for the system to say whom it trusts, and it does not know this one.
    let url = format!("https://localhost:{}", peer.http.port());
    let stranger = Athena::start(&toml(&format!("[mirror]\npeers = [{url:?}]\nwait = \"0s\"\n")));
    until("the system does not trust it", || stranger.get("/readyz").1.contains("certificate"));
    // Nor does a peer that speaks TLS understand one that does not.
    let url = format!("http://localhost:{}", peer.http.port());
    let plain = Athena::start(&toml(&format!("[mirror]\npeers = [{url:?}]\nwait = \"0s\"\n")));
    until("it says so", || plain.get("/readyz").1.contains(&format!("mirror: peer {url}/ath: ")));
    for athena in [&athena, &stranger, &plain] {
        assert!(!athena.get("/readyz").1.contains("hush") && !athena.tell("/metrics").contains("hush"));
    }
}
