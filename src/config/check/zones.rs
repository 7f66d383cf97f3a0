//! Zones, their files, and names of hosts.

use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};

use super::super::file::Origin;
use super::super::node::{Node, Shape};
use super::super::{Records, Zone};
use super::Check;

impl<'a> Check<'a> {
    /// The zone at the top and those of `[[zones]]`. `server`: the address of the name server that a zone without
    /// file names.
    pub fn zones(&mut self, root: Node<'a>, server: Option<IpAddr>) -> Vec<Zone> {
        let further = root.get("zones").into_iter().flat_map(|zones| zones.items());
        let further: Vec<_> = further.filter(|zone| zone.shape() == Shape::Table).collect();
        let mut zones: Vec<Zone> = Vec::new();
        for section in [root].into_iter().chain(further) {
            let file = section.get("zone_file").map(|node| self.file(node).unwrap_or_default());
            let Some(node) = section.get("zone") else {
                self.lacks(section, "zone", "the zone's name, such as \"athena.example.\"");
                continue;
            };
            let Some(text) = self.text(node) else { continue };
            let name = match domain_name(text) {
                Ok(name) => format!("{name}."),
                Err(why) => {
                    self.wrong(node, format!("{text:?} is no name of a zone: {why}"));
                    continue;
                }
            };
            if zones.iter().any(|zone| zone.name == name) {
                self.wrong(node, format!("zone {name} stands twice"));
            }
            let records = file.map_or_else(|| Records::Text(plain_zone(&name, server)), Records::File);
            zones.push(Zone { name, records });
        }
        zones
    }

    /// A file that can be opened; a relative name in the file starts at the file's folder.
    pub fn file(&mut self, node: Node<'a>) -> Option<PathBuf> {
        let path = self.path(node)?;
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata());
        match opened {
            Ok(metadata) if metadata.is_dir() => {
                self.wrong(node, format!("{} is a folder, not a file", path.display()));
            }
            Ok(_) => {}
            Err(error) => self.wrong(node, format!("{} cannot be read: {error}", path.display())),
        }
        Some(path)
    }

    /// A path, relative to the folder of the file that it stands in.
    fn path(&mut self, node: Node<'a>) -> Option<PathBuf> {
        let text = self.text(node)?;
        if text.is_empty() {
            self.wrong(node, "expected the name of a file, found an empty string");
            return None;
        }
        Some(resolve(node.origin(), text))
    }

    /// The folder for states: it may not exist yet, but it must be no file.
    pub fn state_dir(&mut self, root: Node<'a>) -> Option<PathBuf> {
        let node = root.get("state_dir")?;
        let path = self.path(node)?;
        if path.exists() && !path.is_dir() {
            self.wrong(node, format!("{} is a file, not a folder", path.display()));
        }
        Some(path)
    }
}

/// A path as the program uses it. What comes from the environment or a flag starts at the working directory.
pub fn resolve(origin: Origin<'_>, text: &str) -> PathBuf {
    match origin {
        Origin::File(file) => file.parent().unwrap_or(FilePath::new("")).join(text),
        Origin::Given(_) | Origin::BuiltIn => PathBuf::from(text),
    }
}

/// A domain name in lower case without trailing dot (RFC 1035 §2.3.4: labels of 1 to 63 octets, 253 characters in
/// all), of letters, digits, `-` and `_`. Gives why a text is none.
pub fn domain_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 253 {
        return Err("it has more than 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("a label is empty");
        }
        if label.len() > 63 {
            return Err("a label has more than 63 characters");
        }
        if !label.is_ascii() {
            return Err("write international names in their ASCII form, xn--…");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err("labels hold letters, digits, '-' and '_'");
        }
    }
    Ok(name.to_ascii_lowercase())
}

/// A host name that can be resolved: a domain name that nobody takes for an address (RFC 1123 §2.1: the last label
/// is not all digits).
pub fn host_name(text: &str) -> Result<String, &'static str> {
    let name = domain_name(text)?;
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it is neither an address nor a host name");
    }
    Ok(name)
}

/// What a zone without file holds: SOA and NS, with the address we listen on if it is one.
fn plain_zone(zone: &str, server: Option<IpAddr>) -> String {
    let address = match server {
        Some(IpAddr::V4(address)) if !address.is_unspecified() => format!("ns IN A {address}\n"),
        Some(IpAddr::V6(address)) if !address.is_unspecified() => format!("ns IN AAAA {address}\n"),
        _ => String::new(),
    };
    format!("$ORIGIN {zone}\n$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 604800 1\n@ IN NS ns\n{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_without_file_names_a_server() {
        let text = plain_zone("athena.", Some("127.0.0.1".parse().unwrap()));
        let last: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(last, ["@ IN SOA ns hostmaster 1 3600 600 604800 1", "@ IN NS ns", "ns IN A 127.0.0.1"]);
        assert!(
            !plain_zone("athena.", Some("0.0.0.0".parse().unwrap())).contains(" A "),
            "any address is none"
        );
    }

    #[test]
    fn host_names_are_told_from_broken_addresses() {
        assert_eq!(host_name("App.Example.com."), Ok("app.example.com".to_owned()));
        assert_eq!(host_name("localhost"), Ok("localhost".to_owned()));
        for bad in ["10.0.0.300", "10.0.0", "", ".", "a..b", "a b", "-ü", "a/b", &"x".repeat(64)] {
            assert!(host_name(bad).is_err(), "{bad:?}");
        }
        assert!(domain_name("10.in-addr.arpa").is_ok());
        assert!(domain_name(&["x"; 128].join(".")).is_err());
    }
}
