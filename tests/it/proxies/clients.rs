//! The same proxies with other settings than the examples': what a user may have, and what Athena's answers must bear.

use std::net::SocketAddr;
use std::process::Command;

use hickory_proto::rr::RecordType;

use super::haproxy::slots;
use super::{Kind, Place, Proxy, Story, counts};
use crate::harness::{Athena, Backends, until};

/// Fills the example in with something else in one place.
fn fill(
    place: &Place,
    example: &str,
    file: &str,
    dns: SocketAddr,
    backends: &Backends,
    change: [&str; 2],
) -> String {
    let file = place.fill(example, &[file], dns, backends.port);
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace(change[0], change[1]);
    assert_ne!(changed, text, "{example} has no {}", change[0]);
    std::fs::write(&file, changed).unwrap();
    file
}

fn haproxy(place: Place, dns: SocketAddr, backends: &Backends, change: [&str; 2]) -> Proxy {
    let file = fill(&place, "haproxy", "haproxy.cfg", dns, backends, change);
    Proxy::start(place, "haproxy", &["-db", "-f", &file], "TERM")
}

/// HAProxy keeps one connection and sends its queries down it without waiting.
#[test]
fn haproxy_over_tcp() {
    fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
        haproxy(place, dns, backends, ["nameserver one ", "nameserver one tcp@"])
    }
    let Story { proxy, .. } = &Kind { port: 5300, start }.story(3, "round-robin", "");
    assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
    until("HAProxy has its slots", || slots(proxy).len() == 3);
}

/// With its default of 512 octets HAProxy gets as many slots as fit, and not none.
#[test]
fn haproxy_with_small_answers() {
    fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
        haproxy(place, dns, backends, ["accepted_payload_size 8192", "accepted_payload_size 512"])
    }
    let Story { proxy, .. } = &Kind { port: 5300, start }.story(16, "round-robin", "");
    until("HAProxy has as many slots as fit", || slots(proxy).len() >= 11);
}

/// Caddy 2.6 asks over TCP unless it is told not to, on a new connection each time.
#[test]
fn caddy_over_tcp() {
    fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
        let file = fill(&place, "caddy", "Caddyfile", dns, backends, ["resolvers udp/", "resolvers "]);
        let home = format!("HOME={}", place.folder().display());
        Proxy::start(
            place,
            "env",
            &[&home, "caddy", "run", "--config", &file, "--adapter", "caddyfile"],
            "TERM",
        )
    }
    let Story { proxy, .. } = &Kind { port: 5300, start }.story(3, "round-robin", "");
    assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
}

/// nginx knows no EDNS: forty addresses do not fit its 512 octets, and it comes back over TCP.
#[test]
fn nginx_comes_back_over_tcp() {
    fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
        let change = ["$labels.farm_one.athena", "$labels.farm_one.all.athena"];
        let file = fill(&place, "nginx", "nginx.conf", dns, backends, change);
        let folder = place.folder().to_str().unwrap().to_owned();
        Proxy::start(place, "nginx", &["-p", &folder, "-c", &file], "QUIT")
    }
    let Story { proxy, athena, .. } = &Kind { port: 5300, start }.story(40, "round-robin", "");
    assert_eq!(proxy.spread(3), counts(&[("app01", 3)]), "nginx keeps the order of an answer that is new");
    let metrics = athena.tell("/metrics");
    let over_tcp =
        metrics.lines().find(|line| line.starts_with("athena_dns_messages_total{transport=\"tcp\"}"));
    assert_eq!(over_tcp.and_then(|line| line.split(' ').next_back()), Some("3"), "{metrics}");
}

/// What dig and kdig make of a farm as a service.
#[test]
fn services_as_people_see_them() {
    let backends = Backends::start(2);
    let athena = Athena::start(&backends.farm("round-robin", ""));
    let port = backends.port;
    for program in ["dig", "kdig"] {
        let ask = |name: &str, kind: &str| {
            let output = Command::new(program)
                .args(["@127.0.0.1", "-p", &athena.dns.port().to_string(), "+short", name, kind])
                .output()
                .unwrap();
            let mut lines: Vec<String> =
                String::from_utf8(output.stdout).unwrap().trim().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let srv = |index| format!("0 65280 {port} app0{index}.phys.athena.");
        assert_eq!(ask("_http._tcp.farm_one.athena", "SRV"), [srv(1), srv(2)]);
        assert_eq!(ask("app02.phys.athena", "A"), ["127.0.1.2"]);
        assert_eq!(ask("farm_one.all.athena", "A"), ["127.0.1.1", "127.0.1.2"]);
        assert_eq!(ask("x.farm_one.spares.athena", "A"), ["127.0.1.1", "127.0.1.2"]);
        let https = format!("1 app01.phys.athena. port={port} ipv4hint=127.0.1.1");
        for kind in ["HTTPS", "SVCB"] {
            assert_eq!(
                ask("farm_one.athena", kind),
                [https.as_str()],
                "{program} {kind}, no choice: the turn does not move"
            );
        }
        assert_eq!(ask("farm_one.athena", "A").len(), 1);
        assert_eq!(ask("farm_one.athena", "A").len(), 1);
        assert!(ask("farm_one.athena", "AAAA").is_empty());
    }
    assert_eq!(athena.ask("farm_one.athena.", RecordType::SRV).answers.len(), 0);
}
