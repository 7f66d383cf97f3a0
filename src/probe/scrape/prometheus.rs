//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, as far as single samples are concerned: `name{label="value"} 1 [time]`.
//!
//! A page is read once from top to bottom, whatever is wanted of it. Lines of other metrics are passed over unread, so that
//! one odd line of an exporter does not cost the others; a line that is wanted must be right.

use std::borrow::Cow;

use super::found::Found;
use super::selector::{Matcher, Place, Selector};
use super::{Nonsense, shown};

/// What the samples come to that these selectors name, in their order.
pub fn read<'s>(page: &str, selectors: impl Iterator<Item = &'s Selector>) -> Result<Vec<f64>, Nonsense> {
    let mut wanted: Vec<(&Selector, &str, &[Matcher], Found)> = selectors
        .filter_map(|selector| match &selector.place {
            Place::Samples { name, labels } => {
                Some((selector, name.as_str(), labels.as_slice(), Found::default()))
            }
            _ => None,
        })
        .collect();
    for (number, line) in page.lines().enumerate() {
        let line = line.trim_start();
        let end = line.find(['{', ' ', '\t']).unwrap_or(line.len());
        let name = &line[..end];
        if name.starts_with('#') || !wanted.iter().any(|(_, wanted, ..)| *wanted == name) {
            continue;
        }
        let wrong = |why: &str| Nonsense::Line(number + 1, format!("{why}: {}", shown(line)));
        let (labels, rest) = match line[end..].trim_start().strip_prefix('{') {
            Some(list) => labels(list).ok_or_else(|| wrong("its labels cannot be read"))?,
            None => (Vec::new(), &line[end..]),
        };
        let value = rest.split_whitespace().next().and_then(number_of).ok_or_else(|| wrong("no number"))?;
        for (_, wanted, matchers, found) in &mut wanted {
            if *wanted == name && matchers.iter().all(|matcher| fits(matcher, &labels)) {
                found.add(value);
            }
        }
    }
    wanted.into_iter().map(|(selector, .., found)| found.settle(selector)).collect()
}

/// A value as these formats write them; may be infinite or no number.
fn number_of(text: &str) -> Option<f64> {
    // Rust reads more words than they write.
    let first = text.trim_start_matches(['+', '-']).bytes().next()?;
    (first.is_ascii_digit() || first == b'.' || matches!(text, "NaN" | "+Inf" | "-Inf" | "Inf"))
        .then(|| text.parse().ok())?
}

/// A label and its value.
type Label<'p> = (&'p str, Cow<'p, str>);

fn fits(matcher: &Matcher, labels: &[Label<'_>]) -> bool {
    let value = labels.iter().find(|(label, _)| *label == matcher.label).map_or("", |(_, value)| value);
    (value == matcher.value) == matcher.is
}

/// Labels from behind `{`, and what follows `}`.
fn labels(mut text: &str) -> Option<(Vec<Label<'_>>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (label, rest) = text.split_once('=')?;
        let (value, rest) = quoted(rest.trim_start().strip_prefix('"')?)?;
        labels.push((label.trim_end(), value));
        let rest = rest.trim_start();
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A value from behind its opening quotation mark, and what follows the closing one. `\\`, `\"` and `\n` are escapes.
pub fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut plain: Option<String> = None;
    let mut from = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                let last = &text[from..at];
                let value = match plain {
                    Some(plain) => Cow::Owned(plain + last),
                    None => Cow::Borrowed(last),
                };
                return Some((value, &text[at + 1..]));
            }
            b'\\' => {
                let escaped = match bytes.get(at + 1)? {
                    b'n' => '\n',
                    b'"' => '"',
                    b'\\' => '\\',
                    _ => return None,
                };
                let plain = plain.get_or_insert_default();
                plain.push_str(&text[from..at]);
                plain.push(escaped);
                at += 2;
                from = at;
            }
            _ => at += 1,
        }
    }
}
