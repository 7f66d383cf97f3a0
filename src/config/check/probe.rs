//! `[backends.*.check]`, `[backends.*.scrape]`, `[backend_defaults]`

use std::collections::HashMap;
use std::ops::RangeInclusive;

use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, PathAndQuery};

use super::super::keys::probe::OF_HTTP;
use super::super::node::{Node, Shape};
use super::{Check, words};
use crate::balance::Name;
use crate::balance::plan::BackendPlan;
use crate::balance::statistics::{MAX_IN_A_REPORT, NOT_STATISTICS, StatisticName};
use crate::probe::plan::{self, Ask, Call, Encryption, Format, Method, Pace, Probe, Scrape, Target};
use crate::probe::scrape::selector::Selector;

/// Most results in a row that a verdict may take.
const RESULTS: RangeInclusive<u64> = 1..=1000;
/// Longest page.
const SIZES: RangeInclusive<u64> = 1..=64 << 20;
/// Statuses of HTTP (RFC 9110 §15).
const STATUSES: RangeInclusive<u16> = 100..=599;
/// Types of checks; each has its own keys beside those that all have.
const TYPES: &[&str] = &["tcp", "http", "none"];

/// A section of a backend: its own keys, then those of `backend_defaults`.
#[derive(Clone, Copy)]
struct Section<'a> {
    /// The backend, for what is wrong with none of the keys.
    backend: Node<'a>,
    own: Option<Node<'a>>,
    defaults: Option<Node<'a>>,
}

impl<'a> Section<'a> {
    /// The value in force.
    fn get(&self, key: &'static str) -> Option<Node<'a>> {
        self.own.and_then(|own| own.get(key)).or_else(|| self.defaults?.get(key))
    }

    /// What to point at when a key is missing.
    fn node(&self) -> Node<'a> {
        self.own.unwrap_or(self.backend)
    }
}

impl<'a> Check<'a> {
    /// What to find out about these backends.
    pub fn probes(&mut self, root: Node<'a>, backends: &[BackendPlan]) -> Vec<Probe> {
        let table = |node: &Node<'a>| node.shape() == Shape::Table;
        let defaults = |name| root.get("backend_defaults").and_then(|node| node.get(name)).filter(table);
        let (checks, scrapes) = (defaults("check"), defaults("scrape"));
        self.defaults(checks, scrapes);
        let all = checks.is_some_and(|node| node.get("type").is_some())
            || scrapes.is_some_and(|node| node.get("format").is_some());
        let is_probed = |node: &Node<'a>| all || node.get("check").is_some() || node.get("scrape").is_some();
        let Some(named) = root.get("backends") else { return Vec::new() };
        let probed: HashMap<String, Node<'a>> = named
            .entries()
            .filter(|(_, node)| is_probed(node))
            .map(|(name, node)| (name.to_ascii_lowercase(), node))
            .collect();
        let mut probes = Vec::new();
        for plan in backends {
            let Some(&backend) = probed.get(plan.name.as_str()) else { continue };
            let section =
                |name, defaults| Section { backend, own: backend.get(name).filter(table), defaults };
            let check = self.active_check(section("check", checks), plan);
            let scrape = self.scrape(section("scrape", scrapes), plan);
            if check.is_some() || scrape.is_some() {
                probes.push(Probe { backend: plan.name.clone(), check, scrape });
            }
        }
        probes
    }

    /// Defaults are checked by themselves: nobody may use them yet.
    fn defaults(&mut self, checks: Option<Node<'a>>, scrapes: Option<Node<'a>>) {
        let Some(name) = Name::parse("x").ok() else { return };
        let plan = BackendPlan { port: Some(1), ..BackendPlan::new(name, Vec::new()) };
        let section = |node| Section { backend: node, own: None, defaults: Some(node) };
        if let Some(node) = checks {
            self.active_check(section(node), &plan);
            self.check_keys(section(node), &plan, true);
        }
        if let Some(node) = scrapes {
            if node.get("statistics").is_some() {
                self.scrape(section(node), &plan);
            }
            self.scrape_keys(section(node), &plan, Format::Prometheus, Vec::new());
        }
    }

    fn active_check(&mut self, section: Section<'a>, plan: &BackendPlan) -> Option<plan::Check> {
        let Some(node) = section.get("type") else {
            if let Some(own) = section.own {
                self.lacks(own, "type", "\"tcp\" or \"http\"");
            }
            return None;
        };
        match TYPES[self.word(node, TYPES)] {
            "none" => None,
            "tcp" => {
                for key in OF_HTTP {
                    if let Some(node) = section.own.and_then(|own| own.get(key)) {
                        self.wrong(node, format!("a tcp check has no {key}; did you mean type = \"http\"?"));
                    }
                }
                Some(self.check_keys(section, plan, false))
            }
            _ => Some(self.check_keys(section, plan, true)),
        }
    }

    fn check_keys(&mut self, section: Section<'a>, plan: &BackendPlan, is_http: bool) -> plan::Check {
        let ask = match is_http {
            true => {
                let expected = section.get("status").map(|node| self.statuses(node)).unwrap_or_default();
                Ask::Http(self.call(section, "/"), expected)
            }
            false => Ask::Tcp,
        };
        let count = |check: &mut Self, key| {
            let results = section.get(key).map_or(1, |node| check.whole(node, RESULTS));
            u32::try_from(results).unwrap_or(u32::MAX)
        };
        plan::Check {
            pace: self.pace(section),
            target: self.target(section, plan),
            ask,
            rise: count(self, "rise"),
            fall: count(self, "fall"),
        }
    }

    fn scrape(&mut self, section: Section<'a>, plan: &BackendPlan) -> Option<Scrape> {
        let Some(node) = section.get("format") else {
            if let Some(own) = section.own {
                let formats: Vec<_> = Format::WORDS.iter().map(|word| format!("{word:?}")).collect();
                self.lacks(own, "format", &formats.join(", "));
            }
            return None;
        };
        let choices = [Format::WORDS, &["none"]].concat();
        let format = *Format::ALL.get(self.word(node, &choices))?;
        let statistics = match section.get("statistics") {
            Some(node) => self.statistics(node, format),
            None => {
                let what = "{ l = \"node_load1\" } or the like, what of the page is which statistic";
                self.lacks(section.node(), "statistics", what);
                Vec::new()
            }
        };
        Some(self.scrape_keys(section, plan, format, statistics))
    }

    fn scrape_keys(
        &mut self,
        section: Section<'a>,
        plan: &BackendPlan,
        format: Format,
        statistics: Vec<(StatisticName, Selector)>,
    ) -> Scrape {
        let path = match format {
            Format::Prometheus => "/metrics",
            Format::Apache => "/server-status?auto",
            Format::Nginx => "/stub_status",
            Format::Json => "/",
        };
        let size = section.get("max_size").map_or(1, |node| self.whole(node, SIZES));
        Scrape {
            pace: self.pace(section),
            target: self.target(section, plan),
            call: self.call(section, path),
            format,
            statistics,
            max_size: usize::try_from(size).unwrap_or(usize::MAX),
        }
    }

    fn pace(&mut self, section: Section<'a>) -> Pace {
        let interval = section.get("interval").map(|node| self.span(node)).unwrap_or_default();
        let timeout = section.get("timeout").map(|node| self.span(node)).unwrap_or_default();
        let spread = section.get("spread").map_or(0.0, |node| self.number(node, 0.0..=0.5));
        Pace { interval, timeout, spread }
    }

    fn target(&mut self, section: Section<'a>, plan: &BackendPlan) -> Target {
        let port = section.get("port").map(|node| self.whole(node, 1..=65_535));
        let port = port.map_or(plan.port, |port| u16::try_from(port).ok());
        if port.is_none() {
            let why = match section.own {
                Some(_) => "the backend has none of its own",
                None => "a check or scrape by backend_defaults needs it",
            };
            self.lacks(section.node(), "port", why);
        }
        let encryption = section.get("tls").map_or(0, |node| self.word(node, Encryption::WORDS));
        let host = section.get("host").and_then(|node| self.authority(node)).or_else(|| plan.host.clone());
        Target { port: port.unwrap_or(1), encryption: Encryption::ALL[encryption], host }
    }

    /// A host, with a port if it shall be named.
    fn authority(&mut self, node: Node<'a>) -> Option<String> {
        let text = self.text(node)?;
        match Authority::try_from(text) {
            Ok(authority) if !authority.host().is_empty() && !text.contains('@') => Some(text.to_owned()),
            _ => {
                self.wrong(node, format!("expected a host such as \"app.example.com\", found {text:?}"));
                None
            }
        }
    }

    fn call(&mut self, section: Section<'a>, path: &str) -> Call {
        let method = section.get("method").map_or(0, |node| self.word(node, Method::WORDS));
        let path =
            section.get("path").and_then(|node| self.request_path(node)).unwrap_or_else(|| path.to_owned());
        let authorization = section.get("authorization").and_then(|node| self.authorization(node));
        Call { method: Method::ALL[method], path, authorization }
    }

    fn request_path(&mut self, node: Node<'a>) -> Option<String> {
        let text = self.text(node)?;
        let hint = match text {
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                "; host, port and tls have keys of their own"
            }
            _ if !text.starts_with('/') => "; it begins with '/'",
            _ if text.contains('#') || PathAndQuery::try_from(text).is_err() => {
                "; what is not visible ASCII is percent-encoded"
            }
            _ => return Some(text.to_owned()),
        };
        self.wrong(node, format!("expected a path such as \"/metrics\", found {text:?}{hint}"));
        None
    }

    fn authorization(&mut self, node: Node<'a>) -> Option<HeaderValue> {
        let text = self.text(node)?;
        match HeaderValue::try_from(text) {
            Ok(mut value) if !text.trim().is_empty() => {
                value.set_sensitive(true);
                Some(value)
            }
            _ => {
                self.wrong(
                    node,
                    "expected visible characters such as \"Bearer KEY\"; leave it out to send none",
                );
                None
            }
        }
    }

    fn statuses(&mut self, node: Node<'a>) -> Vec<RangeInclusive<u16>> {
        let before = self.found.len();
        let texts = self.texts(node);
        if texts.is_empty() && self.found.len() == before {
            self.wrong(node, "expected at least one status, such as \"200\"");
        }
        let mut ranges = Vec::new();
        for (item, text) in texts {
            match statuses(text) {
                Some(range) => ranges.push(range),
                None => self.wrong(
                    item,
                    format!("expected a status such as \"200\", \"2xx\" or \"200-399\", found {text:?}"),
                ),
            }
        }
        ranges
    }

    fn statistics(&mut self, node: Node<'a>, format: Format) -> Vec<(StatisticName, Selector)> {
        if node.shape() != Shape::Table {
            let found = words(node);
            self.wrong(node, format!("expected a table such as {{ l = \"node_load1\" }}, found {found}"));
            return Vec::new();
        }
        let entries: Vec<_> = node.entries().collect();
        if entries.is_empty() || entries.len() > MAX_IN_A_REPORT {
            let found = entries.len();
            self.wrong(node, format!("expected 1 to {MAX_IN_A_REPORT} statistics, found {found}"));
        }
        let mut statistics = Vec::new();
        for (name, item) in entries {
            let Some(statistic) = StatisticName::parse(name) else {
                self.wrong(item, not_a_statistic(name));
                continue;
            };
            let Some(text) = self.text(item) else { continue };
            match Selector::parse(format, text) {
                Ok(selector) => statistics.push((statistic, selector)),
                Err(why) => self.wrong(item, format!("{text:?}: {why}")),
            }
        }
        statistics
    }
}

fn not_a_statistic(name: &str) -> String {
    if NOT_STATISTICS.contains(&name) {
        return format!("{name} is no statistic, it means something else in reports");
    }
    let lower = name.to_ascii_lowercase();
    let hint = match StatisticName::parse(&lower) {
        Some(_) => format!("; did you mean {lower:?}?"),
        None => String::new(),
    };
    format!("a statistic's name has up to 32 lower-case letters, digits and '_', a letter first{hint}")
}

/// `200`, `2xx`, `200-399`.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let one = |text: &str| text.trim().parse::<u16>().ok().filter(|status| STATUSES.contains(status));
    if let Some(class) = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok()) {
        return (1..=5).contains(&class).then(|| class * 100..=class * 100 + 99);
    }
    match text.split_once('-') {
        Some((from, to)) => Some(one(from)?..=one(to)?).filter(|range| !range.is_empty()),
        None => one(text).map(|status| status..=status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_a_class_or_a_range() {
        assert_eq!(statuses("200"), Some(200..=200));
        assert_eq!(statuses("2xx"), Some(200..=299));
        assert_eq!(statuses("200 - 399"), Some(200..=399));
        for bad in ["", "xx", "0xx", "6xx", "20", "99", "600", "399-200", "200-", "a", "2x", "-200", "655xx"]
        {
            assert_eq!(statuses(bad), None, "{bad}");
        }
    }
}
