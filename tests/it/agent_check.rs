//! HAProxy's agent-check: what a line gets, and a real HAProxy whose servers' weights and states change as ours do.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use athena::config;

use crate::config::Folder;
use crate::harness::{Athena, Backends, PATIENCE, Program, until};
use crate::proxies::{Place, spread};

const TWO: &str = r#"
[agent_check]
listen = ["127.0.0.1:0"]
[backends]
app01 = { address = "10.0.0.1" }
app02 = { address = "10.0.0.2" }
[farms]
farm_one = { members = ["app01", "app02"], algorithm = "load-weighted" }
"#;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    heard
}

/// Says this on a connection of its own, and gives all that is answered.
fn say(address: SocketAddr, what: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(what.as_bytes()).unwrap();
    rest(stream)
}

/// A counter of `/metrics`.
fn counted(athena: &Athena, sample: &str) -> u64 {
    let (_, text) = athena.get("/metrics");
    let value =
        text.lines().find_map(|line| line.strip_prefix(sample)).and_then(|rest| rest.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

#[test]
fn a_line_is_answered_with_share_and_state_as_they_are_now() {
    let athena = Athena::start(TWO);
    let agent = athena.agent();
    assert_eq!(say(agent, "farm_one/app01\n"), "ready up 100%\n");
    athena.tell("/ath/update/phys/?h=app01,l=3;h=app02,l=0");
    assert_eq!(say(agent, "farm_one/app01\n"), "ready up 25%\n");
    assert_eq!(say(agent, "FARM_ONE/app02\r\n"), "ready up 100%\n");
    athena.tell("/ath/update/phys/?h=app01,s=drain");
    assert_eq!(say(agent, "app01\n"), "drain up\n");
    athena.tell("/ath/update/phys/?h=app01,s=on,v=down");
    assert_eq!(say(agent, "app01\n"), "ready down #down: said its report\n");
    athena.tell("/ath/update/farm/?n=farm_one,s=off");
    assert_eq!(say(agent, "app02\n"), "maint\n");
    assert_eq!(say(agent, "farm_one/app03\n"), "unknown-backend:app03\n");
    assert_eq!(say(agent, "a b c\n"), "agent-send-is-not-farm/backend\n");
    // Whoever closes his side has said all of it.
    let mut stream = connect(agent);
    stream.write_all(b"farm_six/app01").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), "unknown-farm:farm_six\n");
    assert_eq!(counted(&athena, "athena_agent_checks_total{outcome=\"answered\"}"), 6);
    assert_eq!(counted(&athena, "athena_agent_checks_total{outcome=\"unknown\"}"), 2);
    assert_eq!(counted(&athena, "athena_agent_checks_total{outcome=\"malformed\"}"), 1);
    assert_eq!(counted(&athena, "athena_agent_connections_total{outcome=\"accepted\"}"), 9);
}

#[test]
fn slow_greedy_and_talkative_clients_meet_their_limits() {
    let limits =
        "listen = [\"127.0.0.1:0\"]\ntimeout = \"200ms\"\nconnections = 3\nconnections_per_client = 2";
    let athena = Athena::start(&TWO.replace("listen = [\"127.0.0.1:0\"]", limits));
    let agent = athena.agent();
    assert_eq!(rest(connect(agent)), "agent-send-is-missing\n");
    assert_eq!(say(agent, "farm_one/app01"), "agent-send-lacks-its-newline\n");
    assert_eq!(say(agent, &format!("{}\n", "x".repeat(1025))), "agent-send-is-not-farm/backend\n");

    let mut first = connect(agent);
    let _second = connect(agent);
    let accepted = "athena_agent_connections_total{outcome=\"accepted\"}";
    until("two are in", || counted(&athena, accepted) == 5);
    // Closed with a reset where it had said something, so nothing is said here.
    assert_eq!(connect(agent).read(&mut [0]).unwrap_or(0), 0, "a third is turned away");
    assert_eq!(counted(&athena, "athena_agent_connections_total{outcome=\"refused\"}"), 1);
    first.write_all(b"app01\n").unwrap();
    assert!(["ready up 100%\n", "agent-send-is-missing\n"].contains(&&*rest(first)), "it was let in");
    let silent = "athena_agent_checks_total{outcome=\"silent\"}";
    drop(connect(agent));
    until("one left without a word", || counted(&athena, silent) == 1);
}

#[test]
fn whoever_may_not_query_is_told_nothing() {
    let athena = Athena::start(&format!("{TWO}\n[access]\nquery = [\"192.0.2.0/24\", \"127.0.0.2\"]"));
    assert_eq!(say(athena.agent(), "app01\n"), "access-denied\n");

    let athena =
        Athena::start(&format!("{TWO}\n[access]\nquery_key = \"hush,s3cret\"\nadmin_key = \"chief\""));
    for (line, answer) in [
        ("farm_one/app01", "access-denied"),
        ("farm_one/app01 k=hush", "access-denied"),
        ("farm_one/app01 k=hush,s3cret", "ready up 100%"),
        ("app01 k=chief", "ready up 100%"),
    ] {
        assert_eq!(say(athena.agent(), &format!("{line}\n")), format!("{answer}\n"), "{line}");
    }
}

#[test]
fn a_reload_moves_the_listener_and_a_stop_closes_it() {
    let mut athena = Athena::start(&TWO.replace("listen = [\"127.0.0.1:0\"]", "listen = []"));
    let changes = athena.reload(TWO).unwrap();
    assert_eq!(changes, ["agent-check on 127.0.0.1:0: added"]);
    let first = athena.agent();
    let mut waiting = connect(first);
    let place = Place::new();
    let other = format!("listen = [\"{}\"]\ntimeout = \"9s\"", place.at(8054));
    let changes = athena.reload(&TWO.replace("listen = [\"127.0.0.1:0\"]", &other)).unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!(changes[2], "[agent_check]: changed");
    assert_eq!(waiting.read(&mut [0]).unwrap_or(0), 0, "the first is closed");
    assert!(TcpStream::connect(first).is_err());
    let second = athena.agent();
    assert_eq!(say(second, "app02\n"), "ready up 100%\n");
    let refused = athena.reload(&TWO.replace("127.0.0.1:0", "127.0.0.1")).unwrap_err();
    assert!(refused.contains("did you mean \"127.0.0.1:8054\"?"), "{refused}");
    assert_eq!(say(second, "app02\n"), "ready up 100%\n", "the old configuration goes on");
    athena.stop();
    assert!(TcpStream::connect(second).is_err());
}

#[test]
fn what_is_wrong_with_its_configuration_is_said_with_its_remedy() {
    let folder = Folder::with(
        "http.listen = [\"127.0.0.1:8054\"]\naccess.query = []\n[agent_check]\nlisten = [\"127.0.0.1:8054\", \"::1\"]\n\
         connections = 0\ntimeout = \"0s\"\nport = 8054\n[backends]\n[farms]\n",
    );
    let problems = config::load(Some(&folder.file), &[]).unwrap_err().to_string();
    for expected in [
        "agent_check.listen[1]: expected an address with a port such as \"127.0.0.1:8054\" or \"[::1]:8054\", found the string \"::1\"; \
         did you mean \"[::1]:8054\"?",
        "agent_check.listen: nobody may ask: access.query is empty",
        "agent_check.listen: 127.0.0.1:8054 is taken twice: http.listen and agent_check.listen both need TCP on it",
        "agent_check.connections: expected a whole number from 1 to 1000000, found the number 0",
        "agent_check.timeout: expected a duration longer than 0",
        "agent_check.port: unknown key",
    ] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
}

/// Athena, and a real HAProxy with the example's configuration that asks it about three servers and has a fourth for when
/// they are gone.
struct Story {
    // In the order in which they end.
    haproxy: HaProxy,
    athena: Athena,
    config: String,
    _backends: Backends,
}

fn story() -> Story {
    let (place, backends) = (Place::new(), Backends::start(4));
    let config = backends.farm("load-weighted", "").replace(", \"app04\"]", "]");
    let config = format!("{config}[agent_check]\nlisten = [\"{}\"]\n", place.at(8054));
    let athena = Athena::start(&config);
    let file = place.fill("haproxy-agent", &["haproxy.cfg"], athena.dns, backends.port);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("agent-addr 127.0.0.1", &format!("agent-addr {}", place.at(0).ip()));
    std::fs::write(&file, text.replace("agent-inter 2s", "agent-inter 50ms")).unwrap();
    let mut program = Program::start("haproxy", &["-db", "-f", &file], place.folder(), "TERM");
    program.await_listener(place.web());
    let haproxy = HaProxy { _program: program, place };
    Story { haproxy, athena, config, _backends: backends }
}

struct HaProxy {
    _program: Program,
    place: Place,
}

/// What HAProxy knows of a server.
#[derive(Debug, PartialEq)]
struct Server {
    status: String,
    weight: u32,
    /// What the agent said last, as HAProxy tells people.
    agent: String,
}

impl HaProxy {
    /// The servers of `farm_one` by name, out of the statistics socket; none before HAProxy has made that.
    fn servers(&self) -> BTreeMap<String, Server> {
        let Ok(mut socket) = UnixStream::connect(self.place.folder().join("haproxy.sock")) else {
            return BTreeMap::new();
        };
        socket.write_all(b"show stat\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
        let column = |name: &str| head.iter().position(|column| *column == name).unwrap();
        let columns = ["pxname", "svname", "status", "weight", "last_agt"].map(column);
        let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
        let server = |row: Vec<&str>| {
            let [proxy, name, status, weight, agent] = columns.map(|column| row[column]);
            let is_ours = proxy == "farm_one" && name.starts_with("app");
            let (status, agent) = (status.to_owned(), agent.to_owned());
            is_ours.then(|| (name.to_owned(), Server { status, weight: weight.parse().unwrap(), agent }))
        };
        rows.filter(|row| row.len() > 1).filter_map(server).collect()
    }

    /// Waits until each server has this status and weight.
    fn await_servers(&self, expected: &[(&str, &str, u32)]) {
        let mut seen = BTreeMap::new();
        let fits = || {
            seen = self.servers();
            expected.iter().all(|(name, status, weight)| {
                seen.get(*name).is_some_and(|server| server.status == *status && server.weight == *weight)
            })
        };
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("servers", fits)));
        assert!(held.is_ok(), "expected {expected:?}, haproxy has {seen:?}");
    }

    /// Who answers so many requests.
    fn spread(&self, requests: usize) -> BTreeMap<String, usize> {
        spread(self.place.web(), requests, "").into_iter().collect()
    }
}

#[test]
fn haproxy_follows_every_change_of_share_and_state() {
    let Story { haproxy, mut athena, config, _backends } = story();
    let all =
        |weights: [u32; 3]| ["app01", "app02", "app03"].map(|name| (name, "UP")).into_iter().zip(weights);
    let await_up = |weights| {
        let expected: Vec<_> = all(weights).map(|((name, status), weight)| (name, status, weight)).collect();
        haproxy.await_servers(&expected);
    };
    await_up([100, 100, 100]);

    athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=1;h=app03,l=3");
    await_up([100, 50, 25]);
    let spread = haproxy.spread(70);
    for (name, due) in [("app01", 40), ("app02", 20), ("app03", 10)] {
        assert!(spread[name].abs_diff(due) <= 2, "{spread:?}");
    }

    // A small change is not worth one there.
    athena.tell("/ath/update/phys/?h=app02,l=1.1");
    let asked = counted(&athena, "athena_agent_checks_total{outcome=\"answered\"}");
    until("each has asked twice more", || {
        counted(&athena, "athena_agent_checks_total{outcome=\"answered\"}") >= asked + 9
    });
    await_up([100, 50, 25]);

    athena.tell("/ath/update/phys/?h=app01,s=drain");
    haproxy.await_servers(&[("app01", "DRAIN (agent)", 100), ("app02", "UP", 100), ("app03", "UP", 53)]);
    athena.tell("/ath/update/phys/?h=app02,v=down");
    haproxy.await_servers(&[("app02", "DOWN (agent)", 100)]);
    let why = &haproxy.servers()["app02"].agent;
    assert!(why.contains("down: said its report"), "{why}");
    athena.tell("/ath/update/phys/?h=app01,s=off");
    haproxy.await_servers(&[("app01", "MAINT", 100), ("app03", "UP", 100)]);
    assert_eq!(haproxy.spread(10), BTreeMap::from([("app03".to_owned(), 10)]));

    // Nobody is left: HAProxy's own backup, which is app04's address.
    athena.tell("/ath/update/phys/?h=app03,w=0");
    haproxy.await_servers(&[("app03", "UP", 0)]);
    assert_eq!(haproxy.spread(3), BTreeMap::from([("app04".to_owned(), 3)]));

    // Each is taken back by the next answer.
    athena.tell("/ath/update/phys/?h=app01,s=on,l=0;h=app02,v=up,l=0;h=app03,w=default,l=0");
    await_up([100, 100, 100]);

    // An Athena that is gone takes nobody down, and leaves the weights as they are.
    athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=0;h=app03,l=3");
    await_up([100, 100, 25]);
    athena.stop();
    until("haproxy has noticed", || {
        haproxy.servers().values().all(|server| server.agent.contains("Connection refused"))
    });
    await_up([100, 100, 25]);
    let spread = haproxy.spread(27);
    assert!(spread["app03"].abs_diff(3) <= 1, "{spread:?}");

    // The next one has heard nothing of loads yet.
    let _athena = Athena::start(&config);
    await_up([100, 100, 100]);
}

#[test]
fn what_athena_does_not_know_stays_as_it_is_in_haproxy() {
    let Story { haproxy, mut athena, config, _backends } = story();
    athena.tell("/ath/update/phys/?h=app01,l=0;h=app02,l=1;h=app03,l=3");
    haproxy.await_servers(&[("app01", "UP", 100), ("app02", "UP", 50), ("app03", "UP", 25)]);

    athena.reload(&config.replace(", \"app03\"]", "]")).unwrap();
    until("haproxy says so", || haproxy.servers()["app03"].agent.contains("not-a-member:farm_one/app03"));
    haproxy.await_servers(&[("app01", "UP", 100), ("app02", "UP", 50), ("app03", "UP", 25)]);
    assert!(haproxy.spread(35).contains_key("app03"));
}

#[test]
fn the_example_s_script_tells_its_tale() {
    let said = crate::proxies::run("haproxy-agent");
    let lines: Vec<&str> = said.lines().collect();
    let states: Vec<&str> = lines.iter().skip(1).step_by(3).copied().collect();
    assert_eq!(
        states,
        [
            "  app01 UP 100  app02 UP 100  app03 UP 100",
            "  app01 UP 100  app02 UP 50  app03 UP 25",
            "  app01 DRAIN (agent) 100  app02 UP 100  app03 UP 50",
            "  app01 DRAIN (agent) 100  app02 DOWN (agent) 100  app03 UP 100",
            "  app01 MAINT 100  app02 MAINT 100  app03 MAINT 100",
            "  app01 UP 100  app02 UP 100  app03 UP 100",
        ],
        "{said}"
    );
    assert_eq!(
        lines[11..15],
        ["  app03 30", "the farm is switched off (Athena: maint):", states[4], "  sorry 30"]
    );
}
