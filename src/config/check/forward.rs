//! `[forward]`: above all, that nobody becomes an open resolver, or asks himself, by mistake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::node::Node;
use super::super::{Dns, Forward, ForwardOrder};
use super::{Check, at, is_host_address};

/// Where name servers are (RFC 1035 §4.2).
const DNS: u16 = 53;
/// Most upstreams.
const MAX_UPSTREAMS: usize = 16;
/// Most answers kept.
const CACHE: std::ops::RangeInclusive<u64> = 0..=10_000_000;
/// Most questions in flight.
const QUERIES: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// Public networks with a shorter prefix are not one's own.
const WIDEST: (u8, u8) = (16, 32);

impl<'a> Check<'a> {
    /// `[forward]`; `dns` is where we listen ourselves.
    pub fn forward(&mut self, root: Node<'a>, dns: &Dns) -> Forward {
        let upstreams = self.upstreams(root, dns);
        let open = self.flag(root, &["forward", "open"]);
        let access = self.networks(root, &["forward", "access"]);
        if let Some(node) = at(root, &["forward", "access"]).filter(|_| !open) {
            for network in access.iter().filter(|network| is_too_wide(network)) {
                let (v4, v6) = WIDEST;
                self.wrong(
                    node,
                    format!(
                        "{network} would let strangers resolve through us and attack others that way: name your own \
                         networks, public ones of /{v4} or /{v6} at most each, or set forward.open = true behind a \
                         filter of your own"
                    ),
                );
            }
        }
        if let (Some(node), true, false) =
            (at(root, &["forward", "access"]), upstreams.is_empty(), access.is_empty())
        {
            self.wrong(node, "there is nobody to ask: give forward.upstreams");
        }
        if let (Some(node), false, true) =
            (at(root, &["forward", "upstreams"]), upstreams.is_empty(), access.is_empty())
        {
            self.wrong(
                node,
                "nobody may ask: give forward.access the networks that may, such as \"127.0.0.0/8\"",
            );
        }
        let order = at(root, &["forward", "order"]).map_or(0, |node| self.word(node, ForwardOrder::WORDS));
        Forward {
            upstreams,
            access,
            order: ForwardOrder::ALL[order],
            timeout: self.span_in(root, &["forward", "timeout"]),
            cache: self.whole_in(root, &["forward", "cache"], CACHE),
            queries: self.count_in(root, &["forward", "queries"], QUERIES),
            queries_per_client: self.count_in(root, &["forward", "queries_per_client"], QUERIES),
        }
    }

    fn upstreams(&mut self, root: Node<'a>, dns: &Dns) -> Vec<SocketAddr> {
        let mut upstreams: Vec<SocketAddr> = Vec::new();
        let Some(node) = at(root, &["forward", "upstreams"]) else { return upstreams };
        for (item, text) in self.texts(node) {
            let upstream = match upstream(text) {
                Ok(upstream) => upstream,
                Err(problem) => {
                    self.wrong(item, problem);
                    continue;
                }
            };
            if upstreams.contains(&upstream) {
                self.wrong(item, format!("{upstream} stands twice"));
            } else if let Some(listen) = dns.listen.iter().find(|listen| is_ours(upstream, **listen)) {
                self.wrong(
                    item,
                    format!("{upstream} is ourselves: we listen on {listen} (dns.listen), and would ask in a circle"),
                );
            }
            upstreams.push(upstream);
        }
        if upstreams.len() > MAX_UPSTREAMS {
            self.wrong(
                node,
                format!("expected at most {MAX_UPSTREAMS} upstreams, found {}", upstreams.len()),
            );
        }
        upstreams
    }
}

/// An address, with a port or without.
fn upstream(text: &str) -> Result<SocketAddr, String> {
    let bare =
        || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS));
    let address = text.parse::<SocketAddr>().or_else(|_| bare()).map_err(|_| {
        format!(
            "expected the address of a name server, with a port if it is not {DNS}, such as \"10.0.0.53\" or \
             \"[2001:db8::53]:5353\", found {text:?}"
        )
    })?;
    if address.port() == 0 {
        return Err(format!("{text:?}: nobody answers on port 0"));
    }
    is_host_address(address.ip()).map_err(|why| format!("{text:?}: {why}"))?;
    Ok(address)
}

/// Whether a query to `upstream` would come to our own listener at `listen`: that address, or any of this machine's where we
/// listen on all of them. An address is this machine's if it can be bound.
fn is_ours(upstream: SocketAddr, listen: SocketAddr) -> bool {
    if upstream.port() != listen.port() {
        return false;
    }
    let (to, at) = (upstream.ip().to_canonical(), listen.ip().to_canonical());
    to == at || at.is_unspecified() && to.is_ipv4() == at.is_ipv4() && UdpSocket::bind((to, 0)).is_ok()
}

/// Networks that no stranger's packet comes from: loopback, private, link-local and shared addresses (RFC 1918, 6598, 4193).
fn is_of_a_site(network: &IpNet) -> bool {
    let v4 = |a, b, prefix| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix).into();
    let v6 = |first, prefix| Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), prefix).into();
    let sites: [IpNet; 8] = [
        v4(127, 0, 8),
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        v4(169, 254, 16),
        v4(100, 64, 10),
        v6(0xfc00, 7),
        v6(0xfe80, 10),
    ];
    sites.iter().any(|site| site.contains(network))
}

fn is_too_wide(network: &IpNet) -> bool {
    let (v4, v6) = WIDEST;
    let widest = if network.addr().is_ipv4() { v4 } else { v6 };
    network.prefix_len() < widest && !is_of_a_site(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_and_its_port_may_be_left_out() {
        let is = |text: &str| upstream(text).unwrap().to_string();
        assert_eq!(is("10.0.0.53"), "10.0.0.53:53");
        assert_eq!(is("10.0.0.53:5353"), "10.0.0.53:5353");
        assert_eq!(is("2001:db8::53"), "[2001:db8::53]:53");
        assert_eq!(is("[2001:db8::53]"), "[2001:db8::53]:53");
        for bad in
            ["dns.example", "10.0.0.53:0", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "10.0.0.53:x", ""]
        {
            assert!(upstream(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn we_are_found_behind_any_of_our_addresses() {
        let is = |upstream: &str, listen: &str| is_ours(upstream.parse().unwrap(), listen.parse().unwrap());
        assert!(is("127.0.0.1:53", "127.0.0.1:53"));
        assert!(is("127.0.0.9:53", "0.0.0.0:53"));
        assert!(!is("127.0.0.1:54", "127.0.0.1:53") && !is("127.0.0.2:53", "127.0.0.1:53"));
        assert!(!is("192.0.2.1:53", "0.0.0.0:53") && !is("127.0.0.1:53", "[::]:53"));
    }

    #[test]
    fn a_network_of_strangers_is_too_wide_and_a_site_is_not() {
        let wide = |text: &str| is_too_wide(&text.parse().unwrap());
        for network in
            ["0.0.0.0/0", "::/0", "0.0.0.0/1", "8.0.0.0/8", "172.0.0.0/8", "2001::/16", "192.0.0.0/15"]
        {
            assert!(wide(network), "{network}");
        }
        for network in [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "100.64.0.0/10",
            "192.0.2.0/24",
            "fd00::/8",
            "2001:db8::/32",
            "::1/128",
        ] {
            assert!(!wide(network), "{network}");
        }
    }
}
