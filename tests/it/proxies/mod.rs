//! Real proxies with the examples' own files, in front of real backends, with Athena choosing.
//!
//! The files hold the usual ports and can be copied as they stand; here each test gets a loopback address of its own, so
//! tests that run side by side are never in each other's way, whatever their ports.

mod apache;
mod caddy;
mod clients;
mod haproxy;
mod ipv6;
mod nginx;
mod resolvers;
mod scripts;
mod spy;
mod squid;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;

use hickory_proto::rr::RecordType;
pub use scripts::run;
use spy::{Asked, Spy};

use crate::harness::{Athena, Backends, PATIENCE, Program, get, get_with};

/// Where a test's proxy lives: its address, and the folder with the example's files.
pub struct Place {
    address: Ipv4Addr,
    folder: tempfile::TempDir,
    /// As long as this port is ours nobody else gets the address that is made of it.
    _held: TcpListener,
}

impl Place {
    pub fn new() -> Self {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let [high, low] = held.local_addr().unwrap().port().to_be_bytes();
        Self { address: Ipv4Addr::new(127, 77, high, low), folder: tempfile::tempdir().unwrap(), _held: held }
    }

    /// A port at the test's own address.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Where the example listens.
    pub fn web(&self) -> SocketAddr {
        self.at(8080)
    }

    /// Its second port.
    pub fn second(&self) -> SocketAddr {
        self.at(8081)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets programs that give up root's rights into the folder.
    pub fn open(&self) {
        std::fs::set_permissions(self.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A folder for an /etc whose resolv.conf is the example's, which leads to `dns` at port 53. Gives what a shell in a mount
    /// namespace of its own has to do to see it, and then to become its arguments; and the folder, its `$0`.
    pub fn own_resolver(&self, dns: SocketAddr) -> [String; 2] {
        self.fill("resolvers", &["resolv.conf"], dns, 8000);
        let etc = self.folder().join("etc");
        std::fs::create_dir(&etc).unwrap();
        for file in ["passwd", "group", "hosts"] {
            std::fs::copy(Path::new("/etc").join(file), etc.join(file)).unwrap();
        }
        std::fs::copy(self.folder().join("resolv.conf"), etc.join("resolv.conf")).unwrap();
        std::fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        ["mount --bind \"$0\" /etc && exec \"$@\"".to_owned(), etc.to_str().unwrap().to_owned()]
    }

    /// Copies files of an example into the folder, with the test's addresses in them. Gives the path of the first.
    pub fn fill(&self, example: &str, files: &[&str], dns: SocketAddr, backends: u16) -> String {
        let source = examples().join(example);
        let host = if dns.is_ipv6() { format!("[{}]", dns.ip()) } else { dns.ip().to_string() };
        for file in files {
            let text = std::fs::read_to_string(source.join(file)).unwrap();
            let mut filled = text
                .replace("/run/example", self.folder().to_str().unwrap())
                .replace("127.0.53.1", &self.address.to_string());
            for mark in [':', '#', '@'] {
                filled = filled
                    .replace(&format!("127.0.0.1{mark}5300"), &format!("{host}{mark}{}", dns.port()))
                    .replace(&format!("127.0.0.1{mark}5302"), &format!("{}{mark}5302", self.address));
            }
            for word in ["bind ", "listen-address="] {
                filled = filled.replace(&format!("{word}127.0.0.1\n"), &format!("{word}{}\n", self.address));
            }
            for port in [8080, 8081] {
                filled = filled.replace(&format!("127.0.0.1:{port}"), &self.at(port).to_string());
            }
            let filled = filled.replace("8000", &backends.to_string());
            assert_ne!(filled, text, "{example}/{file} has none of the addresses that are filled in");
            std::fs::write(self.folder().join(file), filled).unwrap();
        }
        self.folder().join(files[0]).to_str().unwrap().to_owned()
    }
}

pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A proxy that runs; what it needs stays until it ends.
pub struct Proxy {
    pub place: Place,
    program: Program,
}

impl Proxy {
    /// Starts a program and waits until it listens at the example's address.
    pub fn start(place: Place, name: &'static str, arguments: &[&str], stop: &'static str) -> Self {
        let mut program = Program::start(name, arguments, place.folder(), stop);
        program.await_listener(place.web());
        Self { place, program }
    }

    /// Waits until it listens at another address, too.
    pub fn await_listener(&mut self, address: SocketAddr) {
        self.program.await_listener(address);
    }

    /// Sends so many requests, one after the other; gives how often each backend answered.
    pub fn spread(&self, requests: usize) -> Vec<(String, usize)> {
        spread(self.place.web(), requests, "")
    }

    /// The same with a cookie.
    pub fn spread_with(&self, cookie: &str, requests: usize) -> Vec<(String, usize)> {
        spread(self.place.web(), requests, &format!("Cookie: {cookie}\r\n"))
    }

    /// The one backend that answers all requests with this cookie.
    pub fn owner(&self, cookie: &str) -> String {
        let spread = self.spread_with(cookie, 6);
        let [(owner, 6)] = &spread[..] else { panic!("{cookie}: {spread:?}") };
        owner.clone()
    }
}

/// Sends requests to `server`; each has to be answered by a backend. Gives how often each was, in the order of names.
pub fn spread(server: SocketAddr, requests: usize, fields: &str) -> Vec<(String, usize)> {
    let mut seen = BTreeMap::new();
    for _ in 0..requests {
        let response = get_with(server, "/", &format!("Host: www.example.com\r\n{fields}"));
        assert_eq!(response.status, 200, "{}", response.body);
        *seen.entry(response.body.trim().to_owned()).or_default() += 1;
    }
    seen.into_iter().collect()
}

/// For comparison with what [`spread`] gives.
pub fn counts(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// What can be tested in the same way with every proxy.
pub struct Kind {
    /// Where it expects Athena: 53 if it cannot ask another port.
    pub port: u16,
    /// Starts it with the example's files, which are to ask this address.
    pub start: fn(Place, SocketAddr, &Backends) -> Proxy,
}

/// A proxy between its backends and Athena.
pub struct Story {
    // In the order in which they end.
    pub proxy: Proxy,
    pub spy: Option<Spy>,
    pub athena: Athena,
    pub backends: Backends,
    /// Athena's configuration.
    pub config: String,
}

impl Kind {
    /// So many backends in a farm with this rule; `more` are further lines about the farm.
    pub fn story(&self, members: u8, algorithm: &str, more: &str) -> Story {
        let place = Place::new();
        let address = place.at(self.port);
        self.tell(place, address, members, algorithm, more)
    }

    /// The same with a spy between proxy and Athena.
    pub fn story_with_spy(&self, members: u8, algorithm: &str) -> Story {
        let place = Place::new();
        let (address, spied) = (place.at(self.port), place.at(5399));
        let spy = Spy::start(address, spied);
        Story { spy: Some(spy), ..self.tell(place, spied, members, algorithm, "") }
    }

    fn tell(&self, place: Place, address: SocketAddr, members: u8, algorithm: &str, more: &str) -> Story {
        let backends = Backends::start(members);
        let config = format!("dns.listen = [\"{address}\"]\n{}", backends.farm(algorithm, more));
        let athena = Athena::start(&config);
        let asked = place.at(self.port);
        let proxy = (self.start)(place, asked, &backends);
        Story { proxy, spy: None, athena, backends, config }
    }

    /// Everybody serves in turn, exactly; the loaded, the drained, the switched off and the one that is down get nothing;
    /// the survivor gets all; who comes back gets his share again.
    pub fn the_tale(&self) {
        let Story { athena, proxy, .. } = &self.story(3, "least-load", "");
        assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));

        athena.tell("/ath/update/phys/?h=app01,l=1000;h=app02,l=0;h=app03,l=0");
        assert_eq!(proxy.spread(10), counts(&[("app02", 5), ("app03", 5)]), "app01 is loaded");

        athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=0;h=app03,l=0");
        athena.tell("/ath/update/phys/?h=app02,s=drain");
        assert_eq!(proxy.spread(10), counts(&[("app01", 5), ("app03", 5)]), "app02 is drained");

        athena.tell("/ath/update/phys/?h=app02,s=off");
        athena.tell("/ath/update/phys/?h=app03,v=down");
        assert_eq!(proxy.spread(6), counts(&[("app01", 6)]), "app01 survives");

        athena.tell("/ath/update/phys/?h=app02,s=on;h=app03,v=up");
        athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=0;h=app03,l=0");
        assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]), "all are back");
    }

    /// Requests that come at the same moment are as many choices: no cache and no shared look-up makes them one.
    pub fn at_the_same_moment(&self) {
        let Story { proxy, .. } = &self.story(3, "round-robin", "");
        let web = proxy.place.web();
        let start = Barrier::new(30);
        let seen = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                spread(web, 1, "").remove(0).0
            };
            let threads: Vec<_> = (0..30).map(|_| scope.spawn(one)).collect();
            let mut seen = BTreeMap::new();
            for thread in threads {
                *seen.entry(thread.join().unwrap()).or_insert(0) += 1;
            }
            seen
        });
        let seen: Vec<_> = seen.into_iter().collect();
        assert_eq!(seen, counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
    }

    /// A backend that refuses connections: every request of many is answered all the same, by one of the others.
    pub fn a_second_try(&self) {
        let Story { mut backends, athena: _athena, proxy, .. } =
            self.story(3, "round-robin", "suspicion = false");
        assert_eq!(proxy.spread(6), counts(&[("app01", 2), ("app02", 2), ("app03", 2)]));
        backends.stop(2);
        let spread = proxy.spread(30);
        let shared = spread.len() == 2 && spread.iter().all(|(name, count)| name != "app02" && *count >= 10);
        assert!(shared, "{spread:?}");
    }

    /// One cookie, one backend, and that is the one that Athena names for its key; many cookies, many backends; when the
    /// one goes, another takes its place; when it comes back, so do they.
    pub fn the_same_cookie_the_same_backend(&self) {
        let Story { athena, proxy, .. } = &self.story(3, "round-robin", "");
        let named = |key: &str| match athena.addresses(&format!("s-{key}.farm_one.athena."))[..] {
            [IpAddr::V4(address)] => format!("app{:02}", address.octets()[3]),
            ref other => panic!("{other:?}"),
        };
        let mut owners = BTreeMap::new();
        for number in 0..12 {
            let key = format!("User-{number}");
            let owner = proxy.owner(&format!("other=1; farm={key}"));
            assert_eq!(owner, named(&key), "{key}");
            *owners.entry(owner).or_insert(0) += 1;
        }
        assert_eq!(owners.len(), 3, "{owners:?}");

        let before = proxy.owner("farm=anna");
        athena.tell(&format!("/ath/update/phys/?h={before},s=off"));
        assert_ne!(proxy.owner("farm=anna"), before);
        athena.tell(&format!("/ath/update/phys/?h={before},s=on"));
        assert_eq!(proxy.owner("farm=anna"), before, "it comes home");
    }

    /// A token that the application signed leads to its backend; the same for another farm, or forged, does not stick.
    pub fn a_signed_token_leads_to_its_backend(&self) {
        let story = self.story(3, "round-robin", "[cookie]\nkey = \"0123456789abcdef0123456789abcdef\"");
        let token = |farm: &str| {
            let output = Command::new("sh")
                .arg(examples().join("tokens/token.sh"))
                .args(["k", "app02", farm, "4102444800"])
                .env("ATHENA_COOKIE__KEY", "0123456789abcdef0123456789abcdef")
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let good = token("farm_one");
        assert_eq!(good.len(), 35);
        assert_eq!(story.proxy.owner(&format!("farm={good}")), "app02");
        let other = token("farm_two");
        let spread = story.proxy.spread_with(&format!("farm={other}"), 6);
        assert_eq!(spread, counts(&[("app01", 2), ("app02", 2), ("app03", 2)]), "an ordinary label");
    }

    /// Hostile cookies are answered by a backend, and all that was ever asked for is the farm with harmless labels in
    /// front.
    pub fn hostile_cookies_reach_nothing_but_a_hash(&self) {
        let Story { proxy, spy, .. } = &self.story_with_spy(3, "round-robin");
        let spy = spy.as_ref().unwrap();
        spy.forget();
        for cookie in HOSTILE {
            let spread = proxy.spread_with(&format!("farm={cookie}"), 1);
            assert!(spread[0].0.starts_with("app0"), "{cookie}: {spread:?}");
        }
        let asked = spy.asked();
        let addresses: Vec<_> = asked.iter().filter(|asked| asked.is_for_addresses()).collect();
        assert!(addresses.len() >= HOSTILE.len(), "{asked:?}");
        for question in addresses {
            let name = question.name.strip_suffix(".athena.").unwrap();
            let name = name.strip_suffix(".spares").unwrap_or(name);
            let labels = name.strip_suffix("farm_one").unwrap_or_else(|| panic!("{question:?}"));
            // The request's own number, and perhaps a key, which is hashed.
            let labels: Vec<&str> = labels.trim_end_matches('.').split('.').collect();
            let harmless = |label: &&str| {
                label.len() <= 42 && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            };
            assert!(labels.len() <= 2 && labels.iter().all(harmless), "{question:?}");
        }
    }

    /// A query that is lost because Athena restarts: the request under way is answered all the same, and so are those
    /// after.
    pub fn a_restart_costs_time_but_no_request(&self) {
        let Story { backends: _backends, config, mut athena, proxy, .. } = self.story(3, "round-robin", "");
        assert_eq!(proxy.spread(3), counts(&[("app01", 1), ("app02", 1), ("app03", 1)]));
        athena.stop();

        // While nobody answers the port is held by somebody who takes one query and loses it.
        let hole = UdpSocket::bind(athena.dns).unwrap();
        hole.set_read_timeout(Some(PATIENCE)).unwrap();
        let web = proxy.place.web();
        let under_way = std::thread::spawn(move || spread(web, 1, ""));
        hole.recv(&mut [0; 512]).unwrap();
        drop(hole);
        let _athena = Athena::start(&config);
        assert_eq!(under_way.join().unwrap()[0].1, 1);
        assert_eq!(proxy.spread(30), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
    }

    /// An answer that is lost: the proxy asks once more, gets the same backend, and one choice is counted. Each third
    /// request begins with the same backend, so a choice too many would show at once.
    pub fn a_lost_answer_is_one_choice(&self) {
        let Story { proxy, spy, athena, .. } = &self.story_with_spy(3, "round-robin");
        let spy = spy.as_ref().unwrap();
        spy.forget();
        spy.lose_one();
        assert_eq!(proxy.spread(3), counts(&[("app01", 1), ("app02", 1), ("app03", 1)]));
        let asked: Vec<_> = spy.asked().into_iter().filter(Asked::is_for_addresses).collect();
        let names: Vec<&str> = asked.iter().map(|question| question.name.as_str()).collect();
        assert!(names.len() == 4 && names[0] == names[1], "{names:?}");
        let metrics = get(athena.http, "/metrics", "athena").body;
        assert!(metrics.contains("\nathena_repeated_queries_total 1\n"), "{metrics}");
        assert_eq!(athena.tell("/ath/status/farm/?n=farm_one,f=%N").trim(), "3");
    }

    /// Questions for addresses that so many requests, one after the other, bring about, by type; and the backend sees the
    /// host that the client asked for.
    pub fn questions(&self, requests: usize) -> (usize, usize) {
        let Story { proxy, spy, .. } = &self.story_with_spy(3, "round-robin");
        let spy = spy.as_ref().unwrap();
        spy.forget();
        proxy.spread(requests);
        let asked: Vec<_> = spy.asked().into_iter().filter(Asked::is_for_addresses).collect();
        let of = |kind| asked.iter().filter(|asked| asked.kind == kind).count();
        let host = get(proxy.place.web(), "/host", "www.example.com").body;
        assert_eq!(host, "www.example.com\n");
        (of(RecordType::A), of(RecordType::AAAA))
    }
}

/// Cookies that would like to be a host, a port, a path, another name or a service.
pub const HOSTILE: [&str; 19] = [
    "a:80/x#",
    "127.0.0.1:80/x#",
    "x.evil.example/",
    "x@evil.example",
    "x%2eevil%2eexample",
    "..",
    "a.b",
    "_http._tcp",
    "again.x",
    "x y",
    "$request_id",
    "%[env(HOME)]",
    "${HOME}",
    "x\\.y",
    "\u{e4}\u{f6}",
    "-",
    "x-",
    "",
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789",
];
