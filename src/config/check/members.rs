//! `members` of a farm: names, patterns, and tables of either and a weight.

use std::collections::HashSet;

use super::super::node::{Node, Shape};
use super::super::problem::did_you_mean;
use super::farms::Known;
use super::{Check, words};
use crate::balance::Name;
use crate::balance::plan::MemberPlan;
use crate::balance::registration::{MemberPattern, Pattern};
use crate::balance::update::{MAX_WEIGHT, MIN_WEIGHT};

/// A farm's list.
#[derive(Debug, Default)]
pub struct Members {
    /// Those that are configured, patterns carried out.
    pub named: Vec<MemberPlan>,
    /// Where those stand that register.
    pub patterns: Vec<MemberPattern>,
}

/// The name in an item that is no pattern, in lower case.
fn named(item: Node<'_>) -> Option<String> {
    let node = if item.shape() == Shape::Table { item.get("name")? } else { item };
    match node.shape() {
        Shape::Text(text) if !Pattern::is_meant(text) => Some(text.to_ascii_lowercase()),
        _ => None,
    }
}

impl<'a> Check<'a> {
    /// Takes every configured backend that fits and is not `named` elsewhere in the list, and notes the place for others.
    fn pattern(
        &mut self,
        node: Node<'a>,
        text: &str,
        weight: f64,
        known: &Known<'_>,
        named: &HashSet<String>,
        members: &mut Members,
    ) {
        let pattern = match Pattern::parse(text) {
            Ok(pattern) => pattern,
            Err(why) => return self.wrong(node, why.to_string()),
        };
        if members.patterns.iter().any(|other| other.pattern == pattern) {
            return self.wrong(node, format!("pattern {text:?} stands twice"));
        }
        let stands = |name: &Name| members.named.iter().any(|member| member.backend == *name);
        let fits =
            |name: &&Name| pattern.fits(name.as_str()) && !named.contains(name.as_str()) && !stands(name);
        let fitting: Vec<Name> = known.in_order.iter().copied().filter(fits).cloned().collect();
        let fits_nobody = !known.sections.iter().any(|name| pattern.fits(&name.to_ascii_lowercase()));
        if fits_nobody && !known.may_register {
            let text = format!(
                "pattern {text:?} fits no backend, and none may register: access.auto_register = true lets them"
            );
            return self.wrong(node, text);
        }
        members.named.extend(fitting.into_iter().map(|backend| MemberPlan { backend, weight }));
        members.patterns.push(MemberPattern { pattern, weight, place: members.named.len() });
    }

    /// Names, or tables of a name and a weight.
    pub fn members(&mut self, node: Node<'a>, known: &Known<'_>) -> Members {
        let items: Vec<_> = match node.shape() {
            // A single table would be taken for a list of one; that is a slip rather than a wish.
            Shape::Table => Vec::new(),
            _ => node.items().collect(),
        };
        if items.is_empty() {
            self.wrong(node, format!("expected a list of backends, found {}", words(node)));
        }
        let mut members = Members::default();
        let mut seen: HashSet<Name> = HashSet::new();
        // Whoever is named beside a pattern stands where he is named.
        let named: HashSet<String> = items.iter().filter_map(|item| named(*item)).collect();
        for item in items {
            let (at, text, weight) = match item.shape() {
                Shape::Text(text) => (item, text, 1.0),
                Shape::Table => match self.member_table(item) {
                    Some(member) => member,
                    None => continue,
                },
                _ => {
                    let found = words(item);
                    self.wrong(
                        item,
                        format!("expected a name or {{ name = \"app01\", weight = 2.0 }}, found {found}"),
                    );
                    continue;
                }
            };
            if Pattern::is_meant(text) {
                self.pattern(at, text, weight, known, &named, &mut members);
                seen.extend(members.named.iter().map(|member| member.backend.clone()));
                continue;
            }
            let lower = text.to_ascii_lowercase();
            if !known.sections.contains(lower.as_str()) {
                let near = self.near(&lower, &known.sections);
                self.wrong(at, format!("member {text:?} is no backend{near}"));
            } else if let Some(&name) = known.backends.get(lower.as_str()) {
                if !seen.insert(name.clone()) {
                    self.wrong(at, format!("member {name} stands twice"));
                }
                members.named.push(MemberPlan { backend: name.clone(), weight });
            }
        }
        members
    }

    /// `{ name = "app01", weight = 2.0 }`
    fn member_table(&mut self, item: Node<'a>) -> Option<(Node<'a>, &'a str, f64)> {
        for (key, node) in item.entries() {
            if !["name", "weight"].contains(&key) {
                let hint = did_you_mean(key, ["name", "weight"]);
                self.wrong(node, format!("unknown key{hint}; a member has name and weight"));
            }
        }
        let weight = item.get("weight").map_or(1.0, |node| self.number(node, MIN_WEIGHT..=MAX_WEIGHT));
        let Some(name) = item.get("name") else {
            self.lacks(item, "name", "the name of a backend");
            return None;
        };
        self.text(name).map(|text| (name, text, weight))
    }
}
