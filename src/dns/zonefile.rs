//! Master files (RFC 1035, 5; RFC 2308, 4; RFC 3597, 5): text to records, with every problem of a file at once, each with its
//! line and what would be right.
//!
//! hickory has a parser of master files, but it stops at the first error, knows no lines, reads `\DDD` as octal, takes no
//! quotes within parentheses and drops what it does not know. So entries are read here, and hickory is asked for the data
//! of the rarer types only ([`data`]).

mod data;
mod entry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hickory_proto::rr::{Name, Record, RecordType};

use crate::balance;

use entry::{Entries, Entry, Token};

/// The records of one zone, checked.
#[derive(Debug, Clone)]
pub struct ZoneContent {
    /// The zone's name.
    pub apex: Name,
    /// Where the records come from, for messages.
    pub file: PathBuf,
    /// The zone's one SOA record.
    pub soa: Record,
    /// Every record, the SOA too, in the order of the file.
    pub entries: Vec<ZoneEntry>,
    /// What is odd but can be served: name servers without address, records that a delegation hides.
    pub warnings: Vec<ZoneError>,
}

/// One record and the line where it begins.
#[derive(Debug, Clone)]
pub struct ZoneEntry {
    /// The record.
    pub record: Record,
    /// Its line, from 1.
    pub line: usize,
}

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
    #[error("{0}: {1}")]
    TypeNotHere(RecordType, &'static str),
    /// Data that its type does not have.
    #[error("{kind}: {what}")]
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
        owner: Name,
        /// The zone.
        apex: Name,
    },
    /// No SOA record.
    #[error("no SOA record at {apex}; write `@ SOA ns hostmaster 1 3600 600 86400 1`")]
    NoSoa {
        /// The zone.
        apex: Name,
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
        owner: Name,
        /// The zone.
        apex: Name,
    },
    /// No NS record.
    #[error("no NS record at {apex}; write `@ NS ns` and the address of ns")]
    NoNs {
        /// The zone.
        apex: Name,
    },
    /// CNAME beside others.
    #[error("{owner} has a CNAME and other records (line {other}); a CNAME stands alone")]
    CnameBeside {
        /// The owner.
        owner: Name,
        /// The line of one of the others.
        other: usize,
    },
    /// Two different CNAME records.
    #[error("{owner} has two CNAME records (line {other}); it can have one")]
    TwoCnames {
        /// The owner.
        owner: Name,
        /// The line of the other one.
        other: usize,
    },
    /// A delegation of a wildcard (RFC 4592, 4.2).
    #[error("{owner}: a wildcard cannot be delegated")]
    WildcardNs {
        /// The owner.
        owner: Name,
    },
    /// A name server in this zone that has no address in it.
    #[error("name server {server} is in this zone but has no address in it; add an A or AAAA record")]
    NoAddress {
        /// The server.
        server: Name,
    },
    /// A record that no query will ever reach.
    #[error(
        "{owner} {kind} is hidden by the delegation of {cut}; only addresses of name servers are of use there"
    )]
    Hidden {
        /// The owner.
        owner: Name,
        /// The type.
        kind: RecordType,
        /// The delegation.
        cut: Name,
    },
    /// Two zones of one name.
    #[error("zone {apex} is also that of {}", .other.display())]
    ZoneTwice {
        /// The zone.
        apex: Name,
        /// The other file.
        other: PathBuf,
    },
    /// A record that bears the name of a farm, or stands below one.
    #[error("{owner} is the name of farm {farm} or below it; rename the farm, or take the record out")]
    FarmName {
        /// The owner.
        owner: Name,
        /// The farm.
        farm: balance::Name,
    },
    /// A record under a name that the server answers itself.
    #[error("{owner}: {word} below the zone's name is reserved; rename the record")]
    Reserved {
        /// The owner.
        owner: Name,
        /// The reserved word.
        word: String,
    },
}

/// How deep files may include one another.
const MAX_INCLUDES: usize = 8;

impl ZoneContent {
    /// Reads the zone `apex` from a file. Problems of all lines come at once.
    pub fn load(file: &Path, apex: &Name) -> Result<Self, Vec<ZoneError>> {
        let unreadable = |problem| vec![ZoneError { file: file.to_owned(), line: 0, problem }];
        let text = read(file).map_err(unreadable)?;
        Self::parse(file, &text, apex)
    }

    /// Reads the zone `apex` from a text; `file` is named in messages, and `$INCLUDE` starts at its folder.
    pub fn parse(file: &Path, text: &str, apex: &Name) -> Result<Self, Vec<ZoneError>> {
        let mut apex = apex.clone();
        apex.set_fqdn(true);
        let mut reading = Reading { apex: &apex, records: Vec::new(), errors: Vec::new() };
        let mut state = State { origin: apex.clone(), owner: None, default_ttl: None, last_ttl: None };
        reading.file(file, text, &mut state, 0);
        let Reading { records, mut errors, .. } = reading;
        let (soa, warnings) = check(file, &apex, &records, &mut errors);
        match soa {
            Some(soa) if errors.is_empty() => {
                let entries =
                    records.into_iter().map(|(_, line, record)| ZoneEntry { record, line }).collect();
                Ok(Self { apex, file: file.to_owned(), soa, entries, warnings })
            }
            _ => Err(errors),
        }
    }
}

fn read(file: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(file).map_err(|error| Problem::Unreadable(error.to_string()))
}

/// A file being read, with those that it includes.
struct Reading<'a> {
    apex: &'a Name,
    records: Vec<(PathBuf, usize, Record)>,
    errors: Vec<ZoneError>,
}

/// What an entry takes over from those before it.
#[derive(Clone)]
struct State {
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl Reading<'_> {
    fn file(&mut self, file: &Path, text: &str, state: &mut State, depth: usize) {
        for entry in Entries::new(text) {
            let entry = match entry {
                Ok(entry) => entry,
                Err((line, problem)) => {
                    self.error(file, line, problem);
                    continue;
                }
            };
            let result = match entry.directive() {
                Some(directive) => self.directive(file, directive, &entry.tokens[1..], state, depth),
                None => self.record(file, &entry, state),
            };
            if let Err(problem) = result {
                self.error(file, entry.line, problem);
            }
        }
    }

    fn error(&mut self, file: &Path, line: usize, problem: Problem) {
        self.errors.push(ZoneError { file: file.to_owned(), line, problem });
    }

    fn directive(
        &mut self,
        file: &Path,
        directive: &str,
        words: &[Token],
        state: &mut State,
        depth: usize,
    ) -> Result<(), Problem> {
        match (directive.to_ascii_uppercase().as_str(), words) {
            ("$ORIGIN", [name]) => state.origin = data::name(name, &state.origin)?,
            ("$TTL", [ttl]) => state.default_ttl = Some(data::ttl(&ttl.raw)?),
            ("$INCLUDE", [path, origin @ ..]) if origin.len() < 2 => {
                if depth == MAX_INCLUDES {
                    return Err(Problem::IncludeDepth);
                }
                let path = file.parent().unwrap_or(Path::new("")).join(path.text()?);
                let text = read(&path)
                    .map_err(|problem| Problem::Unreadable(format!("{}: {problem}", path.display())))?;
                // RFC 1035, 5.1: the origin of the including file stays as it was.
                let mut inner = state.clone();
                if let [origin] = origin {
                    inner.origin = data::name(origin, &state.origin)?;
                }
                self.file(&path, &text, &mut inner, depth + 1);
            }
            ("$ORIGIN", _) => return Err(Problem::DirectiveWords(directive.to_owned(), "one name")),
            ("$TTL", _) => return Err(Problem::DirectiveWords(directive.to_owned(), "one time")),
            ("$INCLUDE", _) => {
                return Err(Problem::DirectiveWords(directive.to_owned(), "a file and maybe an origin"));
            }
            _ => return Err(Problem::Directive(directive.to_owned())),
        }
        Ok(())
    }

    /// `[OWNER] [TTL] [CLASS] TYPE DATA`, TTL and class in either order.
    fn record(&mut self, file: &Path, entry: &Entry, state: &mut State) -> Result<(), Problem> {
        let mut tokens = entry.tokens.as_slice();
        if !entry.same_owner {
            if let [owner, rest @ ..] = tokens {
                tokens = rest;
                // What follows a broken owner must not be added to the one before it.
                state.owner = None;
                state.owner = Some(data::name(owner, &state.origin)?);
            }
        }
        let (mut ttl, mut class) = (None, false);
        let kind = loop {
            let [token, rest @ ..] = tokens else { return Err(Problem::NoType) };
            tokens = rest;
            if ttl.is_none() && token.raw.starts_with(|first: char| first.is_ascii_digit()) {
                ttl = Some(data::ttl(&token.raw)?);
            } else if !class && data::is_class(&token.raw)? {
                class = true;
            } else {
                break data::kind(&token.raw)?;
            }
        };
        let content = data::read(kind, tokens, &state.origin)?;
        let owner = state.owner.clone().ok_or(Problem::NoOwner)?;
        state.last_ttl = ttl.or(state.last_ttl);
        let soa_minimum = match &content {
            hickory_proto::rr::RData::SOA(soa) => Some(soa.minimum),
            _ => None,
        };
        // RFC 2308, 4: $TTL; RFC 1035, 5.1: else the last TTL that was stated; a SOA record lends its minimum.
        let ttl = ttl.or(state.default_ttl).or(state.last_ttl).or(soa_minimum).ok_or(Problem::NoTtl)?;
        if soa_minimum.is_some() {
            state.last_ttl = state.last_ttl.or(Some(ttl));
        }
        if !self.apex.zone_of(&owner) {
            return Err(Problem::Outside { owner, apex: self.apex.clone() });
        }
        self.records.push((file.to_owned(), entry.line, Record::from_rdata(owner, ttl, content)));
        Ok(())
    }
}

/// What only shows when all records are there. Gives the SOA record and the warnings.
fn check(
    file: &Path,
    apex: &Name,
    records: &[(PathBuf, usize, Record)],
    errors: &mut Vec<ZoneError>,
) -> (Option<Record>, Vec<ZoneError>) {
    let error = |file: &Path, line, problem| ZoneError { file: file.to_owned(), line, problem };
    let mut owners: BTreeMap<&Name, Vec<&(PathBuf, usize, Record)>> = BTreeMap::new();
    let mut soa: Option<(usize, &Record)> = None;
    for entry in records {
        let (place, line, record) = entry;
        owners.entry(&record.name).or_default().push(entry);
        let owner = record.name.clone();
        match (record.record_type(), soa) {
            (RecordType::SOA, _) if owner != *apex => {
                errors.push(error(place, *line, Problem::SoaElsewhere { owner, apex: apex.clone() }));
            }
            (RecordType::SOA, Some((first, _))) => {
                errors.push(error(place, *line, Problem::SecondSoa { first }));
            }
            (RecordType::SOA, None) => soa = Some((*line, record)),
            (RecordType::NS, _) if owner.is_wildcard() => {
                errors.push(error(place, *line, Problem::WildcardNs { owner }));
            }
            _ => {}
        }
    }
    for (owner, entries) in &owners {
        let mut cnames = entries.iter().filter(|entry| entry.2.record_type() == RecordType::CNAME);
        let Some((place, line, first)) = cnames.next() else { continue };
        let owner = (*owner).clone();
        if let Some(other) = entries.iter().find(|entry| entry.2.record_type() != RecordType::CNAME) {
            errors.push(error(place, *line, Problem::CnameBeside { owner, other: other.1 }));
        } else if let Some(other) = cnames.find(|entry| entry.2.data != first.data) {
            errors.push(error(&other.0, other.1, Problem::TwoCnames { owner, other: *line }));
        }
    }
    let has = |owner: &Name, kinds: &[RecordType]| {
        owners
            .get(owner)
            .is_some_and(|entries| entries.iter().any(|(_, _, record)| kinds.contains(&record.record_type())))
    };
    // Anything else that is missing may be in a line that was refused.
    let whole = errors.is_empty();
    if soa.is_none() && !errors.iter().any(|error| matches!(error.problem, Problem::SoaElsewhere { .. })) {
        errors.push(error(file, 0, Problem::NoSoa { apex: apex.clone() }));
    }
    if whole && !has(apex, &[RecordType::NS]) {
        errors.push(error(file, 0, Problem::NoNs { apex: apex.clone() }));
    }
    let mut warnings = Vec::new();
    for (place, line, record) in records {
        // The delegation that is nearest to the apex hides what is below it.
        let cut = (apex.num_labels() + 1..record.name.num_labels())
            .map(|labels| record.name.trim_to(labels.into()))
            .find(|above| has(above, &[RecordType::NS]));
        let kind = record.record_type();
        if let Some(cut) = cut.filter(|_| !kind.is_ip_addr()) {
            warnings.push(error(place, *line, Problem::Hidden { owner: record.name.clone(), kind, cut }));
        }
        if let hickory_proto::rr::RData::NS(server) = &record.data {
            if apex.zone_of(&server.0) && !has(&server.0, &[RecordType::A, RecordType::AAAA]) {
                warnings.push(error(place, *line, Problem::NoAddress { server: server.0.clone() }));
            }
        }
    }
    (soa.map(|(_, record)| record.clone()), warnings)
}

#[cfg(test)]
mod tests;
