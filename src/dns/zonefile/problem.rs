//! What may be wrong with a zone file, in words that say what would be right.

use std::path::{Path, PathBuf};

use hickory_proto::rr::RecordType;

use crate::balance;

use super::MAX_INCLUDES;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", place(.file, *.line))]
pub struct ZoneError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// What.
    pub problem: Problem,
}

fn place(file: &Path, line: usize) -> String {
    if line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) }
}

/// What may be wrong with a zone file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file, or one that it includes, cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Files that include each other, or too deep.
    #[error("$INCLUDE goes deeper than {MAX_INCLUDES} files")]
    IncludeDepth,
    /// `(` without `)`.
    #[error("a parenthesis is opened here and never closed")]
    OpenParenthesis,
    /// `)` without `(`.
    #[error("')' without '(' before it")]
    CloseParenthesis,
    /// A quoted text that does not end on its line.
    #[error("a quoted text is not closed on its line")]
    OpenQuote,
    /// `\` with nothing, or with digits that are no octet.
    #[error("{0}: '\\' is followed by one character or by three decimal digits up to 255")]
    Escape(String),
    /// A directive that nobody knows.
    #[error("{0}: the directives are $ORIGIN, $TTL and $INCLUDE")]
    Directive(String),
    /// A directive with too few or too many words.
    #[error("{0} takes {1}")]
    DirectiveWords(String, &'static str),
    /// A name that is none.
    #[error("{0}: no domain name: labels have 1 to 63 octets, a name at most 255")]
    Name(String),
    /// A time to live that is none.
    #[error("{0}: no time to live; write seconds, or 1h30m, up to 2147483647 seconds")]
    Ttl(String),
    /// A record whose TTL is told nowhere.
    #[error("no time to live: give this record one, or write $TTL above it")]
    NoTtl,
    /// A line that begins with blanks before any owner was named.
    #[error("no owner: a line that begins with a blank goes on with the owner above it, and there is none")]
    NoOwner,
    /// Another class.
    #[error("class {0}: only IN is served")]
    Class(String),
    /// A word where a type should stand.
    #[error("{0}: no record type; write OWNER [TTL] [IN] TYPE DATA")]
    Type(String),
    /// Nothing where a type should stand.
    #[error("the record ends before its type; write OWNER [TTL] [IN] TYPE DATA")]
    NoType,
    /// A type that does not belong in a zone file.
    #[error("{word}: {1}", word = type_word(*.0))]
    TypeNotHere(RecordType, &'static str),
    /// Data that its type does not have.
    #[error("{}: {what}", type_word(*.kind))]
    Data {
        /// The type.
        kind: RecordType,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A record of another zone.
    #[error("{owner} is outside the zone {apex}; a name without a final dot is relative to $ORIGIN")]
    Outside {
        /// The owner.
        owner: String,
        /// The zone.
        apex: String,
    },
    /// No SOA record.
    #[error("no SOA record at {apex}; write `@ SOA ns hostmaster 1 3600 600 86400 1`")]
    NoSoa {
        /// The zone.
        apex: String,
    },
    /// A second SOA record.
    #[error("a second SOA record; the first one is at line {first}")]
    SecondSoa {
        /// Its line.
        first: usize,
    },
    /// A SOA record elsewhere.
    #[error("SOA at {owner}: it belongs to the zone's own name, {apex}")]
    SoaElsewhere {
        /// The owner.
        owner: String,
        /// The zone.
        apex: String,
    },
    /// No NS record.
    #[error("no NS record at {apex}; write `@ NS ns` and the address of ns")]
    NoNs {
        /// The zone.
        apex: String,
    },
    /// CNAME beside others.
    #[error("{owner} has a CNAME and other records (line {other}); a CNAME stands alone")]
    CnameBeside {
        /// The owner.
        owner: String,
        /// The line of one of the others.
        other: usize,
    },
    /// Two different CNAME records.
    #[error("{owner} has two CNAME records (line {other}); it can have one")]
    TwoCnames {
        /// The owner.
        owner: String,
        /// The line of the other one.
        other: usize,
    },
    /// A delegation of a wildcard (RFC 4592, 4.2).
    #[error("{owner}: a wildcard cannot be delegated")]
    WildcardNs {
        /// The owner.
        owner: String,
    },
    /// A name server in this zone that has no address in it.
    #[error("name server {server} is in this zone but has no address in it; add an A or AAAA record")]
    NoAddress {
        /// The server.
        server: String,
    },
    /// A record that no query will ever reach.
    #[error(
        "{owner} {kind} is hidden by the delegation of {cut}; only addresses of name servers are of use there"
    )]
    Hidden {
        /// The owner.
        owner: String,
        /// The type.
        kind: RecordType,
        /// The delegation.
        cut: String,
    },
    /// Two zones of one name.
    #[error("zone {apex} is also that of {}", .other.display())]
    ZoneTwice {
        /// The zone.
        apex: String,
        /// The other file.
        other: PathBuf,
    },
    /// A record or another zone that bears the name of a farm, or stands below one.
    #[error("{owner} is the name of farm {farm} or below it; rename one of the two")]
    FarmName {
        /// The owner.
        owner: String,
        /// The farm.
        farm: balance::Name,
    },
    /// A record or another zone under a name that the server answers itself.
    #[error("{owner}: {word} below the zone's name is reserved; take another name")]
    Reserved {
        /// The owner.
        owner: String,
        /// The reserved word.
        word: String,
    },
}

/// A type as it is written in a zone file (RFC 3597, 5).
fn type_word(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}
