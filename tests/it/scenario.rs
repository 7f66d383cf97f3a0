//! Stories of the whole product without sockets and without real time: `tests/scenarios/*.scenario`.
//!
//! A scenario is a configuration between `CONFIG` and `END` (zone and listeners are added), then steps, one a line:
//!
//! | step | what it does |
//! | --- | --- |
//! | `REPORT h=app01,l=9` | `update/phys` by this query string, from loopback; it must be taken |
//! | `REFUSED h=app01,l=x` | the same, but it is refused; `EXPECT TEXT` says why |
//! | `FARM n=farm_one,s=off` | `update/farm` |
//! | `ELAPSE 16s` | lets virtual time pass, waking the engine whenever it asks to be woken |
//! | `QUERY farm_one A x30` | DNS queries, relative to `athena.`, as many as `x` says |
//! | `RESEND` | the packet of the last query once more, from the same port |
//! | `BALANCE farm_one,n=2` | a text query |
//! | `STATUS phys h=app01,f="%h %s"` | a status query |
//! | `RELOAD old => new` | the configuration with `old` replaced, then a reload |
//! | `EXPECT 10.0.0.1 x10, 10.0.0.2 x20` | what the queries before it gave, in any order |
//! | `EXPECT SERVFAIL x1`, `EXPECT NODATA x1` | the same, for what is no address |
//! | `EXPECT TEXT 10.0.0.1:8080` | what the text or status query before it answered; `\|` stands between lines |
//! | `EXPECT CHANGE backend app03: feed new -> out (…)` | a state that changed since the last such step, in order |
//! | `EXPECT NO CHANGE` | none did |

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use athena::app;
use athena::balance::random::SplitMix;
use athena::balance::{Engine, Moment};
use athena::clock::Clock;
use athena::config;
use athena::dns::{Handler, Transport};
use athena::http::access::Sender;
use athena::http::text::status::Subject;
use athena::http::text::{self, Asked, Kind};
use athena::http::{Readiness, State};
use athena::metrics::Metrics;
use axum::http::HeaderMap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

const ME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4096);

struct World {
    engine: Arc<Engine>,
    handler: Arc<Handler>,
    state: State,
    now: Moment,
    next: Option<Moment>,
    random: SplitMix,
    headers: HeaderMap,
    changes: Arc<Mutex<VecDeque<String>>>,
    config: String,
    /// The identifier of the last query, and its packet.
    id: u16,
    packet: Vec<u8>,
    /// What the queries since the last expectation gave.
    seen: BTreeMap<String, usize>,
    text: String,
}

fn load(toml: &str) -> config::Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, toml).unwrap();
    config::load(Some(&file), &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

impl World {
    fn new(toml: &str) -> Self {
        let config = load(toml);
        let now = Moment::from_unix(Duration::from_secs(1_800_000_000));
        let engine = Arc::new(Engine::new(config.plan.clone(), now).unwrap());
        engine.set_token_keys(app::token_keys(&config));
        engine.set_registration(app::registration(&config), now);
        let metrics = Arc::new(Metrics::default());
        let zones = app::zones(&config, &engine).unwrap();
        let handler =
            Handler::new(Arc::clone(&engine), zones, app::dns_options(&config), Arc::clone(&metrics))
                .unwrap();
        let handler = Arc::new(handler);
        let changes: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let told = Arc::clone(&changes);
        let state = State::new(
            Arc::clone(&engine),
            metrics,
            Clock::start(),
            Arc::new(Readiness::default()),
            app::http_options(&config),
            Box::new(move |new| told.lock().unwrap().extend(new.iter().map(|change| change.to_string()))),
        );
        let next = engine.expire(now).next;
        Self {
            engine,
            handler,
            state,
            now,
            next,
            random: SplitMix::new(1),
            headers: HeaderMap::new(),
            changes,
            config: toml.to_owned(),
            id: 0,
            packet: Vec::new(),
            seen: BTreeMap::new(),
            text: String::new(),
        }
    }

    fn step(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "REPORT" => assert_eq!(self.ask(Kind::UpdatePhys, rest), "ok\n"),
            "REFUSED" => {
                self.text = self.ask(Kind::UpdatePhys, rest);
                assert_ne!(self.text, "ok\n");
            }
            "FARM" => assert_eq!(self.ask(Kind::UpdateFarm, rest), "ok\n"),
            "ELAPSE" => self.elapse(span(rest)),
            "QUERY" => self.query(rest),
            "RESEND" => self.send(),
            "BALANCE" => self.text = self.ask(Kind::Balance, rest),
            "STATUS" => {
                let (subject, query) = rest.split_once(' ').unwrap();
                let subject = match subject {
                    "phys" => Subject::Phys,
                    "farm" => Subject::Farm,
                    other => panic!("a status of {other:?}"),
                };
                self.text = self.ask(Kind::Status(subject), query);
            }
            "RELOAD" => self.reload(rest),
            "EXPECT" => self.expect(rest),
            _ => panic!("no such step"),
        }
    }

    /// Asks the text protocol from loopback; gives the body, whatever the status.
    fn ask(&self, kind: Kind, query: &str) -> String {
        let options = self.state.options();
        let asked = Asked {
            state: &self.state,
            options: &options,
            sender: Sender { address: Some(ME.ip()), headers: &self.headers },
            query,
            json: false,
            now: self.now,
        };
        match text::answer(kind, &asked) {
            Ok(page) => page.text.into_owned(),
            Err(error) => format!("{error}\n"),
        }
    }

    fn elapse(&mut self, span: Duration) {
        let end = self.now + span;
        // A report may have brought the next look forward; asking at once is harmless.
        self.wake();
        while let Some(next) = self.next.filter(|next| *next <= end) {
            self.now = next;
            self.wake();
        }
        self.now = end;
        self.wake();
    }

    fn wake(&mut self) {
        let expired = self.engine.expire(self.now);
        self.next = expired.next;
        self.changes.lock().unwrap().extend(expired.changes.iter().map(|change| change.to_string()));
    }

    fn query(&mut self, rest: &str) {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let times = words.get(2).map_or(1, |times| times.strip_prefix('x').unwrap().parse().unwrap());
        let name = Name::from_ascii(format!("{}.athena.", words[0])).unwrap();
        for _ in 0..times {
            self.id += 1;
            let mut query = Message::new(self.id, MessageType::Query, OpCode::Query);
            query.add_query(Query::query(name.clone(), words[1].parse::<RecordType>().unwrap()));
            self.packet = query.to_vec().unwrap();
            self.send();
        }
    }

    /// Sends the last packet, for the first time or once more.
    fn send(&mut self) {
        let mut reply = Vec::new();
        let (handler, packet) = (&self.handler, &self.packet);
        assert!(handler.respond(packet, ME, Transport::Udp, self.now, &mut self.random, &mut reply));
        *self.seen.entry(outcome(&Message::from_vec(&reply).unwrap())).or_default() += 1;
    }

    fn reload(&mut self, rest: &str) {
        let (old, new) = rest.split_once(" => ").expect("RELOAD old => new");
        assert!(self.config.contains(old), "the configuration holds no {old:?}");
        self.config = self.config.replace(old, new);
        let config = load(&self.config);
        let reloaded = self.engine.reload(config.plan.clone(), self.now).unwrap();
        self.changes.lock().unwrap().extend(reloaded.changes.iter().map(|change| change.to_string()));
        let zones = app::zones(&config, &self.engine).unwrap();
        self.engine.set_token_keys(app::token_keys(&config));
        let left = self.engine.set_registration(app::registration(&config), self.now);
        self.changes.lock().unwrap().extend(left.iter().map(|change| change.to_string()));
        self.state.replace_options(app::http_options(&config));
        self.handler.replace(zones, app::dns_options(&config));
    }

    fn expect(&mut self, rest: &str) {
        if let Some(text) = rest.strip_prefix("TEXT ") {
            assert_eq!(self.text.trim_end().replace('\n', "|"), text);
        } else if let Some(change) = rest.strip_prefix("CHANGE ") {
            let next = self.changes.lock().unwrap().pop_front();
            assert_eq!(next.as_deref(), Some(change));
        } else if rest == "NO CHANGE" {
            assert_eq!(*self.changes.lock().unwrap(), [] as [String; 0]);
        } else {
            let seen = std::mem::take(&mut self.seen);
            let mut shown = String::new();
            for (outcome, count) in &seen {
                let comma = if shown.is_empty() { "" } else { ", " };
                let _ = write!(shown, "{comma}{outcome} x{count}");
            }
            assert_eq!(shown, rest);
        }
    }
}

/// The addresses of an answer, or what it is instead.
fn outcome(reply: &Message) -> String {
    let data = |data: &RData| match data {
        RData::A(address) => address.to_string(),
        RData::AAAA(address) => address.to_string(),
        RData::CNAME(name) => format!("CNAME {}", name.0),
        other => format!("{} {other}", other.record_type()),
    };
    let records: Vec<String> = reply.answers.iter().map(|record| data(&record.data)).collect();
    match reply.metadata.response_code {
        ResponseCode::NoError if records.is_empty() => "NODATA".to_owned(),
        ResponseCode::NoError => records.join(" "),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        other => other.to_string(),
    }
}

fn span(text: &str) -> Duration {
    let number = |unit: &str| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    match (number("ms"), number("s"), number("m")) {
        (Some(millis), ..) => Duration::from_millis(millis),
        (_, Some(seconds), _) => Duration::from_secs(seconds),
        (.., Some(minutes)) => Duration::from_secs(60 * minutes),
        _ => panic!("{text:?} is no span"),
    }
}

fn play(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("CONFIG\n").expect("a scenario has a CONFIG");
    let (toml, steps) = rest.split_once("\nEND\n").expect("a CONFIG has an END");
    let offset = before.lines().count() + toml.lines().count() + 2;
    let mut world = World::new(&format!("zone = \"athena.\"\n{toml}\n"));
    for (index, line) in steps.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = std::panic::AssertUnwindSafe(|| world.step(line));
        if let Err(panic) = std::panic::catch_unwind(step) {
            eprintln!("{}:{}: {line}", path.display(), offset + index + 1);
            std::panic::resume_unwind(panic);
        }
    }
    assert!(world.seen.is_empty(), "{}: the last queries are not looked at", path.display());
}

#[test]
fn every_scenario_goes_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "where are the scenarios?");
    paths.iter().for_each(|path| play(path));
}
