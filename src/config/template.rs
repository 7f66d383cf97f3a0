//! `athena config`: a commented file with every key and its default, out of the table in `keys.rs`.

use std::fmt::Write as _;

use super::keys::{Default, Key, SECTIONS, Section};
use crate::balance::algorithm::ALGORITHMS;

/// Widest line of a comment.
const WIDTH: usize = 100;

const HEAD: &str = "Athena's configuration: every key. A line that begins with # and a key shows its default, or an \
                    example where there is none. Durations are 500ms, 15s, 2m, 1h. Relative file names start at this \
                    file's folder. Every key can come from the environment too: ATHENA_HTTP__PATH=/lb is path in \
                    [http], and wins.";

/// The commented file. It can be loaded as it is, and with every key uncommented.
pub fn template() -> String {
    let mut text = String::new();
    comment(&mut text, HEAD);
    for section in SECTIONS {
        let optional = matches!(section.path, ["zones", _] | ["backends", "*", _]);
        text.push('\n');
        if !section.about.is_empty() {
            comment(&mut text, section.about);
        }
        if !section.header.is_empty() {
            let mark = if optional { "#" } else { "" };
            let _ = writeln!(text, "{mark}{}", section.header);
        }
        if let ["backend_defaults", _] = section.path {
            let _ = writeln!(text, "#interval = \"5s\"");
            continue;
        }
        if section.path == ["farm_defaults"] {
            let _ = writeln!(text, "#expect_update = \"15s\"");
            continue;
        }
        for key in section.keys {
            line(&mut text, section, key, optional);
        }
    }
    text
}

fn line(text: &mut String, section: &Section, key: &Key, optional: bool) {
    comment(text, key.about);
    if key.name == "algorithm" {
        for spec in ALGORITHMS {
            let _ = writeln!(text, "#   {:<14} {}", spec.name, spec.summary);
        }
    }
    let (mark, value) = match key.default {
        Default::Required(example) => (if optional { "#" } else { "" }, example.to_owned()),
        Default::Nothing(example) => ("#", example.to_owned()),
        default => ("#", default.toml().unwrap_or_default()),
    };
    let _ = writeln!(text, "{mark}{} = {value}", key.name);
    let last = section.keys.last().is_some_and(|last| last.name == key.name);
    if !last && section.path.is_empty() {
        text.push('\n');
    }
}

/// A text as comment lines.
fn comment(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split_whitespace() {
        if column == 0 || column + word.len() >= WIDTH {
            text.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        let _ = write!(text, " {word}");
        column += word.len() + 1;
    }
    text.push('\n');
}
