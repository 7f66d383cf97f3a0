//! Several Athenas that mirror each other, with relays between them that can be cut and healed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::harness::{Athena, Backends, until};

/// Passes octets on to a target that may change, unless it is cut.
struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    is_cut: AtomicBool,
    stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.stopping.load(SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    seen.join(stream);
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = Some(target);
    }

    fn cut(&self) {
        let mut open = self.shared.open.lock().unwrap();
        self.shared.is_cut.store(true, SeqCst);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn heal(&self) {
        self.shared.is_cut.store(false, SeqCst);
    }
}

impl Shared {
    /// Joins a connection to one to the target, or drops it.
    fn join(&self, stream: TcpStream) {
        let Some(target) = *self.target.lock().unwrap() else { return };
        let Ok(onward) = TcpStream::connect(target) else { return };
        let mut open = self.open.lock().unwrap();
        if self.is_cut.load(SeqCst) {
            return;
        }
        for (from, to) in [(&stream, &onward), (&onward, &stream)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        open.extend([stream, onward]);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Five backends, a farm over all of them, and these peers.
fn toml(peers: &[&str], mirror: &str) -> String {
    let backend = |index| format!("[backends.app0{index}]\naddress = \"10.0.0.{index}\"\n");
    let backends: String = (1..=5).map(backend).collect();
    let members = "[\"app01\", \"app02\", \"app03\", \"app04\", \"app05\"]";
    format!("{backends}[farms.farm_one]\nmembers = {members}\n[mirror]\npeers = {peers:?}\n{mirror}\n")
}

/// As many Athenas as asked for, each connected to each other one by a relay of its own.
struct Mesh {
    athenas: Vec<Athena>,
    /// From, to, relay.
    relays: Vec<(usize, usize, Relay)>,
    more: String,
}

impl Mesh {
    fn start(count: usize, more: &str) -> Self {
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let relays: Vec<_> =
            pairs.filter(|(from, to)| from != to).map(|(from, to)| (from, to, Relay::start())).collect();
        let mut mesh = Self { athenas: Vec::new(), relays, more: more.to_owned() };
        for index in 0..count {
            let athena = mesh.start_one(index);
            mesh.athenas.push(athena);
        }
        mesh.await_step();
        mesh
    }

    /// Starts an Athena and has the relays lead to it.
    fn start_one(&self, index: usize) -> Athena {
        let peers: Vec<String> =
            self.relays.iter().filter(|(from, ..)| *from == index).map(|(.., relay)| relay.url()).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        let athena = Athena::start(&toml(&peers, &self.more));
        for (.., relay) in self.relays.iter().filter(|(_, to, _)| *to == index) {
            relay.lead_to(athena.http);
        }
        athena
    }

    fn await_step(&self) {
        let all = self.athenas.len() - 1;
        for athena in &self.athenas {
            until("every peer is in step", || engine(athena, "%M") == format!("{all}/{all}\n"));
        }
    }

    fn cut(&self) {
        self.relays.iter().for_each(|(.., relay)| relay.cut());
    }

    fn heal(&self) {
        self.relays.iter().for_each(|(.., relay)| relay.heal());
    }

    /// Waits until all say this of `app01` and its like.
    fn await_all(&self, what: &str, shown: &str) {
        for athena in &self.athenas {
            until(&format!("{what}: {shown:?}"), || phys(athena) == shown);
        }
    }
}

fn engine(athena: &Athena, format: &str) -> String {
    athena.tell(&format!("/ath/status/engine/?f=\"{format}\""))
}

/// What is said of the first two backends: state, weight, health, load, connections.
fn phys(athena: &Athena) -> String {
    athena.tell("/ath/status/phys/?h=app01+app02,f=\"%h %s %w %v %l %c\"")
}

/// The sum of a metric over its labels.
fn metric(athena: &Athena, name: &str) -> f64 {
    let page = athena.tell("/metrics");
    let samples = page.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn what_one_of_three_is_told_all_know_and_nothing_comes_back() {
    let mesh = Mesh::start(3, "");
    let [a, b, c] = &mesh.athenas[..] else { panic!("three") };
    a.tell("/ath/update/phys/?h=app01,l=0.5,c=7,v=down");
    a.tell("/ath/update/phys/?h=app01,c=%2B1;h=app02,l=2");
    mesh.await_all("a's word", "app01 on 1 down 0.5 8\napp02 on 1 up 2 -\n");
    until("two names to two peers", || metric(a, "athena_mirror_peer_sent_total") >= 4.0);
    assert_eq!(metric(b, "athena_mirror_peer_sent_total"), 0.0);
    assert_eq!(metric(c, "athena_mirror_peer_sent_total"), 0.0);
    b.tell("/ath/update/phys/?h=app01,s=drain,w=2.5,v=up");
    c.tell("/ath/update/farm/?n=farm_one,s=off");
    c.tell("/ath/update/phys/?h=app02,V=down");
    mesh.await_all("b's and c's", "app01 drain 2.5 up 0.5 8\napp02 on 1 down 2 -\n");
    for athena in &mesh.athenas {
        until("the farm is off", || athena.tell("/ath/status/farm/?n=farm_one,f=\"%s\"") == "off\n");
        assert_eq!(metric(athena, "athena_mirror_peer_reachable"), 2.0);
        assert_eq!(metric(athena, "athena_mirror_peer_dropped_total"), 0.0);
        assert_eq!(athena.get("/readyz"), (200, "ready\n".to_owned()));
    }
}

#[test]
fn two_that_were_cut_off_agree_after_healing() {
    let mesh = Mesh::start(2, "");
    let [a, b] = &mesh.athenas[..] else { panic!("two") };
    a.tell("/ath/update/phys/?h=app01,l=0.1,c=1;h=app02,l=0.2");
    mesh.await_all("before", "app01 on 1 up 0.1 1\napp02 on 1 up 0.2 -\n");
    mesh.cut();
    // Administrative states: the later change wins, whoever made it. Statistics: the later report, field by field.
    a.tell("/ath/update/phys/?h=app01,s=off,l=1");
    b.tell("/ath/update/phys/?h=app01,s=drain,l=2");
    a.tell("/ath/update/phys/?h=app01,c=%2B4");
    b.tell("/ath/update/phys/?h=app02,w=3,c=9");
    a.tell("/ath/update/phys/?h=app02,w=2,l=8");
    until("a notices", || engine(a, "%M") == "0/1\n");
    until("b notices", || engine(b, "%M") == "0/1\n");
    assert!(
        a.get("/readyz").1.starts_with("ready\nmirror: peer http://127.0.0.1:"),
        "{}",
        a.get("/readyz").1
    );
    assert_eq!(phys(a), "app01 off 1 up 1 5\napp02 on 2 up 8 -\n");
    assert_eq!(phys(b), "app01 drain 1 up 2 1\napp02 on 3 up 0.2 9\n");
    mesh.heal();
    mesh.await_all("the later of each", "app01 drain 1 up 2 5\napp02 on 2 up 8 9\n");
    mesh.await_step();
}

#[test]
fn one_that_starts_empty_is_filled_before_it_is_ready() {
    let mut mesh = Mesh::start(2, "");
    mesh.athenas[0].tell("/ath/update/phys/?h=app01,s=drain,l=0.5;h=app02,c=3");
    mesh.athenas[1].tell("/ath/update/phys/?h=app02,w=2");
    let shown = "app01 drain 1 up 0.5 -\napp02 on 2 up - 3\n";
    mesh.await_all("both", shown);
    drop(mesh.athenas.pop());
    until("the other notices", || engine(&mesh.athenas[0], "%M") == "0/1\n");
    let again = mesh.start_one(1);
    until("it is ready", || again.get("/readyz").0 == 200);
    assert_eq!(phys(&again), shown, "as soon as it is ready");
    assert_eq!(again.addresses("farm_one.athena.").len(), 1);
    mesh.athenas.push(again);
    mesh.await_step();
}

#[test]
fn peers_that_do_not_answer_hold_up_a_start_for_a_while_only() {
    let nobody = Relay::start();
    let patient = Athena::start(&toml(&[&nobody.url()], "wait = \"1h\""));
    let (status, body) = patient.get("/readyz");
    let url = format!("{}/ath", nobody.url());
    assert!(status == 503 && body.starts_with(&format!("waiting for the state of {url}\n")), "{body}");
    assert_eq!(patient.addresses("farm_one.athena.").len(), 1, "it answers all the same");
    let brief = Athena::start(&toml(&[&nobody.url()], "wait = \"10ms\""));
    until("it is ready without", || brief.get("/readyz").0 == 200);
    until("it says who is missing", || brief.get("/readyz").1.contains(&format!("mirror: peer {url}: ")));
}

#[test]
fn what_finds_no_room_is_counted_and_comes_with_the_next_exchange() {
    let mesh = Mesh::start(2, "queue = 2");
    let [a, b] = &mesh.athenas[..] else { panic!("two") };
    mesh.cut();
    for index in 1..=5 {
        a.tell(&format!("/ath/update/phys/?h=app0{index},l={index}"));
    }
    a.tell("/ath/update/phys/?h=app05,s=off");
    until("three or more had to go", || metric(a, "athena_mirror_peer_dropped_total") >= 3.0);
    mesh.heal();
    let all = "1 on\n2 on\n3 on\n4 on\n5 off\n";
    until("all came through", || b.tell("/ath/status/phys/?f=\"%l %s\"") == all);
}

#[test]
fn nonsense_is_refused_and_named() {
    let athena = Athena::start(&toml(&[], ""));
    for (query, why) in [
        ("phys/?h=app01,l=much,S=1@ns9", "l: not a finite number: \"much\""),
        ("phys/?h=app01,l=1,S=tomorrow", "S: \"tomorrow\" is no stamp, such as 123@ns1"),
        ("phys/?h=app01,l=1,S=18446744073709551615@ns9", "S: "),
        ("farm/?n=farm_one,s=sometimes,S=1@ns9", "s: \"sometimes\" is none of on, off"),
        ("state/?everything", "everything: unknown argument"),
    ] {
        let (status, body) = athena.get(&format!("/ath/mirror/{query}"));
        assert!(status == 400 && body.starts_with(why), "{query}: {status} {body}");
        let debug = athena.tell("/ath/status/debug/?true");
        let named = debug.lines().find(|line| line.starts_with("refused ")).unwrap();
        assert!(named.contains("somebody without a name (127.0.0.1) at ") && named.contains(why), "{named}");
    }
    assert_eq!(metric(&athena, "athena_mirror_refused_total"), 5.0);
    assert_eq!(athena.get("/ath/mirror/phys/?h=app09,l=1"), (404, "unknown backend: app09\n".to_owned()));
    assert_eq!(athena.get("/ath/mirror/phys/?h=app09,l=1,S=1@ns9").0, 404);
    assert_eq!(
        athena.tell("/ath/mirror/phys/?h=app09,l=1,S=1@ns9;h=app01,l=1,S=1@ns9"),
        "ok\n",
        "one is known"
    );
}

#[test]
fn a_peer_that_is_no_athena_is_named() {
    let web = Backends::start(1);
    let url = format!("http://127.0.1.1:{}", web.port);
    let athena = Athena::start(&toml(&[&url], ""));
    until("it is named", || {
        athena.tell("/ath/status/debug/?true").contains("it sends nonsense: its state has no")
    });
    assert_eq!(engine(&athena, "%M"), "0/1\n");
    assert!(metric(&athena, "athena_mirror_peer_failures_total") >= 1.0);
    let debug = athena.tell("/ath/status/debug/?true");
    assert!(debug.contains(&format!("last {url}/ath at ")), "{debug}");
}

#[test]
fn a_mirrored_update_acts_like_one_but_goes_no_further() {
    let mesh = Mesh::start(2, "");
    let [a, b] = &mesh.athenas[..] else { panic!("two") };
    assert_eq!(a.tell("/ath/mirror/phys/?h=app01,l=0.5,c=%2B2"), "ok\n");
    assert_eq!(a.tell("/ath/status/phys/?h=app01,f=\"%l %c %i\""), "0.5 2 in\n");
    a.tell("/ath/update/phys/?h=app02,l=0.7");
    until("b has the update", || b.tell("/ath/status/phys/?h=app02,f=\"%l\"") == "0.7\n");
    // Counted once the answer is back.
    until("it is counted", || metric(a, "athena_mirror_peer_sent_total") >= 1.0);
    assert_eq!(metric(a, "athena_mirror_peer_sent_total"), 1.0, "the update, not what was mirrored");
    // An older report changes nothing.
    assert_eq!(b.tell("/ath/mirror/phys/?h=app02,l=9,S=5@ns9,t=1"), "ok\n");
    assert_eq!(b.tell("/ath/status/phys/?h=app02,f=\"%l\""), "0.7\n");
    assert!(metric(b, "athena_mirror_older_total") >= 1.0);
}

#[test]
fn keys_open_what_they_open_and_show_nowhere() {
    let guarded =
        Athena::start(&toml(&[], "[access]\nupdate_key = \"hush-reports\"\nadmin_key = \"hush-people\""));
    let relay = Relay::start();
    relay.lead_to(guarded.http);
    let read = |code: &str| guarded.tell(&format!("/ath/status/phys/?h=app01,f=\"{code}\""));
    let stranger = Athena::start(&toml(&[&relay.url()], "key = \"hush-wrong\""));
    until("it is refused", || stranger.get("/readyz").1.contains("it refuses: 403"));
    let reporter = Athena::start(&toml(&[&relay.url()], "key = \"hush-reports\""));
    reporter.tell("/ath/update/phys/?h=app01,l=0.5,s=drain");
    until("the report passes", || read("%l") == "0.5\n");
    until("the decision does not", || reporter.get("/readyz").1.contains("s: admin access is not allowed"));
    assert_eq!(read("%s"), "on\n");
    let trusted = Athena::start(&toml(&[&relay.url()], "key = \"hush-people\""));
    trusted.tell("/ath/update/phys/?h=app01,s=off");
    until("the decision passes", || read("%s") == "off\n");
    for athena in [&stranger, &reporter, &trusted] {
        for page in ["/ath/status/debug/?true", "/metrics", "/readyz"] {
            assert!(!athena.get(page).1.contains("hush"), "{page}");
        }
    }
}

#[test]
fn all_may_have_one_list_and_a_reload_changes_it() {
    let (to_a, to_b) = (Relay::start(), Relay::start());
    let urls = [to_a.url(), to_b.url()];
    let list = [urls[0].as_str(), urls[1].as_str()];
    let (mut a, b) = (Athena::start(&toml(&list, "")), Athena::start(&toml(&list, "")));
    to_a.lead_to(a.http);
    to_b.lead_to(b.http);
    for athena in [&a, &b] {
        until("it leaves itself out", || engine(athena, "%M") == "1/1\n");
    }
    a.reload(&toml(&[], "")).unwrap();
    assert_eq!(engine(&a, "%M"), "0/0\n");
    a.tell("/ath/update/phys/?h=app01,l=0.5");
    a.reload(&toml(&list[1..], "")).unwrap();
    until("b is told what it lacks", || b.tell("/ath/status/phys/?h=app01,f=\"%l\"") == "0.5\n");
}
