//! What to find out about whom, as data: the configuration makes it, [`Probes`](super::Probes) follows it.

use std::ops::RangeInclusive;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::scrape::selector::Selector;
use crate::balance::Name;
use crate::balance::statistics::StatisticName;

/// What to find out about one backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The backend.
    pub backend: Name,
    /// Whether it works.
    pub check: Option<Check>,
    /// What it says of itself on a page.
    pub scrape: Option<Scrape>,
}

/// When to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// From the beginning of one look to that of the next, which waits for the end of one that takes longer; longer than 0.
    pub interval: Duration,
    /// One look takes no longer than this; longer than 0.
    pub timeout: Duration,
    /// By which part of it an interval is longer or shorter, drawn anew each time: 0 to 0.5.
    pub spread: f64,
}

/// Whether a connection speaks TLS, and whom it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// No TLS.
    Off,
    /// A certificate that this system trusts, for the host that is asked for.
    Verified,
    /// Any certificate.
    Unverified,
}

impl Encryption {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Verified, Self::Unverified];
    /// Their words in configuration, in the same order.
    pub const WORDS: &'static [&'static str] = &["off", "verified", "unverified"];
}

/// Where to connect to; the addresses are those that the backend has at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The TCP port.
    pub port: u16,
    /// TLS.
    pub encryption: Encryption,
    /// What to call the backend in `Host` and in TLS; a port may follow. `None`: by its address.
    pub host: Option<String>,
}

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Get, Self::Head, Self::Options];
    /// Their words, in the same order.
    pub const WORDS: &'static [&'static str] = &["GET", "HEAD", "OPTIONS"];
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query; begins with `/`.
    pub path: String,
    /// What to send as `Authorization`; marked as sensitive, so that it is never printed.
    pub authorization: Option<HeaderValue>,
}

/// An active check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// When.
    pub pace: Pace,
    /// Where.
    pub target: Target,
    /// What.
    pub ask: Ask,
    /// So many in a row must pass before it is up; 1 or more.
    pub rise: u32,
    /// So many in a row must fail before it is down; 1 or more.
    pub fall: u32,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether somebody accepts connections (and, with TLS, shakes hands).
    Tcp,
    /// Whether a request is answered with a status in one of these ranges.
    Http(Call, Vec<RangeInclusive<u16>>),
}

/// Statistics to be fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    /// When.
    pub pace: Pace,
    /// Where.
    pub target: Target,
    /// What to ask for.
    pub call: Call,
    /// What the page is.
    pub format: Format,
    /// Which of its numbers become which statistics; at least one, each name once.
    pub statistics: Vec<(StatisticName, Selector)>,
    /// Longest page, in octets.
    pub max_size: usize,
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, and OpenMetrics, as exporters write them.
    Prometheus,
    /// What Apache's mod_status says to `?auto`.
    Apache,
    /// What nginx's stub_status says.
    Nginx,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Prometheus, Self::Apache, Self::Nginx, Self::Json];
    /// Their words in configuration, in the same order.
    pub const WORDS: &'static [&'static str] = &["prometheus", "apache", "nginx", "json"];
}
