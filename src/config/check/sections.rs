//! `[dns]`, `[http]`, `[access]`, `[cookie]`, `[log]`.

use std::num::NonZeroU32;

use super::super::node::Node;
use super::super::{Access, Cookie, Dns, Http, Level, Log, LogFormat, Secret};
use super::{Check, at};

/// Most threads; more than any machine has cores to run them.
const MAX_THREADS: u64 = 1024;
/// Smallest and largest EDNS payload (RFC 6891 §6.2.3, and what a UDP datagram can hold).
const UDP_SIZES: std::ops::RangeInclusive<u64> = 512..=65_507;
/// Most connections.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// Longest character-string of a TXT record (RFC 1035 §3.3).
const MAX_CHARACTER_STRING: usize = 255;
/// Paths of the listener's own, beside the text protocol.
const RESERVED_PATHS: [&str; 4] = ["/metrics", "/healthz", "/readyz", "/api"];

impl<'a> Check<'a> {
    /// `[dns]`
    pub fn dns(&mut self, root: Node<'a>) -> Dns {
        let listen = self.listen(root, &["dns", "listen"], 53);
        if let Some(node) = at(root, &["dns", "listen"]).filter(|node| node.items().next().is_none()) {
            self.wrong(node, "expected at least one address to listen on");
        }
        let max_udp = self.whole_in(root, &["dns", "max_udp"], UDP_SIZES);
        let max_udp_local = self.whole_in(root, &["dns", "max_udp_local"], UDP_SIZES);
        let log_queries = self.whole_in(root, &["dns", "log_queries"], 0..=u64::from(u32::MAX));
        let cookie_secrets = match at(root, &["dns", "cookie_secret_file"]) {
            Some(node) => self.cookie_secrets(node),
            None => Vec::new(),
        };
        Dns {
            listen,
            threads: self.count_in(root, &["dns", "threads"], 0..=MAX_THREADS),
            max_udp: u16::try_from(max_udp).unwrap_or(u16::MAX),
            max_udp_local: u16::try_from(max_udp_local).unwrap_or(u16::MAX),
            explain: self.flag(root, &["dns", "explain"]),
            ecs: self.flag(root, &["dns", "ecs"]),
            nsid: self.character_string(root, &["dns", "nsid"]),
            version: self.character_string(root, &["dns", "version"]),
            id: self.character_string(root, &["dns", "id"]),
            cookies: self.flag(root, &["dns", "cookies"]),
            cookie_secrets,
            tcp_connections: self.count_in(root, &["dns", "tcp_connections"], CONNECTIONS),
            tcp_connections_per_client: self.count_in(
                root,
                &["dns", "tcp_connections_per_client"],
                CONNECTIONS,
            ),
            tcp_idle: self.span_in(root, &["dns", "tcp_idle"]),
            tls: self.dns_tls(root),
            log_queries: u32::try_from(log_queries).ok().and_then(NonZeroU32::new),
        }
    }

    /// `[http]`
    pub fn http(&mut self, root: Node<'a>) -> Http {
        Http {
            listen: self.listen(root, &["http", "listen"], 8053),
            certificate: self.certificate(root, ["http", "tls_cert"], ["http", "tls_key"]),
            path: self.base(root),
            max_embed: self.count_in(root, &["http", "max_embed"], 1..=1024),
            allow_diverse_multi: self.flag(root, &["http", "allow_diverse_multi"]),
            connections: self.count_in(root, &["http", "connections"], CONNECTIONS),
            connections_per_client: self.count_in(root, &["http", "connections_per_client"], CONNECTIONS),
            header_timeout: self.span_in(root, &["http", "header_timeout"]),
            body_timeout: self.span_in(root, &["http", "body_timeout"]),
            idle_timeout: self.span_in(root, &["http", "idle_timeout"]),
        }
    }

    /// `[access]`
    pub fn access(&mut self, root: Node<'a>) -> Access {
        let mut access = Access {
            query: self.networks(root, &["access", "query"]),
            update: self.networks(root, &["access", "update"]),
            admin: self.networks(root, &["access", "admin"]),
            query_key: self.access_key(root, &["access", "query_key"]),
            update_key: self.access_key(root, &["access", "update_key"]),
            admin_key: self.access_key(root, &["access", "admin_key"]),
            trusted_proxies: self.networks(root, &["access", "trusted_proxies"]),
            auto_register: None,
        };
        access.auto_register = self.auto_register(root, &access);
        access
    }

    /// `[cookie]`
    pub fn cookie(&mut self, root: Node<'a>) -> Cookie {
        let cookie = Cookie {
            name: self.cookie_name(root),
            key: self.token_key(root, &["cookie", "key"]),
            former_key: self.token_key(root, &["cookie", "former_key"]),
        };
        if let (Some(node), None) = (at(root, &["cookie", "former_key"]), &cookie.key) {
            self.wrong(node, "there is no cookie.key that could have followed it");
        }
        cookie
    }

    /// A token of RFC 6265 §4.1.1, or the cookie could not be found again.
    fn cookie_name(&mut self, root: Node<'a>) -> Option<String> {
        let node = at(root, &["cookie", "name"])?;
        let text = self.text(node)?;
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        if text.is_empty() || !text.bytes().all(fits) {
            self.wrong(node, format!("expected the name of a cookie, found {text:?}"));
        }
        Some(text.to_owned())
    }

    fn token_key(&mut self, root: Node<'a>, path: &[&'static str]) -> Option<Secret<String>> {
        let node = at(root, path)?;
        let text = self.text(node)?;
        if text.is_empty() {
            self.wrong(node, "a key is empty; leave it out to have none");
        }
        Some(Secret::new(text.to_owned()))
    }

    /// `[log]`
    pub fn log(&mut self, root: Node<'a>) -> Log {
        let format = at(root, &["log", "format"]).map_or(0, |node| self.word(node, LogFormat::WORDS));
        let level = at(root, &["log", "level"]).map_or(0, |node| self.word(node, Level::WORDS));
        Log { format: LogFormat::ALL[format], level: Level::ALL[level] }
    }

    /// A path that begins with `/` and does not end in one; `/` itself gives an empty one.
    fn base(&mut self, root: Node<'a>) -> String {
        let Some(node) = at(root, &["http", "path"]) else { return String::new() };
        let Some(text) = self.text(node) else { return String::new() };
        let base = text.strip_suffix('/').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        let dots = base.split('/').any(|part| part == "." || part == "..");
        if !text.starts_with('/') {
            let near = text.trim_matches('/');
            self.wrong(node, format!("a path begins with '/': {text:?}; did you mean \"/{near}\"?"));
        } else if !base.bytes().all(fits) || base.contains("//") || dots {
            self.wrong(node, format!("a path holds letters, digits and /-_.~ only: {text:?}"));
        } else if let Some(own) = RESERVED_PATHS
            .iter()
            .find(|own| base.strip_prefix(**own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        {
            self.wrong(node, format!("{own} is a path of its own on this listener"));
        }
        base.to_owned()
    }

    fn character_string(&mut self, root: Node<'a>, path: &[&'static str]) -> Option<String> {
        let node = at(root, path)?;
        let text = self.text(node)?;
        if text.is_empty() || text.len() > MAX_CHARACTER_STRING {
            let length = text.len();
            self.wrong(node, format!("expected 1 to {MAX_CHARACTER_STRING} octets, found {length}"));
        }
        Some(text.to_owned())
    }

    /// A key must fit into a header as it is (RFC 6750 §2.1 allows less, curl and shells are happy with this).
    pub fn access_key(&mut self, root: Node<'a>, path: &[&'static str]) -> Option<Secret<String>> {
        let node = at(root, path)?;
        let text = self.text(node)?;
        if text.is_empty() {
            self.wrong(node, "a key is empty; leave it out to ask for none");
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(node, "a key holds visible ASCII characters without spaces");
        }
        Some(Secret::new(text.to_owned()))
    }

    /// Secrets of 128 bits (RFC 9018 §4.2), one a line in hexadecimal, as BIND writes them.
    fn cookie_secrets(&mut self, node: Node<'a>) -> Vec<Secret<[u8; 16]>> {
        let Some(path) = self.file(node) else { return Vec::new() };
        // Whether it can be read was said already.
        let Ok(text) = std::fs::read_to_string(&path) else { return Vec::new() };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let secrets: Option<Vec<_>> = lines.iter().map(|line| hexadecimal(line)).collect();
        match secrets {
            Some(secrets) if !secrets.is_empty() => secrets.into_iter().map(Secret::new).collect(),
            _ => {
                let path = path.display();
                self.wrong(
                    node,
                    format!("{path}: expected 32 hexadecimal digits a line, the present secret first"),
                );
                Vec::new()
            }
        }
    }
}

/// 32 hexadecimal digits.
fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sixteen_octets_in_order() {
        let secret = hexadecimal("e5e973e5a6b2a43f48e7dc849e37bfcf").unwrap();
        assert_eq!((secret[0], secret[15]), (0xe5, 0xcf));
        assert_eq!(hexadecimal("e5e973e5a6b2a43f48e7dc849e37bfc"), None);
        assert_eq!(hexadecimal("+5e973e5a6b2a43f48e7dc849e37bfcf"), None);
    }
}
