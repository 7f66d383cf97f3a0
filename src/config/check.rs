//! From what the user typed to what the program uses: everything is looked at, and every problem is noted with its
//! place, before anything is refused.
//!
//! A reader such as [`Check::duration`] gives a stand-in where the value is wrong, so that the rest can still be
//! checked; the stand-in is never used, because a configuration with problems is refused as a whole.

mod agent;
mod backends;
mod fallback;
mod farms;
mod forward;
mod members;
mod mirror;
mod probe;
mod read;
mod register;
mod sections;
mod tls;
mod unknown;
mod zones;

pub use fallback::farm_label;
pub use read::parse_duration;
pub use zones::resolve;

use std::sync::Arc;

use super::file::{Origin, Typed};
use super::node::{Node, Shape};
use super::path::Path;
use super::problem::{Place, Problem, Problems};
use super::{Config, Shutdown, Source};
use crate::balance::Plan;
use crate::balance::registration::is_host_address;

/// Checks everything that was read from `source`; gives the configuration, or all that is wrong with it.
pub fn check(typed: &Typed<'_>, source: &Arc<Source>) -> Result<Config, Problems> {
    let mut check = Check { typed, found: Vec::new() };
    let root = typed.root();
    check.unknown_keys(root);

    let dns = check.dns(root);
    let http = check.http(root);
    let agent_check = check.agent_check(root);
    check.shared_ports(root, &dns, &http, &agent_check);
    let zones = check.zones(root, dns.listen.first().map(std::net::SocketAddr::ip));
    let access = check.access(root);
    let cookie = check.cookie(root);
    let mirror = check.mirror(root, &http.path);
    let forward = check.forward(root, &dns);
    let log = check.log(root);
    let shutdown = Shutdown { lameduck: check.duration_in(root, &["shutdown", "lameduck"]) };
    let state_dir = check.state_dir(root);
    let (backends, hosts) = check.backends(root);
    let zone = zones.first().map_or("", |zone| zone.name.as_str());
    let probes = check.probes(root, &backends);
    let farms = check.farms(root, &backends, zone, access.auto_register.is_some());
    let plan = Plan { backends, farms };

    let found = std::mem::take(&mut check.found);
    let problems = check.locate(found).into_iter().chain(typed.noted.iter().cloned());
    match Problems::gather(problems.collect()) {
        Some(problems) => Err(problems),
        None => Ok(Config {
            zones,
            state_dir,
            dns,
            http,
            access,
            cookie,
            agent_check,
            mirror,
            forward,
            plan,
            hosts,
            probes,
            log,
            shutdown,
            source: Arc::clone(source),
        }),
    }
}

/// What was found so far.
struct Check<'a> {
    typed: &'a Typed<'a>,
    found: Vec<Found<'a>>,
}

/// A problem before its line is looked up.
struct Found<'a> {
    path: Path<'a>,
    origin: Origin<'a>,
    table: bool,
    text: String,
}

impl<'a> Check<'a> {
    /// Notes a problem with this value.
    fn wrong(&mut self, node: Node<'a>, text: impl Into<String>) {
        let table = matches!(node.shape(), Shape::Table);
        self.found.push(Found { path: node.path, origin: node.origin(), table, text: text.into() });
    }

    /// Notes that a section lacks a key.
    fn lacks(&mut self, section: Node<'a>, key: &'a str, what: &str) {
        let text = format!("{key} is missing: {what}");
        self.wrong(section, text);
    }

    /// Turns what was found into problems with places, parsing the file's text once more for all of them together.
    fn locate(&self, found: Vec<Found<'a>>) -> Vec<Problem> {
        if found.is_empty() {
            return Vec::new();
        }
        let document = self.typed.document();
        let place = |found: &Found<'a>| {
            let in_file = || {
                let (path, document) = document.as_ref()?;
                let line = document.line(&found.path)?;
                Some(Place::File { path: path.to_path_buf(), line, column: 0 })
            };
            match found.origin {
                Origin::Given(name) if !found.table => Place::Given(name.to_owned()),
                // A table may have been begun in the file and filled from elsewhere.
                Origin::Given(name) => in_file().unwrap_or_else(|| Place::Given(name.to_owned())),
                Origin::File(path) => {
                    in_file().unwrap_or_else(|| Place::File { path: path.to_owned(), line: 0, column: 0 })
                }
                Origin::BuiltIn => in_file().unwrap_or(Place::BuiltIn),
            }
        };
        found
            .iter()
            .map(|found| Problem {
                place: place(found),
                key: found.path.to_string(),
                text: found.text.clone(),
            })
            .collect()
    }
}

/// The value at the end of fixed keys.
fn at<'a>(node: Node<'a>, path: &[&'static str]) -> Option<Node<'a>> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

/// What a value is, in words.
fn words(node: Node<'_>) -> String {
    let secret =
        super::keys::find(&node.path.words()).is_some_and(|key| key.kind == super::keys::Kind::Secret);
    match node.shape() {
        _ if secret => "something else".to_owned(),
        Shape::Text(text) => format!("the string {text:?}"),
        Shape::Whole(number) => format!("the number {number}"),
        Shape::Number(number) => format!("the number {number}"),
        Shape::Flag(flag) => format!("{flag}"),
        Shape::List(0) => "an empty list".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Table => "a table".to_owned(),
    }
}
