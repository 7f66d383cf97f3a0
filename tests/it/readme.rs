//! Whatever README.md shows is true: its configuration loads, its tour is taken, its tables say what the code says, its
//! links lead somewhere. The examples' own files are loaded as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use athena::balance::algorithm::ALGORITHMS;
use athena::config;

use crate::harness::Athena;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The blocks of one language, each with the text that stands in it.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(named)) => open = Some((named == language, String::new())),
            (Some(_), Some(_)) => {
                let (wanted, block) = open.take().unwrap();
                if wanted {
                    found.push(block);
                }
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn its_configurations_load() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("zones")).unwrap();
    std::fs::copy(root().join("zones/athena.zone"), folder.path().join("zones/athena.zone")).unwrap();
    let blocks = blocks(&readme(), "toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = folder.path().join("athena.toml");
        std::fs::write(&file, &block).unwrap();
        config::load(Some(&file), &[]).unwrap_or_else(|problems| panic!("{problems}\n{block}"));
    }
}

/// Digits and what they count differ from run to run; what stands between them does not.
fn masked(text: &str) -> String {
    let mut shown = String::new();
    for character in text.trim_end().chars() {
        match (character.is_ascii_digit(), shown.ends_with('#')) {
            (true, true) => {}
            (true, false) => shown.push('#'),
            (false, _) => shown.push(character),
        }
    }
    let squeezed: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    squeezed.join("\n")
}

/// The tour is taken against the demonstration's own farm, on other ports: every command succeeds, and answers what is
/// printed below it but for numbers.
#[test]
fn its_tour_is_taken() {
    let backends: String = (1..=3)
        .map(|index| format!("app0{index} = {{ address = \"127.0.1.{index}\", port = 8000 }}\n"))
        .collect();
    let athena = Athena::start(&format!(
        "[backends]\n{backends}[farms.farm_one]\nmembers = [\"app01\", \"app02\", \"app03\"]\n"
    ));
    let tours = blocks(&readme(), "console");
    assert!(!tours.is_empty(), "README.md has a tour");
    let mut steps = Vec::new();
    for line in tours.iter().flat_map(|tour| tour.lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command.to_owned(), String::new())),
            None => {
                let (_, output) = steps.last_mut().expect("a tour begins with a command");
                output.push_str(line);
                output.push('\n');
            }
        }
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_athena"));
    for (command, expected) in steps {
        let here = command
            .replace("-p 5300", &format!("-p {}", athena.dns.port()))
            .replace("127.0.0.1:8053", &athena.http.to_string())
            .replace("target/release/athena", program.to_str().unwrap());
        let output = Command::new("sh")
            .args(["-c", &here])
            .env("ATHENA_SERVER", format!("http://{}", athena.http))
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(masked(&said), masked(&expected), "$ {command}\n{said}");
    }
}

#[test]
fn its_table_of_rules_is_the_code_s() {
    let readme = readme();
    let rows: Vec<&str> =
        readme.lines().skip_while(|line| *line != "| rule | what it does | from |").skip(2).collect();
    let rows: Vec<&str> = rows.into_iter().take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = ALGORITHMS
        .iter()
        .map(|spec| format!("| `{}` | {} | {} |", spec.name, spec.summary, spec.source))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn its_links_lead_somewhere() {
    for page in ["README.md", "examples/README.md", "examples/reports/README.md", "tests/bench/README.md"] {
        let (text, folder) = (std::fs::read_to_string(root().join(page)).unwrap(), root().join(page));
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            assert!(folder.with_file_name(target).exists(), "{page} links to {target}");
        }
    }
}

#[test]
fn its_two_commands_are_there_and_the_gate_runs_the_second() {
    let commands = blocks(&readme(), "sh");
    assert_eq!(commands[0].trim(), "cargo run --release");
    assert_eq!(commands[1].trim(), "tests/run");
    assert!(root().join("tests/run").exists());
}
