//! A large file, read in pieces.
//!
//! The parser takes some forty octets for each one of the text that it is given, all of them at a time, and what is made of
//! them then lies between what it leaves free. So the sections that may be large, those of people's names, are cut out and
//! parsed a piece at a time: the next one is where the last one was.
//!
//! Nobody looks into the text to find out where it may be cut. It is cut where it seems to be right, before headers and keys
//! at the beginning of a line, and if that was in the middle of something, the piece before is not complete and so has an
//! error. Whenever anything is not as simple as it seemed, there is nothing here ([`None`]), and the file is read as a whole,
//! which finds out what is wrong with it, if anything is.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::tree::{Entry, Packed, Tree};

/// About how long a piece is, in octets.
const PIECE: usize = 1 << 16;

/// A text that was cut.
pub struct Pieces<'t> {
    /// What stands in no large section.
    pub rest: String,
    /// The large sections that are there.
    pub sections: Vec<Section<'t>>,
}

/// A large section.
pub struct Section<'t> {
    /// Its name.
    pub name: &'static str,
    /// What stands below its own header.
    bodies: Vec<&'t str>,
    /// Tables of its own, with their headers.
    tables: Vec<&'t str>,
}

/// Where a line belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Rest,
    /// Below the header of this section.
    Body(usize),
    /// In a table of this section.
    Table(usize),
}

/// Cuts the sections of these names out of a text.
pub fn cut<'t>(text: &'t str, names: &[&'static str]) -> Option<Pieces<'t>> {
    let mut sections: Vec<Section<'t>> =
        names.iter().map(|&name| Section { name, bodies: Vec::new(), tables: Vec::new() }).collect();
    let mut rest: Vec<&'t str> = Vec::new();
    let mut put = |place: Place, range: Range<usize>| {
        let piece = &text[range];
        match place {
            _ if piece.is_empty() => {}
            Place::Rest => rest.push(piece),
            Place::Body(section) => sections[section].bodies.push(piece),
            Place::Table(section) => sections[section].tables.push(piece),
        }
    };
    let mut opened = vec![false; names.len()];
    let (mut place, mut start, mut end) = (Place::Rest, 0, 0);
    for line in text.split_inclusive('\n') {
        let (here, long) = (end, end - start >= PIECE);
        end += line.len();
        let Some(header) = line.trim().strip_prefix('[') else {
            // A key seems to begin here.
            if long && matches!(place, Place::Body(_)) && line.as_bytes()[0].is_ascii_alphanumeric() {
                put(place, start..here);
                start = here;
            }
            continue;
        };
        let (next, is_single) = place_of(header, names);
        if next != place || matches!(next, Place::Body(_)) || (long && is_single) {
            put(place, start..here);
            (place, start) = (next, here);
        }
        if let Place::Body(section) = next {
            if std::mem::replace(&mut opened[section], true) {
                return None;
            }
            start = end;
        }
    }
    put(place, start..end);
    // With each of them complete, all that is between them begins and ends where it seems to.
    if rest.len() > 1 && rest.iter().any(|piece| parse(piece).is_none()) {
        return None;
    }
    let is_there = |section: &Section<'_>| !section.bodies.is_empty() || !section.tables.is_empty();
    let found = sections.into_iter().zip(opened).filter(|(section, opened)| *opened || is_there(section));
    let sections = found.map(|(section, _)| section).collect();
    Some(Pieces { rest: rest.concat(), sections })
}

/// Where the lines after a header belong, which is given without its first bracket, and whether it is that of a table right
/// below a large section.
fn place_of(header: &str, names: &[&'static str]) -> (Place, bool) {
    for (section, name) in names.iter().enumerate() {
        match header.strip_prefix(name) {
            Some("]") => return (Place::Body(section), false),
            Some(below) if below.starts_with('.') => {
                return (Place::Table(section), !below[1..].contains('.'));
            }
            _ => {}
        }
    }
    (Place::Rest, false)
}

/// A text without errors.
fn parse(text: &str) -> Option<DeTable<'_>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    errors.is_empty().then(|| table.into_inner())
}

impl<'t> Section<'t> {
    /// All of it, from this layer, with names in lower case; no two of which are the same.
    pub fn read(&self, layer: u16) -> Option<Packed<'t>> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        for body in &self.bodies {
            take(parse(body)?, layer, &mut entries);
        }
        for run in &self.tables {
            let (_, table) = parse(run)?.into_iter().next()?;
            let DeValue::Table(table) = table.into_inner() else { return None };
            take(table, layer, &mut entries);
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let twice = entries.windows(2).any(|pair| pair[0].0 == pair[1].0);
        (!twice).then(|| Packed::Table(entries.into()))
    }
}

fn take<'t>(table: DeTable<'t>, layer: u16, entries: &mut Vec<Entry<'t>>) {
    for (key, value) in table {
        let mut key: Cow<'t, str> = key.into_inner();
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            key = key.to_ascii_lowercase().into();
        }
        entries.push((key, Tree::of_file(value.into_inner(), layer)));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const NAMES: [&str; 2] = ["backends", "farms"];

    /// What is read in pieces, and what of the same text as a whole; both with rest and sections as one table.
    fn both_ways(text: &str) -> (Option<String>, Option<String>) {
        let shown = |table: DeTable<'_>| format!("{:?}", Packed::table(table, 0));
        let whole = parse(text).map(|table| {
            let (mut rest, mut sections) = (DeTable::new(), String::new());
            for (key, value) in table {
                if NAMES.contains(&key.get_ref().as_ref()) {
                    let _ = write!(sections, "{key:?}", key = key.get_ref());
                    let _ = write!(sections, "{:?}", Tree::of_file(value.into_inner(), 0).value);
                } else {
                    rest.insert(key, value);
                }
            }
            (shown(rest), sections)
        });
        let pieces = cut(text, &NAMES).and_then(|pieces| {
            let rest = parse(&pieces.rest)?;
            let clash = pieces.sections.iter().any(|section| rest.contains_key(section.name));
            let mut sections: Vec<(&str, Packed<'_>)> = Vec::new();
            for section in &pieces.sections {
                sections.push((section.name, section.read(0)?));
            }
            let sections =
                sections.iter().map(|(name, packed)| format!("{name:?}{packed:?}")).collect::<String>();
            (!clash).then(|| (shown(rest), sections))
        });
        let one = |(rest, sections): (String, String)| format!("{rest} {sections}");
        (pieces.map(one), whole.map(one))
    }

    #[test]
    fn what_is_read_in_pieces_is_what_is_read_as_a_whole() {
        let mut many = String::from("zone = \"z.\"\n[backends]\n");
        (0..3000).for_each(|n| {
            writeln!(many, "b{n} = {{ address = \"10.0.0.{}\", port = {n} }}", n % 256).unwrap()
        });
        many.push_str("[dns]\nthreads = 2\n");
        (0..3000).for_each(|n| writeln!(many, "[farms.f{n}]\nmembers = [\n\"b{n}\",\n]\nttl = {n}").unwrap());
        many.push_str("[[zones]]\nname = \"a.\"\n[[zones]]\nname = \"b.\"\n");
        assert!(many.len() > 3 * PIECE);
        for text in [
            "",
            "zone = \"z.\"\n",
            "[backends]\n",
            "[backends]\r\na = { address = \"1.2.3.4\" } # [farms]\r\n[farms]\r\nf.members = [ \"a\" ]\r\nf.ttl = 1",
            "[backends.a]\nport = 1\n[backends.a.check]\ntype = \"tcp\"\n[dns]\nx = 1\n[farms.f]\nttl = 2\n[http]",
            "a = [\n[1],\n[2],\n]\n[backends]\nb = {}\n",
            &many,
        ] {
            let (pieces, whole) = both_ways(text);
            assert!(pieces.is_some() && pieces == whole, "{text}\n{pieces:?}\n{whole:?}");
        }
    }

    #[test]
    fn what_is_not_simple_is_not_read_in_pieces() {
        for text in [
            "[backends]\na = {}\n[backends]\nb = {}\n",
            "[backends]\na = {}\na = {}\n",
            "[backends]\na = {}\n[backends.a]\n",
            "[backends]\nA = {}\na = {}\n",
            "[backends.a]\n[dns]\n[backends.a.check]\n",
            "[backends.a]\n[dns]\n[backends.a]\n",
            "backends = {}\n[backends.a]\n",
            "a = \"\"\"\n[backends]\nx = {}\n[dns]\n\"\"\"\n",
            "a = [\n[backends]\nx = {}\n[1]\n]\n",
            "[backends]\na = { address = [\n[farms]\n] }\n",
            "[[backends]]\na = 1\n[backends.x]\n",
            "[backends]\na = \n",
        ] {
            assert_eq!(both_ways(text).0, None, "{text}");
        }
    }

    #[test]
    fn a_cut_in_the_middle_of_something_is_found_out() {
        let mut text = String::from("[backends]\na = { address = [\n");
        (0..PIECE).for_each(|_| text.push_str("1,\n"));
        text.push_str("] }\nb = {}\n");
        assert!(parse(&text).is_some());
        assert_eq!(both_ways(&text).0, None);
    }

    #[test]
    fn names_are_in_lower_case() {
        let pieces = cut("[backends]\nWeb = { Port = 1 }\n", &NAMES).unwrap();
        let Some(Packed::Table(entries)) = pieces.sections[0].read(3) else { panic!("it is simple") };
        assert_eq!((&*entries[0].0, entries[0].1.layer), ("web", 3));
        assert!(entries[0].1.get("Port").is_some(), "keys are as they are");
    }
}
