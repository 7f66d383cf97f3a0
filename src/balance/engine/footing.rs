//! How a farm uses one of its members now: for those who keep a list of servers of their own and want to know what we would
//! do in their place. It tells what a choice, a token or a KEY would meet, and why.

use super::super::moment::Moment;
use super::super::status::Footing;
use super::super::update::Switch;
use super::Engine;

impl Engine {
    /// How `farm` uses its member `backend`, names in any letter case; `None` if it is no member. Costs the same in a
    /// farm of any size. Takes the lock.
    pub fn footing(&self, farm: &str, backend: &str, now: Moment) -> Option<Footing> {
        let truth = self.lock();
        let index = *truth.farm_index.get(farm.to_ascii_lowercase().as_str())?;
        let backend = truth.backend_number(&backend.to_ascii_lowercase())?;
        let backend = &truth.backends[backend];
        let (_, place) = backend.places.iter().find(|(farm, _)| *farm == index)?;
        let farm = &truth.farms[index];
        let (_, mut reason) =
            farm.verdict(place, backend.is_fit(farm.plan.expect_update, farm.members[place].factor, now));
        // Nothing is wrong with the member: the farm itself takes its answers from elsewhere.
        if reason.is_empty() && !farm.members[place].candidate {
            reason = farm.source.reason.clone();
        }
        Some(Footing {
            standing: farm.farm.view().standing(place),
            admin: backend.admin,
            is_on: farm.switch == Switch::On,
            is_resolved: !backend.machine.addresses.is_empty(),
            reason,
        })
    }
}
