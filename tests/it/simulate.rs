//! `athena simulate` as people and programs meet it, and what is known of queues without simulating them.

use crate::cli::{athena, told};
use crate::config::Folder;

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
    let one = ["--case", "equal", "--rho", "0.5", "--rule", "failover"];
    let (_, out, _) = stale(&[&one[..], &["--report-every", "5"]].concat());
    let words: Vec<&str> = out.lines().skip(1).flat_map(str::split_whitespace).collect();
    let head = ["a", "report", "every", "T=5", "mean", "p99", "worst", "share", "moves"];
    assert_eq!(
        words,
        [&head[..], &["failover", "∞", "∞", "10.0", "0.000"]].concat(),
        "one time: all figures side by side"
    );
    let (_, out, _) = stale(&[&one[..], &["--report-every", "1,5", "--figure", "worst,moves"]].concat());
    let rows: Vec<&str> =
        out.lines().filter_map(|line| line.strip_prefix("failover")).map(str::trim).collect();
    assert_eq!(rows, ["10.0  10.0", "0.000  0.000"], "{out}");
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

/// A configuration with a farm of unequal members, and another one of nobody.
const FARMS: &str = r#"
[backends.app01]
address = "10.0.0.1"
[backends.app02]
address = "web2.example.com"
weight = 2.0
[backends.app03]
address = "10.0.0.3"
weight = 3.0
[farms.farm_one]
members = ["app01", "app02", { name = "app03", weight = 0.333 }]
algorithm = "two-choices"
load = "0.7*u + 0.3*queue/50"
expect_update = "15s"
last_resort = "none"
"#;

fn farm(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    let common = ["-c", folder.file.to_str().unwrap(), "--service", "20ms"];
    simulate(&[&common, arguments].concat())
}

#[test]
fn a_farm_is_simulated_as_it_is_configured() {
    let folder = Folder::with(FARMS);
    let small = ["farm_one", "--rate", "150", "--requests", "4000"];
    let (code, out, err) = farm(&folder, &[&small[..], &["--report-every", "5s"]].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let head = "farm_one: 3 members, 150 of 200 requests a second (ρ = 0.750)\n\
                members report queue as the requests in a member, u as the busy part of its workers\n\
                a report every 5s      mean ms  p99 ms  worst share  moves\n";
    assert!(out.starts_with(head), "{out}");
    assert!(out.contains("\ntwo-choices *  ") && out.ends_with("* the farm's own rule\n"), "{out}");
    let (_, out, _) =
        farm(&folder, &[&small[..], &["--report-every", "1s", "--json", "--rule", "round-robin"]].concat());
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&line["farm"], &line["rule"]), (&"farm_one".into(), &"round-robin".into()));
    assert_eq!(
        (&line["report_every_s"], &line["unanswered"], &line["overloaded"]),
        (&1.into(), &0.into(), &false.into())
    );
    // Weighted by the true capacities: about 1 / (50 − 37.5) s on a slow member if arrivals were random, less in turn.
    let (mean, worst) = (line["mean_ms"].as_f64().unwrap(), line["worst"].as_f64().unwrap());
    assert!((20.0..80.0).contains(&mean) && (1.0..1.01).contains(&worst), "{line}");
    // Silent for longer than expect_update: out, and nobody is left at times.
    let (_, out, _) = farm(&folder, &[&small[..], &["--report-every", "1m"]].concat());
    assert!(
        out.contains("with a report every 60s, members are out in between: expect_update is 15s\n"),
        "{out}"
    );
    assert!(out.contains("unanswered\n"), "{out}");
}

#[test]
fn every_circumstance_matters() {
    let folder = Folder::with(FARMS);
    let base = [
        "farm_one",
        "--rate",
        "150",
        "--requests",
        "3000",
        "--report-every",
        "500ms",
        "--rule",
        "least-load",
        "--json",
    ];
    let run = |more: &[&str]| {
        let (code, out, err) = farm(&folder, &[&base, more].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{more:?}");
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        line["mean_ms"].as_f64().unwrap()
    };
    let plain = run(&[]);
    assert_eq!(run(&["--law", "exponential", "--workers", "1", "--burst", "1", "--athenas", "1"]), plain);
    for more in [
        &["--law", "pareto"][..],
        &["--law", "constant"],
        &["--workers", "4"],
        &["--lost", "0.3"],
        &["--together"],
        &["--smoothing", "10s"],
        &["--burst", "5"],
        &["--burst", "5", "--ttl", "30s"],
        &["--athenas", "3"],
        &["--drift", "2s"],
        &["--churn", "2s"],
    ] {
        assert_ne!(run(more), plain, "{more:?}");
    }
}

#[test]
fn an_overloaded_farm_is_called_one_and_what_is_missing_is_named() {
    let folder = Folder::with(FARMS);
    let (code, out, err) = farm(
        &folder,
        &["farm_one", "--rate", "800", "--report-every", "5s", "--requests", "1000", "--rule", "adaptive"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("800 of 200 requests a second (ρ = 4.00)") && out.contains('∞'), "{out}");
    assert!(
        err.contains(
            "farm farm_one is overloaded: 800 requests a second are 4.00 times what its members can serve"
        ),
        "{err}"
    );
    assert!(err.contains("(--workers 5 or more)"), "{err}");
    for (arguments, complaint) in [
        (
            &["farm_onne", "--rate", "8", "--report-every", "5s"][..],
            "no farm \"farm_onne\"; did you mean \"farm_one\"?",
        ),
        (
            &["farm_one", "--rate", "0", "--report-every", "5s"],
            "--rate: expected a number above 0, up to 1000000000, found 0",
        ),
        (
            &["farm_one", "--rate", "8", "--report-every", "5"],
            "--report-every: expected a time from 1us to 24h",
        ),
        (
            &["farm_one", "--rate", "8", "--report-every", "5s", "--lost", "1"],
            "--lost: expected a number from 0, below 1, found 1",
        ),
        (&["farm_one", "--rate", "8"], "--report-every <LIST>"),
        (&["farm_one", "--report-every", "5s"], "--rate <N>"),
        (&["farm_one", "--rate", "8", "--report-every", "5s", "--rho", "0.5"], "cannot be used with"),
        (&["farm_one", "--experiment", "stale"], "cannot be used with"),
        (&["--experiment", "stale", "--burst", "2"], "cannot be used with"),
        (
            &["farm_one", "--rate", "8", "--report-every", "5s", "--plot", "x.svg"],
            "a picture needs two or more times",
        ),
    ] {
        let (code, _, err) = farm(&folder, arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(complaint), "{arguments:?}: {err}");
    }
    let (code, _, err) =
        simulate(&["-c", "/nonexistent.toml", "x", "--rate", "1", "--report-every", "5s", "--service", "1s"]);
    assert_eq!(code, 2);
    assert!(err.contains("/nonexistent.toml"), "{err}");
}

#[test]
fn a_picture_is_drawn_beside_the_table() {
    let folder = Folder::with("");
    let path = folder.folder.path().join("stale.svg");
    let rules = [
        "--case",
        "equal,unequal",
        "--rho",
        "0.9",
        "--rule",
        "adaptive,random,shortest-queue",
        "--report-every",
        "1,5",
    ];
    let (code, out, err) = stale(&[&rules[..], &["--plot", path.to_str().unwrap()]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("equal:") && out.contains("unequal:"));
    let picture = std::fs::read_to_string(&path).unwrap();
    assert!(
        picture.starts_with("<svg ")
            && picture.contains("unequal, ρ = 0.9")
            && picture.contains(">adaptive</text>")
    );
    let (code, _, err) = stale(&["--report-every", "1,5", "--plot", "/nonexistent/stale.svg"]);
    assert_eq!(code, 2, "found before the run, not after it");
    assert!(err.contains("cannot write /nonexistent/stale.svg: "), "{err}");
}

/// `examples/live` with requests so short that it takes seconds: real DNS answers, real queues, real reports.
#[test]
fn the_live_comparison_runs() {
    let short = ["--service", "0.02", "--every", "0.2", "--rho", "0.3", "--warm", "1", "--seconds", "2"];
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/live/run.sh");
    let ran = std::process::Command::new(script)
        .args(short)
        .args(["--unequal", "round-robin", "adaptive"])
        .env("ATHENA", env!("CARGO_BIN_EXE_athena"))
        .output()
        .unwrap();
    let (code, out, err) = told(ran);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let rows: Vec<Vec<&str>> = out.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["rule", "requests", "failed", "mean", "ms", "p99", "ms", "worst", "share"], "{out}");
    for (row, rule) in rows[1..].iter().zip(["round-robin", "adaptive"]) {
        let figures: Vec<f64> = row[1..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(row[0], rule);
        assert!(figures[0] > 0.0 && figures[2] > 0.0 && figures[4] >= 1.0, "{out}");
    }
    assert_eq!(rows.len(), 3, "{out}");
}
