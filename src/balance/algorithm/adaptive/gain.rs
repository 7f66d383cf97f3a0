//! The load of one arrival: the grid that is tried, and what it is taken to be.

use super::bank::TINY;

/// Loads of one arrival, in units, each twice the one before.
pub const GAINS: [f64; 10] = [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Steps between two gains of the grid where errors are interpolated.
const FINE: usize = 4;
/// Gains beyond this part of the usual load are less likely before anything is known, by the square.
const LARGE: f64 = 0.5;

/// The mean gain, if each is likely as its error to the power of -`power`; `usual` is the farm's usual load, in
/// units. Between the gains of the grid the logarithm of the error follows Catmull and Rom's cubic through the points around.
pub fn likely_gain(errors: &[f64; GAINS.len()], power: f64, usual: f64) -> f64 {
    let logs = errors.map(|error| error.max(TINY).ln());
    let last = logs.len() - 1;
    let fine = |step: usize| {
        let (place, part) = (step / FINE, (step % FINE) as f64 / FINE as f64);
        let at = |place: usize| logs[place.min(last)];
        let (before, one, two, after) =
            (at(place.saturating_sub(1)), at(place), at(place + 1), at(place + 2));
        let (start, end) = ((two - before) * 0.5, (after - one) * 0.5);
        let cubic = 2.0 * (one - two) + start + end;
        let square = 3.0 * (two - one) - 2.0 * start - end;
        ((cubic * part + square) * part + start) * part + one
    };
    let fine: [f64; (GAINS.len() - 1) * FINE + 1] = std::array::from_fn(fine);
    let least = fine.iter().copied().fold(f64::INFINITY, f64::min);
    let large = LARGE * usual;
    let parts = fine.iter().enumerate().map(|(step, log)| {
        let gain = GAINS[0] * 2f64.powf(step as f64 / FINE as f64);
        let likely = (-power * (log - least)).exp() / (1.0 + (gain / large).powi(2));
        (likely * gain, likely)
    });
    let (sum, all) = parts.fold((0.0, 0.0), |sums, part| (sums.0 + part.0, sums.1 + part.1));
    sum / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_found_between_the_steps_of_the_grid() {
        // A parabola in the logarithm, with its bottom at 0.35.
        let errors = GAINS.map(|gain| 0.2 * (0.3 * (gain / 0.35).ln().powi(2)).exp());
        let found = likely_gain(&errors, 200.0, 1.0);
        assert!((0.33..0.37).contains(&found), "{found}");
    }

    #[test]
    fn what_cannot_be_told_is_some_part_of_the_usual_load() {
        let mean = likely_gain(&[0.5; GAINS.len()], 200.0, 1.0);
        assert!((0.1..0.5).contains(&mean), "{mean}");
    }
}
