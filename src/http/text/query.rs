//! The query string in mod_athena's form: `key=value` pairs and bare words, separated by `,` (or `&`), values maybe in
//! double quotes, several requests separated by `;`.
//!
//! A capital `E` in first place says that all the rest is percent-encoded and is decoded before anything else is looked
//! at. Without it each value is decoded by itself, so that an encoded separator is part of a value. `+` is a plus sign
//! in both: this is no HTML form.
//!
//! A value is quoted by `"`; by `%22` where values are decoded one by one, because many clients encode the quote; or by
//! a backquote, because that is what [`stream`](crate::http::stream) makes of a raw quote. What opens a quote closes it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::http::error::shown;

/// Longest query string, in octets.
pub const MAX_QUERY: usize = 8192;
/// Most named arguments of one request: 64 statistics, and what may stand beside them.
const MAX_ARGUMENTS: usize = 128;

/// What is wrong with a query string; each names the argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// More than [`MAX_QUERY`] octets; carries how many.
    #[error("the query string has {0} octets, at most {MAX_QUERY} are taken")]
    TooLong(usize),
    /// More requests than `http.max_embed`; carries that.
    #[error("';' separates more than {0} requests")]
    TooManyRequests(usize),
    /// More than [`MAX_ARGUMENTS`]; carries the first one that is too many.
    #[error("{0}: a request has at most {MAX_ARGUMENTS} arguments")]
    TooManyArguments(String),
    /// The same key twice.
    #[error("{0}: given twice")]
    Twice(String),
    /// Nothing between two separators, or before `=`; carries the argument's place, from 1.
    #[error("argument {0}: an empty name")]
    EmptyName(usize),
    /// A quote without its end.
    #[error("{0}: the quote is not closed")]
    OpenQuote(String),
    /// Text between the end of a quote and the next separator.
    #[error("{0}: text after the closing quote")]
    AfterQuote(String),
    /// Percent-encoded octets that are not UTF-8.
    #[error("{0}: not UTF-8")]
    NotUtf8(String),
}

/// A query string whose encoding is settled.
#[derive(Debug)]
pub struct QueryString<'a> {
    text: Cow<'a, str>,
    /// Whether values are still percent-encoded.
    encoded: bool,
}

impl<'a> QueryString<'a> {
    /// Takes what follows `?` in a URL; refuses what is too long or, after `E`, not UTF-8.
    pub fn new(raw: &'a str) -> Result<Self, QueryError> {
        if raw.len() > MAX_QUERY {
            return Err(QueryError::TooLong(raw.len()));
        }
        match raw.strip_prefix('E') {
            None => Ok(Self { text: Cow::Borrowed(raw), encoded: true }),
            Some(rest) => match percent_decode_str(rest).decode_utf8() {
                Ok(text) => Ok(Self { text, encoded: false }),
                Err(_) => Err(QueryError::NotUtf8("E".to_owned())),
            },
        }
    }

    /// The requests in it, one at least, in order; refuses more than `most`.
    pub fn requests(&self, most: usize) -> Result<Vec<Request<'_>>, QueryError> {
        let parts = self.parts(most)?;
        parts.into_iter().map(|part| Request::parse(part, self.encoded)).collect()
    }

    /// The requests in it with a path each, as `multi` takes them: `update/phys?h=app01;balance?farm_one`. What stands
    /// behind a `?` is a query string itself and may begin with `E`.
    pub fn requests_with_paths(&self, most: usize) -> Result<Vec<(&str, Request<'_>)>, QueryError> {
        self.parts(most)?.into_iter().map(|part| self.request_with_path(part)).collect()
    }

    fn request_with_path<'b>(&self, part: &'b str) -> Result<(&'b str, Request<'b>), QueryError> {
        let (path, query) = part.split_once('?').unwrap_or((part, ""));
        if self.encoded && query.starts_with('E') {
            let decoded = QueryString::new(query)?;
            return Ok((path, Request::parse(&decoded.text, false)?.into_owned()));
        }
        Ok((path, Request::parse(query, self.encoded)?))
    }

    /// Splits at every `;` outside quotes.
    fn parts(&self, most: usize) -> Result<Vec<&str>, QueryError> {
        let text = &*self.text;
        let mut parts = Vec::new();
        let (mut start, mut at, mut quotable) = (0, 0, true);
        while let Some(&byte) = text.as_bytes().get(at) {
            if quotable && let Some(quote) = Quote::opening(&text[at..], self.encoded) {
                let inside = at + quote.len();
                at = text[inside..].find(quote).map_or(text.len(), |end| inside + end + quote.len());
                quotable = false;
                continue;
            }
            if byte == b';' {
                if parts.len() + 1 == most {
                    return Err(QueryError::TooManyRequests(most));
                }
                parts.push(&text[start..at]);
                start = at + 1;
            }
            quotable = matches!(byte, b';' | b',' | b'&' | b'=' | b'?');
            at += 1;
            // A character of several octets is no separator; go on where the next one begins.
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        parts.push(&text[start..]);
        Ok(parts)
    }
}

/// How a value may be quoted.
struct Quote;

impl Quote {
    /// The quote that `text` begins with, if it does.
    fn opening(text: &str, encoded: bool) -> Option<&'static str> {
        match text.as_bytes() {
            [b'"', ..] => Some("\""),
            [b'`', ..] => Some("`"),
            [b'%', b'2', b'2', ..] if encoded => Some("%22"),
            _ => None,
        }
    }
}

/// One request: its bare words and its named arguments, each in order, no name twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request<'a> {
    words: Vec<Cow<'a, str>>,
    arguments: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Request<'a> {
    fn parse(text: &'a str, encoded: bool) -> Result<Self, QueryError> {
        let mut request = Self::default();
        if text.is_empty() {
            return Ok(request);
        }
        let mut rest = text;
        for place in 1.. {
            let (name, value, after) = argument(rest, encoded, place)?;
            match name {
                None if value.is_empty() => return Err(QueryError::EmptyName(place)),
                None => request.words.push(value),
                Some(name) => {
                    if request.arguments.iter().any(|(known, _)| known == name) {
                        return Err(QueryError::Twice(shown(name)));
                    }
                    if request.arguments.len() == MAX_ARGUMENTS {
                        return Err(QueryError::TooManyArguments(shown(name)));
                    }
                    request.arguments.push((Cow::Borrowed(name), value));
                }
            }
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
        Ok(request)
    }

    fn into_owned(self) -> Request<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Request {
            words: self.words.into_iter().map(own).collect(),
            arguments: self.arguments.into_iter().map(|(name, value)| (own(name), own(value))).collect(),
        }
    }

    /// Takes a named argument out.
    pub fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let index = self.arguments.iter().position(|(known, _)| known == name)?;
        Some(self.arguments.remove(index).1)
    }

    /// Takes all bare words out.
    pub fn take_words(&mut self) -> Vec<Cow<'a, str>> {
        std::mem::take(&mut self.words)
    }

    /// The first bare word left.
    pub fn word(&self) -> Option<&str> {
        self.words.first().map(|word| &**word)
    }

    /// The named arguments left, in order.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Something that nobody has taken out, for a message: a name, or a bare word.
    pub fn left_over(&self) -> Option<&str> {
        self.arguments.first().map(|(name, _)| &**name).or(self.word())
    }
}

/// Reads one argument: its name if it has one, its value, and what follows the separator behind it.
#[allow(clippy::type_complexity)]
fn argument(
    text: &str,
    encoded: bool,
    place: usize,
) -> Result<(Option<&str>, Cow<'_, str>, Option<&str>), QueryError> {
    let separator = |character| matches!(character, ',' | '&');
    let is_quoted_word = Quote::opening(text, encoded).is_some();
    let end = text.find(separator).unwrap_or(text.len());
    let (name, rest) = match text[..end].find('=') {
        Some(0) => return Err(QueryError::EmptyName(place)),
        Some(equals) if !is_quoted_word => (Some(&text[..equals]), &text[equals + 1..]),
        _ => (None, text),
    };
    let called = || name.map_or_else(|| format!("argument {place}"), shown);
    let (raw, after) = match Quote::opening(rest, encoded) {
        None => {
            let end = rest.find(separator).unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
        Some(quote) => {
            let inside = &rest[quote.len()..];
            let end = inside.find(quote).ok_or_else(|| QueryError::OpenQuote(called()))?;
            (&inside[..end], &inside[end + quote.len()..])
        }
    };
    let after = match after.chars().next() {
        None => None,
        Some(next) if separator(next) => Some(&after[1..]),
        Some(_) => return Err(QueryError::AfterQuote(called())),
    };
    let value = if encoded {
        percent_decode_str(raw).decode_utf8().map_err(|_| QueryError::NotUtf8(called()))?
    } else {
        Cow::Borrowed(raw)
    };
    Ok((name, value, after))
}

/// What stays as it is in a value: RFC 3986 section 2.3.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value as it stands in a query string without `E`, so that [`QueryString`] reads the same value again.
pub fn encode(value: &str) -> String {
    let encoded = utf8_percent_encode(value, PLAIN);
    // `%22` in first place would be taken for the quote that it often is.
    if value.starts_with('"') { format!("`{encoded}`") } else { encoded.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(raw: &str) -> Vec<(String, String)> {
        let query = QueryString::new(raw).unwrap();
        let requests = query.requests(16).unwrap();
        assert_eq!(requests.len(), 1, "{raw}");
        requests[0].arguments().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn refusal(raw: &str) -> String {
        QueryString::new(raw).and_then(|query| query.requests(16).map(drop)).unwrap_err().to_string()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn pairs_are_separated_by_commas_or_ampersands() {
        assert_eq!(pairs("h=app01,l=0.73&c=42"), [pair("h", "app01"), pair("l", "0.73"), pair("c", "42")]);
        assert_eq!(pairs("key=a=b"), [pair("key", "a=b")]);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn the_originals_own_example_is_read() {
        assert_eq!(pairs(r#"Eh=app01,f="%h,%c""#), [pair("h", "app01"), pair("f", "%h,%c")]);
        assert_eq!(pairs("Eh%3Dapp01%2Cf=%22%25h,%c%22"), [pair("h", "app01"), pair("f", "%h,%c")]);
    }

    #[test]
    fn a_quote_may_be_raw_encoded_or_what_the_stream_made_of_it() {
        let expected = [pair("h", "app01"), pair("f", "%h;%c, x")];
        for raw in [r#"h=app01,f="%h;%c,%20x""#, "h=app01,f=`%h;%c,%20x`", "h=app01,f=%22%h;%c,%20x%22"] {
            assert_eq!(pairs(raw), expected, "{raw}");
        }
    }

    #[test]
    fn values_are_decoded_one_by_one_and_a_plus_stays_a_plus() {
        assert_eq!(pairs("c=%2B1,x=+1"), [pair("c", "+1"), pair("x", "+1")]);
        assert_eq!(pairs("Ec=+1"), [pair("c", "+1")]);
        assert_eq!(pairs("f=a%2Cb%3Bc%3Dd"), [pair("f", "a,b;c=d")]);
    }

    #[test]
    fn requests_are_separated_by_semicolons_outside_quotes() {
        let query = QueryString::new(r#"farm_one,f="a;b";h=app02,"x;y""#).unwrap();
        let requests = query.requests(16).unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].word(), Some("farm_one"));
        assert_eq!(requests[1].word(), Some("x;y"));
    }

    #[test]
    fn multi_gives_each_request_its_path() {
        let query = QueryString::new("update/phys?h=app01,l=0.7;balance?farm_one;x?Ef%3D1,2;y").unwrap();
        let requests = query.requests_with_paths(16).unwrap();
        let seen: Vec<_> =
            requests.iter().map(|(path, request)| (*path, request.left_over().unwrap_or(""))).collect();
        assert_eq!(seen, [("update/phys", "h"), ("balance", "farm_one"), ("x", "f"), ("y", "")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refusal("h=app01,l=1,l=2"), "l: given twice");
        assert_eq!(refusal("h=app01,=2"), "argument 2: an empty name");
        assert_eq!(refusal("farm_one,,farm_two"), "argument 2: an empty name");
        assert_eq!(refusal(r#"f="%h"#), "f: the quote is not closed");
        assert_eq!(refusal(r#"f="%h"x"#), "f: text after the closing quote");
        assert_eq!(refusal("h=%ff"), "h: not UTF-8");
        assert_eq!(refusal("E%ff"), "E: not UTF-8");
        assert_eq!(refusal(&"a;".repeat(16)), "';' separates more than 16 requests");
        let many: Vec<_> = (0..200).map(|index| format!("s{index}=1")).collect();
        assert_eq!(refusal(&many.join(",")), "s128: a request has at most 128 arguments");
        assert_eq!(refusal(&"a".repeat(8193)), "the query string has 8193 octets, at most 8192 are taken");
    }

    proptest! {
        #[test]
        fn no_query_string_panics(raw in ".{0,200}") {
            if let Ok(query) = QueryString::new(&raw) {
                let _ = query.requests(16);
                let _ = query.requests_with_paths(16);
            }
        }

        #[test]
        fn nor_one_made_of_the_characters_that_matter(raw in r#"[E%2aé"`,;&=?x]{0,40}"#) {
            if let Ok(query) = QueryString::new(&raw) {
                let _ = query.requests(16);
                let _ = query.requests_with_paths(16);
            }
        }

        #[test]
        fn what_is_written_is_read_again(value in ".{1,50}", word in ".{1,50}") {
            let raw = format!("a={},{}", encode(&value), encode(&word));
            let raw = raw.as_str();
            let query = QueryString::new(raw).unwrap();
            let requests = query.requests(1).unwrap();
            prop_assert_eq!(requests[0].arguments().collect::<Vec<_>>(), [("a", value.as_str())]);
            prop_assert_eq!(requests[0].word(), Some(word.as_str()));
        }
    }
}
