//! The panels that a rule's choices use now.

use std::sync::{Mutex, PoisonError, Weak};

use super::panel::{Beside, Panel};
use super::*;

/// The panels in use of one rule, for what is worked out over all members.
pub struct Live<O>(Mutex<Vec<Weak<Panel<O>>>>);

impl<O> Default for Live<O> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<O: Beside> Live<O> {
    /// A panel is in use from now on, as long as anybody holds it. Takes a lock, under the engine's.
    pub fn enter(&self, panel: Panel<O>) -> Arc<Panel<O>> {
        let panel = Arc::new(panel);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&panel));
        panel
    }

    /// The panel with most candidates. Takes a lock, under the engine's.
    pub fn largest(&self) -> Option<Arc<Panel<O>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).max_by_key(|panel| panel.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gauge::{Gauge, Tally};
    use super::super::panel::nothing;
    use super::*;

    #[test]
    fn the_largest_panel_in_use_is_known() {
        let live = Live::default();
        let candidate = |index| {
            let gauge = Gauge::new(Tally::default(), Arc::default());
            Candidate { id: MemberId(index), weight: 1.0, seed: index.into(), gauge }
        };
        let panel = |count| {
            let candidates: Vec<Candidate> = (0..count).map(candidate).collect();
            live.enter(Panel::new(&candidates, 8, nothing))
        };
        let (_one, three, _two) = (panel(1), panel(3), panel(2));
        assert_eq!(live.largest().map(|panel| panel.len()), Some(3));
        drop(three);
        assert_eq!(live.largest().map(|panel| panel.len()), Some(2));
    }
}
