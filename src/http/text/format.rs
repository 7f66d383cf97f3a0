//! Formats as printf has them: `%h %s %{queue}\n`. Parsed once a request, then printed for every record.

use std::fmt::{self, Write as _};

use super::codes::Coded;
use crate::balance::statistics::StatisticName;
use crate::http::error::shown;

/// A format for records of the kind `F`.
#[derive(Debug, Clone, PartialEq)]
pub struct Format<F>(Vec<Piece<F>>);

#[derive(Debug, Clone, PartialEq)]
enum Piece<F> {
    Text(String),
    Field(F),
    Named(StatisticName),
}

/// What is wrong with a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Nothing to print.
    #[error("an empty format")]
    Empty,
    /// A code that does not exist; carries it and those that do.
    #[error("unknown code %{0}, there are {1}")]
    Unknown(String, String),
    /// `%` at the end.
    #[error("'%' at the end, write %% for a percent sign")]
    Alone,
    /// `%{` without `}`.
    #[error("%{{ is not closed")]
    Open,
    /// `%{…}` around what is no name of a statistic.
    #[error("%{{{0}}}: a statistic's name is [a-z][a-z0-9_]{{0,31}}")]
    NoStatistic(String),
}

/// What fields a format can print.
pub trait Record<F> {
    /// Appends the field; `-` where there is nothing to say.
    fn field(&self, field: F, out: &mut String);

    /// Appends the statistic of this name; `-` if it was never reported.
    fn named(&self, name: &str, out: &mut String);
}

impl<F: Coded> Format<F> {
    /// Takes a format as it stands in `f=`, escapes included.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.is_empty() {
            return Err(FormatError::Empty);
        }
        let mut pieces: Vec<Piece<F>> = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let piece = match character {
                '%' => match characters.next().ok_or(FormatError::Alone)? {
                    '%' => None,
                    '{' if F::NAMED => {
                        let (name, rest) = characters.as_str().split_once('}').ok_or(FormatError::Open)?;
                        let statistic = StatisticName::parse(name)
                            .ok_or_else(|| FormatError::NoStatistic(shown(name)))?;
                        characters = rest.chars();
                        Some(Piece::Named(statistic))
                    }
                    letter => {
                        let code = F::code(letter).ok_or_else(|| {
                            FormatError::Unknown(shown(letter.encode_utf8(&mut [0; 4])), codes::<F>())
                        })?;
                        Some(Piece::Field(code.field))
                    }
                },
                _ => None,
            };
            match (piece, character) {
                (Some(piece), _) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(piece);
                }
                (None, '\\') => match characters.clone().next() {
                    Some(escape @ ('n' | 't' | '\\')) => {
                        characters.next();
                        literal.push(match escape {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        });
                    }
                    _ => literal.push('\\'),
                },
                (None, other) => literal.push(other),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Appends one record and the end of its line, unless the format itself ends the line.
    pub fn print(&self, record: &impl Record<F>, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field) => record.field(*field, out),
                Piece::Named(name) => record.named(name.as_str(), out),
            }
        }
        if !matches!(self.0.last(), Some(Piece::Text(text)) if text.ends_with('\n')) {
            out.push('\n');
        }
    }
}

/// The codes there are, for a message: `%h %a %{name}`.
fn codes<F: Coded>() -> String {
    let mut codes: Vec<_> = F::TABLE.iter().map(|code| format!("%{}", code.letter)).collect();
    if F::NAMED {
        codes.push("%{name}".to_owned());
    }
    codes.join(" ")
}

/// As it would be written in `f=`.
impl<F: Coded> fmt::Display for Format<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Field(field) => write!(formatter, "%{}", field.row().letter)?,
                Piece::Named(name) => write!(formatter, "%{{{name}}}")?,
                Piece::Text(text) => {
                    for character in text.chars() {
                        match character {
                            '%' => formatter.write_str("%%")?,
                            '\\' => formatter.write_str("\\\\")?,
                            '\n' => formatter.write_str("\\n")?,
                            '\t' => formatter.write_str("\\t")?,
                            other => formatter.write_char(other)?,
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A table of records with a line of headings: columns of equal width, two spaces apart, and a last column for words.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of `F`'s columns, and a last one that says why where there is something to say; with headings or without.
    pub fn new<F: Coded>(headed: bool) -> Self {
        let headings = || {
            let headings = F::COLUMNS.iter().map(|column| column.row().heading.to_owned());
            headings.chain(["why".to_owned()]).collect()
        };
        Self { rows: headed.then(headings).into_iter().collect() }
    }

    /// Adds a record; `why` may be empty.
    pub fn add<F: Coded>(&mut self, record: &impl Record<F>, why: String) {
        let cell = |&column: &F| {
            let mut cell = String::new();
            record.field(column, &mut cell);
            cell
        };
        let why = if why.is_empty() { "-".to_owned() } else { why };
        self.rows.push(F::COLUMNS.iter().map(cell).chain([why]).collect());
    }

    /// Appends the table, one line a record.
    pub fn print(&self, out: &mut String) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                out.push_str(cell);
                if index + 1 < columns {
                    let pad = width.saturating_sub(cell.chars().count()) + 2;
                    out.extend(std::iter::repeat_n(' ', pad));
                }
            }
            out.push('\n');
        }
    }
}

/// Appends a number without needless digits: `7`, `0.73`.
pub fn number(number: f64, out: &mut String) {
    // Shortest digits that read back as the same number; -0 is 0 to people.
    let _ = write!(out, "{}", if number == 0.0 { 0.0 } else { number });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::text::codes::{Engine, Phys};
    use proptest::prelude::*;

    struct Letters;

    impl Record<Phys> for Letters {
        fn field(&self, field: Phys, out: &mut String) {
            out.push(field.row().letter.to_ascii_uppercase());
        }

        fn named(&self, name: &str, out: &mut String) {
            let _ = write!(out, "<{name}>");
        }
    }

    fn print(format: &str) -> String {
        let mut out = String::new();
        Format::<Phys>::parse(format).unwrap().print(&Letters, &mut out);
        out
    }

    fn refusal<F: Coded + fmt::Debug>(format: &str) -> String {
        Format::<F>::parse(format).unwrap_err().to_string()
    }

    #[test]
    fn codes_escapes_and_names_are_printed() {
        assert_eq!(print("%h %s %v %i %l"), "H S V I L\n");
        assert_eq!(print("%h\\n"), "H\n", "a line ends once");
        assert_eq!(print("%h\\t100%%\\t%{queue}"), "H\t100%\t<queue>\n");
        assert_eq!(print("\\\\n \\x \\"), "\\n \\x \\\n");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        assert_eq!(
            refusal::<Phys>("%z"),
            "unknown code %z, there are %h %a %p %s %v %V %i %l %c %u %q %e %r %n %w %t %d %N %{name}"
        );
        assert_eq!(refusal::<Engine>("%{queue}"), "unknown code %{, there are %V %U %Q %B %R %E %M");
        assert_eq!(refusal::<Phys>("100%"), "'%' at the end, write %% for a percent sign");
        assert_eq!(refusal::<Phys>("%{queue"), "%{ is not closed");
        assert_eq!(refusal::<Phys>("%{h}"), "%{h}: a statistic's name is [a-z][a-z0-9_]{0,31}");
        assert_eq!(refusal::<Phys>(""), "an empty format");
    }

    #[test]
    fn numbers_have_no_needless_digits() {
        let text = |value| {
            let mut out = String::new();
            number(value, &mut out);
            out
        };
        assert_eq!(
            [7.0, 0.73, -0.0, 1e15, 0.1 + 0.2].map(text),
            ["7", "0.73", "0", "1000000000000000", "0.30000000000000004"]
        );
    }

    proptest! {
        #[test]
        fn no_format_panics(text in ".{0,60}") {
            let _ = Format::<Phys>::parse(&text);
        }

        #[test]
        fn what_is_printed_is_read_again(text in r#"(%[haspvVilN%]|%\{queue\}|[ a%\\nté]){1,20}"#) {
            if let Ok(format) = Format::<Phys>::parse(&text) {
                prop_assert_eq!(Format::<Phys>::parse(&format.to_string()).unwrap(), format);
            }
        }
    }
}
