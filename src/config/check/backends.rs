//! `[backends.*]`

use std::net::{IpAddr, SocketAddr};

use super::super::Host;
use super::super::node::{Node, Shape};
use super::zones::host_name;
use super::{Check, is_host_address};
use crate::balance::Name;
use crate::balance::plan::BackendPlan;
use crate::balance::update::{MAX_WEIGHT, MIN_WEIGHT};

use std::time::Duration;

/// How often a host name is resolved anew when nothing is said; the same as in `keys.rs`, which a test holds.
const REFRESH: Duration = Duration::from_secs(30);

impl<'a> Check<'a> {
    /// All backends, and the host names that somebody has to resolve.
    pub fn backends(&mut self, root: Node<'a>) -> (Vec<BackendPlan>, Vec<Host>) {
        let (mut backends, mut hosts) = (Vec::new(), Vec::new());
        let Some(section) = root.get("backends") else { return (backends, hosts) };
        let sections = section.entries();
        backends.reserve_exact(sections.size_hint().0);
        for (text, node) in sections {
            if node.shape() != Shape::Table {
                continue;
            }
            let name = self.name(node, "backend", text);
            let addresses = self.addresses(node);
            let port = node.get("port").map(|node| self.whole(node, 1..=65_535));
            let weight = node.get("weight").map_or(1.0, |node| self.number(node, MIN_WEIGHT..=MAX_WEIGHT));
            let refresh = node.get("refresh").map_or(REFRESH, |node| self.span(node));
            let (Some(name), Some((addresses, host))) = (name, addresses) else { continue };
            if let Some(host) = &host {
                hosts.push(Host { backend: name.clone(), host: host.clone(), refresh });
            }
            let port = port.and_then(|port| u16::try_from(port).ok());
            backends.push(BackendPlan { name, addresses, host, port, weight });
        }
        (backends, hosts)
    }

    /// The name of a backend or farm.
    pub fn name(&mut self, node: Node<'a>, kind: &str, text: &str) -> Option<Name> {
        match Name::parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.wrong(node, format!("wrong name of a {kind}: {error}"));
                None
            }
        }
    }

    /// Addresses, or one host name.
    fn addresses(&mut self, section: Node<'a>) -> Option<(Vec<IpAddr>, Option<String>)> {
        let Some(node) = section.get("address") else {
            self.lacks(section, "address", "\"10.0.0.11\", a list of addresses, or a host name");
            return None;
        };
        let before = self.found.len();
        let texts = self.texts(node);
        if texts.is_empty() && self.found.len() == before {
            self.wrong(node, "expected at least one address");
        }
        let several = texts.len() > 1;
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut host = None;
        for (item, text) in texts {
            match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => {
                    if let Err(why) = is_host_address(address) {
                        self.wrong(item, format!("{address} is no address of a backend: {why}"));
                    } else if addresses.contains(&address) {
                        self.wrong(item, format!("{address} stands twice"));
                    } else {
                        addresses.push(address);
                    }
                }
                Err(_) => host = self.host(item, text, several),
            }
        }
        Some((addresses, host))
    }

    /// A host name, which must stand alone: what it resolves to is the whole list.
    fn host(&mut self, item: Node<'a>, text: &str, several: bool) -> Option<String> {
        let parts = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let address = text.parse::<SocketAddr>().ok().map(|address| address.ip().to_string());
        match (host_name(text), parts) {
            (Ok(host), _) if !several => return Some(host),
            (Ok(host), _) => {
                self.wrong(item, format!("{host}: a host name stands alone, without other addresses"))
            }
            (Err(_), Some((rest, port))) => {
                let rest = address.unwrap_or_else(|| rest.to_owned());
                self.wrong(
                    item,
                    format!("{text:?}: the port stands apart: address = \"{rest}\", port = {port}"),
                );
            }
            (Err(why), None) => self.wrong(item, format!("{text:?} is no address: {why}")),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_says_the_same() {
        let key = crate::config::keys::find(&["backends", "x", "refresh"]).unwrap();
        assert_eq!(key.default.toml().unwrap(), format!("\"{}s\"", REFRESH.as_secs()));
        let key = crate::config::keys::find(&["backends", "x", "weight"]).unwrap();
        assert_eq!(key.default.toml().unwrap(), "1.0");
    }
}
