//! Which number of a page is meant: `node_load1`, `sum(jvm_threads_current{pool="x"})`, `Active connections`,
//! `rate(Total Accesses)`, `queue.length`.
//!
//! A selector is read when the configuration is loaded, so that a misspelt one is found there and not on a page.

use std::fmt;

use super::super::plan::Format;

/// Which number of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// As it was written.
    text: String,
    /// Whether its growth a second is meant, and not itself.
    pub is_rate: bool,
    /// What to make of several; `None`: there must be one.
    pub fold: Option<Fold>,
    /// Where it stands.
    pub place: Place,
}

/// What to make of several numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// All of them together.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their mean.
    Average,
}

impl Fold {
    const WORDS: [(&'static str, Self); 4] =
        [("sum", Self::Sum), ("min", Self::Min), ("max", Self::Max), ("avg", Self::Average)];
}

/// Where a number stands, in the words of the page's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Prometheus: samples of this metric whose labels fit.
    Samples {
        /// The metric.
        name: String,
        /// What must hold of the labels; a label that is not there counts as empty.
        labels: Vec<Matcher>,
    },
    /// Apache: the line that begins with this and a colon.
    Line(String),
    /// nginx: this one of [`NGINX`], in its own letters.
    Column(&'static str),
    /// JSON: the value at the end of these steps.
    Steps(Vec<Step>),
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// Whether it must have the value, or must not.
    pub is: bool,
    /// The value.
    pub value: String,
}

/// One step into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The member of this name, or in an array the item of this number, from 0.
    Into(String),
    /// Every member or item.
    Each,
}

/// What stub_status tells; `request_time` is Tengine's.
pub const NGINX: [&str; 8] =
    ["Active connections", "accepts", "handled", "requests", "Reading", "Writing", "Waiting", "request_time"];

/// Most steps into JSON: as deep as it is read.
const MAX_STEPS: usize = 64;

impl Selector {
    /// Reads what somebody wrote about a page of this format: a place, as it is or in `sum(…)`, `min(…)`, `max(…)`,
    /// `avg(…)`, and around that `rate(…)`. Refuses the rest, and says what would be right.
    pub fn parse(format: Format, text: &str) -> Result<Self, String> {
        let inner = |text: &'_ str, function: &str| {
            let rest = text.strip_prefix(function)?.trim_start();
            Some(rest.strip_prefix('(')?.strip_suffix(')')?.trim().to_owned())
        };
        let whole = text.trim();
        let rated = inner(whole, "rate");
        let is_rate = rated.is_some();
        let mut rest = rated.unwrap_or_else(|| whole.to_owned());
        let folds = Fold::WORDS.iter().find_map(|(word, fold)| Some((*fold, inner(&rest, word)?)));
        let fold = folds.map(|(fold, inside)| {
            rest = inside;
            fold
        });
        if fold.is_some() && inner(&rest, "rate").is_some() {
            return Err(format!(
                "rate stands around the others: rate({})",
                text.replace("rate", "").replace("((", "(").replace("))", ")")
            ));
        }
        if rest.is_empty() {
            return Err("it names nothing".to_owned());
        }
        let place = match format {
            Format::Prometheus => samples(&rest)?,
            Format::Apache => line(&rest)?,
            Format::Nginx => column(&rest)?,
            Format::Json => steps(&rest)?,
        };
        if fold.is_some() && matches!(place, Place::Line(_) | Place::Column(_)) {
            return Err("such a page has each number once; leave the function out".to_owned());
        }
        Ok(Self { text: whole.to_owned(), is_rate, fold, place })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// `name`, or `name{label="value", other!="value"}`.
fn samples(text: &str) -> Result<Place, String> {
    let (name, mut rest) =
        text.split_once('{').map_or((text, None), |(name, rest)| (name.trim_end(), Some(rest)));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if name.is_empty() || !name.bytes().all(fits) || name.as_bytes()[0].is_ascii_digit() {
        return Err(format!("{name:?} is no name of a metric, such as node_load1"));
    }
    let mut labels = Vec::new();
    while let Some(list) = rest.map(str::trim_start) {
        if let Some(end) = list.strip_prefix('}') {
            if !end.trim().is_empty() {
                return Err(format!("{:?} stands after the labels", end.trim()));
            }
            break;
        }
        let (matcher, after) = matcher(list)?;
        labels.push(matcher);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => Some(more),
            None if after.starts_with('}') => Some(after),
            None => return Err("labels end with '}' and have commas between them".to_owned()),
        };
    }
    Ok(Place::Samples { name: name.to_owned(), labels })
}

/// `label="value"` or `label!="value"`, and what follows it.
fn matcher(text: &str) -> Result<(Matcher, &str), String> {
    const FORM: &str = "expected label=\"value\" or label!=\"value\"";
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let end = text.find(|character| !fits(character)).ok_or(FORM)?;
    let (label, rest) = text.split_at(end);
    let rest = rest.trim_start();
    if label.is_empty() || label.as_bytes()[0].is_ascii_digit() {
        return Err(FORM.to_owned());
    }
    if rest.starts_with("=~") || rest.starts_with("!~") {
        return Err(format!("{label}: patterns are not read here; {FORM}"));
    }
    let (is, rest) = match (rest.strip_prefix("!="), rest.strip_prefix('=')) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(format!("{label}: {FORM}")),
    };
    let quoted = rest.trim_start().strip_prefix('"').ok_or_else(|| format!("{label}: {FORM}"))?;
    let (value, rest) =
        super::prometheus::quoted(quoted).ok_or_else(|| format!("{label}: its value does not end"))?;
    Ok((Matcher { label: label.to_owned(), is, value: value.into_owned() }, rest))
}

/// What a line of mod_status begins with.
fn line(text: &str) -> Result<Place, String> {
    match text.strip_suffix(':').unwrap_or(text) {
        key if key.is_empty() || key.contains(": ") || key.contains(['\n', '\r']) => {
            Err(format!("{text:?} is not what a line begins with, such as BusyWorkers"))
        }
        key => Ok(Place::Line(key.to_owned())),
    }
}

/// A number of stub_status, in any letter case.
fn column(text: &str) -> Result<Place, String> {
    let found = NGINX.iter().find(|name| name.eq_ignore_ascii_case(text));
    let known = || NGINX.map(|name| format!("{name:?}")).join(", ");
    found
        .map(|name| Place::Column(name))
        .ok_or_else(|| format!("stub_status tells no {text:?}; it tells {}", known()))
}

/// `queue.length`, `pools.0.active`, `pools.*.active`, or a JSON pointer (RFC 6901) such as `/queue/length`.
fn steps(text: &str) -> Result<Place, String> {
    let steps: Vec<Step> = match text.strip_prefix('/') {
        Some(pointer) => {
            pointer.split('/').map(|step| Step::Into(step.replace("~1", "/").replace("~0", "~"))).collect()
        }
        None => {
            let step = |step: &str| if step == "*" { Step::Each } else { Step::Into(step.to_owned()) };
            text.strip_prefix("$.").unwrap_or(text).split('.').map(step).collect()
        }
    };
    if text.starts_with('/') || !steps.contains(&Step::Into(String::new())) {
        return if steps.len() <= MAX_STEPS {
            Ok(Place::Steps(steps))
        } else {
            Err(format!("expected at most {MAX_STEPS} steps, found {}", steps.len()))
        };
    }
    Err(format!("{text:?} is no way into JSON, such as queue.length, pools.*.active or /queue/length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(format: Format, text: &str) -> Place {
        Selector::parse(format, text).unwrap().place
    }

    fn refused(format: Format, text: &str) -> String {
        Selector::parse(format, text).unwrap_err()
    }

    #[test]
    fn metrics_have_labels() {
        let named = |name: &str| Place::Samples { name: name.to_owned(), labels: Vec::new() };
        assert_eq!(place(Format::Prometheus, "node_load1"), named("node_load1"));
        assert_eq!(place(Format::Prometheus, " a:b {} "), named("a:b"));
        let Place::Samples { labels, .. } =
            place(Format::Prometheus, r#"threads{pool="a \"b\"}", state != "idle",}"#)
        else {
            panic!("no samples");
        };
        let shown: Vec<_> = labels.iter().map(|it| (it.label.as_str(), it.is, it.value.as_str())).collect();
        assert_eq!(shown, [("pool", true, "a \"b\"}"), ("state", false, "idle")]);
        for bad in [
            "1x",
            "a-b",
            "a{",
            "a{b}",
            "a{b=c}",
            "a{b=\"c}",
            "a{b=\"c\"",
            "a{b=\"c\" d=\"e\"}",
            "a{}x",
            "{a=\"b\"}",
            "",
        ] {
            assert!(Selector::parse(Format::Prometheus, bad).is_err(), "{bad}");
        }
        assert!(refused(Format::Prometheus, "a{b=~\"c\"}").contains("patterns"));
    }

    #[test]
    fn functions_stand_around_places() {
        let selector =
            Selector::parse(Format::Prometheus, "rate( sum(http_requests_total{code=\"500\"}) )").unwrap();
        assert_eq!((selector.is_rate, selector.fold), (true, Some(Fold::Sum)));
        assert_eq!(selector.to_string(), "rate( sum(http_requests_total{code=\"500\"}) )");
        let selector = Selector::parse(Format::Apache, "rate(Total Accesses)").unwrap();
        assert_eq!((selector.is_rate, selector.place), (true, Place::Line("Total Accesses".into())));
        assert_eq!(
            refused(Format::Prometheus, "sum(rate(x))"),
            "rate stands around the others: rate(sum(x))"
        );
        assert!(refused(Format::Nginx, "sum(accepts)").contains("leave the function out"));
        assert!(Selector::parse(Format::Json, "rate()").is_err());
        // Not every bracket is a function.
        assert_eq!(place(Format::Apache, "Load (x)"), Place::Line("Load (x)".into()));
    }

    #[test]
    fn each_format_has_its_own_places() {
        assert_eq!(place(Format::Nginx, "active CONNECTIONS"), Place::Column("Active connections"));
        assert!(refused(Format::Nginx, "active").contains("it tells \"Active connections\", \"accepts\""));
        let into =
            |steps: &[&str]| Place::Steps(steps.iter().map(|step| Step::Into((*step).into())).collect());
        assert_eq!(place(Format::Json, "queue.length"), into(&["queue", "length"]));
        assert_eq!(place(Format::Json, "$.queue.0"), into(&["queue", "0"]));
        assert_eq!(place(Format::Json, "/a~1b/m~0n/"), into(&["a/b", "m~n", ""]));
        let each = Place::Steps(vec![Step::Into("pools".into()), Step::Each, Step::Into("active".into())]);
        assert_eq!(place(Format::Json, "pools.*.active"), each);
        assert!(Selector::parse(Format::Json, "a..b").is_err());
        assert!(Selector::parse(Format::Json, &"a.".repeat(70)).is_err());
        assert!(Selector::parse(Format::Apache, "a: b").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", format in prop::sample::select(Format::ALL.to_vec())) {
            let _ = Selector::parse(format, &text);
        }

        #[test]
        fn what_looks_like_a_selector_is_read_or_refused(
            text in r#"(rate\()?(sum\()?[a-z]{0,3}\{?([a-z]{0,2}!?=?~?"?[\\"a-z]{0,4}"?,?){0,3}\}?\)?\)?"#,
        ) {
            let _ = Selector::parse(Format::Prometheus, &text);
        }
    }
}
