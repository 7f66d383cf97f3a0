//! What the server is authoritative for, and how it answers.

use std::net::IpAddr;

use super::Options;
use super::cookie::Cookies;
use super::zone::Zones;

/// Octets of an answer over UDP for a client without EDNS (RFC 1035, 4.2.1), and the least that EDNS may say (RFC 6891,
/// 6.2.3).
const LEAST_UDP: u16 = 512;

/// What the server is authoritative for, and how it answers: replaced as a whole by a reload.
pub struct Authority {
    /// The zones, with the farms in them.
    pub zones: Zones,
    /// How to answer.
    pub options: Options,
    /// Cookies, if they are answered.
    pub cookies: Option<Cookies>,
    /// Whether something is looked at with every query that is not in one: who it is from, or whether it is logged.
    pub looks_twice: bool,
}

impl Authority {
    /// `drawn` is the cookie secret if the options have none.
    pub fn new(zones: Zones, options: Options, drawn: [u8; 16]) -> Self {
        let secrets = match &options.cookies {
            cookies if !cookies.enabled => Vec::new(),
            cookies if cookies.secrets.is_empty() => vec![drawn],
            cookies => cookies.secrets.clone(),
        };
        let looks_twice = options.log_queries.is_some() || options.forward.is_some();
        Self { zones, options, cookies: Cookies::new(secrets), looks_twice }
    }

    /// Most octets of an answer over UDP to `client`, which offers `payload`; `None`: it said nothing of EDNS.
    pub fn udp_limit(&self, client: IpAddr, payload: Option<u16>) -> usize {
        let most = if is_local(client) { self.options.max_udp_local } else { self.options.max_udp };
        payload.map_or(LEAST_UDP, |payload| payload.min(most).max(LEAST_UDP)).into()
    }
}

/// Loopback, private and link-local addresses: there, large datagrams arrive whole.
pub fn is_local(client: IpAddr) -> bool {
    match client.to_canonical() {
        IpAddr::V4(client) => client.is_loopback() || client.is_private() || client.is_link_local(),
        IpAddr::V6(client) => {
            client.is_loopback() || client.is_unique_local() || client.is_unicast_link_local()
        }
    }
}
