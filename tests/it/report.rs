//! `athena report --every`, and every example of a reporter, against a real Athena: what they are run with, what arrives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use athena::config;

use crate::cli::{athena as program, told};
use crate::harness::{Athena, until};
use crate::proxies::Place;

const ONE: &str =
    "[backends]\napp01 = { address = \"10.0.0.1\" }\n[farms]\nfarm_one = { members = [\"app01\"] }\n";

/// A reporter that runs until it is told to stop.
struct Reporter {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Reporter {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn();
        Self { child: child.unwrap(), log, _folder: folder }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Stops it as systemd would; gives its exit code, if it was not the signal itself that ended it, and all that it said.
    fn stop(&mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        (self.child.wait().unwrap().code(), self.said())
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reporter(server: SocketAddr, arguments: &[&str]) -> Reporter {
    let mut command = program();
    command.args(["report"]).args(arguments).env("ATHENA_SERVER", format!("http://{server}"));
    Reporter::start(command)
}

/// A sample of `/metrics`.
fn counted(athena: &Athena, sample: &str) -> u64 {
    let (_, text) = athena.get("/metrics");
    let value =
        text.lines().find_map(|line| line.strip_prefix(sample)).and_then(|rest| rest.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

fn reports(athena: &Athena) -> u64 {
    counted(athena, "athena_backend_reports_total{backend=\"app01\"}")
}

#[test]
fn the_same_values_go_over_one_connection_until_the_farewell() {
    let athena = Athena::start(ONE);
    let arguments =
        ["app01", "l=0.5", "queue=3", "--every", "100ms", "--final", "i=out", "--final", "queue=0"];
    let mut reporter = reporter(athena.http, &arguments);
    let mut asked = 0;
    until("five reports", || {
        asked += 1;
        reports(&athena) >= 5
    });
    assert_eq!(counted(&athena, "athena_http_connections_total{outcome=\"accepted\"}"), asked + 2);
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=%i:%l:%{queue}"), "in:0.5:3\n");
    let (code, said) = reporter.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said, format!("athena: app01 is reported to http://{} every 0.1 s\n", athena.http));
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=%i:%l:%{queue}"), "out:0.5:0\n");
}

#[test]
fn this_machine_is_reported_in_numbers_that_make_sense() {
    let athena = Athena::start(ONE);
    let mut reporter = reporter(athena.http, &["app01", "--system", "--every", "100ms", "queue=2"]);
    until("three reports", || reports(&athena) >= 3);
    let seen = athena.tell("/ath/status/phys/?h=app01,f=%l %u %c %{mem} %{run} %{cores} %{queue}");
    let numbers: Vec<f64> = seen.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [load, utilisation, connections, memory, running, cores, queue] = numbers[..] else {
        panic!("{seen}")
    };
    assert!(load >= 0.0 && running >= 0.0 && cores >= 1.0 && queue == 2.0, "{seen}");
    assert!((0.0..=1.0).contains(&utilisation) && memory > 0.0 && memory < 1.0, "{seen}");
    assert!(connections >= 1.0, "the reporter's own at least: {seen}");
    assert_eq!(reporter.stop().0, Some(0));
    // Once, like any report.
    let (code, out, err) = told(
        program()
            .args(["report", "app01", "--system", "--server", &athena.http.to_string()])
            .output()
            .unwrap(),
    );
    assert_eq!((code, out.as_str(), err.as_str()), (0, "ok\n", ""));
}

#[test]
fn an_athena_that_is_away_or_refuses_is_asked_again_and_said_once() {
    // An address of its own, so that nobody else takes the port while nobody listens.
    let place = Place::new();
    let server = place.at(8053);
    let (url, one) = (format!("http://{server}"), format!("http.listen = [\"{server}\"]\n{ONE}"));
    let mut athena = Athena::start(&one.replace("app01", "app02"));
    let mut reporter = reporter(server, &["app01", "l=1", "--every", "100ms"]);
    let refused = "athena: report of app01: unknown backend: app01; goes on trying\n";
    until("it is refused", || reporter.said() == refused);
    until("and again", || counted(&athena, "athena_updates_refused_total") >= 3);
    athena.reload(&one).unwrap();
    until("it is taken", || reports(&athena) >= 2);
    let taken = format!("athena: app01 is reported to {url} every 0.1 s\n");
    assert_eq!(reporter.said(), format!("{refused}{taken}"));

    athena.stop();
    until("it is away", || reporter.said().lines().count() == 3);
    let away = reporter.said();
    let away = away.lines().last().unwrap();
    assert!(away.starts_with(&format!("athena: report of app01: cannot reach {url}: ")), "{away}");
    drop(athena);
    let athena = Athena::start(&one);
    until("it is taken again", || reports(&athena) >= 2);
    let (code, said) = reporter.stop();
    assert_eq!((code, said), (Some(0), format!("{refused}{taken}{away}\n{taken}")));
}

#[test]
fn wrong_use_ends_at_once() {
    for (arguments, why) in [
        (&["app01", "--every", "2s"][..], "<NAME=VALUE>"),
        (&["app01", "l=1", "--every", "2"], "expected a span from 100ms to 24h"),
        (&["app01", "c=+1", "--every", "2s"], "c=+1 adds to what was reported"),
        (&["app01", "l=1", "--final", "i=out"], "--every"),
        (&["app01", "l=1", "--every", "2s", "--server", "ftp://x"], "ftp is not spoken here"),
    ] {
        let (code, out, err) = told(program().arg("report").args(arguments).output().unwrap());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(why), "{err}");
    }
}

/// A file of the examples.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/reports").join(name)
}

/// The command that runs an example for app01 with this key; `None`, said loudly, where its interpreter is not installed.
fn interpreted(interpreter: &str, name: &str, athena: &Athena, key: &str) -> Option<Command> {
    let version = if interpreter == "java" { "-version" } else { "--version" };
    let is_there =
        Command::new(interpreter).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // Every POSIX shell is a shell, although some know no --version.
    if is_there.is_err() && interpreter != "sh" {
        eprintln!("SKIPPED: {interpreter} is not installed, so examples/reports/{name} was not run");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(example(name)).arg("app01");
    command.env("ATHENA_SERVER", format!("http://{}/", athena.http)).env("ATHENA_KEY", key);
    Some(command)
}

const KEYED: &str = "[access]\nupdate_key = \"hush,s3cret\"\n";

/// Runs an example until it has reported twice; gives what arrived in `format`, and what it says when it stops.
fn arrived(interpreter: &str, name: &str, format: &str) -> Option<(String, Athena)> {
    let athena = Athena::start(&format!("{ONE}{KEYED}"));
    let mut command = interpreted(interpreter, name, &athena, "hush,s3cret")?;
    let mut reporter = Reporter::start({
        command.arg("0.1");
        command
    });
    until(&format!("two reports of {name}"), || reports(&athena) >= 2);
    let seen = athena.tell(&format!("/ath/status/phys/?h=app01,f={format}"));
    let (_, said) = reporter.stop();
    assert_eq!(said, "", "{name}");

    // With another key it is refused, says why once, and goes on.
    let before = reports(&athena);
    let mut command = interpreted(interpreter, name, &athena, "wrong")?;
    let mut reporter = Reporter::start({
        command.arg("0.1");
        command
    });
    let refused = "athena_http_refused_total{reason=\"forbidden\"}";
    until(&format!("refusals of {name}"), || counted(&athena, refused) >= 2);
    until("it says so", || reporter.said().contains("update access is not allowed with this key"));
    let (_, said) = reporter.stop();
    assert_eq!((said.lines().count(), reports(&athena)), (1, before), "{said}");
    Some((seen, athena))
}

fn numbers(seen: &str) -> Vec<f64> {
    seen.split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{seen}"))).collect()
}

#[test]
fn the_example_in_python_reports() {
    let Some((seen, athena)) = arrived("python3", "report.py", "%l %n %{queue}") else { return };
    let seen = numbers(&seen);
    assert!(seen[0] >= 0.0 && seen[1] >= 14.0 && seen[2] >= 1.0, "{seen:?}");
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=%i"), "out\n", "it says farewell");
}

#[test]
fn the_example_in_php_reports() {
    let Some((seen, athena)) = arrived("php", "report.php", "%l") else { return };
    assert!(numbers(&seen)[0] >= 0.0);
    let mut once = interpreted("php", "report.php", &athena, "hush,s3cret").unwrap();
    assert_eq!(told(once.arg("0").output().unwrap()), (0, String::new(), String::new()));
}

#[test]
fn the_example_in_node_reports() {
    let Some((seen, athena)) = arrived("node", "report.mjs", "%u %{lag} %n %r") else { return };
    let seen = numbers(&seen);
    assert!(
        (0.0..=1.0).contains(&seen[0]) && seen[1] >= 0.0 && seen[2] >= 14.0 && seen[3] == 1.0,
        "{seen:?}"
    );
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=%i"), "out\n", "it says farewell");
}

#[test]
fn the_example_in_java_reports() {
    let format = "%l %u %{heap} %{threads} %{queue}";
    let Some((seen, athena)) = arrived("java", "Report.java", format) else { return };
    let seen = numbers(&seen);
    assert!(seen[..3].iter().all(|value| *value >= 0.0) && seen[3] >= 2.0 && seen[4] == 3.0, "{seen:?}");
    assert_eq!(athena.tell("/ath/status/phys/?h=app01,f=%i"), "out\n", "it says farewell");
}

#[test]
fn the_example_for_cron_reports_once_and_says_why_not() {
    let mut athena = Athena::start(&format!("{ONE}{KEYED}"));
    let run = |athena: &Athena, key: &str, more: &[&str]| {
        told(interpreted("sh", "report.sh", athena, key).unwrap().args(more).output().unwrap())
    };
    assert_eq!(run(&athena, "hush,s3cret", &["queue=17"]), (0, String::new(), String::new()));
    let seen = numbers(&athena.tell("/ath/status/phys/?h=app01,f=%l %c %{mem} %{queue}"));
    assert!(seen[0] >= 0.0 && seen[1] >= 0.0 && (0.0..1.0).contains(&seen[2]) && seen[3] == 17.0, "{seen:?}");
    let url = format!("http://{}", athena.http);
    let (code, _, said) = run(&athena, "wrong", &[]);
    assert_eq!(
        (code, said),
        (1, format!("report.sh: {url}: h: update access is not allowed with this key\n"))
    );
    let (code, _, said) = run(&athena, "", &[]);
    assert_eq!((code, said), (1, format!("report.sh: {url}: h: update access needs a key\n")));
    athena.stop();
    let (code, _, said) = run(&athena, "", &[]);
    assert!(code == 1 && said.starts_with("curl: (7)"), "{said}");
}

#[test]
fn units_and_tables_of_the_examples_agree_with_what_is_there() {
    let text = |name: &str| std::fs::read_to_string(example(name)).unwrap();
    let readme = text("README.md");
    for entry in std::fs::read_dir(example("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || readme.contains(&format!("[{name}]({name})")),
            "{name} is in no table"
        );
    }
    let toml = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athena.toml");
    std::fs::write(&file, toml).unwrap();
    config::load(Some(&file), &[]).unwrap_or_else(|problems| panic!("{problems}"));
    // The command line that a unit starts is one of ours.
    let unit = text("athena-reporter.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/athena ")).unwrap();
    let arguments: Vec<&str> =
        start.split_whitespace().map(|word| if word == "%l" { "app01" } else { word }).collect();
    let athena = Athena::start(ONE);
    let mut command = program();
    command.args(arguments).env("ATHENA_SERVER", format!("http://{}", athena.http));
    let mut reporter = Reporter::start(command);
    until("a report", || reports(&athena) >= 1);
    assert_eq!(reporter.stop().0, Some(0));
    for name in ["athena-report.service", "athena-report.timer", "athena-reporter.service"] {
        let sections = text(name).lines().filter(|line| line.starts_with('[')).count();
        assert!(sections >= 2, "{name}");
    }
}
