//! The text protocol of mod_athena.
//!
//! Every request goes the same way, whatever it asks for and however many stand in one GET: all are read; then the
//! access of each is checked; then all updates are applied as one, which the engine refuses or carries out whole; then
//! each is answered, in order. A refusal on the way leaves everything as it was.

pub mod balance;
pub mod codes;
pub mod format;
pub mod mirror;
pub mod query;
pub mod records;
pub mod register;
pub mod status;
pub mod update;

use std::borrow::Cow;

use axum::http::StatusCode;
use tokio::runtime::{Handle, RuntimeFlavor};

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
    /// The configuration read again; [`reload`](crate::http::reload) answers it, because it takes its time.
    Reload,
    /// Several of the others, `Reload` excepted.
    Multi,
    /// A change to a backend that another Athena took.
    MirrorPhys,
    /// A change to a farm that another Athena took.
    MirrorFarm,
    /// All that there is to mirror.
    MirrorState,
}

impl Kind {
    /// Whether it may change something.
    pub fn changes(self) -> bool {
        self.is_mirrored() || matches!(self, Self::UpdatePhys | Self::UpdateFarm | Self::Reload | Self::Multi)
    }

    /// Whether it is a change that another Athena passed on.
    pub fn is_mirrored(self) -> bool {
        matches!(self, Self::MirrorPhys | Self::MirrorFarm)
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

/// What is to be answered.
enum Wish<'a> {
    Balance(Balance<'a>),
    /// `ok` for an update in multi: it has been applied by then.
    Updated,
    Status(Status),
}

/// Answers what a path below `http.path` asks for.
pub fn answer(kind: Kind, asked: &Asked<'_>) -> Result<Page, Error> {
    let answer = match kind {
        Kind::MirrorPhys | Kind::MirrorFarm | Kind::MirrorState => mirror::answer(kind, asked),
        _ => carry_out(kind, asked),
    };
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
    let mut read = Read::default();
    if kind == Kind::Multi {
        if !asked.options.allow_diverse_multi {
            return Err(Error::MultiOff);
        }
        for part in query.requests_with_paths(asked.options.max_embed) {
            let (path, request) = part?;
            let kind =
                super::text_route(path).ok_or_else(|| Error::argument(path, "unknown path in multi"))?;
            read.add(kind, request, asked)?;
            if kind.changes() {
                read.wishes.push(Wish::Updated);
            }
        }
    } else {
        if kind.changes() {
            let separators = asked.query.bytes().filter(|octet| *octet == b';').count();
            read.updates.reserve((separators + 1).min(asked.options.max_embed));
        }
        for request in query.requests(asked.options.max_embed) {
            read.add(kind, request?, asked)?;
        }
    }
    let key = read.key.as_deref().map(str::as_bytes);
    for need in read.needs.iter().flatten() {
        let check = asked.options.access.check(need.class, &asked.sender, key);
        check.map_err(|denied| Error::Denied { argument: need.argument.to_owned(), denied })?;
    }
    register::locate(&mut read.updates, asked)?;
    apply(&read.updates, asked)?;
    if kind.changes() && kind != Kind::Multi {
        return Ok(Page { status: StatusCode::OK, json: false, text: Cow::Borrowed("ok\n") });
    }
    print(kind, &read.wishes, asked)
}

/// The requests of a GET that were read.
#[derive(Default)]
struct Read<'a> {
    wishes: Vec<Wish<'a>>,
    updates: Vec<Update>,
    /// One need of each class.
    needs: [Option<Need>; 3],
    /// The key in `k=`: the last one, if several stand there.
    key: Option<Cow<'a, str>>,
}

impl<'a> Read<'a> {
    fn add(&mut self, kind: Kind, mut request: Request<'a>, asked: &Asked<'_>) -> Result<(), Error> {
        self.key = request.take("k").or(self.key.take());
        let need = match kind {
            Kind::Balance => {
                self.wishes.push(Wish::Balance(Balance::parse(request)?));
                Need { class: Class::Query, argument: "balance" }
            }
            Kind::UpdatePhys => self.update(update::phys(request)?),
            Kind::UpdateFarm => self.update(update::farm(request, asked.options)?),
            Kind::Status(subject) => {
                let (status, need) = Status::parse(subject, request, asked)?;
                self.wishes.push(Wish::Status(status));
                need
            }
            Kind::Reload => return Err(Error::argument("reload", "stands alone")),
            Kind::Multi => return Err(Error::argument("multi", "a request in multi cannot be multi")),
            Kind::MirrorPhys | Kind::MirrorFarm | Kind::MirrorState => {
                return Err(Error::argument("mirror", "a request in multi cannot be mirror"));
            }
        };
        self.needs[need.class as usize].get_or_insert(need);
        Ok(())
    }

    fn update(&mut self, (update, need): (Update, Need)) -> Need {
        self.updates.push(update);
        need
    }
}

/// Applies all updates or none, and tells whoever listens what changed, before anything is answered.
fn apply(updates: &[Update], asked: &Asked<'_>) -> Result<(), Error> {
    if updates.is_empty() {
        return Ok(());
    }
    let apply = || asked.state.apply(updates, asked.now);
    if updates.iter().any(Update::is_administrative) { may_block(apply) } else { apply() }?;
    Ok(())
}

/// Runs what may wait for a disk, and lets other connections go on meanwhile. A runtime of one thread has nobody who
/// could take them over.
pub fn may_block<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn print(kind: Kind, wishes: &[Wish<'_>], asked: &Asked<'_>) -> Result<Page, Error> {
    let things = wishes.iter().map(|wish| match wish {
        Wish::Balance(balance) => balance.things(),
        Wish::Status(status) => status.things(),
        Wish::Updated => 1,
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
            Wish::Updated => {
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
        // Room for a few lines.
        Self { several, text: String::with_capacity(64), ..Self::default() }
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
