//! What choices will read, asked for ahead.

use super::super::super::ahead::{want, want_all};
use super::*;

impl Prepared {
    /// See [`Select::fetch`].
    pub(super) fn ask_ahead(&self, step: u32) {
        if step == 1 {
            want(&self.slab);
            return want(&self.ids);
        }
        if self.alias.is_some() {
            return;
        }
        match step {
            2 => {
                self.slab.want();
                self.counts.want_chunks();
                want_all(&self.places.0);
                want(&*self.drive);
            }
            _ => {
                self.slab.want_all();
                if self.is_shared {
                    self.counts.want_first(self.len());
                }
            }
        }
        if let Some(turns) = &self.turns {
            turns.fetch(step - 1);
        }
    }

    /// See [`Select::foresee`].
    pub(super) fn ask_for_later(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        let alias = self.alias.as_ref()?;
        if let Some(later) = random.foresee(FAR) {
            alias.want_two(later);
        }
        let drawn = alias.two_at(random.foresee(NEAR)?);
        for group in drawn {
            self.slab.want_group(self.places.get(group * EIGHT) as usize);
            self.counts.want(group * EIGHT);
        }
        Some(drawn.map(|group| self.ids.get(group * EIGHT)))
    }
}
