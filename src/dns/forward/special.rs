//! Names of special use: answered here, whoever the upstreams are, because asking others for them is useless or tells them
//! what is not theirs to know.
//!
//! | names | from | answer |
//! | --- | --- | --- |
//! | `localhost` and below | RFC 6761, 6.3 | 127.0.0.1 and ::1 |
//! | `1.0.0.127.in-addr.arpa`, the same of `::1` | RFC 6303, 4.2 and 4.3 | `localhost` |
//! | `invalid`, `onion` and below | RFC 6761, 6.4; RFC 7686 | NXDOMAIN |
//! | 0, 127, 255.255.255.255, `::` and documentation, backwards | RFC 6303, 4.2 and 4.3 | NXDOMAIN |
//! | private and link-local networks backwards, `local`, `test`, `internal`, `home.arpa` | RFC 6303, 4.1 to 4.5; RFC 6762; RFC 6761, 6.2; RFC 8375 | NXDOMAIN, unless all upstreams are the site's own, who may know them |
//!
//! A negative answer brings the SOA that RFC 6303, 3 gives for such zones.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::{Found, Wanted};
use crate::dns::name;

/// TTL of these answers, in seconds (RFC 6303, 3).
const TTL: u32 = 10_800;

/// Nobody's, wherever we are. In lower case.
const NOWHERE: &[&str] = &[
    "invalid",
    "onion",
    "0.in-addr.arpa",
    "127.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
    // The addresses `::` and `::1`.
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
];

/// Known to a site at most. Private networks of 172.16/12 and 100.64/10 are [`private_block`].
const WITHIN_A_SITE: &[&str] = &[
    "local",
    "test",
    "internal",
    "home.arpa",
    "10.in-addr.arpa",
    "168.192.in-addr.arpa",
    "254.169.in-addr.arpa",
    "c.f.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
];

/// The answer to a question for such a name; `None`: it is none. `of_site`: whether all upstreams are the site's own.
pub fn answer(wanted: &Wanted, of_site: bool) -> Option<Found> {
    let labels = labels(&wanted.name);
    if let Some(zone) = below(&labels, "localhost") {
        return Some(localhost(wanted, &labels[zone..]));
    }
    if let Some(zone) = NOWHERE.iter().find_map(|zone| below(&labels, zone)) {
        let is_loopback = zone == 3 && labels[..3] == ["1", "0", "0"] && labels[3] == "127"
            || zone == 0 && labels[0] == "1";
        return Some(if is_loopback { loopback(wanted, &labels[zone..]) } else { nowhere(&labels[zone..]) });
    }
    if of_site {
        return None;
    }
    let zone = WITHIN_A_SITE.iter().find_map(|zone| below(&labels, zone));
    let zone = zone.or_else(|| private_block(&labels))?;
    Some(nowhere(&labels[zone..]))
}

/// The labels of a name in lower case, without the root. What is no text is told apart by its form.
fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}

/// Where `zone` begins in a name that is it or below it.
fn below(labels: &[String], zone: &str) -> Option<usize> {
    let start = labels.len().checked_sub(zone.split('.').count())?;
    labels[start..].iter().map(String::as_str).eq(zone.split('.')).then_some(start)
}

/// Where the zone of 172.16.0.0/12 or 100.64.0.0/10 begins that a name is in: `x.172.in-addr.arpa`.
fn private_block(labels: &[String]) -> Option<usize> {
    let start = labels.len().checked_sub(4)?;
    let [second, first, "in-addr", "arpa"] = [0, 1, 2, 3].map(|index| labels[start + index].as_str()) else {
        return None;
    };
    let second: u8 = second.parse().ok()?;
    let is_private = first == "172" && (16..=31).contains(&second);
    let is_shared = first == "100" && (64..=127).contains(&second);
    (is_private || is_shared).then_some(start)
}

fn localhost(wanted: &Wanted, zone: &[String]) -> Found {
    let address = match wanted.kind {
        RecordType::A => RData::A(A(Ipv4Addr::LOCALHOST)),
        RecordType::AAAA => RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)),
        _ => return nothing(zone, ResponseCode::NoError),
    };
    one(wanted, address)
}

fn loopback(wanted: &Wanted, zone: &[String]) -> Found {
    match wanted.kind {
        RecordType::PTR => one(wanted, RData::PTR(PTR(joined(&["localhost"])))),
        _ => nothing(zone, ResponseCode::NoError),
    }
}

fn one(wanted: &Wanted, content: RData) -> Found {
    Found { answers: vec![Record::from_rdata(wanted.name.clone(), TTL, content)], ..Found::default() }
}

fn nowhere(zone: &[String]) -> Found {
    nothing(zone, ResponseCode::NXDomain)
}

fn nothing(zone: &[String], code: ResponseCode) -> Found {
    let apex = joined(zone);
    let soa = SOA::new(apex.clone(), joined(&["nobody", "invalid"]), 1, 3600, 1200, 604_800, TTL);
    let authorities = vec![Record::from_rdata(apex, TTL, RData::SOA(soa))];
    Found { code, authorities, ..Found::default() }
}

/// Labels of this file's tables, or of a name that stands in one, put together.
fn joined(labels: &[impl AsRef<str>]) -> Name {
    let mut wire = Vec::new();
    for label in labels {
        wire.push(label.as_ref().len() as u8);
        wire.extend(label.as_ref().as_bytes());
    }
    wire.push(0);
    name::from_wire(&wire).unwrap_or_else(Name::root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: RecordType, of_site: bool) -> Option<Found> {
        let name = Name::from_ascii(name).unwrap();
        answer(&Wanted { name, kind, dnssec_ok: false, checking_disabled: false }, of_site)
    }

    /// Who says so of the name that is not there.
    fn denied_by(name: &str, of_site: bool) -> Option<String> {
        let found = ask(name, RecordType::A, of_site)?;
        assert_eq!(found.code, ResponseCode::NXDomain, "{name}");
        assert!(found.answers.is_empty() && found.authorities.len() == 1);
        Some(found.authorities[0].name.to_string())
    }

    #[test]
    fn localhost_is_this_machine_and_has_nothing_else() {
        for (name, kind, address) in [
            ("localhost.", RecordType::A, "127.0.0.1"),
            ("LocalHost.", RecordType::AAAA, "::1"),
            ("a.b.localhost.", RecordType::A, "127.0.0.1"),
        ] {
            let found = ask(name, kind, true).unwrap();
            assert_eq!((found.answers.len(), found.answers[0].data.to_string().as_str()), (1, address));
            assert!(found.answers[0].name.eq_case(&Name::from_ascii(name).unwrap()));
        }
        let found = ask("localhost.", RecordType::MX, true).unwrap();
        assert_eq!((found.code, found.authorities.len()), (ResponseCode::NoError, 1));
        for backwards in [Ipv4Addr::LOCALHOST.into(), std::net::IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let name = Name::from(backwards).to_string();
            let found = ask(&name, RecordType::PTR, true).unwrap();
            assert_eq!(found.answers[0].data.to_string(), "localhost.", "{name}");
            assert!(ask(&name, RecordType::A, true).unwrap().answers.is_empty());
        }
    }

    #[test]
    fn what_is_nowhere_is_denied_to_everybody() {
        assert_eq!(denied_by("x.Invalid.", true).unwrap(), "invalid.");
        assert_eq!(denied_by("onion.", true).unwrap(), "onion.");
        assert_eq!(denied_by("2.0.0.127.in-addr.arpa.", true).unwrap(), "127.in-addr.arpa.");
        assert_eq!(denied_by("9.2.0.192.in-addr.arpa.", true).unwrap(), "2.0.192.in-addr.arpa.");
    }

    #[test]
    fn what_only_a_site_knows_is_asked_of_nobody_else() {
        for (name, zone) in [
            ("printer.local.", "local."),
            ("1.2.3.10.in-addr.arpa.", "10.in-addr.arpa."),
            ("1.0.16.172.in-addr.arpa.", "16.172.in-addr.arpa."),
            ("1.0.127.100.in-addr.arpa.", "127.100.in-addr.arpa."),
            ("1.1.168.192.in-addr.arpa.", "168.192.in-addr.arpa."),
            ("1.0.d.f.ip6.arpa.", "d.f.ip6.arpa."),
        ] {
            assert_eq!(denied_by(name, false).as_deref(), Some(zone), "{name}");
            assert_eq!(denied_by(name, true), None, "{name}");
        }
        for name in [
            "example.com.",
            ".",
            "1.0.15.172.in-addr.arpa.",
            "1.0.63.100.in-addr.arpa.",
            "notlocal.",
            "arpa.",
        ] {
            assert_eq!(denied_by(name, false), None, "{name}");
        }
    }
}
