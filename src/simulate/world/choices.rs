//! Who is chosen: by the engine, or by what is no rule of the product.

use super::farm::place_of;
use super::*;

impl World<'_> {
    /// The member for an answer; `None`: Athena has nobody to give.
    pub(super) fn choose(&mut self) -> Option<usize> {
        match self.rule {
            Rule::Algorithm(_) => self.asked(),
            Rule::ShortestQueue => Some(self.shortest()),
            Rule::Reported(of) => Some(self.reported(of)),
        }
    }

    /// One of the Athenas is asked, by one of the clients.
    fn asked(&mut self) -> Option<usize> {
        let now = moment(self.now);
        let athena = if self.athenas.len() == 1 { 0 } else { self.choices.below(self.athenas.len()) };
        let client = (self.choices.below(self.setting.clients) as u32).to_be_bytes();
        let ask = Ask { key: &client, ..Ask::any(now) };
        match self.athenas[athena].farm.choose(&ask, &mut self.choices) {
            Choice::Member(chosen) => chosen.machine().v4().map(place_of),
            _ => None,
        }
    }

    /// The oracle's choice.
    fn shortest(&mut self) -> usize {
        let (now, responses) = (self.now, &mut self.responses);
        for machine in &mut self.machines {
            machine.advance(now, |arrived, done| responses.count(arrived, done));
        }
        let machines = &self.machines;
        let measure = |place: usize| (machines[place].queue() + 1) as f64 / machines[place].capacity();
        let members = (0..machines.len()).filter(|&place| self.drained != Some(place));
        least(members, measure, &mut self.choices)
    }

    /// The lowest reported load, of all or of so many different ones.
    fn reported(&mut self, of: Option<usize>) -> usize {
        let there: Vec<usize> = (0..self.told.len()).filter(|&place| self.drained != Some(place)).collect();
        let told = &self.told;
        let Some(of) = of else { return least(there.into_iter(), |place| told[place], &mut self.choices) };
        let mut drawn = there;
        for place in 0..of.min(drawn.len()) {
            let other = place + self.choices.below(drawn.len() - place);
            drawn.swap(place, other);
        }
        drawn.truncate(of);
        least(drawn.into_iter(), |place| told[place], &mut self.choices)
    }
}

/// The least by this measure; of equals each with the same chance.
fn least(
    members: impl Iterator<Item = usize>,
    measure: impl Fn(usize) -> f64,
    random: &mut SplitMix,
) -> usize {
    let (mut best, mut least, mut equals) = (0, f64::INFINITY, 0);
    for place in members {
        let measure = measure(place);
        if measure < least {
            (best, least, equals) = (place, measure, 1);
        } else if measure == least {
            equals += 1;
            if random.below(equals) == 0 {
                best = place;
            }
        }
    }
    best
}
