//! `athena status`: who is in, out, up, down, and why.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Client, Query};
use super::{Failure, output};

/// Show backends, farms and the engine of a running Athena
#[derive(Debug, Args)]
pub struct Status {
    /// What of it [default: all]
    subject: Option<Subject>,
    /// Only these backends or farms; * stands for anything
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The format of a line, by the codes of the text protocol: "%h %s %v %i %l"
    #[arg(short, long, requires = "subject", conflicts_with = "json")]
    format: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Again every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86400))]
    watch: Option<u64>,
    #[command(flatten)]
    client: Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Backends
    Phys,
    /// Farms
    Farm,
    /// The whole
    Engine,
    /// Configuration, farms, backends and the whole
    Debug,
}

impl Subject {
    /// The order of the overview.
    const ALL: [Self; 3] = [Self::Engine, Self::Farm, Self::Phys];

    fn word(self) -> &'static str {
        match self {
            Self::Phys => "phys",
            Self::Farm => "farm",
            Self::Engine => "engine",
            Self::Debug => "debug",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Phys => "backends",
            Self::Farm => "farms",
            Self::Engine => "engine",
            Self::Debug => "debug",
        }
    }
}

impl Status {
    /// Prints it once, or again and again until nobody reads.
    pub fn run(self) -> Result<(), Failure> {
        if !self.names.is_empty()
            && let Some(subject @ (Subject::Engine | Subject::Debug)) = self.subject
        {
            return Err(Failure::Usage(format!("{} takes no names: there is one of it", subject.word())));
        }
        if self.subject == Some(Subject::Debug) && self.format.is_some() {
            return Err(Failure::Usage("debug takes no --format: it shows everything".to_owned()));
        }
        let Some(seconds) = self.watch else { return output::print(&self.look()?).map(drop) };
        let runtime = Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.follow(Duration::from_secs(seconds)))
    }

    async fn follow(&self, every: Duration) -> Result<(), Failure> {
        let clear = if io::stdout().is_terminal() && !self.json { "\x1b[H\x1b[2J" } else { "" };
        let mut ticks = interval(every);
        // After an answer that took its time the next one is not due at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let text = match self.look() {
                Ok(text) => text,
                // It may come back: that is what one watches for.
                Err(failure @ Failure::Unreachable { .. }) => format!("athena: {failure}\n"),
                Err(failure) => return Err(failure),
            };
            if !output::print(&format!("{clear}{text}"))? {
                return Ok(());
            }
        }
    }

    fn look(&self) -> Result<String, Failure> {
        match (self.subject, self.json) {
            (Some(subject), true) => self.client.ask_json(&resource(subject), &self.query(subject)),
            (Some(subject), false) => self.client.ask(&resource(subject), &self.query(subject)),
            (None, true) => {
                let mut parts = Vec::new();
                for subject in Subject::ALL {
                    let answer = self.client.ask_json(&resource(subject), &Query::default())?;
                    parts.push(format!("\"{}\":{}", subject.word(), answer.trim()));
                }
                Ok(format!("{{{}}}\n", parts.join(",")))
            }
            (None, false) => {
                let mut text = String::new();
                for subject in Subject::ALL {
                    let answer = self.client.ask(&resource(subject), &Query::default())?;
                    let gap = if text.is_empty() { "" } else { "\n" };
                    let _ = write!(text, "{gap}{}\n{answer}", subject.title().to_uppercase());
                }
                Ok(text)
            }
        }
    }

    fn query(&self, subject: Subject) -> Query {
        let mut query = Query::default();
        if subject == Subject::Debug {
            return query.word("true");
        }
        if !self.names.is_empty() {
            let key = if subject == Subject::Phys { "h" } else { "n" };
            query = query.pair(key, &self.names.join("+"));
        }
        match &self.format {
            Some(format) => query.pair("f", format),
            None => query,
        }
    }
}

fn resource(subject: Subject) -> String {
    format!("status/{}", subject.word())
}
