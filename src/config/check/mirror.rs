//! `[mirror]`

use std::net::Ipv6Addr;

use super::super::node::Node;
use super::super::{Mirror, MirrorPeer};
use super::{Check, at};
use crate::tls::Authorities;

/// Most names that may wait for a peer.
const QUEUE: std::ops::RangeInclusive<u64> = 1..=10_000_000;
/// Most peers.
const MAX_PEERS: usize = 64;
/// Longest name of an Athena, in octets.
const MAX_NAME: usize = 64;
/// Where plain HTTP is without a port in the URL (RFC 9110 §4.2.1).
const HTTP: u16 = 80;
/// The same of HTTPS (RFC 9110 §4.2.2).
const HTTPS: u16 = 443;

impl<'a> Check<'a> {
    /// `[mirror]`; `base` is our own path.
    pub fn mirror(&mut self, root: Node<'a>, base: &str) -> Mirror {
        let mut peers: Vec<MirrorPeer> = Vec::new();
        for (item, text) in at(root, &["mirror", "peers"]).map(|node| self.texts(node)).unwrap_or_default() {
            match peer(text, base) {
                Ok(peer) if peers.contains(&peer) => self.wrong(item, format!("{text} stands twice")),
                Ok(peer) => peers.push(peer),
                Err(problem) => self.wrong(item, problem),
            }
        }
        if let Some(node) = at(root, &["mirror", "peers"]).filter(|_| peers.len() > MAX_PEERS) {
            self.wrong(node, format!("expected at most {MAX_PEERS} peers, found {}", peers.len()));
        }
        Mirror {
            peers,
            authorities: self.authorities(root),
            key: self.access_key(root, &["mirror", "key"]),
            name: self.mirror_name(root),
            queue: self.count_in(root, &["mirror", "queue"], QUEUE),
            wait: self.duration_in(root, &["mirror", "wait"]),
        }
    }

    fn authorities(&mut self, root: Node<'a>) -> Option<Authorities> {
        let node = at(root, &["mirror", "ca"])?;
        let before = self.found.len();
        let file = self.file(node).filter(|_| self.found.len() == before)?;
        Authorities::load(&file).map_err(|error| self.wrong(node, error.to_string())).ok()
    }

    fn mirror_name(&mut self, root: Node<'a>) -> Option<String> {
        let node = at(root, &["mirror", "name"])?;
        let text = self.text(node)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=MAX_NAME).contains(&text.len()) || !text.bytes().all(fits) {
            self.wrong(
                node,
                format!("a name holds 1 to {MAX_NAME} letters, digits, '.', '-' and '_': {text:?}"),
            );
        }
        Some(text.to_owned())
    }
}

/// `http://host:port/base`, or `https`; without a path `base` is ours.
fn peer(text: &str, base: &str) -> Result<MirrorPeer, String> {
    let example = "expected a URL such as \"http://10.0.0.2:8053\"";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{example}, found {text:?}; did you mean \"http://{text}\"?"));
    };
    let tls = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => false,
        _ if scheme.eq_ignore_ascii_case("https") => true,
        _ => return Err(format!("{example}, found {text:?}")),
    };
    if rest.contains(['?', '#', '@']) {
        return Err(format!("a peer's URL has no user, query or fragment: {text:?}"));
    }
    let (authority, path) = rest.find('/').map_or((rest, None), |slash| {
        let (authority, path) = rest.split_at(slash);
        (authority, Some(path))
    });
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| format!("{text:?}: ']' is missing"))?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("{text:?}: {host:?} is no IPv6 address"))?;
            (host, port.strip_prefix(':').or((!port.is_empty()).then_some("x")))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_host) {
        return Err(format!("{text:?}: {host:?} is no host"));
    }
    let port = match port.map(str::parse::<u16>) {
        None if tls => HTTPS,
        None => HTTP,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err(format!("{text:?}: a port is a number from 1 to 65535")),
    };
    let base = path.map_or(base, |path| path.strip_suffix('/').unwrap_or(path));
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    if !base.bytes().all(in_path) || path.is_some_and(|path| path.contains("//")) {
        return Err(format!("{text:?}: a path holds letters, digits and /-_.~ only"));
    }
    Ok(MirrorPeer { tls, host: host.to_ascii_lowercase(), port, base: base.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> String {
        let MirrorPeer { tls, host, port, base } = peer(text, "/ath").unwrap();
        format!("{host} {port} {base}{}", if tls { " over TLS" } else { "" })
    }

    #[test]
    fn a_peer_has_our_path_unless_its_url_has_one() {
        assert_eq!(is("http://10.0.0.2:8053"), "10.0.0.2 8053 /ath");
        assert_eq!(is("HTTP://NS2.example:8053/lb/"), "ns2.example 8053 /lb");
        assert_eq!(is("http://[2001:db8::2]/"), "2001:db8::2 80 ");
        assert_eq!(is("http://ns2"), "ns2 80 /ath");
        assert_eq!(is("https://ns2"), "ns2 443 /ath over TLS");
        assert_eq!(is("HTTPS://[::1]:8054/lb"), "::1 8054 /lb over TLS");
    }

    #[test]
    fn what_is_no_url_of_a_peer_is_refused() {
        for bad in [
            "10.0.0.2:8053",
            "ftp://x",
            "http://",
            "http://x:0",
            "http://x:99999",
            "http://[::1",
            "http://[x]:1",
            "http://[::1]8053",
            "http://u@x",
            "http://x?y",
            "http://x/a b",
            "http://x//",
            "http://a b",
        ] {
            assert!(peer(bad, "/ath").is_err(), "{bad}");
        }
    }
}
