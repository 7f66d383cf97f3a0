//! `[farms.*]` and `[farm_defaults]`

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::file::Origin;
use super::super::node::{Node, Shape};
use super::super::problem::{did_you_mean, meant};
use super::Check;
use crate::balance::algorithm::{self, ALGORITHMS, AlgorithmSpec};
use crate::balance::load::{FUNCTIONS, Formula, FormulaError};
use crate::balance::name::RESERVED;
use crate::balance::plan::{BackendPlan, Fallback, FarmPlan, LastResort, SlowStart};
use crate::balance::statistics::StatisticName;
use crate::balance::{Name, Plan};

/// Longest time to live (RFC 2181 §8).
const MAX_TTL: u64 = (1 << 31) - 1;
/// Most members in one answer: as many A records as a UDP answer of 1232 octets holds.
const MAX_ANSWERS: u64 = 64;
/// Problems from which on no more near names are looked for: each takes a look at all names.
const PATIENCE: usize = 100;
/// Values of `last_resort`.
const LAST_RESORTS: [(&str, LastResort); 2] = [("stale", LastResort::Stale), ("none", LastResort::None)];

/// A farm's section: its own keys, then those of `farm_defaults`.
#[derive(Clone, Copy)]
pub struct FarmSection<'a> {
    /// The farm's own.
    pub own: Node<'a>,
    defaults: Option<Node<'a>>,
}

impl<'a> FarmSection<'a> {
    /// The value in force.
    pub fn get(&self, key: &'static str) -> Option<Node<'a>> {
        self.own.get(key).or_else(|| self.defaults?.get(key))
    }
}

/// What members and fallbacks may name.
pub struct Known<'k> {
    /// Backends that are defined well.
    pub backends: HashMap<&'k str, &'k Name>,
    /// The same in the order of their names.
    pub in_order: Vec<&'k Name>,
    /// All that have a section; what is wrong with them is said elsewhere.
    pub sections: HashSet<&'k str>,
    /// Farms that have a section.
    pub farms: HashSet<&'k str>,
    /// The first zone, with its dot.
    pub zone: &'k str,
    /// Whether others may register.
    pub may_register: bool,
}

#[cfg(test)]
impl<'k> Known<'k> {
    /// These farms, and no backends.
    pub fn of_farms(farms: HashSet<&'k str>, zone: &'k str) -> Self {
        Self {
            backends: HashMap::new(),
            in_order: Vec::new(),
            sections: HashSet::new(),
            farms,
            zone,
            may_register: false,
        }
    }
}

impl<'a> Check<'a> {
    /// All farms; a pattern of members that nobody fits is all right if others `may_register`.
    pub fn farms(
        &mut self,
        root: Node<'a>,
        backends: &[BackendPlan],
        zone: &str,
        may_register: bool,
    ) -> Vec<FarmPlan> {
        let names = |section: &'static str| {
            let node = root.get(section).filter(|node| node.shape() == Shape::Table);
            node.into_iter().flat_map(|node| node.entries())
        };
        let known = Known {
            backends: backends.iter().map(|backend| (backend.name.as_str(), &backend.name)).collect(),
            sections: names("backends").map(|(name, _)| name).collect(),
            in_order: backends.iter().map(|backend| &backend.name).collect(),
            farms: names("farms").map(|(name, _)| name).collect(),
            zone,
            may_register,
        };
        let defaults = root.get("farm_defaults").filter(|node| node.shape() == Shape::Table);
        // The defaults are checked by themselves: nobody may use them yet.
        if let Some(defaults) = defaults {
            self.farm(Name::parse("x").ok(), FarmSection { own: defaults, defaults: None }, &known);
        }
        let mut farms = Vec::new();
        for (text, own) in names("farms").filter(|(_, node)| node.shape() == Shape::Table) {
            let name = self.name(own, "farm", text);
            if name.as_ref().is_some_and(Name::is_reserved) {
                let reserved = RESERVED.join(", ");
                self.wrong(
                    own,
                    format!("{text} means something else in DNS, no farm bears this name ({reserved})"),
                );
            }
            let section = FarmSection { own, defaults };
            if section.get("members").is_none() {
                self.lacks(own, "members", "the names of its backends");
            }
            farms.extend(self.farm(name, section, &known));
        }
        self.circles(root, &farms, zone);
        farms
    }

    fn farm(&mut self, name: Option<Name>, section: FarmSection<'a>, known: &Known<'_>) -> Option<FarmPlan> {
        let members = section.get("members").map(|node| self.members(node, known)).unwrap_or_default();
        let algorithm = section.get("algorithm").map_or(algorithm::DEFAULT, |node| self.algorithm(node));
        let load = section.get("load").map(|node| self.formula(node)).unwrap_or_default();
        let ttl = section.get("ttl").map_or(0, |node| self.whole(node, 0..=MAX_TTL));
        let answers = section.get("answers").map_or(1, |node| self.whole(node, 1..=MAX_ANSWERS));
        let expect_update = section.get("expect_update").and_then(|node| self.span_or_none(node));
        let fallback = self.chain(name.as_ref(), section, "fallback", known).unwrap_or_default();
        let fallback_off = self.chain(name.as_ref(), section, "fallback_off", known);
        let last_resort =
            section.get("last_resort").map_or(0, |node| self.word(node, &LAST_RESORTS.map(|(word, _)| word)));
        let min_available = section.get("min_available").map_or(0.0, |node| self.number(node, 0.0..=1.0));
        let window = section.get("slow_start").and_then(|node| self.span_or_none(node));
        let aggression =
            section.get("slow_start_aggression").map_or(1.0, |node| self.number(node, 0.01..=100.0));
        let suspicion = section.get("suspicion").is_none_or(|node| self.truth(node));
        let answer_load = section.get("answer_load").map(|node| self.number(node, 1e-6..=1e9));
        let load_smoothing = section.get("load_smoothing").and_then(|node| self.span_or_none(node));
        let error_penalty = section.get("error_penalty").map(|node| self.number(node, 0.0..=1e6));
        let hash_bound = section.get("hash_bound").map(|node| self.number(node, 1.0..=1e6));

        let mut plan = FarmPlan::new(name?, [], algorithm);
        plan.members = members.named;
        plan.members.shrink_to_fit();
        plan.patterns = members.patterns;
        plan.load = load;
        plan.ttl = u32::try_from(ttl).unwrap_or(u32::MAX);
        plan.answers = usize::try_from(answers).unwrap_or(usize::MAX);
        plan.expect_update = expect_update;
        plan.fallback = fallback;
        plan.fallback_off = fallback_off;
        plan.last_resort = LAST_RESORTS[last_resort].1;
        plan.min_available = min_available;
        plan.slow_start = window.map(|window| SlowStart { window, aggression });
        plan.suspicion = suspicion;
        plan.params.answer_load = answer_load;
        plan.params.load_smoothing = load_smoothing;
        plan.params.ttl = Duration::from_secs(ttl);
        plan.params.error_penalty = error_penalty.unwrap_or(plan.params.error_penalty);
        plan.params.hash_bound = hash_bound.unwrap_or(plan.params.hash_bound);
        Some(plan)
    }

    /// A chain of fallbacks. One that comes from `farm_defaults` may name a farm that then does without itself.
    fn chain(
        &mut self,
        name: Option<&Name>,
        section: FarmSection<'a>,
        key: &'static str,
        known: &Known<'_>,
    ) -> Option<Vec<Fallback>> {
        let mut chain = self.fallbacks(section.get(key)?, known);
        if section.own.get(key).is_none() {
            chain.retain(|fallback| !matches!(fallback, Fallback::Farm(farm) if Some(farm) == name));
        }
        Some(chain)
    }

    /// A duration, or `"none"`, which takes back what `farm_defaults` says.
    fn span_or_none(&mut self, node: Node<'a>) -> Option<Duration> {
        if node.shape() == Shape::Text("none") { None } else { Some(self.span(node)) }
    }

    fn algorithm(&mut self, node: Node<'a>) -> &'static AlgorithmSpec {
        let Some(text) = self.text(node) else { return algorithm::DEFAULT };
        algorithm::find(text).unwrap_or_else(|| {
            let names: Vec<_> = ALGORITHMS.iter().map(|spec| spec.name).collect();
            let hint = match meant(text, names.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known: {}", names.join(", ")),
            };
            self.wrong(node, format!("unknown algorithm {text:?}; {hint}"));
            algorithm::DEFAULT
        })
    }

    fn formula(&mut self, node: Node<'a>) -> Formula {
        let Some(text) = self.text(node) else { return Formula::default() };
        Formula::parse(text).unwrap_or_else(|error| {
            let hint = match &error {
                FormulaError::Variable { name, .. } => {
                    let lower = name.to_ascii_lowercase();
                    let other = (lower != *name).then(|| StatisticName::parse(&lower)).flatten();
                    other.map(|other| format!("; did you mean {:?}?", other.as_str())).unwrap_or_default()
                }
                FormulaError::Syntax { .. } => function(text)
                    .map(|(word, near)| format!("; {word} is no function, did you mean {near:?}?"))
                    .unwrap_or_default(),
                _ => String::new(),
            };
            self.wrong(node, format!("formula {text:?}: {error}{hint}"));
            Formula::default()
        })
    }

    /// `; did you mean "app02"?`, as long as there are not too many problems.
    pub fn near(&self, word: &str, names: &HashSet<&str>) -> String {
        if self.found.len() > PATIENCE {
            return String::new();
        }
        did_you_mean(word, names.iter().copied())
    }

    /// Farms that fall back on each other: every circle, found by cutting each one open where it closes.
    fn circles(&mut self, root: Node<'a>, farms: &[FarmPlan], zone: &str) {
        if farms.iter().all(|farm| farm.fallback_farms().next().is_none()) {
            return;
        }
        let mut open = Plan { backends: Vec::new(), farms: farms.to_vec() };
        let places: HashMap<&Name, usize> =
            farms.iter().zip(0..).map(|(farm, place)| (&farm.name, place)).collect();
        while let Some(circle) = open.circle() {
            let [.., last, first] = circle.as_slice() else { return };
            let text = circle.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> ");
            if let Some(node) = self.closing(root, last, first, zone) {
                self.wrong(node, format!("fallback circle: {text}"));
            }
            let Some(place) = places.get(last) else { return };
            let cut = |fallback: &Fallback| !matches!(fallback, Fallback::Farm(name) if name == first);
            let farm = &mut open.farms[*place];
            farm.fallback.retain(cut);
            if let Some(chain) = &mut farm.fallback_off {
                chain.retain(cut);
            }
        }
    }

    /// The item in `last`'s chains that names `first`, or else its section.
    fn closing(&self, root: Node<'a>, last: &Name, first: &Name, zone: &str) -> Option<Node<'a>> {
        let (_, own) = root.get("farms")?.entries().find(|(name, _)| *name == last.as_str())?;
        let section = FarmSection { own, defaults: root.get("farm_defaults") };
        let chains = ["fallback", "fallback_off"].into_iter().filter_map(|key| section.get(key));
        let names = |item: &Node<'a>| match item.shape() {
            Shape::Text(text) => super::fallback::farm_label(text, zone).eq_ignore_ascii_case(first.as_str()),
            _ => false,
        };
        let item = chains.flat_map(|chain| chain.items()).find(names);
        item.filter(|item| item.origin() != Origin::BuiltIn).or(Some(own))
    }
}

/// The first word in front of a parenthesis that is no function but nearly one.
fn function(text: &str) -> Option<(&str, &'static str)> {
    let part_of_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.match_indices('(').find_map(|(end, _)| {
        let before = text[..end].trim_end();
        let word = before.rsplit(|character| !part_of_word(character)).next().unwrap_or_default();
        let near = meant(word, FUNCTIONS)?;
        (near != word).then_some((word, near))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_function_is_recognized() {
        assert_eq!(function("0.5*l + mx(u, c)"), Some(("mx", "max")));
        assert_eq!(function("sqr (l)"), Some(("sqr", "sqrt")));
        assert_eq!(function("max(l, u) * (c"), None);
        assert_eq!(function("ü(l)"), None);
    }
}
