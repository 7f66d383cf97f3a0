//! IPv6 from end to end: backends, Athena's address, and the proxies' questions, in a network of the test's own.

use std::process::Command;

use hickory_proto::rr::RecordType;

use super::haproxy::slots;
use super::{Place, Proxy, counts};
use crate::harness::{Athena, Backends, get_with, until};

/// Addresses of the backends, and then Athena's.
const ADDRESSES: [&str; 4] = ["fd77::1", "fd77::2", "fd77::3", "fd77::53"];
const INSIDE: &str = "ATHENA_TEST_IPV6";

/// Runs a test of this file where there are these addresses and no others.
fn run_inside(test: &str) {
    let add = ADDRESSES.map(|address| format!("ip -6 address add {address}/128 dev lo nodad"));
    let script = format!("ip link set lo up && {} && exec \"$@\"", add.join(" && "));
    let told = Command::new("unshare")
        .args(["--net", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "yes")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// Three backends, Athena, and an example's file with these changes to it.
fn start(
    proxy: &'static str,
    file: &str,
    changes: &[[&str; 2]],
    arguments: &[&str],
) -> (Proxy, Athena, Backends) {
    let backends =
        Backends::start_at(ADDRESSES[..3].iter().map(|address| address.parse().unwrap()).collect());
    let config = format!("dns.listen = [\"[{}]:0\"]\n{}", ADDRESSES[3], backends.farm("round-robin", ""));
    let athena = Athena::start(&config);
    let place = Place::new();
    let file = place.fill(proxy, &[file], athena.dns, backends.port);
    let mut text = std::fs::read_to_string(&file).unwrap();
    for [from, to] in changes {
        assert!(text.contains(from), "{proxy} has no {from}");
        text = text.replace(from, to);
    }
    std::fs::write(&file, text).unwrap();
    (Proxy::start(place, proxy, &[arguments, &[&file]].concat(), "TERM"), athena, backends)
}

fn serves(proxy: &Proxy, mut backends: Backends) {
    assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
    let owner = proxy.owner("farm=anna");
    assert_eq!(proxy.owner("farm=anna"), owner, "sticky");
    // A second try, on one of the others.
    backends.stop(2);
    for _ in 0..9 {
        let response = get_with(proxy.place.web(), "/", "Host: www.example.com\r\n");
        assert!(response.status == 200 && response.body != "app02\n", "{}", response.body);
    }
}

#[test]
fn nginx_reaches_backends_of_ipv6_alone() {
    run_inside("proxies::ipv6::nginx_inside");
}

#[test]
#[ignore = "a child of the test above"]
fn nginx_inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let changes = [[" ipv6=off;", ";"]];
    let (proxy, athena, backends) = start("nginx", "nginx.conf", &changes, &["-c"]);
    assert!(athena.addresses("farm_one.athena.").is_empty(), "no A");
    assert_eq!(athena.ask("farm_one.athena.", RecordType::AAAA).answers.len(), 1);
    serves(&proxy, backends);
}

#[test]
fn haproxy_reaches_backends_of_ipv6_alone() {
    run_inside("proxies::ipv6::haproxy_inside");
}

#[test]
#[ignore = "a child of the test above"]
fn haproxy_inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let changes = [["athena,ipv4", "athena,ipv6"], ["resolve-prefer ipv4", "resolve-prefer ipv6"]];
    let (proxy, _athena, backends) = start("haproxy", "haproxy.cfg", &changes, &["-db", "-f"]);
    until("HAProxy has its slots", || slots(&proxy).len() == 3);
    serves(&proxy, backends);
}
