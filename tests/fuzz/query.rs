//! Query strings of the text protocol, for every path. A page that is given must be lines, or JSON where that is
//! preferred; what is refused must have a status of its kind and a line that says why, must be counted where it would
//! have changed something, and must have changed nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::{Random, SplitMix};
use athena::balance::{Engine, Moment, Name, Plan, algorithm};
use athena::clock::Clock;
use athena::http::text::status::Subject;
use athena::http::text::{Asked, Kind, answer};
use athena::http::{Options, Readiness, State};
use athena::metrics::Metrics;
use axum::http::HeaderMap;

use super::text::Target;

const CORPUS: &str = include_str!("corpus/queries.txt");
const KINDS: [(&str, Kind); 11] = [
    ("balance", Kind::Balance),
    ("update/phys", Kind::UpdatePhys),
    ("update/farm", Kind::UpdateFarm),
    ("status/phys", Kind::Status(Subject::Phys)),
    ("status/farm", Kind::Status(Subject::Farm)),
    ("status/engine", Kind::Status(Subject::Engine)),
    ("status/debug", Kind::Status(Subject::Debug)),
    ("multi", Kind::Multi),
    ("mirror/phys", Kind::MirrorPhys),
    ("mirror/farm", Kind::MirrorFarm),
    ("mirror/state", Kind::MirrorState),
];

/// See the head of this file.
pub struct Query {
    state: State,
    now: Moment,
}

impl Query {
    /// A small server in memory.
    pub fn new() -> Result<Self, String> {
        let name = |text: &str| Name::parse(text).map_err(|error| error.to_string());
        let mut plan = Plan::default();
        for (backend, address) in
            [("app01", "10.0.0.1"), ("app02", "10.0.0.2"), ("app03", "2001:db8::3"), ("x", "10.0.0.4")]
        {
            let address: IpAddr = address.parse().map_err(|_| "no address".to_owned())?;
            plan.backends.push(BackendPlan::new(name(backend)?, vec![address]));
        }
        for (farm, rule) in [("farm_one", "least-load"), ("two", "adaptive"), ("keys", "hash")] {
            let members = ["app01", "app02", "app03"].map(name).into_iter().collect::<Result<Vec<_>, _>>()?;
            let rule = algorithm::find(rule).ok_or("no such rule")?;
            let mut farm = FarmPlan::new(name(farm)?, members, rule);
            farm.expect_update = Some(Duration::from_secs(15));
            plan.farms.push(farm);
        }
        let now = Moment::from_unix(Duration::from_secs(1_000_000));
        let engine = Engine::new(plan, now).map_err(|problems| format!("{problems:?}"))?;
        let options = Options { allow_diverse_multi: true, ..Options::default() };
        let (metrics, readiness) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
        let state =
            State::new(Arc::new(engine), metrics, Clock::start(), readiness, options, Box::new(|_| ()));
        Ok(Self { state, now })
    }

    /// What an update may change, in words.
    fn facts(&self) -> String {
        let engine = &self.state.engine;
        let switches: Vec<_> = engine.farm_statuses(self.now).into_iter().map(|farm| farm.switch).collect();
        format!("{:?} {switches:?} {}", engine.backend_statuses(self.now), engine.counts().reports)
    }
}

impl Target for Query {
    fn corpus(&self) -> Vec<Vec<u8>> {
        CORPUS.lines().filter(|line| !line.starts_with('#')).map(|line| line.as_bytes().to_vec()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "h=app01",
            ",l=1",
            "%2C",
            "%22",
            "f=%25h",
            ";",
            "s=drain",
            "w=2.5",
            "v=down",
            "i=out",
            "E",
            "&",
            "k=",
            "farm_one",
            "n=1e300",
            "queue=-1",
            "%FF",
            "t=",
            "key=",
            "update/phys?",
            "app99",
            ",,",
            "==",
            "\u{e9}",
        ]
    }

    fn check(&mut self, input: &[u8], random: &mut SplitMix) -> Result<bool, String> {
        // Hyper hands on nothing that is not UTF-8.
        let text = String::from_utf8_lossy(input);
        let (path, query) = text.split_once('?').unwrap_or(("", &text));
        // A path that is broken is no matter of the query string's: any other will do.
        let known = KINDS.iter().find(|(name, _)| *name == path).filter(|_| random.below(20) > 0);
        let kind = known.map_or_else(|| KINDS[random.below(KINDS.len())].1, |(_, kind)| *kind);
        self.now = self.now + Duration::from_millis(random.below(2000) as u64);
        let (headers, options) = (HeaderMap::new(), self.state.options());
        let sender = options.access.sender(IpAddr::from([127, 0, 0, 1]), &headers);
        let json = matches!(kind, Kind::Status(_)) && random.below(2) == 0;
        let asked = Asked { state: &self.state, options: &options, sender, query, json, now: self.now };
        let before = if kind.changes() { self.facts() } else { String::new() };
        let refused = self.state.engine.counts().refused;
        match answer(kind, &asked) {
            Ok(page) => {
                if page.json {
                    let document =
                        page.text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
                    let whole = serde_json::from_str::<serde_json::Value>(&page.text).is_ok();
                    (document || whole).then_some(()).ok_or(format!("no JSON: {}", page.text))?;
                } else if !page.text.is_empty() && !page.text.ends_with('\n') {
                    return Err(format!("a page without end: {:?}", page.text));
                }
                Ok(true)
            }
            Err(error) => {
                let (status, why) = (error.status(), error.to_string());
                if !(status.is_client_error() || status.is_server_error()) || why.is_empty() {
                    return Err(format!("{status} is no refusal, or says nothing: {why:?}"));
                }
                if kind.changes() {
                    if self.facts() != before {
                        return Err(format!("refused ({why}), but something changed"));
                    }
                    if self.state.engine.counts().refused <= refused {
                        return Err(format!("refused ({why}), but not counted"));
                    }
                }
                Ok(false)
            }
        }
    }
}
