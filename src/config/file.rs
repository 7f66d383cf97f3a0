//! What the user typed: the layers (built-in defaults, file, environment, flags) merged, every value with the layer that it
//! came from. Nothing is judged here but syntax; `check/` does that.
//!
//! Values are not deserialized into structs of serde's: serde stops at the first value of a wrong type, and we owe the
//! user all of them, each with its place. So `check/` walks [`Node`]s.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use super::document::{self, Document};
use super::given::Given;
use super::keys::{self, Kind, SECTIONS};
use super::path::{Path, Step};
use super::problem::{Place, Problem};
use super::tree::{self, Content, Layer, Table, Value};

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

/// The layers that are always there; what was given follows.
const BUILT_IN: Layer = 0;
const FILE: Layer = 1;

/// All layers, merged.
pub struct Typed {
    root: Value,
    file: Text,
    /// The names of the layers behind the file.
    given: Vec<String>,
    /// What was found to be wrong on the way.
    pub noted: Vec<Problem>,
}

impl Typed {
    /// Merges the layers; gives the problems of syntax instead if there are any.
    pub fn merge(file: Text, given: &[Given]) -> Result<Self, Vec<Problem>> {
        let mut root = defaults();
        let mut noted = Vec::new();
        let parsed = Document::parse(&file.path, &file.text)?.into_table();
        let mut typed = tree::table(parsed, FILE);
        lower_names(&mut typed, &file, &mut noted);
        root.merge(typed);
        for (given, layer) in given.iter().zip(FILE + 1..) {
            root.merge(nested(given, layer));
        }
        let last = FILE + given.len() as Layer;
        let given = given.iter().map(|given| given.name.clone()).collect();
        Ok(Self { root: Content::Table(root).at(last), file, given, noted })
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

    fn origin(&self, layer: Layer) -> Origin<'_> {
        match layer {
            BUILT_IN => Origin::BuiltIn,
            FILE => Origin::File(&self.file.path),
            given => self
                .given
                .get(usize::from(given - FILE - 1))
                .map_or(Origin::BuiltIn, |name| Origin::Given(name)),
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
        match &self.value.content {
            Content::Text(text) => Shape::Text(text),
            Content::Flag(flag) => Shape::Flag(*flag),
            Content::Number(number) => Shape::Number(*number),
            Content::Whole(number) => Shape::Whole((*number).into()),
            Content::List(items) => Shape::List(items.len()),
            Content::Table(_) => Shape::Table,
        }
    }

    /// Where it came from. A table that several layers filled came from the last of them.
    pub fn origin(&self) -> Origin<'a> {
        self.typed.origin(self.value.layer)
    }

    /// The value of this key, if this is a table that has it.
    pub fn get(&self, key: &'a str) -> Option<Self> {
        let Content::Table(table) = &self.value.content else { return None };
        table.get(key).map(|value| self.below(value, Step::Key(key)))
    }

    /// Its keys and their values, in alphabetical order; nothing if it is no table.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let node = *self;
        let table = match &self.value.content {
            Content::Table(table) => Some(table),
            _ => None,
        };
        let entries = table.into_iter().flat_map(Table::iter);
        entries.map(move |(key, value)| (key, node.below(value, Step::Key(key))))
    }

    /// Its items; a value that is no list is the only item of one.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let node = *self;
        let (items, single) = match &self.value.content {
            Content::List(items) => (&**items, None),
            _ => (&[][..], Some(node)),
        };
        let below = move |(place, value)| node.below(value, Step::Item(place));
        items.iter().enumerate().map(below).chain(single)
    }

    fn below(&self, value: &'a Value, step: Step<'a>) -> Self {
        Self { value, path: self.path.then(step), ..*self }
    }
}

/// The built-in layer: every default of a section that is not named by people. A farm's defaults are those of
/// `farm_defaults`.
fn defaults() -> Table {
    let mut root = Table::default();
    for section in SECTIONS.iter().filter(|section| !keys::is_named(section)) {
        for key in section.keys {
            let Some(toml) = key.default.toml() else { continue };
            if let Some(value) = document::value(&toml) {
                let steps: Vec<&str> = section.path.iter().copied().chain([key.name]).collect();
                root.insert(&steps, tree::value_of(value, BUILT_IN));
            }
        }
    }
    root
}

/// What comes from outside the file, as a table of this layer.
fn nested(given: &Given, layer: Layer) -> Table {
    let path: Vec<&str> = given.path.iter().map(String::as_str).collect();
    let text = |text: &str| Content::from(text).at(layer);
    let toml = |text: &str| document::value(text).map(|value| tree::value_of(value, layer));
    let value = match (keys::find(&path).map(|key| key.kind), given.texts.as_slice()) {
        (Some(Kind::Text | Kind::Secret), [one]) => text(one),
        (Some(Kind::List), [one]) if !one.trim_start().starts_with('[') => text(one),
        // A number, a list, or a whole section as an inline table.
        (_, [one]) => toml(one.trim()).unwrap_or_else(|| text(one)),
        (_, texts) => Content::List(texts.iter().map(|one| text(one)).collect()).at(layer),
    };
    let mut root = Table::default();
    root.insert(&path, value);
    root
}

/// Names of farms and backends in lower case, so that a later layer finds them; two that then are the same are a
/// problem.
fn lower_names(root: &mut Table, file: &Text, noted: &mut Vec<Problem>) {
    // Only for lines, and so only if there is something to tell.
    let document = OnceCell::new();
    let line = |section: &str, name: &str| {
        let document = document.get_or_init(|| Document::parse(&file.path, &file.text).ok());
        let path = Path::default().then(Step::Key(section)).then(Step::Key(name));
        document.as_ref().and_then(|document| document.line(&path)).unwrap_or_default()
    };
    for (section, kind) in [("backends", "backend"), ("farms", "farm")] {
        let Some(Value { content: Content::Table(named), .. }) = root.get_mut(section) else { continue };
        if named.iter().all(|(name, _)| !name.bytes().any(|byte| byte.is_ascii_uppercase())) {
            continue;
        }
        let mut lower: BTreeMap<Box<str>, (Box<str>, Value)> = BTreeMap::new();
        for (name, value) in named.take() {
            let small: Box<str> = name.to_ascii_lowercase().into();
            if let Some((other, _)) = lower.get(&small) {
                let lines = (line(section, other), line(section, &name));
                let (first, second) = (lines.0.min(lines.1), lines.0.max(lines.1));
                noted.push(Problem {
                    place: Place::File { path: file.path.clone(), line: second, column: 0 },
                    key: format!("{section}.{small}"),
                    text: format!(
                        "this {kind} stands twice, first on line {first}: letter case does not matter"
                    ),
                });
            }
            lower.insert(small, (name, value));
        }
        *named = Table::of(lower.into_iter().map(|(name, (_, value))| (name, value)));
    }
}
