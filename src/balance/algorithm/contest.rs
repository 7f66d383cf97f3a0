//! Comparing candidates: the least of some, everybody in order. For rules that look at members one by one.

use super::*;

/// Farms up to this size are looked at as a whole.
pub const LOOK_AT_ALL: usize = 32;

/// The contender of least measure, of up to [`LOOK_AT_ALL`]; of equal ones each with the same chance. Measures first,
/// then compares: no branch depends on a load, and a tie costs one random number however many share it.
#[inline]
pub fn least<'a, T>(
    contenders: impl Iterator<Item = &'a T> + Clone,
    measure: impl Fn(&T) -> f64,
    random: &mut dyn Random,
) -> Option<&'a T> {
    let mut room = [0.0; LOOK_AT_ALL];
    let mut count = 0;
    for (place, contender) in room.iter_mut().zip(contenders.clone()) {
        *place = measure(contender);
        count += 1;
    }
    let measures = &room[..count];
    let lesser = |least: f64, &measure: &f64| if measure < least { measure } else { least };
    let least = measures.iter().fold(f64::INFINITY, lesser);
    let ties = measures.iter().map(|&measure| usize::from(measure <= least)).sum();
    let which = if ties > 1 { random.below(ties) } else { 0 };
    let mut even = contenders.zip(measures).filter(|(_, measure)| **measure <= least);
    even.nth(which).map(|(contender, _)| contender)
}

/// Everybody, least first, ties at random.
pub fn rank<T>(
    contenders: &[T],
    measure: impl Fn(&T) -> (f64, MemberId),
    random: &mut dyn Random,
    order: &mut Vec<MemberId>,
) {
    let measured = |contender: &T| {
        let (measure, id) = measure(contender);
        (measure, random.next(), id)
    };
    let mut measured: Vec<(f64, u64, MemberId)> = contenders.iter().map(measured).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.extend(measured.into_iter().map(|(_, _, id)| id));
}

/// Shares in proportion to parts; equal ones if all parts are 0 or their sum is not finite.
pub fn shares(parts: impl Iterator<Item = (MemberId, f64)> + Clone) -> Vec<(MemberId, f64)> {
    let sum: f64 = parts.clone().map(|(_, part)| part).sum();
    let even = 1.0 / parts.clone().count().max(1) as f64;
    let share = |part: f64| if sum.is_finite() && sum > 0.0 { part / sum } else { even };
    parts.map(|(id, part)| (id, share(part))).collect()
}
