//! `mirror/phys`, `mirror/farm`, `mirror/state`: what Athenas say to each other.
//!
//! The first two act like `update/phys` and `update/farm`, but nobody passes them on. Anybody with the right access may
//! send one as it stands. Athenas add arguments whose names no statistic can have:
//!
//! | argument | what it is |
//! | --- | --- |
//! | `S=1795418102125000000@ns1` | the stamp: when it was said, in nanoseconds by the clock of the Athena that took it, and that Athena's name. Of two stamps on one field of one name the greater wins, everywhere |
//! | `A=10.0.0.5+2001:db8::5`, `P=8080` | where a backend is that registered, as in its own report ([`register`](super::register)) |
//! | `t=0.125` | how long ago the report came in, in seconds; so silence is reckoned without comparing clocks |
//!
//! With a stamp every number is the value itself, whatever its sign; a backend's report carries `i` only if it is the
//! last that was heard of that backend; and names that are not configured here are passed over, because configurations
//! of a cluster change one after the other. A batch may have up to [`MAX_REQUESTS`] requests and [`MAX_OCTETS`] octets.
//!
//! `mirror/state/` answers a [`Greeting`] on the first line and then everything that is known, line by line, each
//! `phys?` or `farm?` and a batch; `mirror/state/?digest` the first line alone.
//!
//! Access is that of updates: `update` for what backends report and for the state, `admin` for `s`, `w` and `V`. So
//! peers must stand in each other's `access.admin` networks if what people decide shall reach them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use axum::http::StatusCode;

use super::query::{QueryString, Request};
use super::{Asked, Kind, Need, Page, may_block, update};
use crate::balance::durable::{Durable, Override, Setting, Stamp};
use crate::balance::engine::Applied;
use crate::balance::registration::Whereabouts;
use crate::balance::statistics::Amount;
use crate::balance::status::Change;
use crate::balance::update::BackendUpdate;
use crate::balance::{Moment, Refusal, Update};
use crate::http::Options;
use crate::http::access::Class;
use crate::http::error::{Error, shown};

/// Most requests in one batch.
pub const MAX_REQUESTS: usize = 1024;
/// Longest batch, in octets.
pub const MAX_OCTETS: usize = 65_536;
/// Most statistics that are written into one request: what fits beside the other arguments.
const STATISTICS: usize = 60;
/// Longest name of an Athena, in octets.
pub const MAX_ATHENA: usize = 64;
/// The header field in which an Athena that sends says who it is.
pub const WHO: &str = "athena-name";
/// A stamp that is further ahead of our clock is refused: nobody could decide otherwise until then.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Longest age, a hundred years.
const MAX_AGE: f64 = 100.0 * 365.0 * 86_400.0;

/// Who keeps other Athenas in step, as the HTTP shell sees it.
pub trait Mirror: Send + Sync {
    /// Told of updates that were accepted from clients, before they are answered. Never waits.
    fn accepted(&self, updates: &[Update], applied: &Applied, now: Moment);

    /// Takes what another Athena says; gives the states that changed. Blocks if something in it is a decision.
    fn hear(&self, heard: Vec<Heard>, now: Moment) -> Result<Vec<Change>, Refusal>;

    /// The answer to `mirror/state/`; its first line alone if not the `whole`.
    fn state(&self, whole: bool, now: Moment) -> String;

    /// Told of a message that was refused: who sent it, and why.
    fn refused(&self, who: &str, why: &str, now: Moment);
}

/// What one mirrored request says.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The update. With a stamp all amounts are [`Amount::Set`].
    pub update: Update,
    /// When it was said, and to whom; `None`: here and now, for all that we know.
    pub stamp: Option<Stamp>,
    /// How long ago it came in.
    pub age: Duration,
}

/// The first line of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The Athena's name.
    pub name: String,
    /// A number drawn at its start: another one is another process.
    pub instance: u64,
    /// A sum over all stamps that it holds: two that hold the same have the same.
    pub digest: u64,
}

/// What the first line begins with: the protocol and its version.
const PROTOCOL: &str = "athena-mirror 1";

impl Greeting {
    /// The line, without its end.
    pub fn write(&self) -> String {
        format!("{PROTOCOL} {} {:016x} {:016x}", self.name, self.instance, self.digest)
    }

    /// Takes such a line; `None` for any other.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(PROTOCOL)?.strip_prefix(' ')?.split(' ');
        let name = words.next().filter(|name| is_athena(name))?.to_owned();
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        let (instance, digest) = (number()?, number()?);
        words.next().is_none().then_some(Self { name, instance, digest })
    }
}

/// Whether an Athena may bear this name: letters, digits, `.`, `-` and `_`.
pub fn is_athena(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=MAX_ATHENA).contains(&name.len()) && name.bytes().all(fits)
}

/// Answers a request of another Athena, and has it named if it makes no sense.
pub(super) fn answer(kind: Kind, asked: &Asked<'_>) -> Result<Page, Error> {
    let mirror = asked.state.mirror().ok_or_else(|| Error::UnknownPath("mirror".to_owned()))?;
    let answer = carry_out(kind, asked, mirror);
    if let Err(error) = &answer
        && error.status() == StatusCode::BAD_REQUEST
    {
        mirror.refused(&who(asked), &error.to_string(), asked.now);
    }
    answer
}

fn who(asked: &Asked<'_>) -> String {
    let name = asked.sender.headers.get(WHO).and_then(|name| name.to_str().ok());
    let name = name.filter(|name| is_athena(name)).unwrap_or("somebody without a name");
    match asked.sender.address {
        Some(address) => format!("{name} ({address})"),
        None => name.to_owned(),
    }
}

fn carry_out(kind: Kind, asked: &Asked<'_>, mirror: &dyn Mirror) -> Result<Page, Error> {
    let query = QueryString::within(asked.query, MAX_OCTETS)?;
    let mut key: Option<Cow<'_, str>> = None;
    let mut needs = vec![Need { class: Class::Update, argument: "mirror" }];
    let (mut heard, mut whole) = (Vec::new(), true);
    for request in query.requests(MAX_REQUESTS) {
        let mut request = request?;
        key = request.take("k").or(key);
        if kind == Kind::MirrorState {
            whole &= !is_digest(request)?;
            continue;
        }
        let (said, need) = read(kind, request, asked.options, asked.now)?;
        heard.push(said);
        if need.class > Class::Update {
            needs.push(need);
        }
    }
    needs.truncate(2);
    for need in needs {
        let key = key.as_deref().map(str::as_bytes);
        let check = asked.options.access.check(need.class, &asked.sender, key);
        check.map_err(|denied| Error::Denied { argument: need.argument.to_owned(), denied })?;
    }
    let page = |text| Page { status: StatusCode::OK, json: false, text };
    if kind == Kind::MirrorState {
        return Ok(page(Cow::Owned(may_block(|| mirror.state(whole, asked.now)))));
    }
    let waits = heard.iter().any(|said| said.update.is_administrative());
    let hear = || mirror.hear(heard, asked.now);
    let changes = if waits { may_block(hear) } else { hear() }?;
    if !changes.is_empty() {
        (asked.state.changed)(&changes);
    }
    Ok(page(Cow::Borrowed("ok\n")))
}

/// Reads the one word that `mirror/state/` takes.
fn is_digest(mut request: Request<'_>) -> Result<bool, Error> {
    let words = request.take_words();
    let wrong = words.iter().find(|word| *word != "digest").map(|word| &**word);
    match wrong.or(request.left_over()) {
        Some(word) => Err(Error::argument(word, "unknown argument")),
        None => Ok(!words.is_empty()),
    }
}

/// Reads a batch: what follows `?`, of this kind.
pub fn batch(kind: Kind, text: &str, options: &Options, now: Moment) -> Result<Vec<Heard>, Error> {
    let query = QueryString::within(text, MAX_OCTETS)?;
    query.requests(MAX_REQUESTS).map(|request| Ok(read(kind, request?, options, now)?.0)).collect()
}

/// Reads a line of a state: `phys?…` or `farm?…`.
pub fn line(text: &str, options: &Options, now: Moment) -> Result<Vec<Heard>, Error> {
    match text.split_once('?') {
        Some(("phys", rest)) => batch(Kind::MirrorPhys, rest, options, now),
        Some(("farm", rest)) => batch(Kind::MirrorFarm, rest, options, now),
        _ => Err(Error::argument(text, "a line of a state begins with phys? or farm?")),
    }
}

fn read(
    kind: Kind,
    mut request: Request<'_>,
    options: &Options,
    now: Moment,
) -> Result<(Heard, Need), Error> {
    let stamp = request.take("S").map(|text| stamp(&text, now)).transpose()?;
    let age = request.take("t").map_or(Ok(Duration::ZERO), |text| age(&text))?;
    let (mut update, need) = match kind {
        Kind::MirrorFarm => update::farm(request, options)?,
        _ => update::phys(request)?,
    };
    if let (Update::Backend(update), Some(_)) = (&mut update, &stamp) {
        for (_, amount) in &mut update.statistics {
            *amount = Amount::Set(amount.number());
        }
    }
    Ok((Heard { update, stamp, age }, need))
}

fn stamp(text: &str, now: Moment) -> Result<Stamp, Error> {
    let parsed = text.split_once('@').filter(|(_, by)| is_athena(by));
    let parsed = parsed.and_then(|(at, by)| Some((at.parse::<u64>().ok()?, by)));
    let Some((at, by)) = parsed else {
        return Err(Error::argument("S", format!("{:?} is no stamp, such as 123@ns1", shown(text))));
    };
    let at = Moment::from_nanos(at);
    if at > now + MAX_AHEAD {
        let ahead = at.since(now).as_secs();
        return Err(Error::argument("S", format!("{ahead} s ahead of our clock ({by})")));
    }
    Ok(Stamp { at, by: by.into() })
}

fn age(text: &str) -> Result<Duration, Error> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_AGE).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Error::argument("t", format!("not an age in seconds: {:?}", shown(text)))),
    }
}

/// Appends a report as one request, or as several if it names very many statistics. Only what backends may say is
/// written.
pub fn write_report(report: &BackendUpdate, stamp: &Stamp, age: Duration, batch: &mut Batch) {
    let mut statistics = report.statistics.chunks(STATISTICS);
    let mut first = statistics.next();
    let mut words = (report.feed, report.health);
    let mut whereabouts = report.whereabouts.as_ref();
    while first.is_some() || words != (None, None) || whereabouts.is_some() {
        let out = batch.begin();
        let _ = write!(out, "h={}", report.backend);
        if let Some(feed) = words.0.take() {
            let _ = write!(out, ",i={feed}");
        }
        if let Some(health) = words.1.take() {
            let _ = write!(out, ",v={health}");
        }
        if let Some(Whereabouts { addresses, port, .. }) = whereabouts.take() {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let _ = write!(out, ",A={}", addresses.join("+"));
            if let Some(port) = port {
                let _ = write!(out, ",P={port}");
            }
        }
        for (name, amount) in first.unwrap_or_default() {
            // `{:?}` is the shortest text that is read as the same number again, with an exponent where that is shorter.
            let _ = write!(out, ",{name}={:?}", amount.number());
        }
        let _ = write!(out, ",S={}@{},t={:.6}", stamp.at.nanos(), stamp.by, age.as_secs_f64());
        first = statistics.next();
    }
}

/// Appends a decision as one request; to a batch for `mirror/farm` if it [is about a farm](is_farm), else for
/// `mirror/phys`.
pub fn write_decision(record: &Durable, batch: &mut Batch) {
    let Durable { name, setting, stamp } = record;
    let out = batch.begin();
    let _ = match setting {
        Setting::Admin(admin) => write!(out, "h={name},s={admin}"),
        Setting::Mark(mark) => write!(out, "h={name},V={mark}"),
        Setting::Weight(Some(Override { weight, .. })) => write!(out, "h={name},w={weight:?}"),
        Setting::Weight(None) => write!(out, "h={name},w=default"),
        Setting::Switch(switch) => write!(out, "n={name},s={switch}"),
    };
    let _ = write!(out, ",S={}@{}", stamp.at.nanos(), stamp.by);
}

/// Whether a decision is about a farm.
pub fn is_farm(record: &Durable) -> bool {
    matches!(record.setting, Setting::Switch(_))
}

/// Requests as they are written one after the other.
#[derive(Debug, Default)]
pub struct Batch {
    text: String,
    requests: usize,
}

impl Batch {
    fn begin(&mut self) -> &mut String {
        if self.requests > 0 {
            self.text.push(';');
        }
        self.requests += 1;
        &mut self.text
    }

    /// Whether nothing more should be written into it: one backend more, with as many statistics as may be kept, would
    /// still fit.
    pub fn is_full(&self) -> bool {
        self.requests >= MAX_REQUESTS / 2 || self.text.len() >= MAX_OCTETS / 2
    }

    /// How many requests it has.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// The text so far, for a request's body or a line.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::Name;
    use crate::balance::statistics::StatisticName;
    use crate::balance::update::{Admin, Feed, Health, Switch};

    const NOW: Moment = Moment::ZERO;

    fn stamped(at: u64) -> Stamp {
        Stamp { at: Moment::from_nanos(at), by: "ns1".into() }
    }

    fn one(kind: Kind, text: &str) -> Result<Heard, String> {
        let heard = batch(kind, text, &Options::default(), NOW).map_err(|error| error.to_string())?;
        assert_eq!(heard.len(), 1, "{text}");
        Ok(heard.into_iter().next().unwrap())
    }

    #[test]
    fn an_update_as_it_stands_is_taken_too() {
        let heard = one(Kind::MirrorPhys, "h=app01,l=0.5,c=+1").unwrap();
        assert_eq!((heard.stamp, heard.age), (None, Duration::ZERO));
        let Update::Backend(update) = heard.update else { panic!("about a backend") };
        assert_eq!(update.statistics[1].1, Amount::Add(1.0));
        let heard = one(Kind::MirrorFarm, "n=farm_one.athena.,s=off,S=5@ns1,t=0.25").unwrap();
        assert_eq!((heard.stamp, heard.age), (Some(stamped(5)), Duration::from_millis(250)));
    }

    #[test]
    fn nonsense_is_named() {
        let refusal = |text| one(Kind::MirrorPhys, text).unwrap_err();
        assert_eq!(refusal("h=app01,l=0.5,S=now"), "S: \"now\" is no stamp, such as 123@ns1");
        assert_eq!(refusal("h=app01,l=0.5,S=1@"), "S: \"1@\" is no stamp, such as 123@ns1");
        assert_eq!(refusal("h=app01,l=0.5,S=90000000000000@ns1"), "S: 90000 s ahead of our clock (ns1)");
        assert_eq!(refusal("h=app01,l=0.5,t=-1"), "t: not an age in seconds: \"-1\"");
        assert_eq!(refusal("h=app01,l=0.5,t=inf"), "t: not an age in seconds: \"inf\"");
        assert_eq!(refusal("h=app01,l=much,S=1@ns1"), "l: not a finite number: \"much\"");
        let error = line("x?h=app01", &Options::default(), NOW).unwrap_err().to_string();
        assert_eq!(error, "x?h=app01: a line of a state begins with phys? or farm?");
    }

    #[test]
    fn a_greeting_is_read_as_it_was_written() {
        let greeting = Greeting { name: "ns1.example".to_owned(), instance: 7, digest: u64::MAX };
        assert_eq!(Greeting::parse(&greeting.write()), Some(greeting));
        for bad in ["", "athena-mirror 1", "athena-mirror 2 ns1 1 2", "athena-mirror 1 n@s 1 2", "<html>"] {
            assert_eq!(Greeting::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn decisions_are_read_as_they_were_written() {
        let settings = [
            Setting::Admin(Admin::Drain),
            Setting::Mark(Health::Down),
            Setting::Weight(Some(Override { weight: 2.5, configured: 1.0 })),
            Setting::Weight(None),
            Setting::Switch(Switch::Off),
        ];
        for setting in settings {
            let record = Durable { name: Name::parse("x1").unwrap(), setting, stamp: stamped(9) };
            let mut batch = Batch::default();
            write_decision(&record, &mut batch);
            let kind = if is_farm(&record) { Kind::MirrorFarm } else { Kind::MirrorPhys };
            let heard = one(kind, batch.text()).unwrap();
            assert!(heard.update.is_administrative() && heard.stamp == Some(stamped(9)), "{heard:?}");
        }
    }

    proptest! {
        #[test]
        fn a_report_is_read_as_it_was_written(
            values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 0..128),
            health in prop::option::of(prop::sample::select(vec![Health::Up, Health::Down])),
            feed in prop::option::of(prop::sample::select(vec![Feed::In, Feed::Out, Feed::New])),
        ) {
            let mut report = BackendUpdate::new(Name::parse("app01").unwrap());
            let name = |index: usize| StatisticName::parse(&format!("x{index}")).unwrap();
            let statistics = values.iter().enumerate().map(|(index, value)| (name(index), Amount::Set(*value)));
            (report.statistics, report.health, report.feed) = (statistics.collect(), health, feed);
            let mut written = Batch::default();
            write_report(&report, &stamped(7), Duration::from_millis(1500), &mut written);
            let mut again = BackendUpdate::new(report.backend.clone());
            if written.requests() > 0 {
                for heard in batch(Kind::MirrorPhys, written.text(), &Options::default(), NOW).unwrap() {
                    prop_assert_eq!((heard.stamp, heard.age), (Some(stamped(7)), Duration::from_millis(1500)));
                    let Update::Backend(part) = heard.update else { panic!("about a backend") };
                    again.statistics.extend(part.statistics);
                    again.health = again.health.or(part.health);
                    again.feed = again.feed.or(part.feed);
                }
            }
            prop_assert_eq!(again, report);
        }

        #[test]
        fn no_line_panics(text in "(phys|farm)?[?][a-zS=,;@0-9.]{0,60}") {
            let _ = line(&text, &Options::default(), NOW);
        }
    }
}
