//! A TOML text with the place of everything in it.
//!
//! figment merges layers and remembers which layer a value came from, but not from which line. So the text is parsed
//! here, and when there is a problem to be shown, the path of its key is walked through the text once more.

use toml::de::{DeTable, DeValue};

use super::path::{Path, Step};
use super::problem::{Place, Problem};

/// A parsed text.
pub struct Document<'t> {
    text: &'t str,
    table: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses `text`, which is the file `name`; gives every error of syntax that does not follow from one before it
    /// on its line.
    pub fn parse(name: &std::path::Path, text: &'t str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, table: table.into_inner() });
        }
        let mut problems: Vec<Problem> = Vec::new();
        let mut lines = Vec::new();
        for error in errors {
            let (line, column) = position(text, error.span().map_or(text.len(), |span| span.start));
            if !lines.contains(&line) {
                lines.push(line);
                let place = Place::File { path: name.to_owned(), line, column };
                let text = format!("not TOML: {}", error.message());
                problems.push(Problem { place, key: String::new(), text });
            }
        }
        Err(problems)
    }

    /// Everything in it.
    pub fn into_table(self) -> DeTable<'t> {
        self.table
    }

    /// The line, from 1, on which the key or item at the end of `path` stands. Keys are found in any letter case,
    /// because names are.
    pub fn line(&self, path: &Path<'_>) -> Option<usize> {
        let mut at = None;
        let mut table = Some(&self.table);
        let mut list = None;
        for step in path.steps() {
            let (start, value) = match (step, table, list) {
                (Step::Key(word), Some(table), _) => {
                    let same = |key: &str| key == word || key.eq_ignore_ascii_case(word);
                    let (key, value) = table
                        .get_key_value(word)
                        .or_else(|| table.iter().find(|(key, _)| same(key.get_ref())))?;
                    (key.span().start, value)
                }
                (Step::Item(item), _, Some(list)) => {
                    let list: &toml::de::DeArray<'_> = list;
                    let value = list.get(item)?;
                    (value.span().start, value)
                }
                _ => return None,
            };
            at = Some(start);
            table = value.get_ref().as_table();
            list = value.get_ref().as_array();
        }
        at.map(|offset| position(self.text, offset).0)
    }
}

/// A single value, as it may stand in an environment variable.
pub fn value(text: &str) -> Option<DeValue<'_>> {
    DeValue::parse(text).ok().map(toml::Spanned::into_inner)
}

/// Line and column of an offset, both from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A string as TOML writes it, quotes included.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "zone = \"a.\"\n[Farms.One]\nmembers = [\n  \"a\",\n  { name = \"b\" },\n]\n";

    fn line(steps: &[Step<'_>]) -> Option<usize> {
        let path = steps.iter().fold(Path::default(), |path, step| path.then(*step));
        Document::parse("x.toml".as_ref(), TEXT).ok().unwrap().line(&path)
    }

    #[test]
    fn every_key_and_every_item_has_its_line() {
        use Step::{Item, Key};
        assert_eq!(line(&[Key("zone")]), Some(1));
        assert_eq!(line(&[Key("farms"), Key("one")]), Some(2), "names in any case");
        assert_eq!(line(&[Key("farms"), Key("one"), Key("members"), Item(0)]), Some(4));
        assert_eq!(line(&[Key("farms"), Key("one"), Key("members"), Item(1), Key("name")]), Some(5));
        assert_eq!(line(&[Key("farms"), Key("two")]), None);
        assert_eq!(line(&[Key("zone"), Item(0)]), None);
    }

    #[test]
    fn errors_of_syntax_have_line_and_column() {
        let problems = Document::parse("x.toml".as_ref(), "a = 1\nb = = 2\nc = 3\nd = [1\n").err().unwrap();
        let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            texts,
            [
                "x.toml:2:5: not TOML: extra `=`, expected nothing",
                "x.toml:4:7: not TOML: unclosed array, expected `]`"
            ]
        );
    }

    #[test]
    fn a_quoted_string_is_read_back_as_it_was() {
        for text in ["plain", "quo\"te \\ back", "line\nend\t\u{1}\u{7f}", "ümläut"] {
            let toml = format!("key = {}", quoted(text));
            let (table, errors) = DeTable::parse_recoverable(&toml);
            assert_eq!(errors, []);
            assert_eq!(table.get_ref().get("key").unwrap().get_ref().as_str(), Some(text));
        }
    }
}
