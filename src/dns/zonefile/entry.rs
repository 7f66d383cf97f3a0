//! A master file cut into entries: lines joined by parentheses, comments gone, words with their quotes noted.

use super::Problem;

/// A directive or a record.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Where it begins, from 1.
    pub line: usize,
    /// Whether the line begins with a blank, so that the record has the owner of the one before.
    pub same_owner: bool,
    /// Its words.
    pub tokens: Vec<Token>,
}

/// A word as it is written, escapes and all, without its quotes.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The text.
    pub raw: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

impl Entry {
    /// The directive, if it is one: `$` and its name.
    pub fn directive(&self) -> Option<&str> {
        let first = self.tokens.first().filter(|first| !first.quoted && !self.same_owner)?;
        first.raw.starts_with('$').then_some(first.raw.as_str())
    }
}

impl Token {
    /// The octets that it stands for (RFC 1035, 5.1: `\DDD` is a decimal octet, `\X` is X itself). The flag says of each
    /// whether it was escaped, so that an escaped dot is no separator.
    pub fn octets(&self) -> Result<Vec<(u8, bool)>, Problem> {
        let problem = || Problem::Escape(self.raw.clone());
        let mut octets = Vec::with_capacity(self.raw.len());
        let mut bytes = self.raw.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                octets.push((byte, false));
                continue;
            }
            let first = bytes.next().ok_or_else(problem)?;
            if !first.is_ascii_digit() {
                octets.push((first, true));
                continue;
            }
            let digits = [first, bytes.next().ok_or_else(problem)?, bytes.next().ok_or_else(problem)?];
            let digits = std::str::from_utf8(&digits).map_err(|_| problem())?;
            octets.push((digits.parse().map_err(|_| problem())?, true));
        }
        Ok(octets)
    }

    /// The same without the flags.
    pub fn text_octets(&self) -> Result<Vec<u8>, Problem> {
        Ok(self.octets()?.into_iter().map(|(octet, _)| octet).collect())
    }

    /// The same as text.
    pub fn text(&self) -> Result<String, Problem> {
        String::from_utf8(self.text_octets()?).map_err(|_| Problem::Escape(self.raw.clone()))
    }
}

/// Iterates over the entries of a file. After an error it goes on with the next line.
pub struct Entries<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

/// Where in an entry the reader stands.
struct Open {
    entry: Entry,
    depth: usize,
}

impl<'a> Entries<'a> {
    pub fn new(text: &'a str) -> Self {
        // A byte order mark is no part of the first owner.
        Self { lines: text.trim_start_matches('\u{feff}').lines().enumerate() }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, (usize, Problem)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut unfinished: Option<Open> = None;
        for (index, line) in self.lines.by_ref() {
            let mut open = unfinished.take().unwrap_or_else(|| {
                let same_owner = line.starts_with([' ', '\t']);
                Open { entry: Entry { line: index + 1, same_owner, tokens: Vec::new() }, depth: 0 }
            });
            if let Err(problem) = words(line, &mut open) {
                return Some(Err((index + 1, problem)));
            }
            if open.depth > 0 {
                unfinished = Some(open);
            } else if !open.entry.tokens.is_empty() {
                return Some(Ok(open.entry));
            }
        }
        unfinished.map(|open| Err((open.entry.line, Problem::OpenParenthesis)))
    }
}

/// Adds the words of one line to the open entry.
fn words(line: &str, open: &mut Open) -> Result<(), Problem> {
    let mut chars = line.char_indices().peekable();
    while let Some((start, char)) = chars.next() {
        match char {
            ' ' | '\t' | '\r' => {}
            ';' => break,
            '(' => open.depth += 1,
            ')' => open.depth = open.depth.checked_sub(1).ok_or(Problem::CloseParenthesis)?,
            '"' => {
                let mut end = None;
                while let Some((at, char)) = chars.next() {
                    match char {
                        '"' => {
                            end = Some(at);
                            break;
                        }
                        '\\' => drop(chars.next()),
                        _ => {}
                    }
                }
                let end = end.ok_or(Problem::OpenQuote)?;
                open.entry.tokens.push(Token { raw: line[start + 1..end].to_owned(), quoted: true });
            }
            _ => {
                let mut end = start + char.len_utf8();
                // A quote within a word (`alpn="h2,h3"`) hides blanks.
                let mut in_quotes = false;
                let mut escaped = char == '\\';
                while let Some(&(at, next)) = chars.peek() {
                    if !escaped && !in_quotes && matches!(next, ' ' | '\t' | '\r' | ';' | '(' | ')') {
                        break;
                    }
                    in_quotes ^= next == '"' && !escaped;
                    escaped = next == '\\' && !escaped;
                    end = at + next.len_utf8();
                    chars.next();
                }
                if in_quotes {
                    return Err(Problem::OpenQuote);
                }
                open.entry.tokens.push(Token { raw: line[start..end].to_owned(), quoted: false });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line, whether the owner is that above, words.
    type Cut = (usize, bool, Vec<String>);

    fn entries(text: &str) -> Vec<Result<Cut, (usize, Problem)>> {
        let words = |entry: Entry| {
            let words = entry.tokens.into_iter().map(|token| token.raw).collect();
            (entry.line, entry.same_owner, words)
        };
        Entries::new(text).map(|entry| entry.map(words)).collect()
    }

    #[test]
    fn parentheses_join_lines_and_comments_vanish() {
        let text = "; first\n\n@ SOA ns root ( 1 ; serial\n  2\n )\r\n\ta 10.0.0.1\nb\n";
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        assert_eq!(
            entries(text),
            [
                Ok((3, false, words(&["@", "SOA", "ns", "root", "1", "2"]))),
                Ok((6, true, words(&["a", "10.0.0.1"]))),
                Ok((7, false, words(&["b"]))),
            ]
        );
    }

    #[test]
    fn quotes_hide_blanks_semicolons_and_parentheses() {
        let text = r#"a TXT ("x;(y" z\;w) key="b c" "q\"r""#;
        let found = entries(text);
        let words = found[0].as_ref().unwrap();
        assert_eq!(words.2, ["a", "TXT", "x;(y", r"z\;w", "key=\"b c\"", r#"q\"r"#]);
    }

    #[test]
    fn what_is_left_open_is_said_with_its_line() {
        assert_eq!(
            entries("a\n)b\nc \"d\ne (\nf"),
            [
                Ok((1, false, vec!["a".to_owned()])),
                Err((2, Problem::CloseParenthesis)),
                Err((3, Problem::OpenQuote)),
                Err((4, Problem::OpenParenthesis)),
            ]
        );
    }

    #[test]
    fn escapes_are_decimal() {
        let octets = |raw: &str| Token { raw: raw.to_owned(), quoted: false }.text_octets();
        assert_eq!(octets(r"a\.b\065\255").unwrap(), b"a.bA\xff");
        for bad in [r"a\", r"\25", r"\256", r"\2x5"] {
            assert_eq!(octets(bad), Err(Problem::Escape(bad.to_owned())));
        }
    }
}
