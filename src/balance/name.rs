//! Names of farms and backends.
//!
//! One grammar for both, `[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?`: it fits one DNS label, and a leading underscore is
//! impossible because HAProxy would ask for SRV. Names are taken in any letter case and kept in lower case.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest name, in octets.
pub const MAX_NAME: usize = 32;

/// Labels that have a meaning below a farm or the apex (`dns.md`); no farm bears these names.
pub const RESERVED: [&str; 4] = ["phys", "all", "spares", "again"];

/// The checked, lower-case name of a farm or a backend. A copy shares the text: names stand in many tables.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name is empty")]
    Empty,
    /// More than [`MAX_NAME`] octets; carries the octets given.
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// A character that stands nowhere, or not at this end.
    #[error(
        "names hold letters, digits, '-' and '_', and begin and end with a letter or digit: {0:?} is none"
    )]
    Malformed(String),
}

impl Name {
    /// Takes a text in any letter case and gives the name; refuses what the grammar above does not allow.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong(text.len()));
        }
        let bytes = text.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let ends = bytes[0].is_ascii_alphanumeric() && bytes[bytes.len() - 1].is_ascii_alphanumeric();
        if !ends || !bytes.iter().all(inner) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name has a meaning of its own in DNS and so cannot be a farm's.
    pub fn is_reserved(&self) -> bool {
        RESERVED.contains(&&*self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_is_taken_and_lower_case_kept() {
        assert_eq!(Name::parse("Farm_One").unwrap().as_str(), "farm_one");
        assert_eq!(Name::parse("a").unwrap().as_str(), "a");
        assert_eq!(Name::parse(&"x".repeat(32)).unwrap().as_str().len(), 32);
    }

    #[test]
    fn what_would_break_a_proxy_or_dns_is_refused() {
        for bad in ["_http", "a_", "-a", "a-", "a.b", "a b", "ä", "a/b"] {
            assert!(matches!(Name::parse(bad), Err(NameError::Malformed(_))), "{bad:?}");
        }
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse(&"x".repeat(33)), Err(NameError::TooLong(33)));
    }

    #[test]
    fn reserved_words_are_known_in_any_case() {
        assert!(Name::parse("Spares").unwrap().is_reserved());
        assert!(!Name::parse("farm_one").unwrap().is_reserved());
    }
}
