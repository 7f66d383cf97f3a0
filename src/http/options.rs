//! What the HTTP shell is told to do. The application fills this from the configuration and swaps it on reload.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::ServerConfig;

use super::access::Access;
use crate::connections::Most;

/// Everything that a reload may change.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the text protocol begins: `/ath`. Begins with `/` and does not end in one; empty: at the root.
    pub path: String,
    /// Most requests in one GET, 1 or more.
    pub max_embed: usize,
    /// Whether `multi` may mix different requests.
    pub allow_diverse_multi: bool,
    /// The zone's apex, and those of further zones: `athena`. A farm's name may be followed by one of them.
    pub zones: Vec<String>,
    /// What `status/debug` prints of the configuration.
    pub configuration: Shown,
    /// With this, connections speak TLS and nothing else.
    pub tls: Option<Arc<ServerConfig>>,
    /// The cookie that may hold a sticky token; `None`: none does.
    pub cookie: Option<String>,
    /// Who may do what.
    pub access: Access,
    /// Where backends may be that register; `None`: none may. If some may, there is a key for updates.
    pub register: Option<Vec<IpNet>>,
    /// What one client may take.
    pub limits: Limits,
}

/// The effective configuration as text, without keys: made when somebody asks, for it may be large.
#[derive(Clone)]
pub struct Shown(Arc<dyn Fn() -> String + Send + Sync>);

impl Shown {
    /// What `make` gives.
    pub fn new(make: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Makes the text.
    pub fn text(&self) -> String {
        (self.0)()
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shown")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/ath".to_owned(),
            max_embed: 16,
            allow_diverse_multi: false,
            zones: vec!["athena".to_owned()],
            configuration: Shown::new(String::new),
            tls: None,
            cookie: None,
            access: Access::default(),
            register: None,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// A farm's name as somebody wrote it, without zone and trailing dot.
    pub fn farm_name<'a>(&self, text: &'a str) -> &'a str {
        let text = text.strip_suffix('.').unwrap_or(text);
        let without = |zone: &String| {
            let zone = zone.strip_suffix('.').unwrap_or(zone);
            let (name, rest) = text.split_at_checked(text.len().checked_sub(zone.len() + 1)?)?;
            let (dot, rest) = rest.split_at_checked(1)?;
            (dot == "." && rest.eq_ignore_ascii_case(zone) && !zone.is_empty()).then_some(name)
        };
        // The longest zone first: one may lie in another.
        self.zones.iter().filter_map(without).min_by_key(|name| name.len()).unwrap_or(text)
    }
}

/// Limits that hold against slow or greedy clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all listeners.
    pub connections: usize,
    /// Connections open at once from one IPv4 address, or from one IPv6 network of 64 bits.
    pub connections_per_address: usize,
    /// How long the head of a request may take, from its first octet on.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a connection may lie idle between requests.
    pub idle: Duration,
    /// How long a client may let an answer wait without reading any of it.
    pub write: Duration,
    /// How long open answers may take when the server stops.
    pub stop: Duration,
    /// Longest request line, in octets.
    pub request_line: usize,
    /// Most octets of header fields.
    pub header: usize,
    /// Longest request body, in octets.
    pub body_size: usize,
}

impl Limits {
    /// Those of connections.
    pub fn connections(&self) -> Most {
        Most { in_all: self.connections, from_client: self.connections_per_address }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 256,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            stop: Duration::from_secs(10),
            request_line: 8192,
            header: 16_384,
            body_size: 8192,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_is_named_with_or_without_its_zone_and_dot_in_any_case() {
        let zones = ["athena.", "lb.athena"].map(str::to_owned).to_vec();
        let options = Options { zones, ..Options::default() };
        for (text, name) in [
            ("farm_one", "farm_one"),
            ("farm_one.", "farm_one"),
            ("farm_one.athena", "farm_one"),
            ("Farm_One.ATHENA.", "Farm_One"),
            ("farm_one.lb.athena", "farm_one"),
            ("x.farm_one.athena", "x.farm_one"),
            ("farm_oneathena", "farm_oneathena"),
            (".athena", ""),
            ("athena", "athena"),
            ("", ""),
            ("é.athena", "é"),
            ("aéathena", "aéathena"),
        ] {
            assert_eq!(options.farm_name(text), name, "{text}");
        }
    }
}
