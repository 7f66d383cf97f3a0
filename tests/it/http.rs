//! What the HTTP stories share: the HTTP shell alone, over an engine of the story's own, on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use athena::balance::algorithm;
use athena::balance::plan::{BackendPlan, FarmPlan, Plan};
use athena::balance::{Engine, Name};
use athena::clock::Clock;
use athena::http::{Options, Readiness, State, server};
use athena::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a story waits for something that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A backend with address and port.
pub fn backend(text: &str, address: &str, port: Option<u16>) -> BackendPlan {
    let address: IpAddr = address.parse().unwrap();
    BackendPlan { port, ..BackendPlan::new(name(text), vec![address]) }
}

/// A farm over these backends.
pub fn farm(text: &str, members: &[&str], rule: &str) -> FarmPlan {
    FarmPlan::new(name(text), members.iter().map(|member| name(member)), algorithm::find(rule).unwrap())
}

/// The plan of the contract's examples: `farm_one` and `farm_two` over `app01` and `app02`.
pub fn plan() -> Plan {
    Plan {
        backends: vec![backend("app01", "10.0.0.11", Some(8080)), backend("app02", "10.0.0.12", Some(8080))],
        farms: vec![
            farm("farm_one", &["app01", "app02"], "least-load"),
            farm("farm_two", &["app02"], "least-load"),
        ],
    }
}

/// The HTTP shell until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub state: Arc<State>,
    /// What the listener to changes was told.
    pub changes: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    runtime: Runtime,
}

impl Server {
    pub fn start(plan: Plan, options: Options) -> Self {
        let clock = Clock::start();
        let engine = Engine::new(plan, clock.now()).unwrap();
        let changes = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&changes);
        let listener = move |changes: &[athena::balance::status::Change]| {
            told.lock().unwrap().extend(changes.iter().map(ToString::to_string));
        };
        let state = Arc::new(State::new(
            Arc::new(engine),
            Arc::new(Metrics::default()),
            clock,
            Arc::new(Readiness::default()),
            options,
            Box::new(listener),
        ));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let serving = runtime.spawn(server::serve(listener, Arc::clone(&state), stopped));
        Self { address, state, changes, stop: Some(stop), serving: Some(serving), runtime }
    }

    /// The contract's examples, with default options.
    pub fn example() -> Self {
        Self::start(plan(), Options::default())
    }

    /// A connection that waits no longer than [`PATIENCE`].
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// One request with this method, target and further header lines, on a connection of its own.
    pub fn request(&self, method: &str, target: &str, header: &str) -> Response {
        let mut client = self.connect();
        client.send(&format!("{method} {target} HTTP/1.1\r\nHost: athena\r\n{header}\r\n"));
        client.response(method == "HEAD")
    }

    /// `GET`: status and body.
    pub fn get(&self, target: &str) -> (u16, String) {
        let response = self.request("GET", target, "");
        (response.status, response.body)
    }

    /// A `GET` that must succeed: its body.
    pub fn tell(&self, target: &str) -> String {
        let (status, body) = self.get(target);
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// Asks the listener to stop, without waiting.
    pub fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until the listener has stopped.
    pub fn await_stop(&mut self) {
        self.runtime.block_on(self.serving.take().unwrap()).unwrap();
    }
}

/// Waits for a state; gives up after [`PATIENCE`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let (_keep, nobody) = std::sync::mpsc::channel::<()>();
    for _ in 0..PATIENCE.as_millis() {
        if holds() {
            return;
        }
        let _ = nobody.recv_timeout(Duration::from_millis(1));
    }
    panic!("waited in vain: {what}");
}

/// One connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Sends for as long as the other side takes it.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.0.get_mut().write_all(text.as_bytes()).is_ok()
    }

    /// The next response; one to HEAD has no body.
    pub fn response(&mut self, head: bool) -> Response {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.0.read_line(&mut line).unwrap();
            assert!(length > 0, "the connection ended after {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let mut response =
            Response { status, fields: lines[1..].iter().map(field).collect(), body: String::new() };
        let length = response.field("content-length").map_or(0, |length| length.parse().unwrap());
        if !head {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }

    /// Waits until the other side closes; gives what it still sent.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        rest
    }
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
