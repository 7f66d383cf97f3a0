//! Resolvers between a client and Athena: what comes through, what they keep, what they ask.

use std::net::SocketAddr;
use std::process::Command;

use hickory_proto::rr::RecordType;

use super::Place;
use super::spy::Spy;
use crate::harness::{Athena, Backends, Program, until};

/// One that runs, with a spy between it and Athena.
struct Resolver {
    _program: Program,
    address: SocketAddr,
    spy: Spy,
    athena: Athena,
    _backends: Backends,
    _place: Place,
}

impl Resolver {
    fn start(name: &'static str, file: &str, port: u16, arguments: &[&str]) -> Self {
        let place = Place::new();
        let backends = Backends::start(3);
        let config = backends.farm("round-robin", "expect_update = \"1h\"\nlast_resort = \"none\"");
        let athena = Athena::start(&config);
        (1..=3).for_each(|index| {
            athena.tell(&format!("/ath/update/phys/?h=app0{index},l=0"));
        });
        let spy = Spy::start(place.at(5300), athena.dns);
        let file = place.fill("resolvers", &[file], place.at(5300), backends.port);
        let program = Program::start(name, &[arguments, &[&file]].concat(), place.folder(), "TERM");
        let address = place.at(port);
        let resolver = Self { _program: program, address, spy, athena, _backends: backends, _place: place };
        until(&format!("{name} answers"), || resolver.dig(&["ns1.athena", "A"]).contains("127.0.0.1"));
        resolver.spy.forget();
        resolver
    }

    /// What dig says.
    fn dig(&self, question: &[&str]) -> String {
        let (ip, port) = (format!("@{}", self.address.ip()), self.address.port().to_string());
        let output = Command::new("dig")
            .args([ip.as_str(), "-p", &port, "+tries=1", "+noall", "+answer", "+comments", "+additional"])
            .args(question)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The farm's address 30 times, in turn and with TTL 0; each question reached Athena.
    fn passes_every_question_on(&self) {
        let mut seen = [0; 3];
        for _ in 0..30 {
            let answer = self.dig(&["farm_one.athena", "A"]);
            let record = answer.lines().find(|line| line.starts_with("farm_one.athena.")).unwrap();
            let fields: Vec<&str> = record.split_whitespace().collect();
            let ["farm_one.athena.", "0", "IN", "A", address] = fields[..] else { panic!("{record}") };
            let index: usize = address.strip_prefix("127.0.1.").unwrap().parse().unwrap();
            seen[index - 1] += 1;
        }
        assert_eq!(seen, [10; 3]);
        let asked = self.spy.asked();
        let of_farm =
            asked.iter().filter(|asked| asked.name == "farm_one.athena." && asked.kind == RecordType::A);
        assert_eq!(of_farm.count(), 30, "{asked:?}");
    }

    /// Names below the farm, what it does not have, names that are not there, and a state that changed a moment ago.
    fn passes_the_rest_on(&self) {
        assert!(self.dig(&["x.y.farm_one.athena", "A"]).contains("127.0.1."));
        let none = self.dig(&["farm_one.athena", "AAAA"]);
        assert!(none.contains("status: NOERROR") && none.contains("ANSWER: 0"), "{none}");
        let missing = self.dig(&["missing.athena", "A"]);
        assert!(missing.contains("status: NXDOMAIN"), "{missing}");
        let slots = self.dig(&["_http._tcp.farm_one.athena", "SRV"]);
        assert_eq!(slots.matches(" 65280 ").count(), 3, "{slots}");
        self.athena.tell("/ath/update/phys/?h=app01,s=off;h=app02,s=off");
        for _ in 0..6 {
            let answer = self.dig(&["farm_one.athena", "A"]);
            assert!(answer.contains("127.0.1.3"), "{answer}");
        }
        self.athena.tell("/ath/update/phys/?h=app03,s=off");
        let nobody = self.dig(&["farm_one.athena", "A"]);
        assert!(nobody.contains("status: SERVFAIL"), "{nobody}");
    }
}

#[test]
fn dnsmasq() {
    let dnsmasq = Resolver::start("dnsmasq", "dnsmasq.conf", 5301, &["-C"]);
    dnsmasq.passes_every_question_on();
    dnsmasq.passes_the_rest_on();
}

#[test]
fn unbound() {
    let unbound = Resolver::start("unbound", "unbound.conf", 5302, &["-d", "-c"]);
    unbound.passes_every_question_on();
    unbound.passes_the_rest_on();
}
