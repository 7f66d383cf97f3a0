//! Keys that nobody knows, and values where a section is due.

use super::super::file::Origin;
use super::super::keys::{self, SECTIONS};
use super::super::node::{Node, Shape};
use super::super::path::Path;
use super::super::problem::meant;
use super::Check;

impl<'a> Check<'a> {
    /// Looks at every table from the top on.
    pub fn unknown_keys(&mut self, root: Node<'a>) {
        self.look(root);
    }

    fn look(&mut self, table: Node<'a>) {
        let here = table.path.words();
        let known = keys::words_below(&here);
        for (name, node) in table.entries() {
            let mut below = here.clone();
            below.push(name);
            if keys::find(&below).is_some() {
                continue;
            }
            let named = known.contains(&"*");
            if named || known.contains(&name) {
                self.look_into(node, &below);
            } else if node.origin() != Origin::BuiltIn || !matches!(node.shape(), Shape::Table) {
                let hint = hint(name, &known);
                self.wrong(node, format!("unknown key{hint}"));
            }
        }
    }

    /// Looks at what stands where a section, or a list of sections, is due.
    fn look_into(&mut self, node: Node<'a>, words: &[&str]) {
        let is_list = keys::section(words).is_none() && words == ["zones"];
        match node.shape() {
            Shape::Table if is_list => self.wrong(node, "expected [[zones]], one for each zone"),
            Shape::Table => self.look(node),
            Shape::List(_) if is_list => {
                for item in node.items() {
                    match item.shape() {
                        Shape::Table => self.look(item),
                        _ => self.wrong(item, "expected [[zones]], one for each zone"),
                    }
                }
            }
            _ => {
                let path = Path::to_string(&node.path);
                let text = format!("expected a section, [{path}], found {}", super::words(node));
                self.wrong(node, text);
            }
        }
    }
}

/// What may have been meant: a key of this section, or the same key in another one.
fn hint(name: &str, known: &[&'static str]) -> String {
    if let Some(near) = meant(name, known.iter().copied()) {
        return format!("; did you mean {near:?}?");
    }
    let elsewhere = SECTIONS.iter().find(|section| section.keys.iter().any(|key| key.name == name));
    match elsewhere {
        Some(section) if section.path.is_empty() => {
            format!("; {name} stands at the top of the file, before the first section")
        }
        Some(section) => format!("; {name} stands in {}", section.header),
        None => format!("; known here: {}", known.join(", ")),
    }
}
