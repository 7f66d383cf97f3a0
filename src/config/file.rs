//! What the user typed: the layers (built-in defaults, file, environment, flags) merged by figment, every value with the
//! layer that it came from. Nothing is judged here but syntax; `check/` does that.
//!
//! Values are not deserialized into structs of serde's: serde stops at the first value of a wrong type, and we owe the
//! user all of them, each with its place. So `check/` walks [`Node`]s.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{self, Document};
use super::given::Given;
use super::keys::{self, Kind, SECTIONS};
use super::node::Node;
use super::path::Path;
use super::pieces::{self, Pieces};
use super::problem::{Place, Problem};
use super::tree::{Packed, Tree, beyond};

/// The name of the first layer.
const BUILT_IN: &str = "built in";

/// A file that was read.
#[derive(Debug)]
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

/// Sections of people's names, and what one name stands for. They may be large.
const NAMED: [(&str, &str); 2] = [("backends", "backend"), ("farms", "farm")];

/// All layers, merged.
pub struct Typed<'t> {
    root: Tree<'t>,
    /// The layers that values came from; `None`: the built-in one.
    layers: Vec<Option<Metadata>>,
    file: &'t Text,
    /// What was found to be wrong on the way.
    pub noted: Vec<Problem>,
}

impl<'t> Typed<'t> {
    /// Merges the layers; gives the problems of syntax instead if there are any.
    pub fn merge(file: &'t Text, given: &[Given]) -> Result<Self, Vec<Problem>> {
        match Self::in_pieces(file, given) {
            Some(typed) => Ok(typed),
            None => Self::as_a_whole(file, given),
        }
    }

    /// Reads the large sections piece by piece, if the file alone speaks in them and all is as simple as it seems.
    fn in_pieces(file: &'t Text, given: &[Given]) -> Option<Self> {
        let Pieces { rest, sections } = pieces::cut(&file.text, &NAMED.map(|(section, _)| section))?;
        let mut dict = dict(&Document::parse(&file.path, &rest).ok()?.into_table());
        for section in &sections {
            let before = dict.insert(section.name.to_owned(), Dict::new().into());
            if before.is_some() || !is_alone(section.name, given) {
                return None;
            }
        }
        let mut typed = Self::layered(file, given, dict, Vec::new()).ok()?;
        for section in sections {
            let place = typed.root.get_mut(section.name)?;
            place.value = section.read(place.layer)?;
        }
        Some(typed)
    }

    fn as_a_whole(file: &'t Text, given: &[Given]) -> Result<Self, Vec<Problem>> {
        let mut noted = Vec::new();
        let mut table = Document::parse(&file.path, &file.text)?.into_table();
        lower_names(&mut table, file, &mut noted);
        let alone = take_alone(&mut table, given);
        let mut typed = Self::layered(file, given, dict(&table), noted)?;
        for (section, table) in alone {
            if let Some(place) = typed.root.get_mut(section) {
                place.value = Packed::table(table, place.layer);
            }
        }
        Ok(typed)
    }

    /// Merges what stands in the file with the other layers.
    fn layered(
        file: &'t Text,
        given: &[Given],
        dict: Dict,
        noted: Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let mut figment = Figment::from(Layer { name: BUILT_IN.into(), file: None, dict: defaults().into() });
        let path = &file.path;
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
        let merged = figment.find_value("").map_err(unmerged)?;
        let (mut numbers, mut layers) = (BTreeMap::new(), Vec::new());
        let mut number = |tag: Tag| {
            *numbers.entry(tag).or_insert_with(|| {
                layers.push(figment.get_metadata(tag).cloned().filter(|layer| layer.name != BUILT_IN));
                layers.len() as u16 - 1
            })
        };
        let root = packed(merged, &mut number);
        Ok(Self { root, layers, file, noted })
    }

    /// The top.
    pub fn root(&self) -> Node<'_> {
        Node::new(self, &self.root, Path::default())
    }

    /// The text of the file parsed once more, for places.
    pub fn document(&self) -> Option<(&FilePath, Document<'_>)> {
        let Text { path, text } = self.file;
        Document::parse(path, text).ok().map(|document| (path.as_path(), document))
    }

    /// Where the values of a layer came from.
    pub(super) fn origin(&self, layer: u16) -> Origin<'_> {
        match &self.layers[usize::from(layer)] {
            Some(metadata) if metadata.source.is_some() => Origin::File(&self.file.path),
            Some(metadata) => Origin::Given(&metadata.name),
            None => Origin::BuiltIn,
        }
    }
}

/// Whether the file alone speaks in a section.
fn is_alone(section: &str, given: &[Given]) -> bool {
    !given.iter().any(|given| given.path.first().is_none_or(|first| first == section))
}

/// Takes the large sections out of which the file alone speaks, and leaves them empty: there is nothing to merge them with.
fn take_alone<'t>(table: &mut DeTable<'t>, given: &[Given]) -> Vec<(&'static str, DeTable<'t>)> {
    let mut alone = Vec::new();
    for (section, _) in NAMED {
        if !is_alone(section, given) {
            continue;
        }
        if let Some(DeValue::Table(table)) = table.get_mut(section).map(Spanned::get_mut) {
            alone.push((section, std::mem::take(table)));
        }
    }
    alone
}

/// Packs what figment merged; `layer` numbers a value's tag.
fn packed(value: Value, layer: &mut impl FnMut(Tag) -> u16) -> Tree<'static> {
    let number = layer(value.tag());
    let value = match value {
        Value::String(_, text) => Packed::Text(text.into()),
        Value::Bool(_, flag) => Packed::Flag(flag),
        Value::Num(_, Num::F64(number)) => Packed::Number(number),
        Value::Num(_, number) => Packed::Whole(whole(number)),
        Value::Array(_, items) => Packed::List(items.into_iter().map(|item| packed(item, layer)).collect()),
        // Sorted as it is.
        Value::Dict(_, dict) => {
            let entry = |(key, value): (String, Value)| (key.into(), packed(value, layer));
            Packed::Table(dict.into_iter().map(entry).collect())
        }
        // No layer makes these.
        Value::Char(..) | Value::Empty(..) => Packed::Text("".into()),
    };
    Tree { layer: number, value }
}

/// Layers hold no integers beyond these.
fn whole(number: Num) -> i64 {
    let unsigned = || number.to_u128().and_then(|number| i64::try_from(number).ok());
    number.to_i128().and_then(|number| i64::try_from(number).ok()).or_else(unsigned).unwrap_or(i64::MAX)
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
            Err(_) => beyond(integer.as_str()).into(),
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
fn lower_names(table: &mut DeTable<'_>, file: &Text, noted: &mut Vec<Problem>) {
    for (section, kind) in NAMED {
        let Some(DeValue::Table(named)) = table.get_mut(section).map(Spanned::get_mut) else { continue };
        if named.keys().all(|name| !name.get_ref().bytes().any(|byte| byte.is_ascii_uppercase())) {
            continue;
        }
        let line = |name: &Spanned<Cow<'_, str>>| document::position(&file.text, name.span().start).0;
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for (mut name, value) in std::mem::take(named) {
            let lower = name.get_ref().to_ascii_lowercase();
            let here = line(&name);
            if let Some(other) = lines.insert(lower.clone(), here) {
                let (first, second) = (other.min(here), other.max(here));
                noted.push(Problem {
                    place: Place::File { path: file.path.clone(), line: second, column: 0 },
                    key: format!("{section}.{lower}"),
                    text: format!(
                        "this {kind} stands twice, first on line {first}: letter case does not matter"
                    ),
                });
            }
            *name.get_mut() = lower.into();
            named.insert(name, value);
        }
    }
}
