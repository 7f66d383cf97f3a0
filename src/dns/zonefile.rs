//! Master files (RFC 1035, 5; RFC 2308, 4; RFC 3597, 5): text to records, with every problem of a file at once, each with its
//! line and what would be right.
//!
//! hickory has a parser of master files, but it stops at the first error, knows no lines, reads `\DDD` as octal, takes no
//! quotes within parentheses and drops what it does not know. So entries are read here, and hickory is asked for the data
//! of the rarer types only ([`data`]).

mod data;
mod entry;
mod problem;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hickory_proto::rr::{Name, RData, Record, RecordType};

use entry::{Entries, Entry, Token};

pub use problem::{Problem, ZoneError};

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

/// How deep files may include one another.
pub const MAX_INCLUDES: usize = 8;

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
        let mut state = State { origin: apex.clone(), owner: Owner::None, default_ttl: None, last_ttl: None };
        reading.file(file, text, &mut state, 0);
        let Reading { records, mut errors, .. } = reading;
        let (soa, warnings) = check(file, &apex, &records, &mut errors);
        match soa {
            Some(soa) if errors.is_empty() => {
                let entries =
                    records.into_iter().map(|(_, line, record)| ZoneEntry { record, line }).collect();
                Ok(Self { apex, file: file.to_owned(), soa, entries, warnings })
            }
            _ => {
                // In the order in which one reads: this file from top to bottom, included ones after it, what is missing last.
                let line = |error: &ZoneError| if error.line == 0 { usize::MAX } else { error.line };
                errors.sort_by_key(|error| {
                    (error.line == 0, error.file != file, error.file.clone(), line(error))
                });
                Err(errors)
            }
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
    owner: Owner,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

/// Whom a line belongs to that begins with a blank.
#[derive(Clone)]
enum Owner {
    /// Nobody yet.
    None,
    /// An owner that could not be read, which was said where it stands.
    Broken,
    /// This one.
    Is(Name),
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
        if let (false, [owner, rest @ ..]) = (entry.same_owner, tokens) {
            tokens = rest;
            // What follows a broken owner is not to be added to the one before it.
            state.owner = Owner::Broken;
            state.owner = Owner::Is(data::name(owner, &state.origin)?);
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
        let owner = match &state.owner {
            Owner::Is(owner) => owner.clone(),
            Owner::Broken => return Ok(()),
            Owner::None => return Err(Problem::NoOwner),
        };
        state.last_ttl = ttl.or(state.last_ttl);
        let soa_minimum = match &content {
            RData::SOA(soa) => Some(soa.minimum),
            _ => None,
        };
        // RFC 2308, 4: $TTL; RFC 1035, 5.1: else the last TTL that was stated; a SOA record lends its minimum.
        let ttl = ttl.or(state.default_ttl).or(state.last_ttl).or(soa_minimum).ok_or(Problem::NoTtl)?;
        if soa_minimum.is_some() {
            state.last_ttl = state.last_ttl.or(Some(ttl));
        }
        if !self.apex.zone_of(&owner) {
            return Err(Problem::Outside { owner: owner.to_string(), apex: self.apex.to_string() });
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
        let owner = record.name.to_string();
        match (record.record_type(), soa) {
            (RecordType::SOA, _) if record.name != *apex => {
                errors.push(error(place, *line, Problem::SoaElsewhere { owner, apex: apex.to_string() }));
            }
            (RecordType::SOA, Some((first, _))) => {
                errors.push(error(place, *line, Problem::SecondSoa { first }));
            }
            (RecordType::SOA, None) => soa = Some((*line, record)),
            (RecordType::NS, _) if record.name.is_wildcard() => {
                errors.push(error(place, *line, Problem::WildcardNs { owner }));
            }
            _ => {}
        }
    }
    for (owner, entries) in &owners {
        let mut cnames = entries.iter().filter(|entry| entry.2.record_type() == RecordType::CNAME);
        let Some((place, line, first)) = cnames.next() else { continue };
        let owner = owner.to_string();
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
        errors.push(error(file, 0, Problem::NoSoa { apex: apex.to_string() }));
    }
    if whole && !has(apex, &[RecordType::NS]) {
        errors.push(error(file, 0, Problem::NoNs { apex: apex.to_string() }));
    }
    let mut warnings = Vec::new();
    for (place, line, record) in records {
        // The delegation that is nearest to the apex hides what is below it.
        let cut = (apex.num_labels() + 1..record.name.num_labels())
            .map(|labels| record.name.trim_to(labels.into()))
            .find(|above| has(above, &[RecordType::NS]));
        let kind = record.record_type();
        if let Some(cut) = cut.filter(|_| !kind.is_ip_addr()) {
            warnings.push(error(
                place,
                *line,
                Problem::Hidden { owner: record.name.to_string(), kind, cut: cut.to_string() },
            ));
        }
        if let RData::NS(server) = &record.data
            && apex.zone_of(&server.0)
            && !has(&server.0, &[RecordType::A, RecordType::AAAA])
        {
            warnings.push(error(place, *line, Problem::NoAddress { server: server.0.to_string() }));
        }
    }
    (soa.map(|(_, record)| record.clone()), warnings)
}

#[cfg(test)]
mod tests;
