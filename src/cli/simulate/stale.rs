//! `--experiment stale`: cases, loads and times between reports, in that order; one table for each case and load.

use serde::Serialize;
use serde_json::Number;

use super::progress::Bar;
use super::table::{Cell, columns, digits};
use super::{Figure, Simulate, numbers, unknown};
use crate::cli::{Failure, output};
use crate::simulate::batch::{self, Job, Progress};
use crate::simulate::experiment::{CASES, Case, REPORT_EVERY, RHOS};
use crate::simulate::outcome::Outcome;
use crate::simulate::setting::{Rule, SHORTEST_QUEUE};
use crate::simulate::world::Impossible;

/// The rule that others are compared with.
const OURS: &str = "adaptive";

/// What is asked for.
struct Question {
    cases: Vec<&'static Case>,
    rhos: Vec<f64>,
    every: Vec<f64>,
    rules: Vec<Rule>,
}

/// One line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    case: &'a str,
    members: usize,
    rho: Number,
    report_every: Number,
    rule: &'a str,
    mean: Number,
    p99: Number,
    requests: u64,
    seed: u64,
}

/// Where a run stands in the order of all.
#[derive(Debug, Clone, Copy)]
struct At {
    case: &'static Case,
    rho: f64,
    every: f64,
    rule: Rule,
}

/// Why it ended before its end.
enum Ended {
    /// Nobody reads any more.
    Unread,
    /// It failed.
    Failed(Failure),
}

impl From<Impossible> for Ended {
    fn from(why: Impossible) -> Self {
        Self::Failed(why.into())
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs it and prints each table, or each line, when it is there.
pub fn run(asked: &Simulate) -> Result<(), Failure> {
    let question = Question::new(asked)?;
    let places = question.places();
    let job = |at: &At, seed| Job {
        setting: at.case.setting(at.rule, at.rho, at.every),
        rule: at.rule,
        requests: asked.requests,
        seed,
    };
    let jobs: Vec<Job> =
        places.iter().flat_map(|at| asked.seeds.iter().map(move |&seed| job(at, seed))).collect();
    let seeds = asked.seeds.len();
    let table = question.every.len() * question.rules.len() * seeds;
    let mut bar = Bar::new(jobs.len());
    let mut block: Vec<Outcome> = Vec::new();
    let ended = batch::run::<Ended>(&jobs, asked.threads.unwrap_or_else(batch::cores), |progress| {
        let (place, outcome) = match progress {
            Progress::Ran { finished } => {
                bar.show(finished);
                return Ok(());
            }
            Progress::Next { place, outcome } => (place, outcome),
        };
        let text = if asked.json {
            line(&places[place / seeds], &jobs[place], &outcome)?
        } else {
            block.push(outcome);
            if block.len() < table {
                return Ok(());
            }
            let first = &places[(place + 1 - table) / seeds];
            let gap = if place + 1 > table { "\n" } else { "" };
            format!("{gap}{}", question.tables(first, &std::mem::take(&mut block), seeds, &asked.figure))
        };
        bar.hide();
        if output::print(&text)? { Ok(()) } else { Err(Ended::Unread) }
    });
    bar.hide();
    match ended {
        Ok(()) | Err(Ended::Unread) => Ok(()),
        Err(Ended::Failed(failure)) => Err(failure),
    }
}

fn line(at: &At, job: &Job, outcome: &Outcome) -> Result<String, Failure> {
    let line = Line {
        case: at.case.name,
        members: job.setting.capacities.len(),
        rho: number(at.rho),
        report_every: number(at.every),
        rule: job.rule.name(),
        mean: rounded(outcome.mean),
        p99: rounded(outcome.p99),
        requests: job.requests,
        seed: job.seed,
    };
    serde_json::to_string(&line).map(|line| line + "\n").map_err(|why| Failure::Output(why.into()))
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

impl Question {
    fn new(asked: &Simulate) -> Result<Self, Failure> {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        let find = |name: &String| Case::find(name).ok_or_else(|| unknown("case", name, &names));
        let or = |given: Vec<f64>, default: &[f64]| if given.is_empty() { default.to_vec() } else { given };
        Ok(Self {
            cases: match asked.cases.is_empty() {
                true => CASES.iter().collect(),
                false => asked.cases.iter().map(find).collect::<Result<_, _>>()?,
            },
            rhos: or(numbers("--rho", &asked.rho, 0.0, 1.0)?, &RHOS),
            every: or(numbers("--report-every", &asked.report_every, 0.0, 1e6)?, &REPORT_EVERY),
            rules: asked.rules()?,
        })
    }

    /// Every run but for its seed, in order.
    fn places(&self) -> Vec<At> {
        let mut places = Vec::new();
        for &case in &self.cases {
            for &rho in &self.rhos {
                for &every in &self.every {
                    places.extend(self.rules.iter().map(|&rule| At { case, rho, every, rule }));
                }
            }
        }
        places
    }

    /// The tables of a case and a load, from the outcomes of its runs in order.
    fn tables(&self, first: &At, outcomes: &[Outcome], seeds: usize, figures: &[Figure]) -> String {
        let mut text = format!("{}: {}; ρ = {}\n", first.case.name, first.case.summary, first.rho);
        let runs = |column: usize, row: usize| {
            let place = (column * self.rules.len() + row) * seeds;
            &outcomes[place..place + seeds]
        };
        for &figure in figures {
            let what = match figure {
                Figure::Mean => "mean response time",
                Figure::P99 => "99 % of the response times are below",
                Figure::Worst => "worst member's share, 1 is fair",
                Figure::Moves => "answers that move on",
            };
            let heads = self.every.iter().map(|every| format!("T={every}"));
            let mut rows = vec![[what.to_owned()].into_iter().chain(heads).collect::<Vec<_>>()];
            let cells =
                |row: usize| (0..self.every.len()).map(move |column| Cell::of(figure, runs(column, row)));
            for (row, rule) in self.rules.iter().enumerate() {
                rows.push([rule.name().to_owned()].into_iter().chain(cells(row).map(Cell::text)).collect());
            }
            if figure == Figure::Mean {
                rows.extend(self.comparison(|column, row| Cell::of(figure, runs(column, row))));
            }
            text.push_str(&columns(&rows));
        }
        text
    }

    /// How ours compares with the best of the others, oracles apart.
    fn comparison(&self, cell: impl Fn(usize, usize) -> Cell) -> Option<Vec<String>> {
        let ours = self.rules.iter().position(|rule| rule.name() == OURS)?;
        let apart = [OURS, SHORTEST_QUEUE];
        let others = || (0..self.rules.len()).filter(|&row| !apart.contains(&self.rules[row].name()));
        others().next()?;
        let ratio = |column| {
            let best = others().map(|row| cell(column, row)).filter(|cell| !cell.endless);
            let best = best.map(|cell| cell.value).fold(f64::INFINITY, f64::min);
            let mine = cell(column, ours);
            if mine.endless { mine.text() } else { digits(mine.value / best) }
        };
        let name = format!("{OURS} / best other");
        Some([name].into_iter().chain((0..self.every.len()).map(ratio)).collect())
    }
}
