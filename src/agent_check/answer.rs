//! From a line to a line: who is asked for, and what HAProxy is told. No I/O, no clock.

use std::fmt;
use std::sync::Arc;

use crate::balance::damper::Damper;
use crate::balance::status::{BackendStatus, Footing};
use crate::balance::sticky::Standing;
use crate::balance::update::{Admin, Feed, Health};
use crate::balance::{Engine, Moment, Name};

/// Percent of the best member.
pub const BEST: u16 = 100;

/// Who is asked for: `farm_one/app01` or `app01`, and maybe ` k=KEY`.
#[derive(Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The farm; `None`: the only one that the backend serves in, or the machine as such.
    pub farm: Option<Name>,
    /// The backend.
    pub backend: Name,
    /// The key that was brought.
    pub key: Option<&'a [u8]>,
}

/// Why HAProxy is told nothing that would change anything. One word for each, without blank or comma, as its log and
/// statistics show it; no word of HAProxy's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing came.
    #[error("agent-send-is-missing")]
    Nothing,
    /// No line feed came, so the name may be cut off.
    #[error("agent-send-lacks-its-newline")]
    NoNewline,
    /// It is no name, and not two of them.
    #[error("agent-send-is-not-farm/backend")]
    Malformed,
    /// Not from this address, or not without the right key.
    #[error("access-denied")]
    Denied,
    /// There is no such farm.
    #[error("unknown-farm:{0}")]
    UnknownFarm(Name),
    /// There is no such backend.
    #[error("unknown-backend:{0}")]
    UnknownBackend(Name),
    /// Both are there, apart.
    #[error("not-a-member:{0}/{1}")]
    NoMember(Name, Name),
    /// Its host name has no address yet. HAProxy has its address from elsewhere, so that is not for us to call down.
    #[error("no-address-yet:{0}")]
    Unresolved(Name),
}

impl<'a> Question<'a> {
    /// Reads a line without its end.
    pub fn parse(line: &'a [u8]) -> Result<Self, Problem> {
        let line = std::str::from_utf8(line).map_err(|_| Problem::Malformed)?;
        let mut words = line.split_ascii_whitespace();
        let named = words.next().ok_or(Problem::Malformed)?;
        let key = match words.next() {
            Some(word) => Some(word.strip_prefix("k=").ok_or(Problem::Malformed)?.as_bytes()),
            None => None,
        };
        if words.next().is_some() {
            return Err(Problem::Malformed);
        }
        let name = |text: &str| Name::parse(text).map_err(|_| Problem::Malformed);
        let (farm, backend) = match named.split_once('/') {
            Some((farm, backend)) => (Some(name(farm)?), name(backend)?),
            None => (None, name(named)?),
        };
        Ok(Self { farm, backend, key })
    }
}

/// What HAProxy is told of a server. Shown as the words of its protocol, without the line's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It gets this much of its configured weight, in percent; `None`: as before.
    Serve(Option<u16>),
    /// No new clients, for this reason; those who are there may stay.
    Hold(String),
    /// The same because people drain it; the reason for which nobody may stay, if there is one.
    Drain(Option<String>),
    /// People have switched it off.
    Maintain,
    /// It is of no use, for this reason.
    Down(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve(Some(percent)) => write!(formatter, "ready up {percent}%"),
            Self::Serve(None) => formatter.write_str("ready up"),
            Self::Hold(why) => write!(formatter, "ready up 0% #{}", Line(why)),
            Self::Drain(None) => formatter.write_str("drain up"),
            Self::Drain(Some(why)) => write!(formatter, "drain down #{}", Line(why)),
            Self::Maintain => formatter.write_str("maint"),
            Self::Down(why) => write!(formatter, "ready down #{}", Line(why)),
        }
    }
}

/// A reason on one line, whatever is in it. The sharp before it must begin a word: HAProxy takes `down#why` for a word that
/// it does not know, and changes nothing.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(char::is_control).try_for_each(|part| formatter.write_str(part))
    }
}

/// What HAProxy is told of the server that stands for `question`'s backend. Takes the engine's lock, and then, without
/// it, a time that grows with the members of the farm, for their shares.
pub fn answer(
    engine: &Engine,
    damper: &Damper,
    question: &Question<'_>,
    now: Moment,
) -> Result<Verdict, Problem> {
    let Question { farm, backend, .. } = question;
    if let Some(farm) = farm {
        return member(engine, damper, farm, backend, now);
    }
    let Some(status) = engine.backend_status(backend.as_str(), now) else {
        return Err(Problem::UnknownBackend(backend.clone()));
    };
    match status.farms.as_slice() {
        [farm] => member(engine, damper, farm, backend, now),
        _ => machine(&status),
    }
}

fn member(
    engine: &Engine,
    damper: &Damper,
    farm: &Name,
    backend: &Name,
    now: Moment,
) -> Result<Verdict, Problem> {
    let Some(footing) = engine.footing(farm.as_str(), backend.as_str(), now) else {
        return Err(match (engine.farm(farm.as_str()), engine.machine(backend.as_str())) {
            (None, _) => Problem::UnknownFarm(farm.clone()),
            (_, None) => Problem::UnknownBackend(backend.clone()),
            _ => Problem::NoMember(farm.clone(), backend.clone()),
        });
    };
    let Footing { standing, admin, is_on, is_resolved, reason } = footing;
    Ok(match (standing, admin) {
        (Standing::Candidate, _) => Verdict::Serve(percent(engine, damper, farm, backend)),
        (_, Admin::Off) => Verdict::Maintain,
        _ if !is_on => Verdict::Maintain,
        (Standing::Held, Admin::Drain) => Verdict::Drain(None),
        (Standing::Held, Admin::On) => Verdict::Hold(reason),
        _ if !is_resolved => return Err(Problem::Unresolved(backend.clone())),
        (Standing::Gone, Admin::Drain) => Verdict::Drain(Some(reason)),
        (Standing::Gone, Admin::On) => Verdict::Down(reason),
    })
}

/// The member's share in percent of the largest; `None` if it has just lost its place.
fn percent(engine: &Engine, damper: &Damper, farm: &Name, backend: &Name) -> Option<u16> {
    let farm = engine.farm(farm.as_str())?;
    let view = farm.view();
    let shares = view.shares();
    let shares: Vec<(&Arc<_>, f64)> = shares.iter().map(|(id, share)| (view.machine(*id), *share)).collect();
    let place = shares.iter().position(|(machine, _)| machine.name == *backend)?;
    damper.steps(farm.name(), &shares).get(place).copied()
}

/// A backend without a farm, or in several of them that each have another share for it: its state, and all of its weight.
fn machine(status: &BackendStatus) -> Result<Verdict, Problem> {
    let trouble = if status.health.value == Health::Down {
        Some(format!("down: {}", status.health.reason))
    } else if status.feed.value == Feed::Out {
        Some(format!("out: {}", status.feed.reason))
    } else {
        None
    };
    Ok(match (status.admin.value, trouble) {
        (Admin::Off, _) => Verdict::Maintain,
        (Admin::Drain, trouble) => Verdict::Drain(trouble),
        (Admin::On, Some(trouble)) => Verdict::Down(trouble),
        (Admin::On, None) if status.addresses.is_empty() => {
            return Err(Problem::Unresolved(status.name.clone()));
        }
        (Admin::On, None) if status.weight <= 0.0 => Verdict::Hold("weight 0".to_owned()),
        (Admin::On, None) => Verdict::Serve(Some(BEST)),
    })
}

#[cfg(test)]
mod tests;
