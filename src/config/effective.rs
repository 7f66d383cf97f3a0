//! What is in force, as a file that could be loaded: every key with its value, and where it came from if it is not the
//! default. Secrets are hidden.

use std::fmt::Write as _;

use super::check::resolve;
use super::document::quoted;
use super::file::{Node, Origin, Shape, Typed};
use super::keys::{self, Kind, SECTIONS, Section};
use super::path::written;

/// Keys that hold the name of a file: they are shown as the program uses them.
const FILES: [&str; 3] = ["zone_file", "state_dir", "cookie_secret_file"];

/// The effective configuration of what was typed and found to be right.
pub fn effective(typed: &Typed) -> String {
    let root = typed.root();
    let mut shown = String::new();
    for section in SECTIONS {
        match section.path {
            [] => show(&mut shown, "", section, root, None),
            ["farm_defaults"] => {}
            ["zones", _] => {
                for zone in root.get("zones").into_iter().flat_map(|zones| zones.items()) {
                    show(&mut shown, "[[zones]]", section, zone, None);
                }
            }
            [group, _] => {
                let defaults = root.get("farm_defaults").filter(|_| *group == "farms");
                for (name, node) in root.get(group).into_iter().flat_map(|group| group.entries()) {
                    show(&mut shown, &format!("[{group}.{}]", written(name)), section, node, defaults);
                }
            }
            [name, ..] => {
                if let Some(node) = root.get(name) {
                    show(&mut shown, section.header, section, node, None);
                }
            }
        }
    }
    shown
}

fn show(shown: &mut String, header: &str, section: &Section, node: Node<'_>, defaults: Option<Node<'_>>) {
    if !header.is_empty() {
        let _ = write!(shown, "\n{header}\n");
    }
    for key in section.keys {
        let Some(value) = node.get(key.name).or_else(|| defaults?.get(key.name)) else {
            // Sections that people name have their defaults in the table alone.
            let default = key.default.toml().filter(|_| keys::is_named(section));
            let _ = default.map(|toml| writeln!(shown, "{} = {toml}", key.name));
            continue;
        };
        let text = match value.shape() {
            _ if key.kind == Kind::Secret => quoted("***"),
            Shape::Text(text) if FILES.contains(&key.name) => path(value.origin(), text),
            _ => toml(value),
        };
        let _ = match value.origin() {
            Origin::BuiltIn => writeln!(shown, "{} = {text}", key.name),
            Origin::File(_) => writeln!(shown, "{} = {text}  # file", key.name),
            Origin::Given(name) => writeln!(shown, "{} = {text}  # {name}", key.name),
        };
    }
}

/// A file's name that means the same wherever the shown text is put.
fn path(origin: Origin<'_>, text: &str) -> String {
    let path = resolve(origin, text);
    let path = std::path::absolute(&path).unwrap_or(path);
    quoted(&path.to_string_lossy())
}

/// A value on one line.
fn toml(node: Node<'_>) -> String {
    match node.shape() {
        Shape::Text(text) => quoted(text),
        Shape::Whole(number) => number.to_string(),
        Shape::Number(number) => format!("{number:?}"),
        Shape::Flag(flag) => flag.to_string(),
        Shape::List(_) => {
            let items: Vec<_> = node.items().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Shape::Table => {
            let entries = node.entries().map(|(key, value)| format!("{} = {}", written(key), toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
