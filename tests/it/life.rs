//! The life of the process: start, reload, stop, with real sockets.

use std::net::{TcpListener, UdpSocket};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::{Athena, get};

const TWO: &str = r#"
[backends]
app01 = { address = "10.0.0.1", port = 8080 }
app02 = { address = "10.0.0.2", port = 8080 }
[farms.farm_one]
members = ["app01", "app02"]
algorithm = "round-robin"
"#;

fn v4(octets: [u8; 4]) -> Vec<std::net::IpAddr> {
    vec![octets.into()]
}

#[test]
fn one_engine_answers_dns_and_text() {
    let athena = Athena::start(TWO);
    assert_eq!(athena.get("/readyz").0, 200);
    assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 1]));
    assert_eq!(athena.addresses("Anything.At.All.FARM_ONE.athena."), v4([10, 0, 0, 2]));
    athena.tell("/ath/update/phys/?h=app01,s=off");
    for _ in 0..4 {
        assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 2]));
        assert_eq!(athena.tell("/ath/balance/?farm_one"), "10.0.0.2:8080\n");
    }
    assert_eq!(athena.tell("/ath/status/engine/?f=\"%Q %B %R %E\""), "6 4 0 0\n");
}

#[test]
fn a_reload_keeps_what_still_exists_and_the_listeners_too() {
    let mut athena = Athena::start(TWO);
    athena.tell("/ath/update/phys/?h=app01,s=drain,l=0.5");
    assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 2]));
    let (dns, http) = (athena.dns, athena.http);
    let more = TWO.replace("members = [\"app01\", \"app02\"]", "members = [\"app01\", \"app03\"]\nttl = 7")
        + "[farms.farm_two]\nmembers = [\"app02\"]\n[backends.app03]\naddress = \"10.0.0.3\"\n";
    let summary = athena.reload(&more).unwrap();
    assert_eq!(summary, ["backend app03: added", "farm farm_one: changed", "farm farm_two: added"]);
    assert_eq!((athena.dns, athena.http), (dns, http));
    assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 3]));
    assert_eq!(athena.ask("farm_one.athena.", RecordType::A).answers[0].ttl, 7);
    assert_eq!(athena.addresses("farm_two.athena."), v4([10, 0, 0, 2]));
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=\"%s %l\""), "drain 0.5\n");
    assert_eq!(athena.tell("/ath/status/farm/?n=farm_one,f=\"%N\""), "3\n", "counters go on");
}

#[test]
fn a_reload_with_a_mistake_changes_nothing() {
    let mut athena = Athena::start(TWO);
    let problem = athena.reload(&TWO.replace("round-robin", "rund-robin")).unwrap_err();
    assert!(problem.contains("did you mean \"round-robin\"?"), "{problem}");
    assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 1]));

    // What only the zone file tells: a farm whose name stands there.
    std::fs::write(
        athena.folder.path().join("athena.zone"),
        "@ 1 SOA ns h 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\nfarm_two A 10.1.1.1\n",
    )
    .unwrap();
    let clash = athena.reload(&format!("{TWO}[farms.farm_two]\nmembers = [\"app01\"]\n")).unwrap_err();
    assert!(clash.contains("farm_two"), "{clash}");
    assert_eq!(athena.ask("farm_two.athena.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(athena.addresses("farm_one.athena."), v4([10, 0, 0, 2]), "the rotation goes on");
}

#[test]
fn a_stop_gives_every_port_back() {
    let mut athena = Athena::start(TWO);
    let (dns, http) = (athena.dns, athena.http);
    assert_eq!(athena.addresses("farm_one.athena.").len(), 1);
    athena.stop();
    UdpSocket::bind(dns).unwrap();
    TcpListener::bind(dns).unwrap();
    TcpListener::bind(http).unwrap();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let first = Athena::start(TWO);
    let taken = first.http;
    let mut second = Athena::start(TWO);
    let problem = second.reload(&format!("http.listen = [\"{taken}\"]\n{TWO}")).unwrap_err();
    assert!(problem.contains("http.listen") || problem.contains(&taken.to_string()), "{problem}");
    assert_eq!(get(second.http, "/healthz", "athena").status, 200);
}
