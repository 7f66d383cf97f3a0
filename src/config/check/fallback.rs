//! What each string of a `fallback` chain is.
//!
//! In this order: a URL (it holds `://`), an address with or without port, a farm's name, a farm's name in our zone, a
//! host name with a dot or a port. A single word that is none of these is a farm that does not exist.

use std::net::{IpAddr, SocketAddr};

use super::super::node::Node;
use super::farms::Known;
use super::zones::host_name;
use super::{Check, is_host_address};
use crate::balance::Name;
use crate::balance::plan::{Fallback, UrlHost};

impl<'a> Check<'a> {
    /// A chain.
    pub fn fallbacks(&mut self, node: Node<'a>, known: &Known<'_>) -> Vec<Fallback> {
        let mut chain: Vec<Fallback> = Vec::new();
        for (item, text) in self.texts(node) {
            match read(text, known) {
                Ok(fallback) if chain.contains(&fallback) => {
                    self.wrong(item, format!("fallback {fallback} stands twice"));
                }
                Ok(fallback) => chain.push(fallback),
                Err(Wrong::NoFarm) => {
                    let near = self.near(&text.to_ascii_lowercase(), &known.farms);
                    self.wrong(
                        item,
                        format!("fallback {text:?} is no farm, address, host name or URL{near}"),
                    );
                }
                Err(Wrong::Because(why)) => self.wrong(item, format!("fallback {text:?}: {why}")),
            }
        }
        chain
    }
}

#[derive(Debug, PartialEq)]
enum Wrong {
    NoFarm,
    Because(&'static str),
}

fn read(text: &str, known: &Known<'_>) -> Result<Fallback, Wrong> {
    let because = |why| Wrong::Because(why);
    if text.contains("://") {
        return url(text).map_err(because);
    }
    if let Some((address, port)) = address(text) {
        is_host_address(address).map_err(because)?;
        return Ok(Fallback::Address(address, port));
    }
    let label = farm_label(text, known.zone).to_ascii_lowercase();
    if known.farms.contains(label.as_str()) {
        // What is wrong with the name is said where the farm is defined.
        return Name::parse(&label).map(Fallback::Farm).map_err(|_| because("this farm's name is wrong"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port_number(port).map_err(because)?)),
        None => (text, None),
    };
    if port.is_none() && !host.contains('.') {
        return Err(Wrong::NoFarm);
    }
    host_name(host).map(|host| Fallback::Host(host, port)).map_err(because)
}

/// The farm's label of a name in this zone: `farm_two` of `farm_two.athena.` and of `farm_two`.
pub fn farm_label<'t>(text: &'t str, zone: &str) -> &'t str {
    let name = text.strip_suffix('.').unwrap_or(text);
    let zone = zone.strip_suffix('.').unwrap_or(zone);
    let cut = name.len().checked_sub(zone.len() + 1).filter(|_| !zone.is_empty());
    match cut.and_then(|cut| name.split_at_checked(cut)) {
        Some((label, rest)) if rest[1..].eq_ignore_ascii_case(zone) && rest.starts_with('.') => label,
        _ => text,
    }
}

/// `192.0.2.10`, `192.0.2.10:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then_some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| (address, None))
}

fn port_number(text: &str) -> Result<u16, &'static str> {
    match text.parse::<u16>() {
        Ok(port) if port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err("a port is a number from 1 to 65535"),
    }
}

/// A URL (RFC 3986 §3): its text is what text queries get, its host what DNS answers with.
fn url(text: &str) -> Result<Fallback, &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>']) {
        return Err("a URL holds visible ASCII characters only; the rest is percent-encoded");
    }
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(letter) {
        return Err("a URL begins with a scheme such as http://");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(v6) => {
            let (inside, port) = v6.split_once(']').ok_or("']' is missing")?;
            match port.strip_prefix(':') {
                Some(port) if !port.is_empty() => drop(port_number(port)?),
                Some(_) => {}
                None if port.is_empty() => {}
                None => return Err("after ']' stands a port or nothing"),
            }
            UrlHost::Address(IpAddr::V6(inside.parse().map_err(|_| "what stands in [ ] is no IPv6 address")?))
        }
        None => {
            let (host, port) = place.split_once(':').unwrap_or((place, ""));
            if !port.is_empty() {
                port_number(port)?;
            }
            match host.parse::<IpAddr>() {
                Ok(address) => UrlHost::Address(address),
                Err(_) => {
                    UrlHost::Name(host_name(host).map_err(|_| "its host is neither an address nor a name")?)
                }
            }
        }
    };
    if let UrlHost::Address(address) = host {
        is_host_address(address)?;
    }
    Ok(Fallback::Url { text: text.to_owned(), host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(text: &str) -> Result<Fallback, Wrong> {
        read(text, &Known::of_farms(["farm_two", "spare.ish"].into(), "athena."))
    }

    #[test]
    fn each_string_is_one_thing() {
        let two = || Fallback::Farm(Name::parse("farm_two").unwrap());
        let host = |host: &str, port| Fallback::Host(host.into(), port);
        for (text, expected) in [
            ("farm_two", two()),
            ("Farm_Two", two()),
            ("farm_two.athena", two()),
            ("FARM_two.Athena.", two()),
            ("192.0.2.10", Fallback::Address("192.0.2.10".parse().unwrap(), None)),
            ("192.0.2.10:81", Fallback::Address("192.0.2.10".parse().unwrap(), Some(81))),
            ("2001:db8::1", Fallback::Address("2001:db8::1".parse().unwrap(), None)),
            ("[2001:db8::1]", Fallback::Address("2001:db8::1".parse().unwrap(), None)),
            ("[2001:db8::1]:81", Fallback::Address("2001:db8::1".parse().unwrap(), Some(81))),
            ("Sorry.Example.com.", host("sorry.example.com", None)),
            ("sorry.example.com:8080", host("sorry.example.com", Some(8080))),
            ("sorry:8080", host("sorry", Some(8080))),
            ("localhost.", host("localhost", None)),
        ] {
            assert_eq!(decide(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_nothing_says_why() {
        assert_eq!(decide("farm_tow"), Err(Wrong::NoFarm));
        assert_eq!(decide(""), Err(Wrong::NoFarm));
        for text in
            ["10.0.0.300", "0.0.0.0", "host.example:0", "host.example:+80", "a b.example", "é.example"]
        {
            assert!(matches!(decide(text), Err(Wrong::Because(_))), "{text}");
        }
    }

    #[test]
    fn the_host_of_a_url_is_taken_out() {
        let host = |text: &str| match decide(text) {
            Ok(Fallback::Url { text: whole, host }) => {
                assert_eq!(whole, text, "the text stays as it was");
                host
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(host("http://sorry.example.com/"), UrlHost::Name("sorry.example.com".into()));
        assert_eq!(host("https://u:p@Sorry.example:8443?x=@y"), UrlHost::Name("sorry.example".into()));
        assert_eq!(host("http://[2001:db8::1]:80/x"), UrlHost::Address("2001:db8::1".parse().unwrap()));
        assert_eq!(host("http://192.0.2.1"), UrlHost::Address("192.0.2.1".parse().unwrap()));
        for bad in
            ["http://", "://x", "http:///path", "http://a b/", "http://x:99999/", "http://[::1/", "1://x"]
        {
            assert!(matches!(decide(bad), Err(Wrong::Because(_))), "{bad}");
        }
    }
}
