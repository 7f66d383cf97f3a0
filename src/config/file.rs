//! What the user typed: the layers (built-in defaults, file, environment, flags) merged by figment, every value with the
//! layer that it came from. Nothing is judged here but syntax; `check/` does that.
//!
//! Values are not deserialized into structs of serde's: serde stops at the first value of a wrong type, and we owe the
//! user all of them, each with its place. So `check/` walks [`Node`]s.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::document::{self, Document};
use super::given::Given;
use super::keys::{self, Kind, SECTIONS};
use super::path::{Path, Step};
use super::problem::{Place, Problem};

/// The name of the first layer.
const BUILT_IN: &str = "built in";

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Text {
    /// Its name, as people gave it.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
}

impl Text {
    /// Reads a file; gives the problem if that fails.
    pub fn read(path: &FilePath) -> Result<Self, Problem> {
        let problem = |text: String| Problem {
            place: Place::File { path: path.to_owned(), line: 0, column: 0 },
            key: String::new(),
            text,
        };
        let bytes = std::fs::read(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            problem(format!("line {line} is not UTF-8 text"))
        })?;
        Ok(Self { path: path.to_owned(), text })
    }
}

/// One source of values. figment asks for them once and gets them as they are: a configuration may be large.
struct Layer {
    name: String,
    file: Option<PathBuf>,
    dict: RefCell<Dict>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let metadata = Metadata::named(self.name.clone());
        match &self.file {
            Some(path) => metadata.source(path.as_path()),
            None => metadata,
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.take()))
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The built-in defaults.
    BuiltIn,
    /// The file.
    File(&'a FilePath),
    /// The environment variable or flag of this name.
    Given(&'a str),
}

/// All layers, merged.
pub struct Typed {
    root: Value,
    /// Where values with these tags came from.
    origins: BTreeMap<Tag, Metadata>,
    file: Text,
    /// What was found to be wrong on the way.
    pub noted: Vec<Problem>,
}

impl Typed {
    /// Merges the layers; gives the problems of syntax instead if there are any.
    pub fn merge(file: Text, given: &[Given]) -> Result<Self, Vec<Problem>> {
        let mut figment = Figment::from(Layer { name: BUILT_IN.into(), file: None, dict: defaults().into() });
        let Text { path, text } = &file;
        let mut noted = Vec::new();
        // The document is dropped before the layers are merged: of a large configuration it is a large part.
        let dict = {
            let document = Document::parse(path, text)?;
            lower_names(dict(document.table()), path, &document, &mut noted)
        };
        figment = figment.merge(Layer {
            name: path.display().to_string(),
            file: Some(path.clone()),
            dict: dict.into(),
        });
        for given in given {
            figment =
                figment.merge(Layer { name: given.name.clone(), file: None, dict: nested(given).into() });
        }
        let unmerged = |error: figment::Error| {
            let place = Place::BuiltIn;
            vec![Problem { place, key: String::new(), text: error.to_string() }]
        };
        let root = figment.find_value("").map_err(unmerged)?;
        let mut tags = BTreeSet::new();
        let mut last = Tag::Default;
        collect_tags(&root, &mut last, &mut tags);
        let origin = |tag: Tag| figment.get_metadata(tag).map(|metadata| (tag, metadata.clone()));
        let origins = tags.into_iter().filter_map(origin).collect();
        Ok(Self { root, origins, file, noted })
    }

    /// The top.
    pub fn root(&self) -> Node<'_> {
        Node { typed: self, value: &self.root, path: Path::default() }
    }

    /// The text of the file parsed once more, for places.
    pub fn document(&self) -> Option<(&FilePath, Document<'_>)> {
        let Text { path, text } = &self.file;
        Document::parse(path, text).ok().map(|document| (path.as_path(), document))
    }

    fn origin(&self, tag: Tag) -> Origin<'_> {
        match self.origins.get(&tag) {
            Some(metadata) if metadata.source.is_some() => Origin::File(&self.file.path),
            Some(metadata) if metadata.name == BUILT_IN => Origin::BuiltIn,
            Some(metadata) => Origin::Given(&metadata.name),
            None => Origin::BuiltIn,
        }
    }
}

/// What a value is, as far as TOML tells things apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape<'a> {
    /// A string.
    Text(&'a str),
    /// An integer.
    Whole(i128),
    /// A number with a fraction, or too large.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list of so many items.
    List(usize),
    /// A table.
    Table,
}

/// A value, with its path and its origin.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    typed: &'a Typed,
    value: &'a Value,
    /// How it was reached.
    pub path: Path<'a>,
}

impl<'a> Node<'a> {
    /// What it is.
    pub fn shape(&self) -> Shape<'a> {
        match self.value {
            Value::String(_, text) => Shape::Text(text),
            Value::Bool(_, flag) => Shape::Flag(*flag),
            Value::Num(_, Num::F64(number)) => Shape::Number(*number),
            Value::Num(_, number) => Shape::Whole(whole(*number)),
            Value::Array(_, items) => Shape::List(items.len()),
            Value::Dict(..) => Shape::Table,
            // No layer makes these.
            Value::Char(..) | Value::Empty(..) => Shape::Text(""),
        }
    }

    /// Where it came from. A table that several layers filled came from the last of them.
    pub fn origin(&self) -> Origin<'a> {
        self.typed.origin(self.value.tag())
    }

    /// The value of this key, if this is a table that has it.
    pub fn get(&self, key: &'a str) -> Option<Self> {
        let Value::Dict(_, dict) = self.value else { return None };
        dict.get(key).map(|value| self.below(value, Step::Key(key)))
    }

    /// Its keys and their values, in alphabetical order; nothing if it is no table.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let node = *self;
        let dict = match self.value {
            Value::Dict(_, dict) => Some(dict),
            _ => None,
        };
        dict.into_iter().flatten().map(move |(key, value)| (key.as_str(), node.below(value, Step::Key(key))))
    }

    /// Its items; a value that is no list is the only item of one.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let node = *self;
        let (items, single) = match self.value {
            Value::Array(_, items) => (items.as_slice(), None),
            _ => (&[][..], Some(node)),
        };
        let below = move |(place, value)| node.below(value, Step::Item(place));
        items.iter().enumerate().map(below).chain(single)
    }

    fn below(&self, value: &'a Value, step: Step<'a>) -> Self {
        Self { value, path: self.path.then(step), ..*self }
    }
}

/// The tags of a value and of all below it; `last` is the one met last, and there are few.
fn collect_tags(value: &Value, last: &mut Tag, tags: &mut BTreeSet<Tag>) {
    if *last != value.tag() {
        *last = value.tag();
        tags.insert(*last);
    }
    match value {
        Value::Dict(_, dict) => dict.values().for_each(|value| collect_tags(value, last, tags)),
        Value::Array(_, items) => items.iter().for_each(|value| collect_tags(value, last, tags)),
        _ => {}
    }
}

fn whole(number: Num) -> i128 {
    match number {
        Num::U128(large) => i128::try_from(large).unwrap_or(i128::MAX),
        other => {
            let unsigned = other.to_u128().and_then(|number| i128::try_from(number).ok());
            other.to_i128().or(unsigned).unwrap_or(i128::MAX)
        }
    }
}

/// The built-in layer: every default of a section that is not named by people. A farm's defaults are those of
/// `farm_defaults`.
fn defaults() -> Dict {
    let mut root = Dict::new();
    for section in SECTIONS.iter().filter(|section| !keys::is_named(section)) {
        for key in section.keys {
            let Some(toml) = key.default.toml() else { continue };
            if let Some(value) = document::value(&toml) {
                let steps: Vec<&str> = section.path.iter().copied().chain([key.name]).collect();
                insert(&mut root, &steps, convert(&value));
            }
        }
    }
    root
}

/// A table with this value at the end of this path, beside what it has.
fn insert(table: &mut Dict, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            table.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let below = table.entry((*first).to_owned()).or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// What comes from outside the file, as a table.
fn nested(given: &Given) -> Dict {
    let path: Vec<&str> = given.path.iter().map(String::as_str).collect();
    let toml = |text: &str| document::value(text).map(|value| convert(&value));
    let value = match (keys::find(&path).map(|key| key.kind), given.texts.as_slice()) {
        (Some(Kind::Text | Kind::Secret), [text]) => text.as_str().into(),
        (Some(Kind::List), [text]) if !text.trim_start().starts_with('[') => text.as_str().into(),
        // A number, a list, or a whole section as an inline table.
        (_, [text]) => toml(text.trim()).unwrap_or_else(|| text.as_str().into()),
        (_, texts) => Value::from(texts.to_vec()),
    };
    let mut root = Dict::new();
    insert(&mut root, &path, value);
    root
}

fn dict(table: &DeTable<'_>) -> Dict {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.clone().into_owned(), convert(value.get_ref()))
    };
    table.iter().map(entry).collect()
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.into(),
            // Beyond 64 bits: no key takes as much, and as a float it can still be shown.
            Err(_) => integer.as_str().parse::<f64>().unwrap_or(f64::INFINITY).into(),
        },
        DeValue::Float(float) => float.as_str().parse::<f64>().unwrap_or(f64::NAN).into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(datetime) => datetime.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| convert(item.get_ref())).collect::<Vec<_>>().into(),
        DeValue::Table(table) => dict(table).into(),
    }
}

/// Names of farms and backends in lower case, so that a later layer finds them; two that then are the same are a
/// problem.
fn lower_names(mut dict: Dict, file: &FilePath, document: &Document<'_>, noted: &mut Vec<Problem>) -> Dict {
    for (section, kind) in [("backends", "backend"), ("farms", "farm")] {
        let Some(Value::Dict(_, named)) = dict.get_mut(section) else { continue };
        if named.keys().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase())) {
            continue;
        }
        let mut lower: Map<String, (String, Value)> = Map::new();
        for (name, value) in std::mem::take(named) {
            let line = |name: &str| {
                let path = Path::default().then(Step::Key(section)).then(Step::Key(name));
                document.line(&path).unwrap_or_default()
            };
            if let Some((other, _)) = lower.get(&name.to_ascii_lowercase()) {
                let (first, second) = (line(other).min(line(&name)), line(other).max(line(&name)));
                noted.push(Problem {
                    place: Place::File { path: file.to_owned(), line: second, column: 0 },
                    key: format!("{section}.{}", name.to_ascii_lowercase()),
                    text: format!(
                        "this {kind} stands twice, first on line {first}: letter case does not matter"
                    ),
                });
            }
            lower.insert(name.to_ascii_lowercase(), (name, value));
        }
        *named = lower.into_iter().map(|(name, (_, value))| (name, value)).collect();
    }
    dict
}
