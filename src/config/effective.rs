//! What is in force, as a file that could be loaded: every key with its value, and where it came from if it is not the
//! default. Secrets are hidden.

use std::fmt::Write as _;

use super::check::{farm_label, resolve};
use super::document::quoted;
use super::file::{Origin, Typed};
use super::keys::probe::OF_HTTP;
use super::keys::{self, Kind, SECTIONS, Section};
use super::node::{Node, Shape};
use super::path::written;

/// Keys that hold the name of a file: they are shown as the program uses them.
const FILES: [&str; 7] =
    ["zone_file", "state_dir", "cookie_secret_file", "cert", "key", "tls_cert", "tls_key"];

/// The effective configuration of what was typed and found to be right.
pub fn effective(typed: &Typed<'_>) -> String {
    let root = typed.root();
    let zone = match root.get("zone").map(|zone| zone.shape()) {
        Some(Shape::Text(zone)) => zone,
        _ => "",
    };
    let mut shown = String::new();
    let mut show =
        |header: &str, section, node, defaults| show(&mut shown, zone, header, section, node, defaults);
    for section in SECTIONS {
        match section.path {
            [] => show("", section, root, None),
            ["farm_defaults"] | ["backend_defaults", _] => {}
            ["backends", "*", part] => {
                let defaults = root.get("backend_defaults").and_then(|defaults| defaults.get(part));
                for (name, node) in root.get("backends").into_iter().flat_map(|backends| backends.entries()) {
                    let own = node.get(part);
                    if let Some(node) = own.or(defaults).filter(|_| is_in_force(own, defaults)) {
                        let header = format!("[backends.{}.{part}]", written(name));
                        show(&header, section, node, defaults.map(|defaults| (defaults, name)));
                    }
                }
            }
            ["zones", _] => {
                for zone in root.get("zones").into_iter().flat_map(|zones| zones.items()) {
                    show("[[zones]]", section, zone, None);
                }
            }
            [group, "*"] => {
                let defaults = root.get("farm_defaults").filter(|_| *group == "farms");
                for (name, node) in root.get(group).into_iter().flat_map(|group| group.entries()) {
                    let header = format!("[{group}.{}]", written(name));
                    show(&header, section, node, defaults.map(|defaults| (defaults, name)));
                }
            }
            path => {
                if let Some(node) = path.iter().try_fold(root, |node, step| node.get(step)) {
                    show(section.header, section, node, None);
                }
            }
        }
    }
    shown
}

/// Whether a check or scrape has a type or format, its own or by default, other than "none".
fn is_in_force(own: Option<Node<'_>>, defaults: Option<Node<'_>>) -> bool {
    fn kind<'n>(node: Node<'n>) -> Option<Shape<'n>> {
        Some(node.get("type").or_else(|| node.get("format"))?.shape())
    }
    own.and_then(kind).or_else(|| defaults.and_then(kind)).is_some_and(|kind| kind != Shape::Text("none"))
}

fn show(
    shown: &mut String,
    zone: &str,
    header: &str,
    section: &Section,
    node: Node<'_>,
    defaults: Option<(Node<'_>, &str)>,
) {
    if !header.is_empty() {
        let _ = write!(shown, "\n{header}\n");
    }
    let value = |key| node.get(key).or_else(|| defaults?.0.get(key)).map(|value| value.shape());
    let is_tcp = section.path.last() == Some(&"check") && value("type") == Some(Shape::Text("tcp"));
    for key in section.keys.iter().filter(|key| !is_tcp || !OF_HTTP.contains(&key.name)) {
        let inherited = || defaults.and_then(|(defaults, _)| defaults.get(key.name));
        let Some(value) = node.get(key.name).or_else(inherited) else {
            // Sections that people name have their defaults in the table alone.
            let default = key.default.toml().filter(|_| keys::is_named(section));
            let _ = default.map(|toml| writeln!(shown, "{} = {toml}", key.name));
            continue;
        };
        let text = match value.shape() {
            _ if key.kind == Kind::Secret => quoted("***"),
            Shape::Text(text) if FILES.contains(&key.name) => path(value.origin(), text),
            // An inherited chain leaves the farm itself out.
            _ if node.get(key.name).is_none() && key.name.starts_with("fallback") => {
                let name = defaults.map_or("", |(_, name)| name);
                let itself = |item: &Node<'_>| match item.shape() {
                    Shape::Text(text) => farm_label(text, zone).eq_ignore_ascii_case(name),
                    _ => false,
                };
                list(value.items().filter(|item| !itself(item)))
            }
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

/// A list on one line.
fn list<'n>(items: impl Iterator<Item = Node<'n>>) -> String {
    format!("[{}]", items.map(toml).collect::<Vec<_>>().join(", "))
}

/// A value on one line.
fn toml(node: Node<'_>) -> String {
    match node.shape() {
        Shape::Text(text) => quoted(text),
        Shape::Whole(number) => number.to_string(),
        Shape::Number(number) => format!("{number:?}"),
        Shape::Flag(flag) => flag.to_string(),
        Shape::List(_) => list(node.items()),
        Shape::Table => {
            let entries = node.entries().map(|(key, value)| format!("{} = {}", written(key), toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
