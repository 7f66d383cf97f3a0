//! What the stories share: Athena in this process on free ports, real clients, real backends, real proxies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use athena::app::{self, Running, Secure};
use athena::clock::Clock;
use athena::config;
use athena::systemd::Inherited;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::runtime::Runtime;

/// How long a story waits for something that is bound to happen. Nothing passes or fails because it was quick or slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An Athena that runs in this process until it is dropped.
pub struct Athena {
    pub dns: SocketAddr,
    pub http: SocketAddr,
    pub folder: tempfile::TempDir,
    running: Option<Running>,
    runtime: Runtime,
}

impl Athena {
    /// Starts with this configuration: farms, backends and what else matters to the story. Zone, zone file and listeners
    /// on free ports are added.
    pub fn start(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let zone = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones/athena.zone");
        std::fs::copy(zone, folder.path().join("athena.zone")).unwrap();
        let file = write(&folder, toml);
        let config = config::load(Some(&file), &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let running = runtime.block_on(app::start(config, Inherited::default())).unwrap();
        let (dns, http) = (running.dns()[0], running.http()[0]);
        Self { dns, http, folder, running: Some(running), runtime }
    }

    /// Reloads with this configuration instead. Gives what changed, or what was wrong.
    pub fn reload(&mut self, toml: &str) -> Result<Vec<String>, String> {
        let file = write(&self.folder, toml);
        let config = config::load(Some(&file), &[]).map_err(|problems| problems.to_string())?;
        let running = self.running.as_mut().unwrap();
        self.runtime.block_on(running.reload(config)).map_err(|error| error.to_string())
    }

    /// Where encrypted DNS answers in this way.
    pub fn secure(&self, service: Secure) -> SocketAddr {
        let secure = self.running.as_ref().unwrap().secure();
        secure.into_iter().find(|(kind, _)| *kind == service).unwrap().1
    }

    /// Where HAProxy's agent-checks are answered.
    pub fn agent(&self) -> SocketAddr {
        self.running.as_ref().unwrap().agent_checks()[0]
    }

    /// Asks over UDP and gives the whole reply.
    pub fn ask(&self, name: &str, record_type: RecordType) -> Message {
        let any = if self.dns.is_ipv4() { "127.0.0.1:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut query = Message::new(rand_id(), MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
        socket.send_to(&query.to_vec().unwrap(), self.dns).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    /// The addresses in the answer to an A query.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        self.ask(name, RecordType::A).answers.iter().filter_map(|record| address(&record.data)).collect()
    }

    /// `GET path`: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let response = get(self.http, path, "athena");
        (response.status, response.body)
    }

    /// Asks the text protocol for something that must succeed.
    pub fn tell(&self, path: &str) -> String {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Stops as SIGTERM would.
    pub fn stop(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.stop());
    }
}

impl Drop for Athena {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// Writes a configuration with zone and listeners added where it names none.
fn write(folder: &tempfile::TempDir, toml: &str) -> PathBuf {
    let usual = [
        ("zone", "\"athena.\""),
        ("zone_file", "\"athena.zone\""),
        ("dns.listen", "[\"127.0.0.1:0\"]"),
        ("dns.threads", "1"),
        ("http.listen", "[\"127.0.0.1:0\"]"),
    ];
    let missing =
        usual.iter().filter(|(key, _)| !toml.lines().any(|line| line.starts_with(&format!("{key} ="))));
    let head: String = missing.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let file = folder.path().join("athena.toml");
    std::fs::write(&file, format!("{head}{toml}")).unwrap();
    file
}

fn rand_id() -> u16 {
    use athena::balance::random::{Random, SplitMix};
    SplitMix::from_system().next() as u16
}

/// What a server answered.
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// One HTTP request on a connection of its own.
pub fn get(server: SocketAddr, path: &str, host: &str) -> Response {
    get_with(server, path, &format!("Host: {host}\r\n"))
}

/// The same with header fields of one's own, each with its line's end.
pub fn get_with(server: SocketAddr, path: &str, fields: &str) -> Response {
    let path = path.replace(' ', "%20").replace('"', "%22");
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Response { status: status.unwrap_or_else(|| panic!("no status in {text:?}")), body: body.to_owned() }
}

/// Real HTTP backends on 127.0.1.1, 127.0.1.2, … that share one port; each answers with its name: `app01`, `app02`, …, and
/// to `/host` with the host it was asked for.
pub struct Backends {
    pub port: u16,
    addresses: Vec<IpAddr>,
    running: Vec<Option<Backend>>,
}

/// One of them, while it runs.
struct Backend {
    stopping: Arc<AtomicBool>,
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Backends {
    /// So many, on loopback addresses of their own.
    pub fn start(count: u8) -> Self {
        Self::start_at((1..=count).map(|index| [127, 0, 1, index].into()).collect())
    }

    /// One at each of these addresses.
    pub fn start_at(addresses: Vec<IpAddr>) -> Self {
        // The first takes any free port; where that one is taken on another of our addresses, a new one is taken.
        let listeners = loop {
            let first = TcpListener::bind((addresses[0], 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            let others: Result<Vec<_>, _> =
                addresses[1..].iter().map(|&address| TcpListener::bind((address, port))).collect();
            if let Ok(others) = others {
                break std::iter::once(first).chain(others).collect::<Vec<_>>();
            }
        };
        let port = listeners[0].local_addr().unwrap().port();
        let serve = |(index, listener): (usize, TcpListener)| {
            let stopping = Arc::new(AtomicBool::new(false));
            let (seen, address) = (Arc::clone(&stopping), listener.local_addr().unwrap());
            let thread = std::thread::spawn(move || serve(&listener, &format!("app{:02}", index + 1), &seen));
            Some(Backend { stopping, address, thread })
        };
        Self { port, addresses, running: listeners.into_iter().enumerate().map(serve).collect() }
    }

    /// The configuration of these backends and of a farm `farm_one` over them.
    pub fn farm(&self, algorithm: &str, more: &str) -> String {
        let names: Vec<String> = (1..=self.running.len()).map(|index| format!("app{index:02}")).collect();
        let backend = |(name, address): (&String, &IpAddr)| {
            format!("[backends.{name}]\naddress = \"{address}\"\nport = {}\n", self.port)
        };
        let backends: String = names.iter().zip(&self.addresses).map(backend).collect();
        format!("{backends}[farms.farm_one]\nmembers = {names:?}\nalgorithm = \"{algorithm}\"\n{more}\n")
    }
}

fn serve(listener: &TcpListener, name: &str, stopping: &AtomicBool) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let asks_for_host = head.first().is_some_and(|line| line.starts_with("GET /host "));
        let field = |line: &String| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("host").then(|| value.to_owned())
        };
        let host = head.iter().find_map(field).filter(|_| asks_for_host);
        let body = format!("{}\n", host.as_deref().unwrap_or(name));
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
}

impl Backends {
    /// Ends `app01` if `number` is 1, and so on: connections to it are refused from now on.
    pub fn stop(&mut self, number: usize) {
        if let Some(Backend { stopping, address, thread }) = self.running[number - 1].take() {
            stopping.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(address);
            thread.join().unwrap();
        }
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        (1..=self.running.len()).for_each(|number| self.stop(number));
    }
}

/// A program that runs in the foreground until it is dropped.
pub struct Program {
    child: Child,
    name: &'static str,
    log: PathBuf,
    stop: &'static str,
}

impl Program {
    /// Starts it; what it says goes to a file in `folder`. `stop` is the signal that ends it, such as `QUIT`.
    pub fn start(name: &'static str, arguments: &[&str], folder: &Path, stop: &'static str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started ({error}); tests/run installs it"));
        Self { child, name, log, stop }
    }

    /// Waits until somebody listens on `address`.
    pub fn await_listener(&mut self, address: SocketAddr) {
        until(&format!("{} listens on {address}", self.name), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.name, std::fs::read_to_string(&self.log).unwrap());
            }
            TcpStream::connect(address).is_ok()
        });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ =
            Command::new("kill").args([&format!("-{}", self.stop), &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Waits for a state; gives up after [`PATIENCE`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let (_keep, nobody) = std::sync::mpsc::channel::<()>();
    let clock = Clock::start();
    let deadline = clock.now() + PATIENCE;
    while !holds() {
        assert!(clock.now() < deadline, "waited in vain: {what}");
        let _ = nobody.recv_timeout(Duration::from_millis(5));
    }
}
