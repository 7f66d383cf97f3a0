//! Who may do what: networks and optional keys for each class of request.
//!
//! A request needs the class of the strongest thing it does. To pass, its sender's address must be in the networks of
//! that class and, if the class has a key, it must bring that key or the key of a stronger class. Keys are compared in
//! constant time and are printed by nothing.

use std::fmt;
use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use ipnet::IpNet;
use subtle::ConstantTimeEq;

/// What a request does, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Reads: balance, status, metrics.
    Query,
    /// Says how a backend does: statistics, health, feed.
    Update,
    /// Decides for people: states, weights, marks, farms; or reads what concerns only them: debug.
    Admin,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Query => "query",
            Self::Update => "update",
            Self::Admin => "admin",
        })
    }
}

/// A secret that opens a class. Shows itself to nobody.
#[derive(Clone)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Takes the secret; `None` if it is empty.
    pub fn new(secret: impl Into<Vec<u8>>) -> Option<Self> {
        let secret = secret.into();
        (!secret.is_empty()).then(|| Self(secret.into()))
    }

    /// Whether `given` is this key. Takes the same time wherever they differ; only the length may be learned from it.
    fn opens_for(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(secret)")
    }
}

/// The way into one class.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// Where its senders may be; empty: nowhere.
    pub networks: Vec<IpNet>,
    /// What they must bring; `None`: nothing.
    pub key: Option<Key>,
}

impl Gate {
    /// Open to these networks, without a key.
    pub fn open_to(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().collect(), key: None }
    }
}

/// The way into every class.
#[derive(Debug, Clone)]
pub struct Access {
    /// Into [`Class::Query`].
    pub query: Gate,
    /// Into [`Class::Update`].
    pub update: Gate,
    /// Into [`Class::Admin`].
    pub admin: Gate,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Access {
    /// Queries from everywhere, the rest from loopback only.
    fn default() -> Self {
        let everywhere = [IpNet::V4(Default::default()), IpNet::V6(Default::default())];
        let loopback = || {
            let v4 = IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8);
            let v6 = IpNet::new_assert(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128);
            Gate::open_to([v4, v6])
        };
        let query = Gate::open_to(everywhere);
        Self { query, update: loopback(), admin: loopback(), trusted_proxies: Vec::new() }
    }
}

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The address that counts; `None` if a trusted proxy said something about it that nobody understands.
    pub address: Option<IpAddr>,
    /// The request's header, where a key may be.
    pub headers: &'a HeaderMap,
}

/// Why a sender may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The address is in none of the class's networks.
    #[error("{0} access is not allowed from {1}")]
    Network(Class, IpAddr),
    /// A trusted proxy sent an `X-Forwarded-For` that ends in no address.
    #[error("{0} access is not allowed: X-Forwarded-For does not end in an address")]
    Forwarded(Class),
    /// The class has a key and none was brought.
    #[error("{0} access needs a key")]
    NoKey(Class),
    /// A backend that would register is where none may be.
    #[error("{0} is in none of access.auto_register_networks")]
    Register(IpAddr),
    /// The key is another.
    #[error("{0} access is not allowed with this key")]
    WrongKey(Class),
}

impl<'a> Sender<'a> {
    /// The value of the first cookie of this name (RFC 6265, 4.2.1), without quotes; names are compared as they are.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let fields = self.headers.get_all(COOKIE).into_iter().filter_map(|field| field.to_str().ok());
        let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| found.trim() == name)?;
        let value = value.trim();
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }
}

impl Access {
    fn gate(&self, class: Class) -> &Gate {
        match class {
            Class::Query => &self.query,
            Class::Update => &self.update,
            Class::Admin => &self.admin,
        }
    }

    /// Whether `sender` may do what is of this class. `key` is the one in the query string; it goes before the header's.
    pub fn check(&self, class: Class, sender: &Sender<'_>, key: Option<&[u8]>) -> Result<(), Denied> {
        let gate = self.gate(class);
        let address = sender.address.ok_or(Denied::Forwarded(class))?;
        if !contains(&gate.networks, address) {
            return Err(Denied::Network(class, address));
        }
        let Some(own) = &gate.key else { return Ok(()) };
        let bearer = || bearer(sender.headers.get(AUTHORIZATION)?.as_bytes());
        let given = key.or_else(bearer).ok_or(Denied::NoKey(class))?;
        // No short cut: the time must not tell which of the keys was nearly right.
        let stronger = [Class::Update, Class::Admin].into_iter().filter(|stronger| *stronger > class);
        let others = stronger.filter_map(|stronger| self.gate(stronger).key.as_ref());
        let opened = others.fold(own.opens_for(given), |opened, other| opened | other.opens_for(given));
        if opened { Ok(()) } else { Err(Denied::WrongKey(class)) }
    }

    /// The same for a client that does not speak HTTP.
    pub fn check_plain(&self, class: Class, peer: IpAddr, key: Option<&[u8]>) -> Result<(), Denied> {
        let headers = HeaderMap::new();
        self.check(class, &Sender { address: Some(peer.to_canonical()), headers: &headers }, key)
    }

    /// Who sends a request that came from `peer` with these headers. Behind trusted proxies it is the last address in
    /// `X-Forwarded-For` that is not one of theirs; a proxy that adds none asks for itself.
    pub fn sender<'a>(&self, peer: IpAddr, headers: &'a HeaderMap) -> Sender<'a> {
        let peer = peer.to_canonical();
        let believed = !self.trusted_proxies.is_empty() && contains(&self.trusted_proxies, peer);
        let address = if believed { self.forwarded(peer, headers) } else { Some(peer) };
        Sender { address, headers }
    }

    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut address = peer;
        // A header that stands several times is one list (RFC 9110, 5.3).
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            for hop in value.to_str().ok()?.rsplit(',') {
                address = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
                if !contains(&self.trusted_proxies, address) {
                    return Some(address);
                }
            }
        }
        Some(address)
    }
}

/// The key in `Authorization: Bearer KEY`; the scheme's letter case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn from(address: &str) -> Sender<'static> {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        Sender { address: Some(address.parse().unwrap()), headers: &NONE }
    }

    fn headers(forwarded: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn by_default_everybody_may_ask_and_only_loopback_may_speak() {
        let access = Access::default();
        for (class, address, allowed) in [
            (Class::Query, "203.0.113.9", true),
            (Class::Query, "2001:db8::9", true),
            (Class::Update, "127.3.2.1", true),
            (Class::Update, "::1", true),
            (Class::Update, "203.0.113.9", false),
            (Class::Admin, "127.0.0.1", true),
            (Class::Admin, "2001:db8::9", false),
        ] {
            assert_eq!(access.check(class, &from(address), None).is_ok(), allowed, "{class} {address}");
        }
        let denied = access.check(Class::Admin, &from("192.0.2.1"), None).unwrap_err();
        assert_eq!(denied.to_string(), "admin access is not allowed from 192.0.2.1");
    }

    #[test]
    fn a_key_is_needed_on_top_of_the_network_and_a_stronger_one_will_do() {
        let gate = |key: &str| Gate { networks: networks(&["127.0.0.0/8"]), key: Key::new(key) };
        let access = Access { update: gate("report"), admin: gate("order"), ..Access::default() };
        let check = |class, key: &str| access.check(class, &from("127.0.0.1"), Some(key.as_bytes()));
        assert_eq!(access.check(Class::Update, &from("127.0.0.1"), None), Err(Denied::NoKey(Class::Update)));
        assert_eq!(check(Class::Update, "report"), Ok(()));
        assert_eq!(check(Class::Update, "order"), Ok(()));
        assert_eq!(check(Class::Update, "repor"), Err(Denied::WrongKey(Class::Update)));
        assert_eq!(check(Class::Admin, "report"), Err(Denied::WrongKey(Class::Admin)));
        assert_eq!(check(Class::Query, "anything"), Ok(()), "no key is asked for");
        let far = access.check(Class::Update, &from("192.0.2.1"), Some(b"report"));
        assert!(matches!(far, Err(Denied::Network(..))), "a key does not open the network");
    }

    #[test]
    fn a_key_shows_itself_to_nobody_and_is_never_empty() {
        assert_eq!(format!("{:?}", Key::new("hush")), "Some(Key(secret))");
        assert!(Key::new("").is_none());
    }

    #[test]
    fn a_bearer_key_is_read_in_any_case_of_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bear"), None);
    }

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        let access =
            Access { trusted_proxies: networks(&["127.0.0.1/32", "10.0.0.0/8"]), ..Access::default() };
        let address = |peer: &str, forwarded: &[&'static str]| {
            access.sender(peer.parse().unwrap(), &headers(forwarded)).address.map(|a| a.to_string())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(address("192.0.2.7", &["127.0.0.1"]), is("192.0.2.7"), "anybody can write a header");
        assert_eq!(address("127.0.0.1", &["198.51.100.1, 10.0.0.2"]), is("198.51.100.1"));
        assert_eq!(address("127.0.0.1", &["127.0.0.9, 198.51.100.1"]), is("198.51.100.1"));
        assert_eq!(address("127.0.0.1", &["1.1.1.1", "198.51.100.1", "10.0.0.2"]), is("198.51.100.1"));
        assert_eq!(address("127.0.0.1", &[]), is("127.0.0.1"), "it asks for itself");
        assert_eq!(address("127.0.0.1", &["10.0.0.2"]), is("10.0.0.2"));
        assert_eq!(address("127.0.0.1", &["unknown"]), None);
        assert_eq!(address("::ffff:127.0.0.1", &["::ffff:198.51.100.1"]), is("198.51.100.1"));
        let unknown = headers(&["unknown"]);
        let lost = access.sender("127.0.0.1".parse().unwrap(), &unknown);
        assert!(matches!(access.check(Class::Query, &lost, None), Err(Denied::Forwarded(_))));
    }
}
