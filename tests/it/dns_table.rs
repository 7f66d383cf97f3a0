//! Questions and their whole replies as text, in the form of zone files, with the counters that moved. No sockets: bytes in,
//! bytes out.
//!
//! A block is a line `> NAME TYPE [+flag …]`, the reply's RCODE and flags, `|`, the counters that moved by one, and then the
//! records, section by section. `times N` before a question asks it N times and shows the last reply only.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use athena::balance::plan::{BackendPlan, Fallback, FarmPlan, LastResort, UrlHost};
use athena::balance::random::SplitMix;
use athena::balance::statistics::{Amount, StatisticName};
use athena::balance::update::{Admin, BackendUpdate, FarmUpdate, Switch, WeightChange};
use athena::balance::{Engine, Moment, Name, Plan, Update, algorithm};
use athena::dns::{CookieOptions, Handler, Options, Transport, ZoneContent, Zones};
use athena::metrics::{DnsMetrics, Metrics};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{self, DNSClass, Record, RecordType};

/// An engine with zones and a handler over it.
pub struct Server {
    pub engine: Arc<Engine>,
    pub handler: Arc<Handler>,
    pub metrics: Arc<Metrics>,
    random: SplitMix,
    pub now: Moment,
    client: SocketAddr,
    id: u16,
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn backend(text: &str, addresses: &[&str], port: Option<u16>) -> BackendPlan {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    BackendPlan { port, ..BackendPlan::new(name(text), addresses) }
}

pub fn farm(text: &str, rule: &str, members: &[&str]) -> FarmPlan {
    FarmPlan::new(name(text), members.iter().map(|member| name(member)), algorithm::find(rule).unwrap())
}

/// Three backends, of which the third has both families, and farms over them.
pub fn plan() -> Plan {
    let backends = vec![
        backend("app01", &["10.0.0.1"], Some(8001)),
        backend("app02", &["10.0.0.2"], Some(8002)),
        backend("app03", &["10.0.0.3", "2001:db8::3"], Some(8003)),
        backend("bare", &["10.0.0.9"], None),
    ];
    let all = ["app01", "app02", "app03"];
    let farms = vec![
        farm("farm_one", "round-robin", &all),
        FarmPlan { ttl: 5, answers: 2, ..farm("pair", "failover", &all) },
        farm("keyed", "hash", &all),
        farm("noport", "failover", &["bare"]),
        farm("v4", "failover", &["app01", "app02"]),
        FarmPlan { fallback: vec![Fallback::Farm(name("v4"))], ..farm("backed", "failover", &["app03"]) },
    ];
    Plan { backends, farms }
}

impl Server {
    pub fn new(plan: Plan, zone: &str, options: Options) -> Self {
        let now = Moment::from_unix(Duration::from_secs(1_700_000_000));
        let engine = Arc::new(Engine::new(plan, now).unwrap());
        let apex = rr::Name::from_ascii("athena.").unwrap();
        let content = ZoneContent::parse(Path::new("test.zone"), zone, &apex);
        let content = content.unwrap_or_else(|errors| panic!("{errors:?}"));
        let zones = Zones::new(&[content], &engine.farms()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let metrics = Arc::new(Metrics::default());
        let handler = Handler::new(Arc::clone(&engine), zones, options, Arc::clone(&metrics)).unwrap();
        let handler = Arc::new(handler);
        let client = "192.0.2.1:5353".parse().unwrap();
        Self { engine, handler, metrics, random: SplitMix::new(1), now, client, id: 0 }
    }

    /// With the zone file that the product brings.
    pub fn usual() -> Self {
        Self::new(plan(), include_str!("../../zones/athena.zone"), Options::default())
    }

    pub fn from(mut self, client: &str) -> Self {
        self.client = client.parse().unwrap();
        self
    }

    /// The reply to a message, if there is one.
    pub fn ask(&mut self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut out = b"left over from before".to_vec();
        let replied =
            self.handler.respond(message, self.client, transport, self.now, &mut self.random, &mut out);
        replied.then_some(out)
    }

    /// Runs every block of a table.
    pub fn run(&mut self, table: &str) {
        for block in table.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            let mut lines = block.lines().map(str::trim).filter(|line| !line.starts_with(';')).peekable();
            let mut times = 1;
            if let Some(count) = lines.peek().and_then(|line| line.strip_prefix("times ")) {
                times = count.parse().unwrap();
                lines.next();
            }
            let question = lines.next().unwrap().strip_prefix("> ").unwrap();
            let expected: Vec<String> = lines.map(words).collect();
            for _ in 1..times {
                self.shown(question);
            }
            let got = self.shown(question);
            assert_eq!(expected.join("\n"), got, "\n> {question}");
        }
    }

    fn shown(&mut self, question: &str) -> String {
        let before = counters(&self.metrics.dns);
        // Each its own, not the one before once more.
        self.id += 1;
        let mut query = query(question);
        query[..2].copy_from_slice(&self.id.to_be_bytes());
        let transport = if question.contains("+tcp") { Transport::Tcp } else { Transport::Udp };
        let reply = self.ask(&query, transport).unwrap();
        let after = counters(&self.metrics.dns);
        let moved: Vec<_> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .map(|(_, after)| after)
            .collect();
        assert!(moved.iter().all(|(name, after)| before.iter().any(|b| b.0 == *name && b.1 + 1 == *after)));
        // What was asked stands there to the letter, whatever happened.
        let echoed = u16::from_be_bytes([reply[4], reply[5]]);
        if echoed == 1 {
            let end = 12 + query[12..].iter().position(|&octet| octet == 0).unwrap() + 5;
            assert_eq!(reply[12..end], query[12..end], "the question is echoed");
        }
        let moved: Vec<_> = moved.iter().map(|(name, _)| *name).collect();
        shown(&reply, &moved)
    }
}

/// A message for `NAME TYPE [+flag …]`.
pub fn query(question: &str) -> Vec<u8> {
    let mut parts = question.split_whitespace();
    let name = parts.next().unwrap();
    let kind: u16 = match parts.next().unwrap() {
        number if number.starts_with("TYPE") => number[4..].parse().unwrap(),
        "AXFR" => 252,
        word => word.parse::<RecordType>().unwrap().into(),
    };
    let (mut flags, mut class, mut opt, mut options) = ([0_u8; 2], 1_u16, None, Vec::new());
    for flag in parts {
        let (flag, value) = flag.split_once('=').unwrap_or((flag, ""));
        let mut option = |code: u16, octets: &[u8]| {
            options.extend(code.to_be_bytes());
            options.extend((octets.len() as u16).to_be_bytes());
            options.extend(octets);
        };
        let edns = opt.get_or_insert((1232_u16, 0_u8, 0_u8));
        match flag {
            "+edns" => edns.0 = value.parse().unwrap(),
            "+version" => edns.1 = value.parse().unwrap(),
            "+do" => edns.2 = 0x80,
            "+nsid" => option(3, b""),
            "+unknown" => option(65001, b"?"),
            "+cookie" => option(10, b"12345678"),
            "+ecs" => {
                let octets: Vec<u8> = value.split('.').map(|octet| octet.parse().unwrap()).collect();
                option(8, &[&[0, 1, octets.len() as u8 * 8, 0], &octets[..]].concat());
            }
            _ => {
                let untouched = *edns == (1232, 0, 0) && options.is_empty();
                match flag {
                    "+rd" => flags[0] |= 1,
                    "+cd" => flags[1] |= 0x10,
                    "+ad" => flags[1] |= 0x20,
                    "+z" => flags[1] |= 0x40,
                    "+opcode" => flags[0] |= value.parse::<u8>().unwrap() << 3,
                    "+class" => class = value.parse().unwrap(),
                    "+tcp" => {}
                    _ => panic!("{flag}?"),
                }
                if untouched {
                    opt = None;
                }
            }
        }
    }
    let mut message = vec![0x12, 0x34, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(class.to_be_bytes());
    if let Some((payload, version, flags)) = opt {
        message.extend([0, 0, 41]);
        message.extend(payload.to_be_bytes());
        message.extend([0, version, flags, 0]);
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
    }
    message
}

/// A reply as text.
fn shown(reply: &[u8], moved: &[&str]) -> String {
    let message = Message::from_vec(reply).unwrap();
    let metadata = &message.metadata;
    let mut text = code(metadata.response_code).to_owned();
    let bits = u16::from_be_bytes([reply[2], reply[3]]);
    for (bit, name) in [
        (0x8000, "qr"),
        (0x0400, "aa"),
        (0x0200, "tc"),
        (0x0100, "rd"),
        (0x0080, "ra"),
        (0x0040, "z"),
        (0x0020, "ad"),
        (0x0010, "cd"),
    ] {
        if bits & bit != 0 {
            write!(text, " {name}").unwrap();
        }
    }
    write!(text, " | {}", moved.join(" ")).unwrap();
    let sections =
        [("", &message.answers), ("authority ", &message.authorities), ("additional ", &message.additionals)];
    for (section, records) in sections {
        for record in records {
            write!(text, "\n{section}{}", record_text(record)).unwrap();
        }
    }
    if let Some(edns) = &message.edns {
        write!(text, "\nopt {}", edns.max_payload()).unwrap();
        if edns.flags().dnssec_ok {
            text.push_str(" do");
        }
        for (code, option) in edns.options().as_ref() {
            let octets = Vec::<u8>::try_from(option).unwrap();
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            write!(text, " {}={hex}", u16::from(*code)).unwrap();
        }
        // It is the last record of the message.
        let length =
            edns.options().as_ref().iter().map(|(_, option)| 4 + usize::from(option.len())).sum::<usize>();
        assert_eq!(reply[reply.len() - 11 - length..][..3], [0, 0, 41]);
    }
    text
}

fn code(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        // One number, two names.
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        other => other.to_str(),
    }
}

fn record_text(record: &Record) -> String {
    let class =
        if record.dns_class == DNSClass::IN { String::new() } else { format!("{} ", record.dns_class) };
    words(&format!("{} {} {class}{} {}", record.name, record.ttl, record.record_type(), record.data))
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn counters(metrics: &DnsMetrics) -> Vec<(&'static str, u64)> {
    let all = [
        ("udp", &metrics.udp),
        ("tcp", &metrics.tcp),
        ("dropped", &metrics.dropped),
        ("answered", &metrics.answered),
        ("nodata", &metrics.nodata),
        ("referral", &metrics.referral),
        ("nxdomain", &metrics.nxdomain),
        ("refused", &metrics.refused),
        ("servfail", &metrics.servfail),
        ("formerr", &metrics.formerr),
        ("notimp", &metrics.notimp),
        ("badvers", &metrics.badvers),
        ("badcookie", &metrics.badcookie),
        ("truncated", &metrics.truncated),
        ("cookie_valid", &metrics.cookie_valid),
        ("cookie_invalid", &metrics.cookie_invalid),
        ("send_failed", &metrics.send_failed),
    ];
    all.iter().map(|(name, counter)| (*name, counter.get())).collect()
}

const SOA: &str = "athena. 1 SOA ns1.athena. hostmaster.athena. 1 3600 600 86400 1";

fn soa(table: &str) -> String {
    table.replace("SOA!", &format!("authority {SOA}"))
}

#[test]
fn what_the_zone_file_holds() {
    Server::usual().run(&soa("
        > athena. SOA
        NOERROR qr aa | udp answered
        athena. 1 SOA ns1.athena. hostmaster.athena. 1 3600 600 86400 1

        > ATHENA. NS +rd
        NOERROR qr aa rd | udp answered
        ATHENA. 3600 NS ns1.athena.
        ATHENA. 3600 NS ns2.athena.
        additional ns1.athena. 3600 A 127.0.0.1
        additional ns1.athena. 3600 AAAA ::1
        additional ns2.athena. 3600 A 127.0.0.2

        > www.athena. A
        NOERROR qr aa | udp answered
        www.athena. 3600 CNAME host.athena.
        host.athena. 3600 A 192.0.2.10

        > www.athena. CNAME
        NOERROR qr aa | udp answered
        www.athena. 3600 CNAME host.athena.

        > www.athena. MX
        NOERROR qr aa | udp nodata
        www.athena. 3600 CNAME host.athena.
        SOA!

        > host.athena. MX
        NOERROR qr aa | udp nodata
        SOA!

        > nobody.athena. A
        NXDOMAIN qr aa | udp nxdomain
        SOA!

        ; wildcards (RFC 4592)
        > Deep.any.sites.athena. A
        NOERROR qr aa | udp answered
        Deep.any.sites.athena. 3600 A 192.0.2.20

        > one.sites.athena. A
        NOERROR qr aa | udp answered
        one.sites.athena. 3600 A 192.0.2.21

        > x.one.sites.athena. A
        NXDOMAIN qr aa | udp nxdomain
        SOA!

        > x.sites.athena. AAAA
        NOERROR qr aa | udp nodata
        SOA!

        > sites.athena. A
        NOERROR qr aa | udp nodata
        SOA!

        ; delegation
        > lab.athena. NS
        NOERROR qr | udp referral
        authority lab.athena. 3600 NS ns.lab.athena.
        authority lab.athena. 3600 NS ns1.athena.
        additional ns.lab.athena. 3600 A 192.0.2.53
        additional ns1.athena. 3600 A 127.0.0.1
        additional ns1.athena. 3600 AAAA ::1

        > a.ns.LAB.athena. A
        NOERROR qr | udp referral
        authority LAB.athena. 3600 NS ns.lab.athena.
        authority LAB.athena. 3600 NS ns1.athena.
        additional ns.lab.athena. 3600 A 192.0.2.53
        additional ns1.athena. 3600 A 127.0.0.1
        additional ns1.athena. 3600 AAAA ::1

        > lab.athena. DS
        NOERROR qr aa | udp nodata
        SOA!

        ; outside
        > example.com. A
        REFUSED qr | udp refused

        > . NS
        REFUSED qr | udp refused
    "));
}

#[test]
fn a_farm_is_a_choice_under_any_label() {
    Server::usual().run(&soa("
        > farm_one.athena. A
        NOERROR qr aa | udp answered
        farm_one.athena. 0 A 10.0.0.1

        > Farm_ONE.Athena. A
        NOERROR qr aa | udp answered
        Farm_ONE.Athena. 0 A 10.0.0.2

        > 6f4a1c80ff.farm_one.athena. A
        NOERROR qr aa | udp answered
        6f4a1c80ff.farm_one.athena. 0 A 10.0.0.3

        > again.a.B.c.farm_one.athena. A
        NOERROR qr aa | udp answered
        again.a.B.c.farm_one.athena. 0 A 10.0.0.1

        ; what is no choice moves nothing: the next one is app02's turn
        > v4.athena. AAAA
        NOERROR qr aa | udp nodata
        SOA!

        > farm_one.athena. TXT
        NOERROR qr aa | udp nodata
        SOA!

        > farm_one.athena. SRV
        NOERROR qr aa | udp nodata
        SOA!

        > _tcp.farm_one.athena. A
        NOERROR qr aa | udp nodata
        SOA!

        > farm_one.athena. TYPE65280
        NOERROR qr aa | udp nodata
        SOA!

        > farm_one.athena. ANY
        NOERROR qr aa | udp answered
        farm_one.athena. 3600 HINFO RFC8482

        > farm_one.all.athena. A
        NOERROR qr aa | udp answered
        farm_one.all.athena. 0 A 10.0.0.1
        farm_one.all.athena. 0 A 10.0.0.2
        farm_one.all.athena. 0 A 10.0.0.3

        > farm_one.all.athena. AAAA
        NOERROR qr aa | udp answered
        farm_one.all.athena. 0 AAAA 2001:db8::3

        > farm_one.spares.athena. A
        NOERROR qr aa | udp answered
        farm_one.spares.athena. 0 A 10.0.0.2
        farm_one.spares.athena. 0 A 10.0.0.3
        farm_one.spares.athena. 0 A 10.0.0.1

        > farm_one.athena. AAAA
        NOERROR qr aa | udp answered
        farm_one.athena. 0 AAAA 2001:db8::3

        > pair.athena. A
        NOERROR qr aa | udp answered
        pair.athena. 5 A 10.0.0.1
        pair.athena. 5 A 10.0.0.2

        > nofarm.spares.athena. A
        NXDOMAIN qr aa | udp nxdomain
        SOA!

        > spares.athena. A
        NOERROR qr aa | udp nodata
        SOA!

        > phys.athena. A
        NOERROR qr aa | udp nodata
        SOA!

        > app03.phys.athena. AAAA
        NOERROR qr aa | udp answered
        app03.phys.athena. 30 AAAA 2001:db8::3

        > APP01.phys.athena. A
        NOERROR qr aa | udp answered
        APP01.phys.athena. 30 A 10.0.0.1

        > app01.phys.athena. AAAA
        NOERROR qr aa | udp nodata
        SOA!

        > app09.phys.athena. A
        NXDOMAIN qr aa | udp nxdomain
        SOA!

        > x.app01.phys.athena. A
        NXDOMAIN qr aa | udp nxdomain
        SOA!
    "));
}

#[test]
fn a_key_keeps_its_member_in_both_families_and_any_case() {
    let mut server = Server::usual();
    let chosen = |server: &mut Server, question: &str| {
        let reply = server.ask(&query(question), Transport::Udp).unwrap();
        Message::from_vec(&reply).unwrap().answers[0].data.to_string()
    };
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..12 {
        let first = chosen(&mut server, &format!("user{user}.x.keyed.athena. A"));
        assert_eq!(first, chosen(&mut server, &format!("USER{user}.X.keyed.athena. A")));
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "twelve keys reach everybody");
}

#[test]
fn services_tell_shares_and_ports() {
    let mut server = Server::usual();
    server.run(&soa("
        > _http._tcp.farm_one.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.farm_one.athena. 0 SRV 0 65280 8001 app01.phys.athena.
        _http._tcp.farm_one.athena. 0 SRV 0 65280 8002 app02.phys.athena.
        _http._tcp.farm_one.athena. 0 SRV 0 65280 8003 app03.phys.athena.
        additional app01.phys.athena. 30 A 10.0.0.1
        additional app02.phys.athena. 30 A 10.0.0.2
        additional app03.phys.athena. 30 A 10.0.0.3
        additional app03.phys.athena. 30 AAAA 2001:db8::3

        > _http._tcp.farm_one.athena. A
        NOERROR qr aa | udp nodata
        SOA!

        > _http._tcp.noport.athena. SRV
        NOERROR qr aa | udp nodata
        SOA!

        > _http._tcp.backed.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.backed.athena. 0 SRV 0 65280 8003 app03.phys.athena.
        _http._tcp.backed.athena. 0 SRV 1 65280 8001 app01.phys.athena.
        _http._tcp.backed.athena. 0 SRV 1 256 8002 app02.phys.athena.
        additional app03.phys.athena. 30 A 10.0.0.3
        additional app03.phys.athena. 30 AAAA 2001:db8::3
        additional app01.phys.athena. 30 A 10.0.0.1
        additional app02.phys.athena. 30 A 10.0.0.2

        > farm_one.athena. HTTPS
        NOERROR qr aa | udp answered
        farm_one.athena. 0 HTTPS 1 app01.phys.athena. port=8001 ipv4hint=10.0.0.1,
        additional app01.phys.athena. 30 A 10.0.0.1

        > backed.athena. SVCB
        NOERROR qr aa | udp answered
        backed.athena. 0 SVCB 1 app03.phys.athena. port=8003 ipv4hint=10.0.0.3, ipv6hint=2001:db8::3,
        additional app03.phys.athena. 30 A 10.0.0.3
        additional app03.phys.athena. 30 AAAA 2001:db8::3

        ; neither was a choice
        > farm_one.athena. A
        NOERROR qr aa | udp answered
        farm_one.athena. 0 A 10.0.0.1
    "));
    let set = |server: &Server, who: &str, weight: Option<f64>, admin: Option<Admin>| {
        let weight = weight.map(WeightChange::Override);
        let update = BackendUpdate { weight, admin, ..BackendUpdate::new(name(who)) };
        server.engine.apply(&[Update::Backend(update)], server.now).unwrap();
    };
    // A drained member is left out; half the weight is half the steps, and a little less of it is told as before.
    set(&server, "app01", Some(0.5), None);
    set(&server, "app02", None, Some(Admin::Drain));
    for weight in [0.5, 0.47, 0.53] {
        set(&server, "app01", Some(weight), None);
        server.run(
            "
            > _http._tcp.farm_one.athena. SRV +tcp
            NOERROR qr aa | tcp answered
            _http._tcp.farm_one.athena. 0 SRV 0 32768 8001 app01.phys.athena.
            _http._tcp.farm_one.athena. 0 SRV 0 65280 8003 app03.phys.athena.
            additional app01.phys.athena. 30 A 10.0.0.1
            additional app03.phys.athena. 30 A 10.0.0.3
            additional app03.phys.athena. 30 AAAA 2001:db8::3
        ",
        );
    }
    set(&server, "app01", Some(0.25), None);
    server.run(
        "
        > _http._tcp.farm_one.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.farm_one.athena. 0 SRV 0 16384 8001 app01.phys.athena.
        _http._tcp.farm_one.athena. 0 SRV 0 65280 8003 app03.phys.athena.
        additional app01.phys.athena. 30 A 10.0.0.1
        additional app03.phys.athena. 30 A 10.0.0.3
        additional app03.phys.athena. 30 AAAA 2001:db8::3
    ",
    );
}

#[test]
fn when_nobody_is_left_the_fallback_answers() {
    let empty = |text: &str, fallback: Vec<Fallback>| FarmPlan {
        fallback,
        last_resort: LastResort::None,
        ..farm(text, "failover", &["gone"])
    };
    let url = |text: &str, host| Fallback::Url { text: text.to_owned(), host };
    let address = "192.0.2.99".parse().unwrap();
    let mut plan = plan();
    plan.backends.push(backend("gone", &["10.0.0.7"], Some(80)));
    plan.farms.extend([
        empty("lost", vec![]),
        empty("tofarm", vec![Fallback::Farm(name("v4"))]),
        empty("toaddress", vec![Fallback::Address(address, Some(8080))]),
        empty("tohost", vec![Fallback::Host("sorry.athena".to_owned(), Some(80))]),
        empty("abroad", vec![url("http://sorry.example/x", UrlHost::Name("sorry.example".to_owned()))]),
        empty("tourl", vec![url("http://192.0.2.99/", UrlHost::Address(address))]),
    ]);
    let mut server = Server::new(plan, include_str!("../../zones/athena.zone"), Options::default());
    let off = BackendUpdate { admin: Some(Admin::Off), ..BackendUpdate::new(name("gone")) };
    server.engine.apply(&[Update::Backend(off)], server.now).unwrap();
    server.run(&soa("
        > lost.athena. A
        SERVFAIL qr | udp servfail

        ; a type that the farm never has is no failure
        > lost.athena. AAAA
        NOERROR qr aa | udp nodata
        SOA!

        > _http._tcp.lost.athena. SRV
        SERVFAIL qr | udp servfail

        ; whatever its state
        > gone.phys.athena. A
        NOERROR qr aa | udp answered
        gone.phys.athena. 30 A 10.0.0.7

        > tofarm.athena. A
        NOERROR qr aa | udp answered
        tofarm.athena. 0 A 10.0.0.1

        > tofarm.all.athena. A
        NOERROR qr aa | udp answered
        tofarm.all.athena. 0 A 10.0.0.1
        tofarm.all.athena. 0 A 10.0.0.2

        > _http._tcp.tofarm.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.tofarm.athena. 0 SRV 1 65280 8001 app01.phys.athena.
        _http._tcp.tofarm.athena. 0 SRV 1 256 8002 app02.phys.athena.
        additional app01.phys.athena. 30 A 10.0.0.1
        additional app02.phys.athena. 30 A 10.0.0.2

        > toaddress.athena. A
        NOERROR qr aa | udp answered
        toaddress.athena. 0 A 192.0.2.99

        > toaddress.athena. AAAA
        NOERROR qr aa | udp nodata
        SOA!

        > _http._tcp.toaddress.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.toaddress.athena. 0 SRV 1 256 8080 toaddress.athena.
        additional toaddress.athena. 0 A 192.0.2.99

        > toaddress.athena. HTTPS
        NOERROR qr aa | udp answered
        toaddress.athena. 0 HTTPS 1 . port=8080 ipv4hint=192.0.2.99,

        > label.tohost.athena. A
        NOERROR qr aa | udp answered
        label.tohost.athena. 0 CNAME sorry.athena.
        sorry.athena. 10 A 192.0.2.80

        > abroad.athena. A
        NOERROR qr aa | udp answered
        abroad.athena. 0 CNAME sorry.example.

        > tourl.athena. A
        NOERROR qr aa | udp answered
        tourl.athena. 0 A 192.0.2.99
    "));
    let answers = server.engine.farm("toaddress").unwrap().answers();
    assert_eq!(answers, 1, "only the one that was answered with an address was a choice");
}

#[test]
fn a_farm_that_is_switched_off_falls_back_and_srv_follows() {
    let mut server = Server::usual();
    let off = FarmUpdate { farm: name("backed"), switch: Some(Switch::Off) };
    server.engine.apply(&[Update::Farm(off)], server.now).unwrap();
    server.run(
        "
        > backed.athena. A
        NOERROR qr aa | udp answered
        backed.athena. 0 A 10.0.0.1

        > _http._tcp.backed.athena. SRV
        NOERROR qr aa | udp answered
        _http._tcp.backed.athena. 0 SRV 1 65280 8001 app01.phys.athena.
        _http._tcp.backed.athena. 0 SRV 1 256 8002 app02.phys.athena.
        additional app01.phys.athena. 30 A 10.0.0.1
        additional app02.phys.athena. 30 A 10.0.0.2
    ",
    );
}

#[test]
fn an_explanation_is_given_to_who_may_ask_and_moves_nothing() {
    let options = Options { explain: true, ..Options::default() };
    let mut plan = plan();
    plan.farms.push(farm("least", "least-load", &["app01", "app02", "app03"]));
    let mut server = Server::new(plan, include_str!("../../zones/athena.zone"), options);
    let mut report = BackendUpdate::new(name("app02"));
    report.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(0.5))];
    let off = BackendUpdate { admin: Some(Admin::Off), ..BackendUpdate::new(name("app03")) };
    let mut high = BackendUpdate::new(name("app01"));
    high.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(7.0))];
    let updates = [report, off, high].map(Update::Backend);
    server.engine.apply(&updates, server.now).unwrap();
    let reply = server.ask(&query("least.athena. TXT"), Transport::Udp).unwrap();
    let message = Message::from_vec(&reply).unwrap();
    let rr::RData::TXT(texts) = &message.answers[0].data else { panic!("{message:?}") };
    let texts: Vec<_> =
        texts.txt_data.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    assert_eq!(texts[..4], ["choice: app02 10.0.0.2", "rule: least-load", "source: members", "load: l"]);
    assert!(texts[4].starts_with("app02: load 0.5, weight 1, share "), "{texts:?}");
    assert!(texts[5].starts_with("app01: load 7, weight 1, share "), "{texts:?}");
    assert_eq!(texts[6], "app03: not available, off");
    assert_eq!(server.engine.farm("least").unwrap().answers(), 0);
}

#[test]
fn an_explanation_tells_what_a_rule_that_learns_believes() {
    let options = Options { explain: true, ..Options::default() };
    let mut plan = plan();
    plan.farms.push(farm("learns", "adaptive", &["app01", "app02"]));
    let mut server = Server::new(plan, include_str!("../../zones/athena.zone"), options);
    let mut report = BackendUpdate::new(name("app02"));
    report.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(0.5))];
    server.engine.apply(&[Update::Backend(report)], server.now).unwrap();
    let reply = server.ask(&query("learns.athena. TXT"), Transport::Udp).unwrap();
    let message = Message::from_vec(&reply).unwrap();
    let rr::RData::TXT(texts) = &message.answers[0].data else { panic!("{message:?}") };
    let believed = |name: &str| {
        let text = texts.txt_data.iter().map(|text| String::from_utf8_lossy(text).into_owned());
        text.into_iter().find(|text| text.starts_with(name)).expect("every member is told")
    };
    assert_eq!(
        believed("app02"),
        "app02: load 0.5, weight 1, share 0.500, believed load 0.500, capacity not known yet"
    );
    assert!(believed("app01").contains("believed load 0.000"), "one alone says nothing of the others");
}

#[test]
fn the_protocol_by_its_corners() {
    Server::usual().run(&soa("
        > farm_one.athena. A +rd +cd +ad +z
        NOERROR qr aa rd cd | udp answered
        farm_one.athena. 0 A 10.0.0.1

        > farm_one.athena. A +opcode=4 +rd
        NOTIMP qr rd | udp notimp

        > farm_one.athena. A +opcode=5
        NOTIMP qr | udp notimp

        > athena. AXFR +tcp
        REFUSED qr | tcp refused

        > athena. TYPE251
        REFUSED qr | udp refused

        > farm_one.athena. A +class=4
        REFUSED qr | udp refused

        > farm_one.athena. A +class=255
        REFUSED qr | udp refused

        > version.bind. TXT +class=3
        REFUSED qr | udp refused

        > athena. ANY
        NOERROR qr aa | udp answered
        athena. 3600 HINFO RFC8482

        > lab.athena. ANY
        NOERROR qr | udp referral
        authority lab.athena. 3600 NS ns.lab.athena.
        authority lab.athena. 3600 NS ns1.athena.
        additional ns.lab.athena. 3600 A 192.0.2.53
        additional ns1.athena. 3600 A 127.0.0.1
        additional ns1.athena. 3600 AAAA ::1
    "));
    let options = Options {
        version: Some("Athena".to_owned()),
        server_id: Some("ath1".to_owned()),
        nsid: Some(b"ath1".to_vec()),
        ..Options::default()
    };
    let zone = include_str!("../../zones/athena.zone");
    Server::new(plan(), zone, options).run(&soa("
        > VERSION.bind. TXT +class=3
        NOERROR qr aa | udp answered
        VERSION.bind. 0 CH TXT Athena

        > hostname.bind. TXT +class=3
        NOERROR qr aa | udp answered
        hostname.bind. 0 CH TXT ath1

        > id.server. A +class=3
        NOERROR qr aa | udp nodata

        > authors.bind. TXT +class=3
        REFUSED qr | udp refused

        > v4.athena. A +nsid
        NOERROR qr aa | udp answered
        v4.athena. 0 A 10.0.0.1
        opt 1232 3=61746831
    "));
}

#[test]
fn edns_is_answered_only_when_it_is_asked() {
    Server::usual().run(&soa("
        > v4.athena. A +edns=4096
        NOERROR qr aa | udp answered
        v4.athena. 0 A 10.0.0.1
        opt 1232

        > v4.athena. AAAA +do
        NOERROR qr aa | udp nodata
        SOA!
        opt 1232 do

        > v4.athena. A +version=1 +cookie
        BADVERS qr | udp badvers
        opt 1232

        > v4.athena. A +unknown +nsid +ecs=10.1
        NOERROR qr aa | udp answered
        v4.athena. 0 A 10.0.0.1
        opt 1232

        > example.com. A +do
        REFUSED qr | udp refused
        opt 1232 do
    "));
}

#[test]
fn cookies_prove_the_client() {
    let cookies = CookieOptions { enabled: true, secrets: vec![[7; 16]] };
    let zone = include_str!("../../zones/athena.zone");
    let mut server = Server::new(plan(), zone, Options { cookies, ..Options::default() });
    let ask = |server: &mut Server, query: &[u8]| {
        let before = counters(&server.metrics.dns);
        let reply = server.ask(query, Transport::Udp).unwrap();
        let after = counters(&server.metrics.dns);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        (reply, moved.map(|(_, after)| after.0).collect::<Vec<_>>())
    };
    let mut first = query("v4.athena. A +cookie");
    let (reply, moved) = ask(&mut server, &first);
    assert_eq!(moved, ["udp", "answered", "cookie_invalid"]);
    let cookie = reply[reply.len() - 24..].to_vec();
    assert_eq!(cookie[..8], *b"12345678");
    // Sent back, it holds, and comes back as it is.
    let length = first.len();
    first.truncate(length - 8);
    first[length - 8 - 6..].copy_from_slice(&[0, 28, 0, 10, 0, 24]);
    first.extend(&cookie);
    let (reply, moved) = ask(&mut server, &first);
    assert_eq!(moved, ["udp", "answered", "cookie_valid"]);
    assert_eq!(reply[reply.len() - 24..], cookie);
    // Another client's is not honoured, but its query is answered.
    let mut server = server.from("192.0.2.2:53");
    let (reply, moved) = ask(&mut server, &first);
    assert_eq!(moved, ["udp", "answered", "cookie_invalid"]);
    assert_ne!(reply[reply.len() - 24..], cookie);
    // Without a question a cookie may be asked for (RFC 7873, 5.4).
    let mut empty = query("v4.athena. A +cookie");
    empty.drain(12..12 + b"\x02v4\x06athena\0\0\x01\0\x01".len());
    empty[5] = 0;
    let (reply, moved) = ask(&mut server, &empty);
    assert_eq!((moved, reply[3] & 15), (vec!["udp", "nodata", "cookie_invalid"], 0));
}

#[test]
fn a_client_network_is_the_key_where_it_may_be() {
    let options = Options { ecs: true, ..Options::default() };
    let mut server = Server::new(plan(), include_str!("../../zones/athena.zone"), options);
    let mut seen = std::collections::BTreeSet::new();
    for network in 0..8 {
        let mut ask = |question: String| {
            let reply = server.ask(&query(&question), Transport::Udp).unwrap();
            (
                Message::from_vec(&reply).unwrap().answers[0].data.to_string(),
                reply[reply.len() - 7..].to_vec(),
            )
        };
        let (address, subnet) = ask(format!("keyed.athena. A +ecs=10.1.{network}"));
        assert_eq!(subnet, [0, 1, 24, 24, 10, 1, network], "the scope is what was used");
        assert_eq!(address, ask(format!("keyed.athena. A +ecs=10.1.{network}")).0);
        seen.insert(address);
        let (_, subnet) = ask(format!("label.keyed.athena. A +ecs=10.1.{network}"));
        assert_eq!(subnet[3], 0, "a label is a better key, and then the network does not matter");
        let (_, subnet) = ask(format!("farm_one.athena. A +ecs=10.1.{network}"));
        assert_eq!(subnet[3], 0, "a rotation asks nobody where he is");
    }
    assert!(seen.len() > 1, "other networks, other members");
}

/// A farm of so many members that their names and addresses fill packets.
fn crowd(members: usize) -> Plan {
    let names: Vec<String> = (0..members).map(|index| format!("app{index:02}")).collect();
    let address = |index: usize| format!("10.0.{}.{}", index / 250, index % 250 + 1);
    let backends = (0..members).map(|index| backend(&names[index], &[&address(index)], Some(80))).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    Plan { backends, farms: vec![farm("crowd", "round-robin", &all)] }
}

#[test]
fn what_does_not_fit_is_cut_where_it_hurts_least() {
    let zone = include_str!("../../zones/athena.zone");
    let mut server = Server::new(crowd(20), zone, Options::default());
    let ask = |server: &mut Server, question: &str| {
        let transport = if question.contains("+tcp") { Transport::Tcp } else { Transport::Udp };
        let reply = server.ask(&query(question), transport).unwrap();
        let message = Message::from_vec(&reply).unwrap();
        (message.answers.len(), message.additionals.len(), message.metadata.truncation, reply.len())
    };
    let srv = "_http._tcp.crowd.athena. SRV";
    // Without EDNS 512 octets: glue is dropped first, then there is TC with as many records as fit.
    let (answers, glue, truncated, length) = ask(&mut server, srv);
    assert!(truncated && glue == 0 && answers == 12 && length <= 512, "{answers} {glue} {length}");
    let (answers, glue, truncated, length) = ask(&mut server, &format!("{srv} +edns=900"));
    assert!(
        !truncated && answers == 20 && glue > 0 && glue < 20 && length <= 900,
        "{answers} {glue} {length}"
    );
    assert_eq!(ask(&mut server, &format!("{srv} +edns=4096")).1, 20, "twenty with glue fit in 1232");
    assert_eq!(ask(&mut server, &format!("{srv} +tcp")).1, 20);
    let metric = |server: &Server| server.metrics.dns.truncated.get();
    assert_eq!(metric(&server), 1);

    // Who offers less than 512 is taken to offer 512; nobody gets more than the server's limit, unless he is near.
    let mut server = Server::new(crowd(200), zone, Options::default());
    assert!(ask(&mut server, &format!("{srv} +edns=1")).3 > 480);
    let far = ask(&mut server, &format!("{srv} +edns=8192"));
    assert!(far.2 && far.3 <= 1232 && far.3 > 1180, "{far:?}");
    for near in ["127.0.0.1:1", "10.1.1.1:1", "[fd00::1]:1", "[::ffff:192.168.1.1]:1"] {
        server = server.from(near);
        let near = ask(&mut server, &format!("{srv} +edns=65535"));
        assert!(!near.2 && near.0 == 200 && near.3 <= 8192, "{near:?}");
    }
    // Spares are as many as fit, and that is whole; everybody is everybody.
    let spares = ask(&mut server, "crowd.spares.athena. A");
    assert!(!spares.2 && spares.0 > 20 && spares.3 <= 512, "{spares:?}");
    assert!(ask(&mut server, "crowd.all.athena. A").2);
    assert_eq!(ask(&mut server, "crowd.all.athena. A +tcp").0, 200);
}

#[test]
fn a_referral_without_its_glue_says_so() {
    let servers: String =
        (0..30).map(|index| format!("lab NS ns{index}.lab\nns{index}.lab A 192.0.2.{index}\n")).collect();
    let zone = format!("$TTL 60\n@ SOA ns1 root 1 2 3 4 1\n@ NS ns1\nns1 A 127.0.0.1\n{servers}");
    let mut server = Server::new(plan(), &zone, Options::default());
    let reply = server.ask(&query("x.lab.athena. A"), Transport::Udp).unwrap();
    let message = Message::from_vec(&reply).unwrap();
    assert!(message.metadata.truncation, "RFC 9471");
    let reply = server.ask(&query("x.lab.athena. A"), Transport::Tcp).unwrap();
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!((message.authorities.len(), message.additionals.len()), (30, 30));
}

#[test]
fn chains_end_and_circles_do_too() {
    let zone = "$TTL 60\n@ SOA ns1 root 1 2 3 4 1\n@ NS ns1\nns1 A 127.0.0.1\n\
        a CNAME b\nb CNAME a\nc CNAME d.e\nd.e CNAME nowhere\nf CNAME farm_one\ng CNAME x.lab\nlab NS ns.lab\n\
        ns.lab A 127.0.0.3\nh CNAME host.example.\nmail MX 10 app01.phys\n*.w CNAME ns1\n";
    Server::new(plan(), zone, Options::default()).run(
        "
        > c.athena. A
        NXDOMAIN qr aa | udp nxdomain
        c.athena. 60 CNAME d.e.athena.
        d.e.athena. 60 CNAME nowhere.athena.
        authority athena. 1 SOA ns1.athena. root.athena. 1 2 3 4 1

        > f.athena. A
        NOERROR qr aa | udp answered
        f.athena. 60 CNAME farm_one.athena.
        farm_one.athena. 0 A 10.0.0.1

        > g.athena. A
        NOERROR qr aa | udp referral
        g.athena. 60 CNAME x.lab.athena.
        authority lab.athena. 60 NS ns.lab.athena.
        additional ns.lab.athena. 60 A 127.0.0.3

        > h.athena. A
        NOERROR qr aa | udp answered
        h.athena. 60 CNAME host.example.

        > mail.athena. MX
        NOERROR qr aa | udp answered
        mail.athena. 60 MX 10 app01.phys.athena.
        additional app01.phys.athena. 30 A 10.0.0.1

        > x.y.w.athena. A
        NOERROR qr aa | udp answered
        x.y.w.athena. 60 CNAME ns1.athena.
        ns1.athena. 60 A 127.0.0.1
    ",
    );
    let mut server = Server::new(plan(), zone, Options::default());
    let reply = server.ask(&query("a.athena. A"), Transport::Udp).unwrap();
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 16);
}

#[test]
fn other_zones_and_a_reload() {
    let mut server = Server::usual();
    let zone = |apex: &str, text: &str| {
        ZoneContent::parse(Path::new(apex), text, &rr::Name::from_ascii(apex).unwrap()).unwrap()
    };
    let head = "$TTL 60\n@ SOA ns.athena. root 1 2 3 4 1\n@ NS ns.athena.\n";
    let contents = [
        zone(
            "athena.",
            &format!("{head}ns A 10.9.9.9\nsub NS ns.other.\ndeep NS ns.other.\nx.sub A 10.9.9.1\n"),
        ),
        zone("sub.athena.", &format!("{head}x A 10.9.9.2\n")),
        zone("low.deep.athena.", &format!("{head}y A 10.9.9.3\n")),
        zone("example.org.", &format!("{head}farm_one A 10.9.9.4\n")),
    ];
    let zones = Zones::new(&contents, &server.engine.farms()).unwrap();
    server.handler.replace(zones, Options::default());
    server.run(
        "
        > x.sub.athena. A
        NOERROR qr aa | udp answered
        x.sub.athena. 60 A 10.9.9.2

        > y.low.deep.athena. A
        NOERROR qr aa | udp answered
        y.low.deep.athena. 60 A 10.9.9.3

        > z.deep.athena. A
        NOERROR qr | udp referral
        authority deep.athena. 60 NS ns.other.

        > nobody.low.deep.athena. A
        NXDOMAIN qr aa | udp nxdomain
        authority low.deep.athena. 1 SOA ns.athena. root.low.deep.athena. 1 2 3 4 1

        ; farms live in the first zone
        > farm_one.example.org. A
        NOERROR qr aa | udp answered
        farm_one.example.org. 60 A 10.9.9.4

        > org. A
        REFUSED qr | udp refused

        > farm_one.athena. A
        NOERROR qr aa | udp answered
        farm_one.athena. 0 A 10.0.0.1
    ",
    );
}
