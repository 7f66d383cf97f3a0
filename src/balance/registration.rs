//! Backends that nobody configured: they report, and so join the farms that name them by pattern.
//!
//! A farm's `members = ["app01", "web-*"]` names one backend and a pattern. Whoever reports under a name that fits, and
//! may report at all, is a member from then on, at the pattern's place in the list, those of one pattern in the order of
//! their names: so Athenas that mirror each other have one list, whoever came first. It is a backend like any other in
//! everything else, and leaves when it was silent for long enough. How many there may be is limited, because a backend
//! that is registered costs memory, and anybody who holds the key may make up names.
//!
//! A backend that is configured never registers: the configuration says where it is.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::name::{MAX_NAME, Name};
use super::plan::MemberPlan;

/// Most addresses of one backend that registers.
pub const MAX_ADDRESSES: usize = 8;

/// Whether and how backends may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Most that are registered at once.
    pub limit: usize,
    /// Who was silent for longer leaves.
    pub silence: Duration,
}

/// A part of a farm's list of members: whoever registers under a name that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberPattern {
    /// Which names.
    pub pattern: Pattern,
    /// Multiplies the backend's own weight in this farm.
    pub weight: f64,
    /// How many of the farm's named members stand before it.
    pub place: usize,
}

/// A name with `*` for any text, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// Why a text is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pattern holds letters, digits, '-', '_' and '*', at most {MAX_NAME} characters: {0:?}")]
pub struct NoPattern(pub String);

impl Pattern {
    /// Whether a text is meant as a pattern and not as a name.
    pub fn is_meant(text: &str) -> bool {
        text.contains('*')
    }

    /// Takes a pattern in any letter case; refuses characters that no name has.
    pub fn parse(text: &str) -> Result<Self, NoPattern> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
        if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(fits) {
            return Err(NoPattern(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// Whether a name in lower case fits.
    pub fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a report says that its backend is. Counts only for backends that are not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its addresses, the preferred one of each family first; without any nobody registers, and who did keeps its own.
    pub addresses: Vec<IpAddr>,
    /// Its port, if the report names one; else it keeps the one it has.
    pub port: Option<u16>,
    /// Whether the report says so in so many words. Otherwise it is where the report came from: that moves nobody whose
    /// health alone is reported, because others may do that for it.
    pub is_said: bool,
}

impl fmt::Display for Whereabouts {
    /// `10.0.0.5+2001:db8::5 8080`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        formatter.write_str(&addresses.join("+"))?;
        self.port.map_or(Ok(()), |port| write!(formatter, " {port}"))
    }
}

/// Registrations so far, and how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistrationCounts {
    /// Registered now.
    pub present: usize,
    /// The limit; `None`: nobody may register.
    pub limit: Option<usize>,
    /// How often one joined, those that came back after they had left included.
    pub joined: u64,
    /// How often one left.
    pub left: u64,
    /// How often one was turned away because of the limit.
    pub turned_away: u64,
}

/// Whether a backend of this name would be a member of a farm with these patterns if it registered.
pub fn admit(patterns: &[MemberPattern], name: &Name) -> bool {
    patterns.iter().any(|pattern| pattern.pattern.fits(name.as_str()))
}

/// A farm's whole list: its named members, and at each pattern those of `registered`, which are in the order of names,
/// that fit. Nobody stands twice: the first pattern that fits counts.
pub fn enlist(named: &[MemberPlan], patterns: &[MemberPattern], registered: &[Name]) -> Vec<MemberPlan> {
    let mut members = Vec::with_capacity(named.len());
    let mut seen = HashSet::new();
    let mut patterns = patterns.iter().peekable();
    for place in 0..=named.len() {
        while let Some(pattern) = patterns.next_if(|pattern| pattern.place <= place) {
            let fitting = registered.iter().filter(|name| pattern.pattern.fits(name.as_str()));
            for name in fitting {
                if seen.insert(name) {
                    members.push(MemberPlan { backend: name.clone(), weight: pattern.weight });
                }
            }
        }
        members.extend(named.get(place).cloned());
    }
    members
}

/// Whether a name fits a pattern: `*` is any text, `?` any one octet. Names and patterns are in lower case. Looks back
/// to the last `*` only, so that no pattern takes long.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether an address may be given to clients: not `0.0.0.0`, not a group.
pub fn is_host_address(address: IpAddr) -> Result<(), &'static str> {
    match address {
        address if address.is_unspecified() => Err("this address means \"any\""),
        address if address.is_multicast() => Err("this is a multicast address"),
        IpAddr::V4(address) if address.is_broadcast() => Err("this is the broadcast address"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("app*", "app01", true),
            ("*", "app01", true),
            ("*01", "app01", true),
            ("a*0*1", "app01", true),
            ("app?1", "app01", true),
            ("app", "app01", false),
            ("app01*", "app01", true),
            ("app01?", "app01", false),
            ("*2", "app01", false),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "app01", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_holds_what_a_name_may_hold() {
        assert!(Pattern::parse("Web-*").unwrap().fits("web-7"));
        assert!(Pattern::is_meant("*") && !Pattern::is_meant("web"));
        for bad in ["", "web.*", "web ?", "wéb*", &"*".repeat(33)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_registers_stands_at_the_place_of_the_first_pattern_that_fits() {
        let named = names(&["app01", "app02"]).into_iter();
        let named: Vec<_> = named.map(|backend| MemberPlan { backend, weight: 1.0 }).collect();
        let pattern = |text: &str, weight, place| {
            let pattern = Pattern::parse(text).unwrap();
            MemberPattern { pattern, weight, place }
        };
        let patterns = [pattern("big-*", 2.0, 0), pattern("*-x", 1.0, 1), pattern("big-*", 3.0, 2)];
        let members = enlist(&named, &patterns, &names(&["big-1", "big-x", "web-x", "zoo"]));
        let members: Vec<_> = members.iter().map(|member| (member.backend.as_str(), member.weight)).collect();
        let expected = [("big-1", 2.0), ("big-x", 2.0), ("app01", 1.0), ("web-x", 1.0), ("app02", 1.0)];
        assert_eq!(members, expected);
    }

    #[test]
    fn addresses_that_mean_nobody_are_known() {
        for (address, fine) in [("10.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false)] {
            assert_eq!(is_host_address(address.parse().unwrap()).is_ok(), fine, "{address}");
        }
        assert!(is_host_address("224.0.0.1".parse().unwrap()).is_err());
        assert!(is_host_address("255.255.255.255".parse().unwrap()).is_err());
    }
}
