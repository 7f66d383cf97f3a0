//! `athena simulate` as people and programs meet it, and what is known of queues without simulating them.

use crate::cli::{athena, told};

fn simulate(arguments: &[&str]) -> (i32, String, String) {
    told(athena().arg("simulate").args(arguments).output().unwrap())
}

/// The experiment, small enough for a test.
fn stale(arguments: &[&str]) -> (i32, String, String) {
    let requests: &[&str] = if arguments.contains(&"--requests") { &[] } else { &["--requests", "500"] };
    simulate(&[&["--experiment", "stale"], requests, arguments].concat())
}

fn lines(arguments: &[&str]) -> Vec<serde_json::Value> {
    let (code, out, err) = stale(&[&["--json"], arguments].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_run_is_one_object_a_line_in_the_order_of_the_lists() {
    let lists = ["--case", "unequal,equal", "--rho", "0.9,0.5", "--report-every", "20,0.5"];
    let (code, out, _) = stale(&[&["--json", "--rule", "shortest-queue,random"], &lists[..]].concat());
    assert_eq!(code, 0);
    let first = out.lines().next().unwrap();
    assert!(
        first.starts_with(
            r#"{"case":"unequal","members":10,"rho":0.9,"report_every":20,"rule":"shortest-queue","mean":"#
        ),
        "{first}"
    );
    assert!(first.ends_with(r#","requests":500,"seed":1}"#), "{first}");
    assert!(first.contains(r#","p99":"#), "{first}");
    assert_eq!(out.lines().count(), 2 * 2 * 2 * 2);
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with(r#"{"case":"equal","members":10,"rho":0.5,"report_every":0.5,"rule":"random","#),
        "{last}"
    );
}

#[test]
fn the_same_seed_gives_the_same_and_the_number_of_threads_is_no_matter() {
    let lists =
        ["--case", "shared3,churn,ttl50", "--rho", "0.7", "--report-every", "1", "--rule", "adaptive,hash"];
    let one = lines(&[&lists[..], &["--threads", "1"]].concat());
    assert_eq!(one, lines(&[&lists[..], &["--threads", "3"]].concat()));
    let other = lines(&[&lists[..], &["--seed", "2"]].concat());
    assert!(one.iter().zip(&other).all(|(one, other)| one["mean"] != other["mean"]), "{one:?} {other:?}");
}

#[test]
fn every_case_runs_with_every_rule() {
    let runs = lines(&["--rho", "0.9", "--report-every", "5", "--requests", "100"]);
    assert_eq!(runs.len(), 13 * 13);
    for run in runs {
        let (mean, p99) = (run["mean"].as_f64().unwrap(), run["p99"].as_f64().unwrap());
        assert!(mean > 0.0 && p99 >= mean, "{run}");
    }
}

#[test]
fn a_table_compares_and_says_what_is_without_end() {
    let (code, out, _) =
        stale(&["--case", "unequal", "--rho", "0.9", "--report-every", "1,5", "--requests", "3000"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("unequal: 10 members, half of them twice as fast; ρ = 0.9\n"), "{out}");
    let row = |name: &str| {
        out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {out}"))
    };
    let cells = |name: &str| row(name).split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells("mean response time"), ["response", "time", "T=1", "T=5"]);
    assert_eq!(cells("round-robin"), ["∞", "∞"], "its slow half is asked for 1.35 of what it can do: {out}");
    assert!(!row("weighted").contains('∞'), "it is told the capacities: {out}");
    assert!(row("adaptive / best other").chars().any(|c| c.is_ascii_digit()), "{out}");
    let (_, out, _) = stale(&[
        "--case",
        "equal",
        "--rule",
        "failover",
        "--figure",
        "mean,p99,worst,moves",
        "--rho",
        "0.5",
        "--report-every",
        "5",
    ]);
    let figures: Vec<&str> =
        out.lines().filter_map(|line| line.strip_prefix("failover")).map(str::trim).collect();
    assert_eq!(figures, ["∞", "∞", "10.0", "0.000"], "{out}");
}

#[test]
fn what_does_not_exist_or_makes_no_sense_is_named() {
    for (arguments, complaint) in [
        (
            ["--case", "unequl"],
            "no case \"unequl\"; did you mean \"unequal\"?; there are equal, unequal, members100",
        ),
        (
            ["--rule", "adaptve"],
            "no rule \"adaptve\"; did you mean \"adaptive\"?; there are adaptive, least-load",
        ),
        (["--rho", "0.9,1.1"], "--rho: expected numbers between 0 and 1, found \"1.1\""),
        (["--rho", "NaN"], "--rho: expected numbers between 0 and 1, found \"NaN\""),
        (["--report-every", "0"], "--report-every: expected numbers between 0 and 1000000, found \"0\""),
        (["--requests", "7"], "7 is not in 100..=100000000"),
        (["--seed", "x"], "invalid value 'x' for '--seed <LIST>'"),
        (["--threads", "0"], "invalid value '0' for '--threads <N>'"),
    ] {
        let (code, out, err) = simulate(&[&["--experiment", "stale"], &arguments[..]].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(complaint), "{arguments:?}: {err}");
    }
    let (code, _, err) = simulate(&["--experiment", "fresh"]);
    assert_eq!(code, 2);
    assert!(err.contains("invalid value 'fresh'") && err.contains("stale"), "{err}");
}
