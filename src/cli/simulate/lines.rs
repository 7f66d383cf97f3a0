//! Runs as JSON, one object a line.

use serde::Serialize;
use serde_json::Number;

use super::grid::{Block, Head};
use crate::cli::Failure;
use crate::simulate::batch::Job;
use crate::simulate::outcome::Outcome;

/// One line of JSON: a case.
#[derive(Debug, Serialize)]
struct CaseLine<'a> {
    case: &'a str,
    members: usize,
    rho: Number,
    report_every: Number,
    rule: &'a str,
    mean: Number,
    p99: Number,
    requests: u64,
    seed: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    overloaded: bool,
}

/// One line of JSON: a farm.
#[derive(Debug, Serialize)]
struct FarmLine<'a> {
    farm: &'a str,
    members: usize,
    rate: Number,
    report_every_s: Number,
    rule: &'a str,
    mean_ms: Number,
    p99_ms: Number,
    worst: Number,
    moves: Number,
    unanswered: Number,
    overloaded: bool,
    requests: u64,
    seed: u64,
}

impl Block {
    /// The line of a run.
    pub fn line(&self, job: &Job, outcome: &Outcome) -> Result<String, Failure> {
        let rule = job.rule.name();
        let every = number(job.setting.reports.every);
        let (requests, seed) = (job.requests, job.seed);
        let overloaded = self.endless || outcome.overloaded;
        let json = match &self.head {
            &Head::Case { case, members, rho } => serde_json::to_string(&CaseLine {
                case,
                members,
                rho: number(rho),
                report_every: every,
                rule,
                mean: rounded(outcome.mean),
                p99: rounded(outcome.p99),
                requests,
                seed,
                overloaded,
            }),
            Head::Farm { farm, members, rate } => serde_json::to_string(&FarmLine {
                farm,
                members: *members,
                rate: number(*rate),
                report_every_s: every,
                rule,
                mean_ms: rounded(outcome.mean * 1e3),
                p99_ms: rounded(outcome.p99 * 1e3),
                worst: rounded(outcome.worst),
                moves: rounded(outcome.moves),
                unanswered: rounded(outcome.unanswered),
                overloaded,
                requests,
                seed,
            }),
        };
        json.map(|line| line + "\n").map_err(|why| Failure::Output(why.into()))
    }
}

/// A number as people write it: whole ones without a point.
fn number(value: f64) -> Number {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    let number = if whole { Some(Number::from(value as i64)) } else { Number::from_f64(value) };
    number.unwrap_or_else(|| Number::from(0))
}

/// The same with five leading digits; chance decides about those behind them.
fn rounded(value: f64) -> Number {
    number(format!("{value:.4e}").parse().unwrap_or(value))
}
