//! `[forward]`, checked.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Names outside our zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Name servers that resolve for us; empty: nothing is forwarded.
    pub upstreams: Vec<SocketAddr>,
    /// Networks that may ask; empty exactly if there are no upstreams.
    pub access: Vec<IpNet>,
    /// Which upstream is asked first.
    pub order: ForwardOrder,
    /// How long a question may take.
    pub timeout: Duration,
    /// Answers kept; 0: none.
    pub cache: u64,
    /// Most questions in flight.
    pub queries: usize,
    /// Most questions in flight of one client.
    pub queries_per_client: usize,
}

/// Which upstream is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardOrder {
    /// The first of the list.
    Listed,
    /// Each in turn.
    Rotate,
}

impl ForwardOrder {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Listed, Self::Rotate];
    /// Their words in configuration, in the same order.
    pub const WORDS: &'static [&'static str] = &["listed", "rotate"];
}
