//! `athena monitor`: a line for each thing that is wrong, and an exit code that says how bad it is.
//!
//! For Nagios, Icinga and what else runs monitoring plugins, for cron, and for CI. What people decided is not wrong: a
//! backend that is off or drained, a farm that is off. What happened to us is.
//!
//! | what | how bad |
//! | --- | --- |
//! | Athena is not ready | critical |
//! | a farm that is on answers with its fallback, with silent members, or not at all | critical |
//! | fewer members are available than `--critical-available` asks for | critical |
//! | a member is down, silent, suspect or without an address; with `--warn-available` only where too few are left | warning |
//! | a member reports, but not what the farm's formula needs | warning |
//! | states cannot be stored, or a peer cannot be reached | warning |
//! | nobody answers, or it says no | unknown |

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Client, Query};
use super::{Failure, output};
use crate::balance::algorithm;

/// Tell what is wrong with a running Athena, for Nagios, cron and CI
///
/// Prints a line for each thing that is wrong, the worst first, or one line that begins with OK. Backends and farms that
/// people switched off or drained are not wrong.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes, as monitoring plugins have them and unlike those of other commands: \
    0 OK, 1 WARNING, 2 CRITICAL (or wrong use), 3 UNKNOWN: it could not be asked.")]
pub struct Monitor {
    /// Only this farm and its members; may be given several times, and * stands for anything
    #[arg(long, value_name = "NAME")]
    farm: Vec<String>,
    /// Warn about lost members only where less than this share of a farm's members is available: 0.5
    #[arg(long, value_name = "SHARE", value_parser = share)]
    warn_available: Option<f64>,
    /// Critical where less than this share of a farm's members is available: 0.25
    #[arg(long, value_name = "SHARE", value_parser = share)]
    critical_available: Option<f64>,
    /// Print nothing if all is well
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    client: Client,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

/// How bad it is, in the words of monitoring plugins, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        })
    }
}

impl Severity {
    fn code(self) -> u8 {
        match self {
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

/// Exit code of "could not find out".
const UNKNOWN: u8 = 3;

/// A state and why it is so, as JSON has it.
#[derive(Debug, Deserialize)]
struct Stated {
    value: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Engine {
    obstacles: Vec<String>,
    #[serde(default)]
    trouble: Option<String>,
    mirror: Mirror,
}

#[derive(Debug, Deserialize)]
struct Mirror {
    reachable: usize,
    peers: usize,
}

#[derive(Debug, Deserialize)]
struct Backend {
    name: String,
    state: Stated,
    reports: u64,
}

#[derive(Debug, Deserialize)]
struct Farm {
    name: String,
    state: Stated,
    algorithm: String,
    members: Vec<Member>,
    source: Stated,
}

#[derive(Debug, Deserialize)]
struct Member {
    backend: String,
    available: bool,
    reason: String,
    weight: f64,
    load: Option<f64>,
    load_reason: String,
}

/// Everything that is looked at.
#[derive(Debug)]
struct Seen {
    engine: Engine,
    farms: Vec<Farm>,
    backends: HashMap<String, Backend>,
}

impl Monitor {
    /// Prints what is wrong, and gives the exit code.
    pub fn run(self) -> Result<u8, Failure> {
        let seen = match self.look() {
            Ok(seen) => seen,
            Err(failure) => {
                output::print(&format!("UNKNOWN: {failure}\n"))?;
                return Ok(UNKNOWN);
            }
        };
        let findings = self.judge(&seen);
        if findings.is_empty() {
            if !self.quiet {
                output::print(&format!("OK: {}\n", summary(&seen)))?;
            }
            return Ok(0);
        }
        let lines: String = findings.iter().map(|(severity, what)| format!("{severity}: {what}\n")).collect();
        output::print(&lines)?;
        Ok(findings.iter().map(|(severity, _)| severity.code()).max().unwrap_or_default())
    }

    fn look(&self) -> Result<Seen, Failure> {
        let chosen = match self.farm.as_slice() {
            [] => Query::default(),
            names => Query::default().pair("n", &names.join("+")),
        };
        let farms: Vec<Farm> = self.ask("status/farm", &chosen)?;
        let backends: Vec<Backend> = self.ask("status/phys", &Query::default())?;
        let backends = backends.into_iter().map(|backend| (backend.name.clone(), backend)).collect();
        Ok(Seen { engine: self.ask("status/engine", &Query::default())?, farms, backends })
    }

    fn ask<T: DeserializeOwned>(&self, resource: &str, query: &Query) -> Result<T, Failure> {
        let answer = self.client.ask_json(resource, query)?;
        serde_json::from_str(&answer).map_err(|error| {
            Failure::Refused(format!("{resource}: the answer is not that of this version of athena: {error}"))
        })
    }

    /// Everything that is wrong, the worst first.
    fn judge(&self, seen: &Seen) -> Vec<(Severity, String)> {
        let mut findings = Vec::new();
        let engine = &seen.engine;
        findings.extend(
            engine.obstacles.iter().map(|obstacle| (Severity::Critical, format!("not ready: {obstacle}"))),
        );
        findings.extend(engine.trouble.iter().map(|trouble| (Severity::Warning, trouble.clone())));
        let Mirror { reachable, peers } = engine.mirror;
        if reachable < peers {
            findings
                .push((Severity::Warning, format!("mirror: {reachable} of {peers} peers can be reached")));
        }
        let mut lost = BTreeMap::new();
        for farm in seen.farms.iter().filter(|farm| farm.state.value == "on") {
            self.judge_farm(farm, seen, &mut findings, &mut lost);
        }
        for ((backend, reason), farms) in lost {
            findings.push((Severity::Warning, format!("backend {backend} ({}): {reason}", farms.join(", "))));
        }
        // Stable: within a severity the order of the configuration stays.
        findings.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
        findings
    }

    /// Adds what is wrong with a farm to `findings`, and each member that it lost to `lost`: by backend and reason, with
    /// the farms.
    fn judge_farm<'s>(
        &self,
        farm: &'s Farm,
        seen: &Seen,
        findings: &mut Vec<(Severity, String)>,
        lost: &mut BTreeMap<(&'s str, &'s str), Vec<&'s str>>,
    ) {
        let name = &farm.name;
        if farm.source.value != "members" {
            let Stated { value, since, reason } = &farm.source;
            let answers = match value.as_str() {
                "none" => "has nobody to answer with".to_owned(),
                "stale" => "answers with silent members".to_owned(),
                fallback => format!("answers with its {fallback}"),
            };
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            findings.push((Severity::Critical, format!("farm {name} {answers} since {since}{why}")));
        }
        // Whom people took out does not count, neither as there nor as lost.
        let wanted: Vec<&Member> = farm.members.iter().filter(|member| is_wanted(member, seen)).collect();
        let (there, gone): (Vec<&Member>, Vec<&Member>) = wanted.iter().partition(|member| member.available);
        let available = there.len() as f64 / wanted.len().max(1) as f64;
        let scarce = |least: Option<f64>| least.is_some_and(|least| !wanted.is_empty() && available < least);
        let words = || format!("farm {name}: {} of {} members are available", there.len(), wanted.len());
        if scarce(self.critical_available) {
            findings.push((Severity::Critical, words()));
        } else if scarce(self.warn_available) {
            findings.push((Severity::Warning, words()));
        }
        // A suspect that is kept because too little would remain is no better for it.
        let kept = there.iter().filter(|member| !member.reason.is_empty());
        if self.warn_available.is_none() || scarce(self.warn_available) || scarce(self.critical_available) {
            for member in gone.iter().chain(kept) {
                lost.entry((&member.backend, &member.reason)).or_default().push(name);
            }
        }
        let sees_load = algorithm::find(&farm.algorithm).is_some_and(|spec| spec.sees_load);
        for member in there.iter().filter(|member| sees_load && member.load.is_none()) {
            // A farm that nobody reports to is a plain rotation, and meant to be.
            if seen.backends.get(&member.backend).is_some_and(|backend| backend.reports > 0) {
                let Member { backend, load_reason, .. } = member;
                findings.push((
                    Severity::Warning,
                    format!("farm {name}: the load of {backend} is unknown: {load_reason}"),
                ));
            }
        }
    }
}

/// Whether people want this member to serve.
fn is_wanted(member: &Member, seen: &Seen) -> bool {
    let is_on = seen.backends.get(&member.backend).is_none_or(|backend| backend.state.value == "on");
    is_on && (member.available || member.weight > 0.0)
}

/// What is seen where nothing is wrong, on one line.
fn summary(seen: &Seen) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let members = seen.farms.iter().flat_map(|farm| &farm.members);
    let available = members.clone().filter(|member| member.available).count();
    let mut parts = vec![
        count(seen.farms.len(), "farm"),
        format!("{available} of {} available", count(members.count(), "member")),
    ];
    let off = seen.farms.iter().filter(|farm| farm.state.value != "on").count();
    if off > 0 {
        parts.push(format!("{} off", count(off, "farm")));
    }
    for state in ["drain", "off"] {
        let number = seen.backends.values().filter(|backend| backend.state.value == state).count();
        if number > 0 {
            parts.push(format!("{} {state}", count(number, "backend")));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        monitor: Monitor,
    }

    #[test]
    fn an_athena_that_is_not_ready_forgets_or_stands_alone() {
        let engine = r#"{"obstacles":["waiting for states"],"trouble":"states cannot be stored: disk full",
            "mirror":{"reachable":1,"peers":2},"version":"1"}"#;
        let seen = Seen {
            engine: serde_json::from_str(engine).unwrap(),
            farms: Vec::new(),
            backends: HashMap::new(),
        };
        let findings = Line::parse_from(["monitor"]).monitor.judge(&seen);
        let lines: Vec<String> =
            findings.iter().map(|(severity, what)| format!("{severity}: {what}")).collect();
        assert_eq!(
            lines,
            [
                "CRITICAL: not ready: waiting for states",
                "WARNING: states cannot be stored: disk full",
                "WARNING: mirror: 1 of 2 peers can be reached",
            ]
        );
    }

    #[test]
    fn a_share_is_no_percentage() {
        assert_eq!(share("0.5"), Ok(0.5));
        for wrong in ["50", "-0.1", "NaN", "half", ""] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
    }
}
