//! `--experiment stale`: cases and loads; one table for each case and load, a column for each time between reports.

use super::grid::{Block, Grid, Head, Unit};
use super::{Simulate, unknown};
use crate::cli::Failure;
use crate::simulate::experiment::{CASES, Case, REPORT_EVERY, RHOS};

/// Requests in a run.
const REQUESTS: u64 = 200_000;

/// The runs that are asked for.
pub fn grid(asked: &Simulate) -> Result<Grid, Failure> {
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    let find = |name: &String| Case::find(name).ok_or_else(|| unknown("case", name, &names));
    let cases: Vec<&'static Case> = match asked.cases.is_empty() {
        true => CASES.iter().collect(),
        false => asked.cases.iter().map(find).collect::<Result<_, _>>()?,
    };
    let or = |given: Vec<f64>, default: &[f64]| if given.is_empty() { default.to_vec() } else { given };
    let rhos = or(numbers("--rho", &asked.rho, 0.0, 1.0)?, &RHOS);
    let every = or(numbers("--report-every", &asked.report_every, 0.0, 1e6)?, &REPORT_EVERY);
    let together = asked.together;
    let block = |case: &'static Case, rho: f64| Block {
        title: format!(
            "{}: {}; ρ = {rho}{}",
            case.name,
            case.summary,
            if together { ", reports together" } else { "" }
        ),
        name: format!("{}, ρ = {rho}", case.name),
        head: Head::Case { case: case.name, members: case.members(), rho },
        notes: Vec::new(),
        endless: false,
        setting: Box::new(move |rule, every| {
            let mut setting = case.setting(rule, rho, every);
            setting.reports.staggered = !together;
            setting
        }),
    };
    Ok(Grid {
        blocks: cases.iter().flat_map(|&case| rhos.iter().map(move |&rho| block(case, rho))).collect(),
        every,
        rules: asked.rules()?,
        unit: Unit::ServiceTimes,
        requests: asked.requests.unwrap_or(REQUESTS),
        configured: None,
    })
}

/// Numbers of a flag's list that lie between two bounds (which are no such numbers).
fn numbers(flag: &str, texts: &[String], least: f64, most: f64) -> Result<Vec<f64>, Failure> {
    let number = |text: &String| {
        let number = text.trim().parse().ok().filter(|&number: &f64| number > least && number < most);
        number.ok_or_else(|| {
            Failure::Usage(format!("{flag}: expected numbers between {least} and {most}, found {text:?}"))
        })
    };
    texts.iter().map(number).collect()
}
