//! The farm under test: an engine that is told about it, as a configuration would.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::balance::algorithm::AlgorithmSpec;
use crate::balance::plan::{BackendPlan, FarmPlan};
use crate::balance::{Name, Plan};

/// An Athena that balances this setting's farm by this rule.
pub fn athena(setting: &Setting, spec: &'static AlgorithmSpec) -> Result<Athena, Impossible> {
    let mut plan = match &setting.plan {
        Some(plan) => plan.clone(),
        None => plain(setting, spec)?,
    };
    for (place, backend) in plan.backends.iter_mut().enumerate() {
        (backend.host, backend.addresses) = (None, vec![IpAddr::V4(address_of(place))]);
    }
    for farm in &mut plan.farms {
        farm.algorithm = spec;
        (farm.fallback, farm.fallback_off) = (Vec::new(), None);
    }
    let nobody = || Impossible::Plan("there is no farm in it".to_owned());
    let name = plan.farms.first().map(|farm| farm.name.clone()).ok_or_else(nobody)?;
    let refuse = |problems: Vec<_>| {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Impossible::Plan(words.join("; "))
    };
    let engine = Engine::new(plan, moment(START)).map_err(refuse)?;
    let farm = engine.farm(name.as_str()).ok_or_else(nobody)?;
    let sooner = Arc::new(AtomicBool::new(false));
    let wake = Arc::clone(&sooner);
    engine.on_sooner(move || wake.store(true, Relaxed));
    let mut athena = Athena { engine, farm, sooner, due: NEVER };
    athena.expire(START);
    Ok(athena)
}

/// A farm with nothing set but the weights and parameters of the setting.
fn plain(setting: &Setting, spec: &'static AlgorithmSpec) -> Result<Plan, Impossible> {
    let names: Result<Vec<Name>, _> =
        (0..setting.capacities.len()).map(|place| backend_name(setting, place)).collect();
    let names = names?;
    let weight = |place: usize| setting.weights.get(place).copied().unwrap_or(1.0);
    let backend = |(place, name): (usize, &Name)| BackendPlan {
        weight: weight(place),
        ..BackendPlan::new(name.clone(), Vec::new())
    };
    let mut farm = FarmPlan::new(name("farm_one")?, names.iter().cloned(), spec);
    farm.params = setting.params.clone();
    Ok(Plan { backends: names.iter().enumerate().map(backend).collect(), farms: vec![farm] })
}

impl Athena {
    /// Takes updates.
    pub(super) fn apply(&mut self, updates: &[Update], now: Nanos) {
        let applied = self.engine.apply(updates, moment(now));
        debug_assert!(applied.is_ok(), "a simulated update was refused: {applied:?}");
        if self.sooner.swap(false, Relaxed) {
            self.expire(now);
        }
    }

    /// Looks at who is silent, and who rises.
    pub(super) fn expire(&mut self, now: Nanos) {
        let next = self.engine.expire(moment(now)).next;
        // Never again at the same moment, whatever the engine says.
        self.due = next.map_or(NEVER, |next| next.nanos().max(now + 1));
    }
}

/// The name of a member.
pub fn backend_name(setting: &Setting, place: usize) -> Result<Name, Impossible> {
    let configured = setting.plan.as_ref().and_then(|plan| plan.backends.get(place));
    configured.map_or_else(|| name(&format!("app{:02}", place + 1)), |backend| Ok(backend.name.clone()))
}

fn name(text: &str) -> Result<Name, Impossible> {
    Name::parse(text).map_err(|why| Impossible::Plan(why.to_string()))
}

/// A member's place, as an address: what the engine answers tells who was chosen.
fn address_of(place: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(10 << 24 | place as u32)
}

/// The other way round.
pub fn place_of(address: Ipv4Addr) -> usize {
    (address.to_bits() & 0xff_ffff) as usize
}
