//! A real nginx that resolves through Athena and spreads real requests over real backends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{Athena, Backends, Program, free_port, get};

struct Nginx {
    address: SocketAddr,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// nginx with the example's configuration in front of these.
    fn start(athena: &Athena, backends: &Backends) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nginx/nginx.conf");
        let port = free_port("127.0.0.1");
        let dir = folder.path().to_str().unwrap();
        let text = std::fs::read_to_string(example)
            .unwrap()
            .replace("@DIR@", dir)
            .replace("@DNS@", &athena.dns.port().to_string())
            .replace("@HTTP@", &port.to_string())
            .replace("@BACKEND@", &backends.port.to_string());
        assert!(!text.contains("@@") && !text.contains("@DNS@"));
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let arguments = ["-p", dir, "-c", file.to_str().unwrap()];
        let mut program = Program::start("nginx", &arguments, folder.path(), "QUIT");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        program.await_listener(address);
        Self { address, _program: program, _folder: folder }
    }

    /// Sends so many requests, one after the other; gives how often each backend answered.
    fn spread(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        for _ in 0..requests {
            let response = get(self.address, "/", "www.example.com");
            assert_eq!(response.status, 200, "{}", response.body);
            *seen.entry(response.body.trim().to_owned()).or_default() += 1;
        }
        seen
    }
}

fn counts(spread: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    spread.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

#[test]
fn thirty_requests_over_three_backends_are_ten_each() {
    let backends = Backends::start(3);
    let athena = Athena::start(&backends.farm("round-robin", ""));
    let nginx = Nginx::start(&athena, &backends);
    assert_eq!(counts(&nginx.spread(30)), [("app01", 10), ("app02", 10), ("app03", 10)]);
}

#[test]
fn the_loaded_get_none_the_switched_off_get_none_and_the_survivor_gets_all() {
    let backends = Backends::start(3);
    let athena = Athena::start(&backends.farm("least-load", ""));
    let nginx = Nginx::start(&athena, &backends);

    athena.tell("/ath/update/phys/?h=app01,l=1000;h=app02,l=0;h=app03,l=0");
    assert_eq!(counts(&nginx.spread(30)), [("app02", 15), ("app03", 15)], "app01 is loaded");

    athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=0;h=app03,l=0");
    athena.tell("/ath/update/phys/?h=app02,s=off");
    assert_eq!(counts(&nginx.spread(30)), [("app01", 15), ("app03", 15)], "app02 is off");

    athena.tell("/ath/update/phys/?h=app03,v=down");
    assert_eq!(counts(&nginx.spread(30)), [("app01", 30)], "app01 survives");
}

#[test]
fn a_backend_that_refuses_connections_costs_no_request() {
    let backends = Backends::start(2);
    // A third member, where nobody listens: the example's second choice saves each of its requests.
    let config = backends
        .farm("round-robin", "")
        .replace("members = [\"app01\", \"app02\"]", "members = [\"app01\", \"app02\", \"dead\"]");
    let config = format!("{config}[backends.dead]\naddress = \"127.0.1.77\"\n");
    let athena = Athena::start(&config);
    let nginx = Nginx::start(&athena, &backends);
    let spread = nginx.spread(30);
    assert_eq!(spread.values().sum::<usize>(), 30, "{spread:?}");
    assert!(spread.len() == 2 && spread.values().all(|&count| count >= 10), "{spread:?}");
}
