//! What the engine is told to be: backends and farms as a configuration, a demonstration, a test or a simulation
//! describes them. A plan is checked when the engine takes it ([`Engine::new`](super::Engine::new)).

use std::net::IpAddr;
use std::time::Duration;

use super::algorithm::{AlgorithmSpec, Params};
use super::load::Formula;
use super::name::Name;
use super::registration::MemberPattern;

/// Backends and farms, complete.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Machines; a name may stand only once.
    pub backends: Vec<BackendPlan>,
    /// Farms over them; a name may stand only once.
    pub farms: Vec<FarmPlan>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendPlan {
    /// Its name.
    pub name: Name,
    /// Its addresses, the preferred one of each family first. May be empty while `host` is not resolved.
    pub addresses: Vec<IpAddr>,
    /// A host name that somebody else resolves and hands in by [`Engine::set_addresses`](super::Engine::set_addresses).
    pub host: Option<String>,
    /// Its port, for text answers and SRV.
    pub port: Option<u16>,
    /// Its configured weight, [`MIN_WEIGHT`](super::update::MIN_WEIGHT) to [`MAX_WEIGHT`](super::update::MAX_WEIGHT).
    pub weight: f64,
}

impl BackendPlan {
    /// A backend with these addresses, without port, of weight 1.
    pub fn new(name: Name, addresses: Vec<IpAddr>) -> Self {
        Self { name, addresses, host: None, port: None, weight: 1.0 }
    }
}

/// One farm.
#[derive(Debug, Clone)]
pub struct FarmPlan {
    /// Its name.
    pub name: Name,
    /// Its members, in the order that `failover` follows.
    pub members: Vec<MemberPlan>,
    /// Where in that list backends stand that register, in the order of their places.
    pub patterns: Vec<MemberPattern>,
    /// The rule that chooses.
    pub algorithm: &'static AlgorithmSpec,
    /// The rule's parameters.
    pub params: Params,
    /// Its formula over statistics; lower is better.
    pub load: Formula,
    /// Time to live of its answers, in seconds.
    pub ttl: u32,
    /// How many different members one DNS answer holds, best first; 1 or more.
    pub answers: usize,
    /// Silence longer than this is `out`; `None`: silence means nothing.
    pub expect_update: Option<Duration>,
    /// Where answers come from when no member is available, in order.
    pub fallback: Vec<Fallback>,
    /// The same when the farm was switched off; `None`: as `fallback`.
    pub fallback_off: Option<Vec<Fallback>>,
    /// What else there is when the fallbacks are of no use.
    pub last_resort: LastResort,
    /// A smaller share of the weight available than this makes the farm sick; 0 to 1.
    pub min_available: f64,
    /// How a member that comes back is eased in.
    pub slow_start: Option<SlowStart>,
    /// Whether members whose answers are followed by `again` become suspect.
    pub suspicion: bool,
}

impl FarmPlan {
    /// A farm over `members` (weight 1 each) with every other key at its default.
    pub fn new(
        name: Name,
        members: impl IntoIterator<Item = Name>,
        algorithm: &'static AlgorithmSpec,
    ) -> Self {
        let members = members.into_iter().map(|backend| MemberPlan { backend, weight: 1.0 }).collect();
        Self {
            name,
            members,
            patterns: Vec::new(),
            algorithm,
            params: Params::default(),
            load: Formula::default(),
            ttl: 0,
            answers: 1,
            expect_update: None,
            fallback: Vec::new(),
            fallback_off: None,
            last_resort: LastResort::default(),
            min_available: 0.0,
            slow_start: None,
            suspicion: true,
        }
    }
}

/// One backend in a farm.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberPlan {
    /// The backend.
    pub backend: Name,
    /// Multiplies the backend's own weight in this farm.
    pub weight: f64,
}

/// Where a farm's answers come from when its members cannot give any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// Another farm, if it has available members.
    Farm(Name),
    /// An address, with a port for text answers.
    Address(IpAddr, Option<u16>),
    /// A host name in lower case without trailing dot, with a port for text answers.
    Host(String, Option<u16>),
    /// A whole URL for text answers; DNS takes its host.
    Url {
        /// The URL as it was written.
        text: String,
        /// Its host.
        host: UrlHost,
    },
}

impl Fallback {
    /// The farms of a chain, and of the chain for a farm that was switched off.
    pub fn farms<'a>(chain: &'a [Self], off: Option<&'a [Self]>) -> impl Iterator<Item = &'a Name> {
        chain.iter().chain(off.into_iter().flatten()).filter_map(|fallback| match fallback {
            Self::Farm(name) => Some(name),
            _ => None,
        })
    }
}

/// The host of a fallback URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlHost {
    /// An address literal.
    Address(IpAddr),
    /// A host name in lower case without trailing dot.
    Name(String),
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Farm(name) => write!(formatter, "{name}"),
            Self::Address(IpAddr::V6(address), Some(port)) => write!(formatter, "[{address}]:{port}"),
            Self::Address(address, None) => write!(formatter, "{address}"),
            Self::Address(address, Some(port)) => write!(formatter, "{address}:{port}"),
            Self::Host(host, None) => write!(formatter, "{host}"),
            Self::Host(host, Some(port)) => write!(formatter, "{host}:{port}"),
            Self::Url { text, .. } => write!(formatter, "{text}"),
        }
    }
}

/// What a farm does when nobody is available and no fallback is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastResort {
    /// Members that are on and not down but silent: our own loss of the feed must not be an outage.
    #[default]
    Stale,
    /// Nothing.
    None,
}

/// How a member that comes back rises to its full weight: `w × max(0.1, (t/window)^(1/aggression))`, Envoy's rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long the rise takes.
    pub window: Duration,
    /// 1 rises in a straight line; more rises faster at first.
    pub aggression: f64,
}

/// Least part of its weight that a member in slow start has.
pub const SLOW_START_FLOOR: f64 = 0.1;

impl SlowStart {
    /// The part of its weight that a member has `elapsed` after it came back, [`SLOW_START_FLOOR`] to 1.
    pub fn part(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let time = elapsed.as_secs_f64() / self.window.as_secs_f64();
        time.powf(1.0 / self.aggression).clamp(SLOW_START_FLOOR, 1.0)
    }
}

/// What is wrong with a plan. `config/check.rs` finds the same with file and line; this is the engine's own guard.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A backend's name stands twice.
    #[error("backend {0} is defined twice")]
    BackendTwice(Name),
    /// A farm's name stands twice.
    #[error("farm {0} is defined twice")]
    FarmTwice(Name),
    /// A name that means something else in DNS.
    #[error("farm {0}: this name is reserved")]
    Reserved(Name),
    /// A member that is no backend.
    #[error("farm {farm}: member {member} is no backend")]
    UnknownMember {
        /// The farm.
        farm: Name,
        /// The member.
        member: Name,
    },
    /// A member that stands twice.
    #[error("farm {farm}: member {member} stands twice")]
    MemberTwice {
        /// The farm.
        farm: Name,
        /// The member.
        member: Name,
    },
    /// A fallback farm that does not exist.
    #[error("farm {farm}: fallback {fallback} is no farm")]
    UnknownFallback {
        /// The farm.
        farm: Name,
        /// The fallback.
        fallback: Name,
    },
    /// Farms that fall back on each other.
    #[error("fallback circle: {}", names(.0))]
    Circle(Vec<Name>),
}

fn names(circle: &[Name]) -> String {
    circle.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> ")
}

impl Plan {
    /// Everything that is wrong with the plan; empty if it can be carried out.
    pub fn problems(&self) -> Vec<PlanError> {
        use std::collections::HashSet;

        let mut problems = Vec::new();
        let mut backends = HashSet::new();
        for backend in &self.backends {
            if !backends.insert(&backend.name) {
                problems.push(PlanError::BackendTwice(backend.name.clone()));
            }
        }
        let mut farms = HashSet::new();
        for farm in &self.farms {
            if !farms.insert(&farm.name) {
                problems.push(PlanError::FarmTwice(farm.name.clone()));
            }
            if farm.name.is_reserved() {
                problems.push(PlanError::Reserved(farm.name.clone()));
            }
        }
        for farm in &self.farms {
            let mut members = HashSet::new();
            for MemberPlan { backend, .. } in &farm.members {
                if !backends.contains(backend) {
                    let (farm, member) = (farm.name.clone(), backend.clone());
                    problems.push(PlanError::UnknownMember { farm, member });
                } else if !members.insert(backend) {
                    let (farm, member) = (farm.name.clone(), backend.clone());
                    problems.push(PlanError::MemberTwice { farm, member });
                }
            }
            for fallback in farm.fallback_farms().filter(|name| !farms.contains(name)) {
                let (farm, fallback) = (farm.name.clone(), fallback.clone());
                problems.push(PlanError::UnknownFallback { farm, fallback });
            }
        }
        problems.extend(self.circle().map(PlanError::Circle));
        problems
    }

    /// A chain of farms that ends where it began, if fallbacks form one. The first name stands at the end again.
    pub fn circle(&self) -> Option<Vec<Name>> {
        use std::collections::HashMap;

        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            Open,
            Done,
        }
        let farms: HashMap<&Name, &FarmPlan> = self.farms.iter().map(|farm| (&farm.name, farm)).collect();
        let mut marks: HashMap<&Name, Mark> = HashMap::new();
        for start in &self.farms {
            // Depth first, with a stack of our own: a chain may be as long as there are farms.
            let mut path: Vec<(&FarmPlan, Vec<&Name>)> = Vec::new();
            let mut enter = Some(start);
            loop {
                if let Some(farm) = enter.take() {
                    match marks.get(&farm.name) {
                        Some(Mark::Done) => {}
                        Some(Mark::Open) => {
                            let first = path.iter().position(|(on_path, _)| on_path.name == farm.name)?;
                            let names = path[first..].iter().map(|(on_path, _)| on_path.name.clone());
                            return Some(names.chain([farm.name.clone()]).collect());
                        }
                        None => {
                            marks.insert(&farm.name, Mark::Open);
                            path.push((farm, farm.fallback_farms().collect()));
                        }
                    }
                }
                let Some((farm, ahead)) = path.last_mut() else { break };
                match ahead.pop() {
                    Some(next) => enter = farms.get(next).copied(),
                    None => {
                        marks.insert(&farm.name, Mark::Done);
                        path.pop();
                    }
                }
            }
        }
        None
    }
}

impl FarmPlan {
    /// The farms that this one falls back on, when it is sick or switched off.
    pub fn fallback_farms(&self) -> impl Iterator<Item = &Name> {
        Fallback::farms(&self.fallback, self.fallback_off.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::algorithm;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn farm(text: &str, fallbacks: &[&str]) -> FarmPlan {
        let spec = algorithm::find("round-robin").unwrap();
        let mut farm = FarmPlan::new(name(text), [], spec);
        farm.fallback = fallbacks.iter().map(|fallback| Fallback::Farm(name(fallback))).collect();
        farm
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let mut twice = farm("all", &["nowhere"]);
        twice.members = [name("app01"), name("app01"), name("app09")]
            .map(|backend| MemberPlan { backend, weight: 1.0 })
            .into();
        let backend = BackendPlan::new(name("app01"), vec![]);
        let plan = Plan { backends: vec![backend.clone(), backend], farms: vec![twice.clone(), twice] };
        let texts: Vec<_> = plan.problems().iter().map(PlanError::to_string).collect();
        for expected in [
            "backend app01 is defined twice",
            "farm all is defined twice",
            "farm all: this name is reserved",
            "farm all: member app01 stands twice",
            "farm all: member app09 is no backend",
            "farm all: fallback nowhere is no farm",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected} in {texts:?}");
        }
    }

    #[test]
    fn a_circle_of_fallbacks_is_shown_from_where_it_closes() {
        let plan = Plan {
            backends: vec![],
            farms: vec![farm("a", &["b"]), farm("b", &["d", "c"]), farm("c", &["b"]), farm("d", &[])],
        };
        assert_eq!(plan.problems(), [PlanError::Circle(vec![name("b"), name("c"), name("b")])]);
        assert_eq!(plan.problems()[0].to_string(), "fallback circle: b -> c -> b");
    }

    #[test]
    fn two_ways_to_the_same_farm_are_no_circle() {
        let farms = vec![farm("a", &["b", "c"]), farm("b", &["d"]), farm("c", &["d"]), farm("d", &[])];
        assert_eq!(Plan { backends: vec![], farms }.circle(), None);
    }

    #[test]
    fn slow_start_rises_from_a_tenth_to_all() {
        let slow = SlowStart { window: Duration::from_secs(100), aggression: 1.0 };
        assert_eq!(slow.part(Duration::ZERO), 0.1);
        assert_eq!(slow.part(Duration::from_secs(50)), 0.5);
        assert_eq!(slow.part(Duration::from_secs(100)), 1.0);
        let fast = SlowStart { aggression: 2.0, ..slow };
        assert_eq!(fast.part(Duration::from_secs(25)), 0.5);
    }
}
