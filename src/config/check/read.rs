//! Readers of single values: what is expected, what was found.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::super::node::{Node, Shape};
use super::super::problem::did_you_mean;
use super::{Check, at, words};

impl<'a> Check<'a> {
    fn expected(&mut self, node: Node<'a>, what: &str, hint: &str) {
        self.wrong(node, format!("expected {what}, found {}{hint}", words(node)));
    }

    /// A string.
    pub fn text(&mut self, node: Node<'a>) -> Option<&'a str> {
        match node.shape() {
            Shape::Text(text) => Some(text),
            _ => {
                self.expected(node, "a string", "");
                None
            }
        }
    }

    /// A string that is one of these words; gives its place among them.
    pub fn word(&mut self, node: Node<'a>, choices: &[&'static str]) -> usize {
        let Some(text) = self.text(node) else { return 0 };
        choices.iter().position(|choice| *choice == text).unwrap_or_else(|| {
            let quoted: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
            let hint = did_you_mean(text, choices.iter().copied());
            self.expected(node, &format!("one of {}", quoted.join(", ")), &hint);
            0
        })
    }

    /// True or false.
    pub fn flag(&mut self, section: Node<'a>, path: &[&'static str]) -> bool {
        at(section, path).is_some_and(|node| self.truth(node))
    }

    /// The same of a value that is there.
    pub fn truth(&mut self, node: Node<'a>) -> bool {
        match node.shape() {
            Shape::Flag(flag) => flag,
            _ => {
                self.expected(node, "true or false", "");
                false
            }
        }
    }

    /// A whole number in this range.
    pub fn whole(&mut self, node: Node<'a>, range: RangeInclusive<u64>) -> u64 {
        match node.shape() {
            Shape::Whole(number) if u64::try_from(number).is_ok_and(|number| range.contains(&number)) => {
                u64::try_from(number).unwrap_or_default()
            }
            _ => {
                let what = format!("a whole number from {} to {}", range.start(), range.end());
                self.expected(node, &what, "");
                *range.start()
            }
        }
    }

    /// The same for a key that has a default.
    pub fn whole_in(&mut self, section: Node<'a>, path: &[&'static str], range: RangeInclusive<u64>) -> u64 {
        at(section, path).map_or(*range.start(), |node| self.whole(node, range))
    }

    /// The same as a `usize`.
    pub fn count_in(
        &mut self,
        section: Node<'a>,
        path: &[&'static str],
        range: RangeInclusive<u64>,
    ) -> usize {
        usize::try_from(self.whole_in(section, path, range)).unwrap_or(usize::MAX)
    }

    /// A finite number in this range.
    pub fn number(&mut self, node: Node<'a>, range: RangeInclusive<f64>) -> f64 {
        let number = match node.shape() {
            Shape::Number(number) => number,
            Shape::Whole(number) => number as f64,
            _ => f64::NAN,
        };
        if range.contains(&number) {
            return number;
        }
        let what = format!("a number from {} to {}", range.start(), range.end());
        self.expected(node, &what, "");
        *range.start()
    }

    /// A duration: `500ms`, `15s`, `2m`, `1h`.
    pub fn duration(&mut self, node: Node<'a>) -> Duration {
        let duration = match node.shape() {
            Shape::Text(text) => parse_duration(text),
            _ => None,
        };
        duration.unwrap_or_else(|| {
            let hint = match node.shape() {
                Shape::Whole(number) if number >= 0 => format!("; did you mean \"{number}s\"?"),
                Shape::Text(text) if parse_duration(&format!("{text}s")).is_some() => {
                    format!("; did you mean \"{text}s\"?")
                }
                _ => String::new(),
            };
            self.expected(node, "a duration such as \"500ms\", \"15s\", \"2m\" or \"1h\"", &hint);
            Duration::ZERO
        })
    }

    /// The same for a key that has a default.
    pub fn duration_in(&mut self, section: Node<'a>, path: &[&'static str]) -> Duration {
        at(section, path).map_or(Duration::ZERO, |node| self.duration(node))
    }

    /// The same, and longer than nothing.
    pub fn span(&mut self, node: Node<'a>) -> Duration {
        let before = self.found.len();
        let duration = self.duration(node);
        if duration.is_zero() && self.found.len() == before {
            self.wrong(node, "expected a duration longer than 0");
        }
        duration
    }

    /// The same for a key that has a default.
    pub fn span_in(&mut self, section: Node<'a>, path: &[&'static str]) -> Duration {
        at(section, path).map_or(Duration::ZERO, |node| self.span(node))
    }

    /// A list of strings, or one string.
    pub fn texts(&mut self, node: Node<'a>) -> Vec<(Node<'a>, &'a str)> {
        if let Shape::Table = node.shape() {
            self.expected(node, "a list of strings", "");
            return Vec::new();
        }
        let items: Vec<_> = node.items().collect();
        items.into_iter().filter_map(|item| self.text(item).map(|text| (item, text))).collect()
    }

    /// A list of addresses with ports to listen on, none of them twice.
    pub fn listen(&mut self, section: Node<'a>, path: &[&'static str], port: u16) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for (item, text) in at(section, path).map(|node| self.texts(node)).unwrap_or_default() {
            match text.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                    self.wrong(item, format!("{address} stands twice"));
                }
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let hint = match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                        Ok(address) => format!("; did you mean \"{}\"?", SocketAddr::new(address, port)),
                        Err(_) => String::new(),
                    };
                    let what =
                        format!("an address with a port such as \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
                    self.expected(item, &what, &hint);
                }
            }
        }
        addresses
    }

    /// A list of networks; an address is a network of its own.
    pub fn networks(&mut self, section: Node<'a>, path: &[&'static str]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (item, text) in at(section, path).map(|node| self.texts(node)).unwrap_or_default() {
            match text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(network) if network.trunc() == network => networks.push(network),
                Some(network) => {
                    let (trunc, host) = (network.trunc(), network.addr());
                    let text = format!(
                        "{network} has bits beyond its prefix; did you mean \"{trunc}\" or \"{host}\"?"
                    );
                    self.wrong(item, text);
                }
                None => self.expected(item, "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"", ""),
            }
        }
        networks
    }
}

/// `500ms`, `15s`, `2m`, `1h`: digits and a unit, nothing else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(unit).filter(|seconds| *seconds <= MAX_SECONDS).map(Duration::from_secs)
}

/// Longest duration, a hundred years: so that no sum of a moment and a duration leaves its range.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("15s"), Some(Duration::from_secs(15)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        for bad in
            ["", "15", "s", "-1s", "1.5s", "15 s", "15S", "1d", "99999999999999999999s", "9999999999h", "１s"]
        {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
    }
}
