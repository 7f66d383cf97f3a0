//! `status/phys`, `status/farm`, `status/engine`, `status/debug`: what the engine knows, by a format, as a table, or as
//! JSON.

use super::codes::{Coded, Engine as EngineCode, Farm as FarmCode, Phys};
use super::format::{Format, Record, Table};
use super::query::Request;
use super::records::{self, Backend, Whole};
use super::{Asked, Need, Sheet};
use crate::balance::Name;
use crate::balance::registration::fits;
use crate::balance::status::{BackendStatus, FarmStatus};
use crate::http::access::Class;
use crate::http::error::{Error, shown};
use crate::http::json;

/// What a status is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Backends.
    Phys,
    /// Farms.
    Farm,
    /// The whole.
    Engine,
    /// Everything, configuration included.
    Debug,
}

/// A status request that was read.
#[derive(Debug)]
pub enum Status {
    /// Backends that these patterns fit; none: all.
    Phys(Vec<String>, Option<Format<Phys>>),
    /// Farms that these patterns fit; none: all.
    Farm(Vec<String>, Option<Format<FarmCode>>),
    /// The whole.
    Engine(Option<Format<EngineCode>>),
    /// Everything.
    Debug,
}

impl Status {
    /// Reads `h=app01+app02,f="%h"` and the like, and gives the access it needs.
    pub fn parse(
        subject: Subject,
        mut request: Request<'_>,
        asked: &Asked<'_>,
    ) -> Result<(Self, Need), Error> {
        let mut need = Need { class: Class::Query, argument: "status" };
        let status = match subject {
            Subject::Phys => {
                Self::Phys(patterns(&mut request, "h", str::to_owned)?, super::format(&mut request)?)
            }
            Subject::Farm => {
                let name = |text: &str| asked.options.farm_name(text).to_owned();
                Self::Farm(patterns(&mut request, "n", name)?, super::format(&mut request)?)
            }
            Subject::Engine => Self::Engine(super::format(&mut request)?),
            Subject::Debug => {
                need = Need { class: Class::Admin, argument: "debug" };
                for word in request.take_words() {
                    if word != "true" {
                        return Err(Error::argument(&word, "debug takes only true"));
                    }
                }
                Self::Debug
            }
        };
        match request.left_over() {
            Some(name) => Err(Error::argument(name, "unknown argument")),
            None => Ok((status, need)),
        }
    }

    /// How many names it asks for one by one.
    pub fn things(&self) -> usize {
        match self {
            Self::Phys(patterns, _) | Self::Farm(patterns, _) => patterns.len().max(1),
            Self::Engine(_) | Self::Debug => 1,
        }
    }

    /// Writes what it asks for; with a line of headings above a table if `headed`.
    pub fn answer(&self, asked: &Asked<'_>, headed: bool, sheet: &mut Sheet) -> Result<(), Error> {
        match self {
            Self::Phys(patterns, format) => {
                let backends = backends(patterns, asked, sheet)?;
                let records: Vec<_> =
                    backends.iter().map(|status| Backend { status, now: asked.now }).collect();
                print(format, records.iter().map(|record| (record, record.why())), headed, &mut sheet.text);
            }
            Self::Farm(patterns, format) => {
                let farms = farms(patterns, asked, sheet)?;
                print(format, farms.iter().map(|farm| (farm, records::why(farm))), headed, &mut sheet.text);
            }
            Self::Engine(format) => {
                let whole = Whole { state: asked.state, now: asked.now };
                let why = asked.state.readiness.obstacles().join("; ");
                print(format, std::iter::once((&whole, why)), headed, &mut sheet.text);
                sheet.answered();
            }
            Self::Debug => {
                debug(asked, &mut sheet.text);
                sheet.answered();
            }
        }
        Ok(())
    }

    /// Writes the same as one JSON document on a line.
    pub fn answer_json(&self, asked: &Asked<'_>, sheet: &mut Sheet) -> Result<(), Error> {
        let Asked { state, now, options, .. } = asked;
        match self {
            Self::Phys(patterns, _) => {
                let backends = backends(patterns, asked, sheet)?;
                let list: Vec<_> = backends.iter().map(|status| json::backend(status, *now)).collect();
                json::line(&list, &mut sheet.text);
            }
            Self::Farm(patterns, _) => {
                let farms = farms(patterns, asked, sheet)?;
                json::line(&farms.iter().map(json::farm).collect::<Vec<_>>(), &mut sheet.text);
            }
            Self::Engine(_) => json::line(&json::engine(state, *now), &mut sheet.text),
            Self::Debug => {
                let (backends, farms) =
                    (state.engine.backend_statuses(*now), state.engine.farm_statuses(*now));
                let everything = json::Everything {
                    configuration: &options.configuration.text(),
                    farms: farms.iter().map(json::farm).collect(),
                    backends: backends.iter().map(|status| json::backend(status, *now)).collect(),
                    engine: json::engine(state, *now),
                };
                json::line(&everything, &mut sheet.text);
            }
        }
        Ok(())
    }
}

fn print<'r, F: Coded, R: Record<F> + 'r>(
    format: &Option<Format<F>>,
    records: impl Iterator<Item = (&'r R, String)>,
    headed: bool,
    out: &mut String,
) {
    match format {
        Some(format) => records.for_each(|(record, _)| format.print(record, out)),
        None => {
            let mut table = Table::new::<F>(headed);
            records.for_each(|(record, why)| table.add(record, why));
            table.print(out);
        }
    }
}

fn debug(asked: &Asked<'_>, out: &mut String) {
    let Asked { state, now, options, .. } = asked;
    let (backends, farms) = (state.engine.backend_statuses(*now), state.engine.farm_statuses(*now));
    out.push_str("# configuration\n");
    out.push_str(options.configuration.text().trim_end());
    out.push_str("\n\n# farms\n");
    print(&None, farms.iter().map(|farm| (farm, records::why(farm))), true, out);
    out.push_str("\n# backends\n");
    let records: Vec<_> = backends.iter().map(|status| Backend { status, now: *now }).collect();
    print(&None, records.iter().map(|record| (record, record.why())), true, out);
    out.push_str("\n# engine\n");
    let whole = Whole { state, now: *now };
    print(&None, std::iter::once((&whole, state.readiness.obstacles().join("; "))), true, out);
    records::registered(&backends, state.engine.registration_counts(), *now, out);
    records::mirror(&state.metrics.mirror, *now, out);
}

/// `app01+app02`, `app*`: the names asked for, in lower case.
fn patterns(
    request: &mut Request<'_>,
    argument: &str,
    name: impl Fn(&str) -> String,
) -> Result<Vec<String>, Error> {
    let Some(text) = request.take(argument) else { return Ok(Vec::new()) };
    let patterns = text.split('+').map(|part| name(part).to_ascii_lowercase());
    let patterns: Vec<String> = patterns.collect();
    match patterns.iter().any(String::is_empty) {
        true => Err(Error::argument(argument, "an empty name")),
        false => Ok(patterns),
    }
}

/// How backends, or farms, are looked for.
struct Search<'a, T> {
    all: &'a dyn Fn() -> Vec<T>,
    one: &'a dyn Fn(&str) -> Option<T>,
    name: fn(&T) -> &Name,
    unknown: fn(String) -> Error,
}

impl<T> Search<'_, T> {
    /// Those that patterns fit, in the order of the patterns; without patterns all. What is not found fails.
    fn find(&self, patterns: &[String], sheet: &mut Sheet) -> Result<Vec<T>, Error> {
        if patterns.is_empty() {
            sheet.answered();
            return Ok((self.all)());
        }
        let mut found = Vec::new();
        for pattern in patterns {
            let before = found.len();
            if pattern.contains(['*', '?']) {
                found.extend((self.all)().into_iter().filter(|it| fits(pattern, (self.name)(it).as_str())));
            } else {
                found.extend((self.one)(pattern));
            }
            if found.len() == before {
                sheet.fail((self.unknown)(shown(pattern)))?;
            } else {
                sheet.answered();
            }
        }
        Ok(found)
    }
}

fn backends(patterns: &[String], asked: &Asked<'_>, sheet: &mut Sheet) -> Result<Vec<BackendStatus>, Error> {
    let engine = &asked.state.engine;
    let search = Search {
        all: &|| engine.backend_statuses(asked.now),
        one: &|name| engine.backend_status(name, asked.now),
        name: |status| &status.name,
        unknown: Error::UnknownBackend,
    };
    search.find(patterns, sheet)
}

fn farms(patterns: &[String], asked: &Asked<'_>, sheet: &mut Sheet) -> Result<Vec<FarmStatus>, Error> {
    let engine = &asked.state.engine;
    let search = Search {
        all: &|| engine.farm_statuses(asked.now),
        one: &|name| engine.farm_status(name, asked.now),
        name: |status| &status.name,
        unknown: Error::UnknownFarm,
    };
    search.find(patterns, sheet)
}
