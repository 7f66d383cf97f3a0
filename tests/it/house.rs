//! The rules of the house (`src/lib.rs` draws it), held by walking the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `folder`, with its path relative to the crate.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let read =
        |path: PathBuf| (path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The code of a file: without comments, and without its tests at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "battery")
}

/// Complains about every line of `folder` that names one of `words`.
fn forbid(folder: &str, but: &[&str], words: &[&str], why: &str) {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        if is_test_file(&path) || but.iter().any(|allowed| path == Path::new(allowed)) {
            continue;
        }
        for (number, line) in code(&text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{number} names {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let shells = [
        "crate::dns",
        "crate::http",
        "crate::config",
        "crate::app",
        "crate::cli",
        "crate::metrics",
        "crate::probe",
    ];
    forbid("src/balance", &[], &shells, "balance knows nobody");
    let edges =
        ["std::net::Udp", "std::net::Tcp", "std::fs", "std::process", "std::thread", "std::env", "println!"];
    forbid("src/balance", &[], &edges, "balance does no input and no output");
    let crates = ["tokio", "hickory", "axum", "serde", "tracing", "figment"];
    forbid("src/balance", &[], &crates, "balance imports std, arc-swap, thiserror and the formula's parser");
}

#[test]
fn the_shells_never_meet() {
    let others = ["crate::config", "crate::app", "crate::cli", "crate::simulate"];
    forbid(
        "src/dns",
        &[],
        &[&["crate::http", "crate::probe"][..], &others].concat(),
        "dns imports balance, metrics, clock and tls",
    );
    forbid(
        "src/http",
        &[],
        &[&["crate::dns", "crate::probe"][..], &others].concat(),
        "http imports balance, metrics, clock and tls",
    );
    let all = ["crate::dns", "crate::http", "crate::app", "crate::cli", "crate::metrics"];
    forbid("src/config", &[], &all, "config imports balance, and what probes are told");
    let shells = [&["crate::dns", "crate::http", "crate::mirror"][..], &others].concat();
    forbid("src/probe", &[], &shells, "probe imports balance, metrics, clock, fetch and tls");
    for folder in ["src/dns", "src/http", "src/config", "src/balance"] {
        forbid(folder, &[], &["crate::app"], "nobody imports app but the command line");
    }
}

#[test]
fn libraries_that_move_are_kept_in_one_place() {
    for folder in ["src/balance", "src/http", "src/config", "src/cli"] {
        forbid(folder, &[], &["hickory"], "hickory lives in dns");
    }
    forbid(
        "src/dns",
        &[
            "src/dns/handler/exchange.rs",
            "src/dns/message.rs",
            "src/dns/forward/upstreams.rs",
            "src/dns/forward/answer.rs",
        ],
        &["hickory_server"],
        "its traits change between releases",
    );
    for folder in ["src/balance", "src/dns", "src/http", "src/cli"] {
        forbid(folder, &[], &["figment"], "figment lives in config/file.rs");
    }
    forbid("src/config", &["src/config/file.rs"], &["figment::"], "figment lives in config/file.rs");
}

#[test]
fn only_the_edges_ask_for_the_time() {
    let clocks = ["Instant::now", "SystemTime::now", "Utc::now"];
    forbid("src", &["src/clock.rs"], &clocks, "time is an argument; clock.rs is where it comes from");
}

#[test]
fn every_module_opens_with_what_it_is_for_and_stays_small() {
    for (path, text) in sources("src") {
        let shown = path.display();
        assert!(text.starts_with("//!"), "{shown} does not open with what it is for");
        if is_test_file(&path) {
            continue;
        }
        let lines = code(&text).count();
        assert!(lines <= 400, "{shown} has {lines} lines without tests: is there a second room in it?");
    }
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 60, "main.rs has a second job");
}

#[test]
fn each_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut before = "";
    let mut silent = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.contains('=') && !line.starts_with(['#', ' ']) {
            let says = line.contains('#') || before.starts_with('#');
            if !says {
                silent.push(line);
            }
        }
        before = line;
    }
    assert!(silent.is_empty(), "no reason given for {silent:?}");
}
