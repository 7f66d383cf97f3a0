//! The text protocol of mod_athena.
//!
//! Every request goes the same way, whatever it asks for and however many stand in one GET: all are read; then the
//! access of each is checked; then all updates are applied as one, which the engine refuses or carries out whole; then
//! each is answered, in order. A refusal on the way leaves everything as it was.

pub mod balance;
pub mod codes;
pub mod format;
pub mod query;
pub mod records;
pub mod status;
pub mod update;

use std::borrow::Cow;

use axum::http::StatusCode;

use self::balance::Balance;
use self::codes::Coded;
use self::format::Format;
use self::query::{QueryString, Request};
use self::status::{Status, Subject};
use super::access::{Class, Sender};
use super::error::Error;
use super::{Options, State};
use crate::balance::{Moment, Update};

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A member of a farm.
    Balance,
    /// A change to a backend.
    UpdatePhys,
    /// A change to a farm.
    UpdateFarm,
    /// What is known.
    Status(Subject),
    /// Several of the others.
    Multi,
}

impl Kind {
    /// Whether it may change something.
    pub fn changes(self) -> bool {
        matches!(self, Self::UpdatePhys | Self::UpdateFarm | Self::Multi)
    }
}

/// A request as it came in.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What we are.
    pub state: &'a State,
    /// What we are told to do.
    pub options: &'a Options,
    /// Who asks.
    pub sender: Sender<'a>,
    /// What stands behind `?`.
    pub query: &'a str,
    /// Whether JSON is preferred.
    pub json: bool,
    /// When.
    pub now: Moment,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// Whether the text is JSON.
    pub json: bool,
    /// Lines.
    pub text: Cow<'static, str>,
}

/// The access that a request needs, and the argument that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The class.
    pub class: Class,
    /// The argument.
    pub argument: &'static str,
}

/// One request that was read and can be carried out.
enum Wish<'a> {
    Balance(Balance<'a>),
    Update,
    Status(Status),
}

/// Answers what a path below `http.path` asks for.
pub fn answer(kind: Kind, asked: &Asked<'_>) -> Result<Page, Error> {
    let answer = carry_out(kind, asked);
    match &answer {
        // What the engine refuses it counts itself.
        Err(error) if kind.changes() && !matches!(error, Error::Refused(_)) => {
            asked.state.engine.count_refused()
        }
        _ => {}
    }
    answer
}

fn carry_out(kind: Kind, asked: &Asked<'_>) -> Result<Page, Error> {
    let query = QueryString::new(asked.query)?;
    let requests = requests(kind, &query, asked.options)?;
    let mut wishes = Vec::with_capacity(requests.len());
    let mut updates = Vec::with_capacity(requests.len());
    let mut needs = Vec::with_capacity(requests.len());
    let mut key = None;
    for (kind, mut request) in requests {
        key = request.take("k").or(key);
        let (wish, need) = match kind {
            Kind::Balance => {
                let need = Need { class: Class::Query, argument: "balance" };
                (Wish::Balance(Balance::parse(request)?), need)
            }
            Kind::UpdatePhys | Kind::UpdateFarm => {
                let (update, need) = match kind {
                    Kind::UpdatePhys => update::phys(request)?,
                    _ => update::farm(request, asked.options)?,
                };
                updates.push(update);
                (Wish::Update, need)
            }
            Kind::Status(subject) => {
                let (status, need) = Status::parse(subject, request, asked)?;
                (Wish::Status(status), need)
            }
            Kind::Multi => return Err(Error::argument("multi", "a request in multi cannot be multi")),
        };
        wishes.push(wish);
        needs.push(need);
    }
    let key = key.as_deref().map(str::as_bytes);
    for need in needs {
        let check = asked.options.access.check(need.class, &asked.sender, key);
        check.map_err(|denied| Error::Denied { argument: need.argument.to_owned(), denied })?;
    }
    apply(&updates, asked)?;
    if kind.changes() && kind != Kind::Multi {
        return Ok(Page { status: StatusCode::OK, json: false, text: Cow::Borrowed("ok\n") });
    }
    print(kind, &wishes, asked)
}

/// The requests of a GET, each with what its path asks for.
fn requests<'a>(
    kind: Kind,
    query: &'a QueryString<'_>,
    options: &Options,
) -> Result<Vec<(Kind, Request<'a>)>, Error> {
    if kind != Kind::Multi {
        let requests = query.requests(options.max_embed)?;
        return Ok(requests.into_iter().map(|request| (kind, request)).collect());
    }
    if !options.allow_diverse_multi {
        return Err(Error::MultiOff);
    }
    let requests = query.requests_with_paths(options.max_embed)?.into_iter();
    let kind =
        |path: &str| super::text_route(path).ok_or_else(|| Error::argument(path, "unknown path in multi"));
    requests.map(|(path, request)| Ok((kind(path)?, request))).collect()
}

/// Applies all updates or none, and tells whoever listens what changed, before anything is answered.
fn apply(updates: &[Update], asked: &Asked<'_>) -> Result<(), Error> {
    if updates.is_empty() {
        return Ok(());
    }
    let applied = asked.state.engine.apply(updates, asked.now)?;
    if !applied.changes.is_empty() {
        (asked.state.changed)(&applied.changes);
    }
    Ok(())
}

fn print(kind: Kind, wishes: &[Wish<'_>], asked: &Asked<'_>) -> Result<Page, Error> {
    let things = wishes.iter().map(|wish| match wish {
        Wish::Balance(balance) => balance.things(),
        Wish::Status(status) => status.things(),
        Wish::Update => 1,
    });
    let things: usize = things.sum();
    let json = asked.json && wishes.iter().all(|wish| matches!(wish, Wish::Status(_)));
    // A line with `!` has no place among JSON documents.
    let mut sheet = Sheet::new(things > 1 && !json);
    for wish in wishes {
        match wish {
            Wish::Balance(balance) => balance.answer(asked, &mut sheet)?,
            Wish::Status(status) if json => status.answer_json(asked, &mut sheet)?,
            // One line for each request in multi: no headings.
            Wish::Status(status) => status.answer(asked, kind != Kind::Multi, &mut sheet)?,
            Wish::Update => {
                sheet.text.push_str("ok\n");
                sheet.answered();
            }
        }
    }
    Ok(Page { status: sheet.status(), json, text: Cow::Owned(sheet.text) })
}

/// An answer as it grows. If several things are asked for, what fails stands in its place on a line of its own that
/// begins with `!`, and all is well as long as one of them was answered.
#[derive(Debug, Default)]
pub struct Sheet {
    /// The lines.
    pub text: String,
    several: bool,
    answered: bool,
    failed: Option<StatusCode>,
}

impl Sheet {
    fn new(several: bool) -> Self {
        Self { several, ..Self::default() }
    }

    /// Something was answered.
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// Something could not be answered; gives the error back if it was all that was asked for.
    pub fn fail(&mut self, error: Error) -> Result<(), Error> {
        if !self.several {
            return Err(error);
        }
        // That somebody may come back later says more than that somebody else was never there.
        self.failed = self.failed.max(Some(error.status()));
        self.text.push_str(&format!("!{error}\n"));
        Ok(())
    }

    fn status(&self) -> StatusCode {
        match self.failed {
            Some(status) if !self.answered => status,
            _ => StatusCode::OK,
        }
    }
}

/// Takes `f=` out of a request.
fn format<F: Coded>(request: &mut Request<'_>) -> Result<Option<Format<F>>, Error> {
    let Some(text) = request.take("f") else { return Ok(None) };
    Format::parse(&text).map(Some).map_err(|error| Error::argument("f", error.to_string()))
}
