//! A writer of Prometheus' text format 0.0.4 and of OpenMetrics 1.0, which differ in how counters are declared and in
//! the last line.
//!
//! Why not a client library: those keep values of their own and collect them when asked. Ours live in the engine and in
//! the counters, and are read once a scrape; what is left to do is to write lines. `prometheus-client` writes only
//! OpenMetrics, and its custom collectors would need each family twice, once to describe and once to encode.

use std::fmt::{Display, Write as _};

/// Which text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Dialect {
    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text as it grows, family by family.
#[derive(Debug)]
pub struct Exposition {
    text: String,
    dialect: Dialect,
}

/// The family that is being written.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    suffix: &'static str,
}

impl Exposition {
    /// An empty one.
    pub fn new(dialect: Dialect) -> Self {
        Self { text: String::new(), dialect }
    }

    /// Begins a family of numbers that go up and down. `help` is one line.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        Family { text: &mut self.text, name, suffix: "" }
    }

    /// Begins a family of numbers that only grow. `name` is without `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        let declared = if self.dialect == Dialect::Prometheus { "_total" } else { "" };
        let _ = write!(self.text, "# HELP {name}{declared} {help}\n# TYPE {name}{declared} counter\n");
        Family { text: &mut self.text, name, suffix: "_total" }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Writes a sample. Values of labels may be any text. A number that is not finite prints as both formats want it.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(self.suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(value, self.text);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// Writes one sample for each of `all`, 1 for the one that holds and 0 for the others.
    pub fn one_of(&mut self, labels: &[(&str, &str)], label: &str, all: &[&str], holds: &str) {
        let mut labels = labels.to_vec();
        for state in all {
            labels.push((label, state));
            self.sample(&labels, u8::from(*state == holds));
            labels.pop();
        }
    }
}

/// Both formats escape the same three characters in label values.
fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dialect: Dialect) -> String {
        let mut exposition = Exposition::new(dialect);
        exposition.gauge("athena_load", "Load.").sample(&[], 0.5).sample(&[("name", "a\"b\\c\nd")], 7);
        exposition.counter("athena_answers", "Answers.").sample(&[("farm", "one"), ("kind", "x")], 3);
        exposition.gauge("athena_state", "State.").one_of(&[("farm", "one")], "state", &["on", "off"], "off");
        exposition.finish()
    }

    #[test]
    fn prometheus_declares_a_counter_by_its_whole_name() {
        insta::assert_snapshot!(write(Dialect::Prometheus), @r#"
        # HELP athena_load Load.
        # TYPE athena_load gauge
        athena_load 0.5
        athena_load{name="a\"b\\c\nd"} 7
        # HELP athena_answers_total Answers.
        # TYPE athena_answers_total counter
        athena_answers_total{farm="one",kind="x"} 3
        # HELP athena_state State.
        # TYPE athena_state gauge
        athena_state{farm="one",state="on"} 0
        athena_state{farm="one",state="off"} 1
        "#);
    }

    #[test]
    fn openmetrics_declares_it_without_its_suffix_and_says_where_it_ends() {
        let text = write(Dialect::OpenMetrics);
        assert!(text.contains("# TYPE athena_answers counter\nathena_answers_total{"), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
    }
}
