//! The numbers that were found for a selector, while a page is read: enough of them to fold, and none is kept.

use super::Nonsense;
use super::selector::{Fold, Selector};

/// Numbers folded as they come.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Found {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Found {
    /// One more. One that is no number at all makes the outcome none.
    pub fn add(&mut self, value: f64) {
        self.count = self.count.saturating_add(1);
        self.sum += value;
        // Unlike `f64::min`, NaN stays.
        self.min = if value < self.min || value.is_nan() { value } else { self.min };
        self.max = if value > self.max || value.is_nan() { value } else { self.max };
    }

    /// What they come to: the one that there is, or what the selector's function makes of them.
    pub fn settle(self, selector: &Selector) -> Result<f64, Nonsense> {
        let value = match selector.fold {
            _ if self.count == 0 => return Err(Nonsense::Missing(selector.to_string())),
            None if self.count > 1 => return Err(Nonsense::Several(selector.to_string(), self.count)),
            None | Some(Fold::Sum) => self.sum,
            Some(Fold::Min) => self.min,
            Some(Fold::Max) => self.max,
            Some(Fold::Average) => self.sum / f64::from(self.count),
        };
        match value.is_finite() {
            true => Ok(value),
            false => Err(Nonsense::NotFinite(selector.to_string(), value.to_string())),
        }
    }
}
