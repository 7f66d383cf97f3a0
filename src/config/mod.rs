//! Configuration: what the program is told, checked and typed.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`keys`] | the table of all keys: names, defaults, what they mean |
//! | [`given`] | values from the environment and from flags |
//! | `file` | what the user typed: the layers merged by figment, every value with its origin |
//! | `node` | a value with its way and its origin, as the checks walk them |
//! | `tree` | these values, packed |
//! | `document` | the file's text, and on which line a key stands |
//! | `pieces` | how a large file is read |
//! | `source` | file and given values as they were read |
//! | `check` | all problems at once, each with its place and remedy |
//! | `effective` | what is in force, printed as a file with the origin of each line |
//! | `template` | a commented file with every key |
//!
//! Order of precedence: built-in defaults, file, environment, flags. Everything else of the program sees [`Config`] only.

mod check;
mod document;
mod effective;
mod file;
mod forward;
pub mod given;
pub mod keys;
mod node;
mod path;
mod pieces;
pub mod problem;
mod source;
mod template;
mod tree;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::balance::registration::Registration;
use crate::balance::{Name, Plan};
use crate::probe::plan::Probe;
use crate::tls::{Authorities, Certificate};
pub use check::parse_duration;
pub use forward::{Forward, ForwardOrder};
pub use given::Given;
pub use problem::{Place, Problem, Problems};
pub use source::Source;
pub use template::template;

/// Everything the program is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The zones we are authoritative for, the one of the farms first; at least one.
    pub zones: Vec<Zone>,
    /// Where durable states are kept; `None`: in memory only.
    pub state_dir: Option<PathBuf>,
    /// `[dns]`
    pub dns: Dns,
    /// `[http]`
    pub http: Http,
    /// `[access]`
    pub access: Access,
    /// `[cookie]`
    pub cookie: Cookie,
    /// `[agent_check]`
    pub agent_check: AgentCheck,
    /// `[mirror]`
    pub mirror: Mirror,
    /// `[forward]`
    pub forward: Forward,
    /// Backends and farms.
    pub plan: Plan,
    /// Backends of the plan whose addresses come from a host name.
    pub hosts: Vec<Host>,
    /// What to find out about backends of the plan by ourselves.
    pub probes: Vec<Probe>,
    /// `[log]`
    pub log: Log,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// What it was read from.
    pub source: Arc<Source>,
}

impl Config {
    /// See [`Source::shown`].
    pub fn shown(&self) -> String {
        self.source.shown()
    }
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name in lower case with its trailing dot.
    pub name: String,
    /// Its static records.
    pub records: Records,
}

/// Where a zone's static records are, in the format of RFC 1035 §5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// In this file; it could be opened when the configuration was checked.
    File(PathBuf),
    /// Here.
    Text(String),
}

/// How DNS is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// UDP and TCP on each; at least one.
    pub listen: Vec<SocketAddr>,
    /// UDP threads; 0: one a core.
    pub threads: usize,
    /// Longest UDP answer in octets.
    pub max_udp: u16,
    /// The same for clients with loopback and private addresses.
    pub max_udp_local: u16,
    /// Whether TXT queries for a farm are answered with an explanation.
    pub explain: bool,
    /// Whether the client subnet is the key of hashing algorithms.
    pub ecs: bool,
    /// What we say to NSID.
    pub nsid: Option<String>,
    /// What we say to CH TXT version.bind.
    pub version: Option<String>,
    /// What we say to CH TXT id.server.
    pub id: Option<String>,
    /// Whether DNS Cookies are given and checked.
    pub cookies: bool,
    /// Secrets of the cookies: the first signs, all are accepted. Empty: make one up.
    pub cookie_secrets: Vec<Secret<[u8; 16]>>,
    /// Most TCP connections in all.
    pub tcp_connections: usize,
    /// Most TCP connections of one client address.
    pub tcp_connections_per_client: usize,
    /// When an idle TCP connection is closed.
    pub tcp_idle: Duration,
    /// `[dns.tls]`
    pub tls: DnsTls,
    /// One query in so many is logged; `None`: none.
    pub log_queries: Option<NonZeroU32>,
}

/// How DNS is served over TLS, HTTPS and QUIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsTls {
    /// What listeners show; there if any of them has an address.
    pub certificate: Option<Certificate>,
    /// Where TLS; empty: nowhere.
    pub tls_listen: Vec<SocketAddr>,
    /// Where HTTPS; empty: nowhere.
    pub https_listen: Vec<SocketAddr>,
    /// The path of HTTPS; begins with `/`.
    pub https_path: String,
    /// Where QUIC; empty: nowhere.
    pub quic_listen: Vec<SocketAddr>,
}

/// How HTTP is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// With this, all of them speak TLS and nothing else.
    pub certificate: Option<Certificate>,
    /// What the text protocol stands under: begins with `/` and does not end in one, or is empty.
    pub path: String,
    /// Most requests in one GET.
    pub max_embed: usize,
    /// Whether `multi` is served.
    pub allow_diverse_multi: bool,
    /// Most connections in all.
    pub connections: usize,
    /// Most connections of one client address.
    pub connections_per_client: usize,
    /// A request's head must be complete within this.
    pub header_timeout: Duration,
    /// A request's body must be complete within this.
    pub body_timeout: Duration,
    /// When an idle connection is closed.
    pub idle_timeout: Duration,
}

/// Who may do what over HTTP: networks, and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Networks that may ask.
    pub query: Vec<IpNet>,
    /// Networks that may report.
    pub update: Vec<IpNet>,
    /// Networks that may set states.
    pub admin: Vec<IpNet>,
    /// The key for asking.
    pub query_key: Option<Secret<String>>,
    /// The key for reporting.
    pub update_key: Option<Secret<String>>,
    /// The key for setting states.
    pub admin_key: Option<Secret<String>>,
    /// Proxies whose word about the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether and how backends may register; if they may, there is an `update_key`.
    pub auto_register: Option<AutoRegister>,
}

/// How backends register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoRegister {
    /// How many, and how long.
    pub rules: Registration,
    /// Where they may be.
    pub networks: Vec<IpNet>,
}

/// Sticky tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The cookie that holds one in a text query; `None`: none does.
    pub name: Option<String>,
    /// Signs and verifies; `None`: no token holds.
    pub key: Option<Secret<String>>,
    /// Still verifies.
    pub former_key: Option<Secret<String>>,
}

/// How HAProxy's agent-checks are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCheck {
    /// Where; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// Most connections in all.
    pub connections: usize,
    /// Most connections of one client address.
    pub connections_per_client: usize,
    /// How long a client may take to send its line, and as long again to read the answer.
    pub timeout: Duration,
}

/// Other Athenas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where they are.
    pub peers: Vec<MirrorPeer>,
    /// Whom the certificates of those reached over HTTPS must come from; `None`: whom the system trusts.
    pub authorities: Option<Authorities>,
    /// What we bring them.
    pub key: Option<Secret<String>>,
    /// What we are called among them; `None`: make one up.
    pub name: Option<String>,
    /// Most names that wait for one peer.
    pub queue: usize,
    /// How long a start waits for their states.
    pub wait: Duration,
}

/// Where another Athena is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorPeer {
    /// Whether it is reached over HTTPS.
    pub tls: bool,
    /// A host name in lower case or an address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its text protocol stands under: begins with `/` and does not end in one, or is empty.
    pub base: String,
}

/// A host name that a backend's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The backend.
    pub backend: Name,
    /// The host name, in lower case without trailing dot.
    pub host: String,
    /// How often it is resolved anew.
    pub refresh: Duration,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// From which level on.
    pub level: Level,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];
    /// Their words in configuration, in the same order.
    pub const WORDS: &'static [&'static str] = &["text", "json"];
}

/// How much is logged, by who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody must act now.
    Error,
    /// Somebody must act soon.
    Warn,
    /// A state changed.
    Info,
    /// For who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
    /// Their words in configuration, in the same order.
    pub const WORDS: &'static [&'static str] = &["error", "warn", "info", "debug", "trace"];
}

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long DNS goes on after the signal.
    pub lameduck: Duration,
}

/// Something that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Whoever takes it must not print it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The configuration of a demonstration: three backends on loopback addresses.
pub const DEMONSTRATION: &str = r#"zone = "athena."

[dns]
listen = ["127.0.0.1:5300"]

[http]
listen = ["127.0.0.1:8053"]

[backends.app01]
address = "127.0.1.1"
port = 8000

[backends.app02]
address = "127.0.1.2"
port = 8000

[backends.app03]
address = "127.0.1.3"
port = 8000

[farms.farm_one]
members = ["app01", "app02", "app03"]
"#;

/// Reads and checks `file` (`None`: the demonstration) with `given` on top, the last of them winning. Gives every
/// problem there is.
pub fn load(file: Option<&Path>, given: &[Given]) -> Result<Config, Problems> {
    let source = Arc::new(Source::read(file, given)?);
    let typed = source.typed()?;
    check::check(&typed, &source)
}

/// The demonstration alone: no file, no environment, no flags.
pub fn demonstration() -> Config {
    load(None, &[]).expect("the built-in configuration has no problems, which a test holds")
}
