//! `athena monitor` on a server that runs: what is wrong, how bad it is, and that people's decisions are not wrong.

use crate::cli::{athena as program, told};
use crate::harness::{Athena, until};

const TWO: &str = r#"
[backends]
app01 = { address = "10.0.0.1" }
app02 = { address = "10.0.0.2" }
app03 = { address = "10.0.0.3" }
[farms]
farm_one = { members = ["app01", "app02"] }
farm_two = { members = ["app02", "app03"], fallback = ["192.0.2.1"] }
"#;

/// Exit code and lines of `athena monitor`; nothing is ever said on stderr.
fn monitor(athena: &Athena, arguments: &[&str]) -> (i32, Vec<String>) {
    let server = athena.http.to_string();
    let (code, out, err) =
        told(program().args(["monitor", "--server", &server]).args(arguments).output().unwrap());
    assert_eq!(err, "");
    (code, out.lines().map(str::to_owned).collect())
}

/// Complains unless exactly these lines are there; `…` in a line stands for anything.
fn must_say(athena: &Athena, arguments: &[&str], code: i32, expected: &[&str]) {
    let (is, lines) = monitor(athena, arguments);
    let fits = |(line, expected): (&String, &&str)| match expected.split_once('…') {
        Some((start, end)) => line.starts_with(start) && line.ends_with(end),
        None => line == expected,
    };
    assert!(lines.len() == expected.len() && lines.iter().zip(expected).all(fits), "{lines:#?}");
    assert_eq!(is, code, "{lines:#?}");
}

#[test]
fn what_people_decided_is_not_wrong() {
    let athena = Athena::start(TWO);
    must_say(&athena, &[], 0, &["OK: 2 farms, 4 of 4 members available"]);
    must_say(&athena, &["--quiet"], 0, &[]);
    athena.tell("/ath/update/phys/?h=app01,s=drain;h=app03,s=off");
    athena.tell("/ath/update/farm/?n=farm_two,s=off");
    let decided = "OK: 2 farms, 2 of 4 members available, 1 farm off, 1 backend drain, 1 backend off";
    must_say(&athena, &["--warn-available", "1"], 0, &[decided]);
    // Whom people took out may be ill as well.
    athena.tell("/ath/update/phys/?h=app01,v=down");
    must_say(&athena, &[], 0, &[decided]);
}

#[test]
fn a_lost_member_is_a_warning_and_a_lost_farm_is_critical() {
    let athena = Athena::start(TWO);
    athena.tell("/ath/update/phys/?h=app02,v=down");
    let lost = "WARNING: backend app02 (farm_one, farm_two): down: said its report";
    must_say(&athena, &[], 1, &[lost]);
    must_say(&athena, &["--quiet", "--farm", "farm_one"], 1, &[&lost.replace(", farm_two", "")]);

    athena.tell("/ath/update/phys/?h=app03,s=off");
    must_say(
        &athena,
        &["--farm", "farm_two"],
        2,
        &[
            "CRITICAL: farm farm_two answers with its fallback 192.0.2.1 since …",
            &lost.replace("farm_one, ", ""),
        ],
    );
    athena.tell("/ath/update/phys/?h=app01,v=down");
    must_say(
        &athena,
        &[],
        2,
        &[
            "CRITICAL: farm farm_one has nobody to answer with since …",
            "CRITICAL: farm farm_two answers with its fallback 192.0.2.1 since …",
            "WARNING: backend app01 (farm_one): down: said its report",
            lost,
        ],
    );
    athena.tell("/ath/update/farm/?n=farm_one,s=off;n=farm_two,s=off");
    must_say(&athena, &[], 0, &["OK: …2 farms off, 1 backend off"]);
}

#[test]
fn with_a_share_only_too_few_are_worth_a_line() {
    let athena = Athena::start(TWO);
    athena.tell("/ath/update/phys/?h=app02,v=down");
    must_say(&athena, &["--warn-available", "0.5"], 0, &["OK: 2 farms, 2 of 4 members available"]);
    let lost = "WARNING: backend app02 (farm_one): down: said its report";
    must_say(
        &athena,
        &["--warn-available", "0.6", "--farm", "farm_one"],
        1,
        &["WARNING: farm farm_one: 1 of 2 members are available", lost],
    );
    must_say(
        &athena,
        &["--critical-available", "0.6", "--farm", "farm_o*"],
        2,
        &["CRITICAL: farm farm_one: 1 of 2 members are available", lost],
    );
}

#[test]
fn silence_is_a_warning_and_so_is_a_report_without_what_the_formula_needs() {
    let athena =
        Athena::start(&TWO.replace("[\"app01\", \"app02\"]", "[\"app01\", \"app02\"], load = \"queue\""));
    must_say(&athena, &[], 0, &["OK: …"]);
    athena.tell("/ath/update/phys/?h=app01,queue=3;h=app02,l=1");
    must_say(
        &athena,
        &[],
        1,
        &[
            "WARNING: farm farm_one: the load of app02 is unknown: no queue reported, the farm's average counts",
        ],
    );

    let athena = Athena::start(&TWO.replace("\"app03\"]", "\"app03\"], expect_update = \"100ms\""));
    until("app03 is out", || {
        athena.tell("/ath/update/phys/?h=app02,l=1");
        athena.tell("/ath/status/phys/?h=app03,f=%i") == "out\n"
    });
    let (code, lines) = monitor(&athena, &["--farm", "farm_two"]);
    assert!(
        code > 0 && lines.iter().any(|line| line.starts_with("WARNING: backend app03 (farm_two): out: ")),
        "{lines:?}"
    );
}

#[test]
fn what_cannot_be_asked_is_unknown() {
    let mut athena = Athena::start(TWO);
    must_say(&athena, &["--farm", "farm_six"], 3, &["UNKNOWN: unknown farm: farm_six"]);
    must_say(&athena, &["--path", "/elsewhere"], 3, &["UNKNOWN: unknown path: /elsewhere/status/farm/"]);
    athena.stop();
    must_say(&athena, &[], 3, &["UNKNOWN: cannot reach …"]);
    let (code, help, _) = told(program().args(["monitor", "--help"]).output().unwrap());
    assert!(code == 0 && help.contains("0 OK, 1 WARNING, 2"), "{help}");
}
