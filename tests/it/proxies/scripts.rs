//! The examples' run.sh, as a reader would start them.

use std::process::{Command, Output};

use super::examples;

fn script(example: &str) -> Output {
    let script = examples().join(example).join("run.sh");
    let athena = env!("CARGO_BIN_EXE_athena");
    let ran = Command::new(&script).arg("round-robin").env("ATHENA", athena).output();
    ran.unwrap_or_else(|error| panic!("{}: {error}", script.display()))
}

/// Runs an example with round-robin and gives what it prints.
pub fn run(example: &str) -> String {
    let output = script(example);
    let (said, complained) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example}: {}\n{said}{complained}", output.status);
    said
}

/// Gives why an example cannot be run here.
pub fn refuse(example: &str) -> String {
    let output = script(example);
    assert_eq!(output.status.code(), Some(2), "{example}");
    String::from_utf8(output.stderr).unwrap()
}

/// The tale that all of them tell, with who answers by turns.
const TALE: &str = "\
30 requests, round-robin:
  app01 10  app02 10  app03 10
app01 reports a load of 1000:
  app01 10  app02 10  app03 10
app02 is switched off:
  app01 15  app03 15
both are back:
  app01 10  app02 10  app03 10
";

/// What stands below the tale, line by line.
fn after_the_tale(said: &str) -> Vec<&str> {
    let rest = said.strip_prefix(TALE).unwrap_or_else(|| panic!("{said}"));
    rest.lines().collect()
}

/// Whether a line says that one backend answered all 30.
fn is_one(line: &str) -> bool {
    line.starts_with("  app0") && line.ends_with(" 30")
}

/// With a cookie, twice.
fn two_cookies(rest: &[&str]) {
    let [anna, one, bert, other] = rest else { panic!("{rest:?}") };
    assert_eq!([*anna, *bert], ["with the cookie farm=anna:", "with the cookie farm=bert:"]);
    assert!(is_one(one) && is_one(other), "{rest:?}");
}

#[test]
fn nginx() {
    let said = run("nginx");
    let rest = after_the_tale(&said);
    assert_eq!(rest[..2], ["over TCP:", "  app01 10  app02 10  app03 10"]);
    two_cookies(&rest[2..]);
}

#[test]
fn haproxy() {
    let said = run("haproxy");
    let rest = after_the_tale(&said);
    two_cookies(&rest[..4]);
    let slots = [
        "slots from SRV:",
        "  127.0.1.1 weight 255  127.0.1.2 weight 255  127.0.1.3 weight 255",
        "  app01 10  app02 10  app03 10",
        "app03 has half the weight, app02 is drained:",
        "  127.0.1.1 weight 255  127.0.1.3 weight 128",
        "  app01 20  app03 10",
    ];
    assert_eq!(rest[4..], slots);
}

#[test]
fn apache() {
    two_cookies(&after_the_tale(&run("apache")));
}

#[test]
fn caddy() {
    two_cookies(&after_the_tale(&run("caddy")));
}

#[test]
fn squid() {
    two_cookies(&after_the_tale(&run("squid")));
}

#[test]
fn resolvers() {
    let said = run("resolvers");
    let by_turns = "  127.0.1.1 10  127.0.1.2 10  127.0.1.3 10";
    let lines: Vec<&str> = said.lines().collect();
    let c_library = ["resolv.conf, the C library and curl:", "  app01 10  app02 10  app03 10"];
    assert_eq!(lines[..4], ["dnsmasq:", by_turns, "unbound:", by_turns]);
    assert_eq!(lines[4..6], c_library);
}
