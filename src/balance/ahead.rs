//! Memory that is asked for before it is read.
//!
//! What nobody has read lately lies in main memory, some hundreds of instructions away. A load of it holds up everything
//! behind it; a prefetch does not, so whoever knows what will be read a little later asks for all of it at once and
//! goes on. It is a hint: it changes nothing, and an address that is not there does no harm.

use prefetch_index::prefetch_index;

/// Asks for the line of the cache on which a value begins.
#[inline(always)]
pub fn want<T>(value: &T) {
    prefetch_index(std::slice::from_ref(value), 0);
}

/// Asks for the line on which the value at `index` begins; nothing happens if there is none.
#[inline(always)]
pub fn want_at<T>(values: &[T], index: usize) {
    prefetch_index(values, index);
}

/// Asks for every line of values that lie side by side.
#[inline]
pub fn want_all<T>(values: &[T]) {
    let stride = (LINE / size_of::<T>().max(1)).max(1);
    (0..values.len()).step_by(stride).for_each(|index| want_at(values, index));
    // Values that begin in the middle of a line end on one more.
    if let Some(last) = values.last() {
        want(last);
    }
}

/// Octets of a line of the cache.
const LINE: usize = 64;
