//! `athena report`: one report of a backend, or a small reporter that goes on.

mod repeat;
mod system;

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;

use self::system::System;
use super::client::{Client, Query};
use super::{Failure, output};
use crate::config;

/// Statistics and states by their names in the protocol.
type Values = Vec<(String, String)>;

/// Report a backend's statistics, or its health
///
/// With --every it goes on until SIGTERM, over one connection, and tries again where it fails.
#[derive(Debug, Args)]
#[command(
    after_help = "--system reports l (load average of 1 minute), u (CPU utilisation, 0 to 1), c (established TCP \
    connections), mem (memory in use, 0 to 1), run (processes that run or wait for a CPU now) and cores (CPUs). \
    A value that is given by hand goes before the machine's.\n\n\
    Exit codes: 0 done, or stopped by SIGTERM; 1 the server said no; 2 wrong use; 3 could not reach it. With --every \
    only wrong use, and a --final that was not taken, end in an error."
)]
pub struct Report {
    /// The backend
    backend: String,
    /// What it says: l=0.7 c=12 queue=3, c=+1 to add, v=down
    #[arg(required_unless_present = "system", value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// Again this often: 500ms, 2s, 1m
    #[arg(long, value_name = "SPAN", value_parser = span)]
    every: Option<Duration>,
    /// What this machine says of itself: load, CPU, connections, memory
    #[arg(long)]
    system: bool,
    /// What to report at the end, when SIGTERM comes: i=out says farewell; may be given several times
    #[arg(long = "final", value_name = "NAME=VALUE", value_parser = pair, requires = "every")]
    last: Vec<(String, String)>,
    #[command(flatten)]
    client: Client,
}

/// Shortest and longest span between two reports.
const SPANS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
/// How long the CPUs are looked at for the first utilisation.
const FIRST_LOOK: Duration = Duration::from_millis(250);

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, such as l=0.7".to_owned()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let span = config::parse_duration(text).filter(|span| SPANS.contains(span));
    span.ok_or_else(|| "expected a span from 100ms to 24h, such as 500ms, 2s or 1m".to_owned())
}

impl Report {
    /// Sends it, and prints what the server says; with `--every` goes on until it is told to stop.
    pub fn run(self) -> Result<(), Failure> {
        if let Some(every) = self.every {
            let relative = |(_, value): &&(String, String)| value.starts_with(['+', '-']);
            if let Some((name, value)) = self.values.iter().find(relative) {
                let what = format!(
                    "{name}={value} adds to what was reported, which --every would do again and again"
                );
                return Err(Failure::Usage(what));
            }
            return repeat::repeat(&self, every);
        }
        let values = self.values_now(self.first_look()?.as_mut())?;
        output::print(&self.client.change("update/phys", &self.query(&values))?).map(drop)
    }

    /// Takes the first look at the machine, if it is asked for, and the time that the CPUs' utilisation needs.
    fn first_look(&self) -> Result<Option<System>, Failure> {
        if !self.system {
            return Ok(None);
        }
        let system = System::new().map_err(|why| Failure::Usage(format!("--system: {why}")))?;
        pause(FIRST_LOOK);
        Ok(Some(system))
    }

    /// What the machine says now, but for what was given by hand, and that.
    fn values_now(&self, system: Option<&mut System>) -> Result<Values, Failure> {
        let seen = match system {
            Some(system) => system.look().map_err(|why| Failure::Refused(format!("--system: {why}")))?,
            None => Vec::new(),
        };
        let given: HashSet<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        let seen = seen.into_iter().filter(|(name, _)| !given.contains(name));
        let seen = seen.map(|(name, value)| (name.to_owned(), value));
        Ok(seen.chain(self.values.iter().cloned()).collect())
    }

    fn query(&self, values: &[(String, String)]) -> Query {
        let named = Query::default().pair("h", &self.backend);
        values.iter().fold(named, |query, (name, value)| query.pair(name, value))
    }
}

#[expect(clippy::disallowed_methods, reason = "the passing of time itself is what is waited for")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        report: Report,
    }

    fn parse(line: &[&str]) -> Result<Report, clap::Error> {
        Line::try_parse_from([&["report"], line].concat()).map(|line| line.report)
    }

    #[test]
    fn what_is_given_by_hand_goes_before_the_machine_s() {
        let report = parse(&["app01", "--system", "c=7", "queue=3"]).unwrap();
        let values = report.values_now(report.first_look().unwrap().as_mut()).unwrap();
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["l", "u", "mem", "run", "cores", "c", "queue"]);
        assert!(values.contains(&("c".to_owned(), "7".to_owned())));
    }

    #[test]
    fn spans_and_what_needs_what() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "2", "0s", "99ms", "25h", "-1s"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse(&["app01"]).is_err(), "nothing to report");
        assert!(parse(&["app01", "--system", "--final", "i=out"]).is_err(), "it ends at once anyway");
        let adding = parse(&["app01", "c=+1", "--every", "2s"]).unwrap().run().unwrap_err();
        assert_eq!((adding.code(), adding.to_string().contains("c=+1 adds")), (2, true), "{adding}");
    }
}
