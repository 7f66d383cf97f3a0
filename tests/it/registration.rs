//! Backends that register, over real sockets: from where they report, with a key, across a restart and between Athenas.

use std::net::SocketAddr;

use crate::harness::{Athena, until};

const ACCESS: &str = "[access]\nupdate_key = \"secret\"\nauto_register = true\nauto_register_limit = 2\n";
const FARM: &str = "[farms.farm_one]\nmembers = [\"web-*\"]\nalgorithm = \"round-robin\"\n";

fn toml(more: &str) -> String {
    format!("{ACCESS}{FARM}{more}")
}

fn addresses(athena: &Athena, name: &str) -> Vec<String> {
    athena.addresses(name).iter().map(ToString::to_string).collect()
}

#[test]
fn a_report_with_a_key_is_all_it_takes() {
    let athena = Athena::start(&toml(""));
    assert_eq!(athena.get("/ath/balance/?farm_one").0, 503);
    let refused = athena.get("/ath/update/phys/?h=web-1,l=1");
    assert_eq!(refused, (403, "h: update access needs a key\n".to_owned()));
    athena.tell("/ath/update/phys/?h=web-1,l=1,k=secret");
    assert_eq!(addresses(&athena, "farm_one.athena."), ["127.0.0.1"], "where the report came from");
    assert_eq!(addresses(&athena, "web-1.phys.athena."), ["127.0.0.1"]);
    athena.tell("/ath/update/phys/?h=web-2,l=1,P=8080,A=127.0.0.9,k=secret");
    let mut given: Vec<String> = (0..2).flat_map(|_| addresses(&athena, "farm_one.athena.")).collect();
    given.sort();
    assert_eq!(given, ["127.0.0.1", "127.0.0.9"]);
    assert_eq!(athena.tell("/ath/balance/?farm_one,n=2,f=\"%h %a:%p\"").lines().count(), 2);

    let (status, body) = athena.get("/ath/update/phys/?h=web-3,l=1,k=secret");
    let limit =
        "h: web-3 cannot register: there are 2 already, and access.auto_register_limit allows no more\n";
    assert_eq!((status, body.as_str()), (429, limit));
    let outside = athena.get("/ath/update/phys/?h=web-1,l=1,A=192.0.2.1,k=secret");
    assert_eq!(outside, (403, "A: 192.0.2.1 is in none of access.auto_register_networks\n".to_owned()));
    assert_eq!(athena.get("/ath/update/phys/?h=db-1,l=1,k=secret").0, 404);
    assert_eq!(athena.get("/ath/update/phys/?h=web-1,l=1,P=0,k=secret").0, 400);

    let metrics = athena.tell("/metrics");
    for line in [
        "athena_registered_backends 2",
        "athena_registered_backends_limit 2",
        "athena_registrations_total{outcome=\"joined\"} 2",
        "athena_registrations_total{outcome=\"turned_away\"} 1",
        "athena_registrations_total{outcome=\"left\"} 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
    let debug = athena.tell("/ath/status/debug/?true");
    assert!(debug.contains("\n# registered\n2 of at most 2; joined 2, left 0, turned away 1\nweb-1: since "));
}

#[test]
fn who_is_silent_leaves_without_being_asked() {
    let athena = Athena::start(&toml("").replace("limit = 2", "leave = \"200ms\""));
    athena.tell("/ath/update/phys/?h=web-1,l=1,k=secret");
    until("web-1 has left", || athena.get("/ath/status/phys/?h=web-1").0 == 404);
    assert_eq!(athena.get("/ath/balance/?farm_one").0, 503);
    athena.tell("/ath/update/phys/?h=web-1,l=1,k=secret");
}

#[test]
fn a_restart_finds_those_again_who_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("state_dir = {:?}\n{}", folder.path(), toml(""));
    let athena = Athena::start(&toml);
    athena.tell("/ath/update/phys/?h=web-1,l=0.5,queue=7,P=8080,A=127.0.0.9,k=secret");
    athena.tell("/ath/update/phys/?h=web-1,s=drain,k=secret");
    drop(athena);
    let mut athena = Athena::start(&toml);
    let shown = athena.tell("/ath/status/phys/?h=web-1,f=\"%a %p %s %l %{queue}\"");
    assert_eq!(shown, "127.0.0.9 8080 drain 0.5 7\n");
    // And a reload takes those away whom nobody names any more.
    let changed = athena.reload(&toml.replace("web-*", "db-*")).unwrap();
    assert_eq!(changed, ["farm farm_one: changed"]);
    assert_eq!(athena.get("/ath/status/phys/?h=web-1").0, 404);
}

fn port(address: SocketAddr) -> u16 {
    address.port()
}

#[test]
fn peers_learn_of_them_and_of_their_leaving() {
    let mirror = |name: &str, peers: &[String]| {
        toml(&format!("[mirror]\nname = {name:?}\nkey = \"secret\"\npeers = {peers:?}\n"))
    };
    let athena = Athena::start(&mirror("ns1", &[]));
    let mut other = Athena::start(&mirror("ns2", &[format!("http://127.0.0.1:{}", port(athena.http))]));
    let mut first = athena;
    first.reload(&mirror("ns1", &[format!("http://127.0.0.1:{}", port(other.http))])).unwrap();
    first.tell("/ath/update/phys/?h=web-1,l=0.5,P=8080,A=127.0.0.9,k=secret");
    until("ns2 knows web-1", || other.get("/ath/status/phys/?h=web-1").0 == 200);
    assert_eq!(other.tell("/ath/status/phys/?h=web-1,f=\"%h %a %p %l\""), "web-1 127.0.0.9 8080 0.5\n");
    assert_eq!(addresses(&other, "farm_one.athena."), ["127.0.0.9"]);
    // The other way too; and it moves everywhere.
    other.tell("/ath/update/phys/?h=web-1,l=0.7,A=127.0.0.8,k=secret");
    until("ns1 knows that it moved", || addresses(&first, "web-1.phys.athena.") == ["127.0.0.8"]);
    // What is full there is no reason for this one to stop sending.
    other.tell("/ath/update/phys/?h=web-2,l=1,k=secret");
    until("ns1 knows web-2", || first.get("/ath/status/phys/?h=web-2").0 == 200);
    assert_eq!(first.get("/ath/update/phys/?h=web-3,l=1,k=secret").0, 429);
    // One that none may register at passes them over and keeps in step.
    let closed = mirror("ns2", &[format!("http://127.0.0.1:{}", port(first.http))]);
    other
        .reload(
            &closed
                .replace("auto_register = true", "auto_register = false")
                .replace("\"web-*\"", "\"app\"")
                .replace(FARM_MARK, "[backends.app]\naddress = \"127.0.0.7\"\n[farms.farm_one]\n"),
        )
        .unwrap();
    assert_eq!(other.get("/ath/status/phys/?h=web-1").0, 404);
    first.tell("/ath/update/phys/?h=web-1,l=0.9,k=secret");
    until("ns1 is in step", || {
        let metrics = first.tell("/metrics");
        metrics.lines().any(|line| line.starts_with("athena_mirror_peer_reachable") && line.ends_with(" 1"))
            && metrics
                .lines()
                .any(|line| line.starts_with("athena_mirror_peer_queued") && line.ends_with(" 0"))
    });
    assert_eq!(other.get("/ath/status/phys/?h=web-1").0, 404);
}

const FARM_MARK: &str = "[farms.farm_one]\n";
