//! DNS: the only room of the house that imports hickory.
//!
//! A datagram comes through [`udp`], and [`wire`] answers it from bytes to bytes if it is the plain query for a farm. Everything
//! else, and whatever comes over TCP ([`server`]), TLS, HTTPS or QUIC ([`secure`]), goes to [`handler`], bytes in, bytes out: what [`query`] finds
//! sound becomes a request of hickory-server's, its request handler asks [`responder`] for a [`responder::Reply`], which looks
//! the name up in [`zone`], and [`message`] writes the response. What waits for others, because the name is not ours and
//! the client may ask for it all the same, is put aside for [`forward`]: hickory's resolver and cache. Only `udp`, `server`,
//! `secure` and `forward` do I/O; [`zonefile`] reads its files.
//!
//! Of hickory-server it is the handlers that are used, not the listeners. Those run a task for each datagram, which costs
//! more than all else, and take whole TCP listeners without a limit of connections, answer one after the other, answer what
//! they cannot read past every counter, and cut off open answers at a stop.
//!
//! | standard | what of it | where |
//! | --- | --- | --- |
//! | RFC 1034, 1035 | look-up, messages, compression; master files | `zone`, `query`, `message`; `zonefile` |
//! | RFC 2181, 6604 | RRsets, CNAME chains and their RCODE | `zone`, `responder` |
//! | RFC 2308 | negative answers with SOA | `responder` |
//! | RFC 2782 | SRV of a farm | `responder::service` |
//! | RFC 3597 | unknown types in master files | `zonefile` |
//! | RFC 4592 | wildcards | `zone` |
//! | RFC 4892, 5001 | `version.bind`, `id.server`; NSID | `handler` |
//! | RFC 6303, 6761, 7686, 8375 | names of special use | `forward::special` |
//! | RFC 6891 | EDNS(0), BADVERS | `query`, `handler` |
//! | RFC 7766 | TCP: pipelining, limits, time-outs | `server` |
//! | RFC 7830, 8467 | padding of encrypted replies, to 468 octets | `handler`, `message` |
//! | RFC 7858 | DNS over TLS | `secure`, `server` |
//! | RFC 7871 | client subnet as the key of a hashing rule | `query`, `handler` |
//! | RFC 7873, 9018 | cookies | `cookie`, `handler` |
//! | RFC 8482 | ANY | `responder` |
//! | RFC 8484 | DNS over HTTPS: GET and POST, HTTP/2 | `secure::https` |
//! | RFC 8906 | an answer, with the right RCODE, to everything that is a query | `handler` |
//! | RFC 9250 | DNS over QUIC | `secure::quic` |
//! | RFC 9460 | HTTPS and SVCB of a farm | `responder::service` |
//! | RFC 9471 | glue that a referral needs, or TC | `handler` |
//! | RFC 9619 | one question | `query` |

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub mod authority;
pub mod cookie;
pub mod forward;
pub mod handler;
pub mod message;
pub mod name;
pub mod query;
pub mod responder;
pub mod secure;
pub mod server;
pub mod transport;
pub mod udp;
pub mod wire;
pub mod zone;
pub mod zonefile;

pub use authority::Authority;
pub use forward::{ForwardOptions, Forwarder};
pub use handler::{Handler, NoSecret};
pub use secure::SecureServer;
pub use server::TcpServer;
pub use transport::Transport;
pub use zone::Zones;
pub use zonefile::{ZoneContent, ZoneError};

/// How DNS answers; the configuration's section `dns` in this module's own words.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether TXT of a farm explains the choice.
    pub explain: bool,
    /// Whether a client subnet is the key of a hashing rule.
    pub ecs: bool,
    /// Most octets of an answer over UDP, 512 or more.
    pub max_udp: u16,
    /// The same for clients with a loopback or private address.
    pub max_udp_local: u16,
    /// The server's identifier for those who ask by EDNS (RFC 5001).
    pub nsid: Option<Vec<u8>>,
    /// `version.bind` and `version.server` in class CH; `None`: REFUSED.
    pub version: Option<String>,
    /// `id.server` and `hostname.bind` in class CH; `None`: REFUSED.
    pub server_id: Option<String>,
    /// DNS cookies.
    pub cookies: CookieOptions,
    /// TCP.
    pub tcp: TcpOptions,
    /// The path of DNS over HTTPS; begins with `/`.
    pub https_path: String,
    /// One line in the log for one in so many queries; `None`: none.
    pub log_queries: Option<NonZeroU32>,
    /// Who may ask for names that are not ours, and whom we ask; `None`: nobody.
    pub forward: Option<Arc<Forwarder>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            explain: false,
            ecs: false,
            max_udp: 1232,
            max_udp_local: 8192,
            nsid: None,
            version: None,
            server_id: None,
            cookies: CookieOptions::default(),
            tcp: TcpOptions::default(),
            https_path: "/dns-query".to_owned(),
            log_queries: None,
            forward: None,
        }
    }
}

/// DNS cookies (RFC 7873, 9018).
#[derive(Debug, Clone)]
pub struct CookieOptions {
    /// Whether cookies are answered.
    pub enabled: bool,
    /// Secrets of 16 octets: the first makes cookies, all are honoured, so that a second one is for rollover. None: one is
    /// drawn at the start and holds until the process ends.
    pub secrets: Vec<[u8; 16]>,
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self { enabled: true, secrets: Vec::new() }
    }
}

/// What a TCP client may take.
#[derive(Debug, Clone)]
pub struct TcpOptions {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client address.
    pub connections_per_client: usize,
    /// Time without a whole query after which a connection is closed (RFC 7766, 6.2.3).
    pub idle: Duration,
    /// How long answers may wait for a client that does not read.
    pub write: Duration,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_client: 128,
            idle: Duration::from_secs(30),
            write: Duration::from_secs(10),
        }
    }
}
