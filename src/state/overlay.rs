//! A file that is read, and written in memory only: redb can check, repair and read it, and it stays as it is.
//!
//! What redb writes on the way (a repair after a crash, the marks of an open database) is a few pages, whatever the
//! size of the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::StorageBackend;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    /// Octets of the file.
    length: u64,
    above: RwLock<Above>,
}

#[derive(Debug)]
struct Above {
    /// Octets that redb sees.
    length: u64,
    /// Octets of the file that it sees: fewer, once it has cut them off.
    seen: u64,
    /// Pages that were written, by number.
    pages: BTreeMap<u64, Box<[u8]>>,
}

const PAGE: u64 = 4096;

impl Overlay {
    /// Over a file of `length` octets.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { file, length, above: RwLock::new(Above { length, seen: length, pages: BTreeMap::new() }) }
    }

    fn above(&self) -> RwLockReadGuard<'_, Above> {
        self.above.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn above_mut(&self) -> RwLockWriteGuard<'_, Above> {
        self.above.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out` from the file; zeroes where it has ended.
    fn below(&self, above: &Above, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = above.seen.min(self.length).saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read_exact_at(&mut out[..there], offset)?;
        out[there..].fill(0);
        Ok(())
    }
}

/// The pages that `length` octets from `offset` on lie in: each with where it begins among those octets, and which of its
/// own octets are meant.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let end = offset + length as u64;
    (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let start = offset.max(page * PAGE);
        let stop = end.min((page + 1) * PAGE);
        (page, (start - offset) as usize, (start - page * PAGE) as usize..(stop - page * PAGE) as usize)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > above.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.below(&above, offset, out)?;
        for (page, at, range) in parts(offset, out.len()) {
            if let Some(written) = above.pages.get(&page) {
                let length = range.len();
                out[at..at + length].copy_from_slice(&written[range]);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut above = self.above_mut();
        above.length = length;
        above.seen = above.seen.min(length);
        above.pages.retain(|page, _| page * PAGE < length);
        if let Some(last) = above.pages.get_mut(&(length / PAGE)) {
            last[(length % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above_mut();
        for (page, at, range) in parts(offset, data.len()) {
            if !above.pages.contains_key(&page) {
                let mut fresh = vec![0; PAGE as usize];
                self.below(&above, page * PAGE, &mut fresh)?;
                above.pages.insert(page, fresh.into());
            }
            if let Some(written) = above.pages.get_mut(&page) {
                written[range.clone()].copy_from_slice(&data[at..at + range.len()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may be done to a store of octets.
    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLength(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..20_000u64, proptest::collection::vec(any::<u8>(), 0..9000)).prop_map(|(at, data)| Step::Write(at, data)),
            1 => (0..30_000u64).prop_map(Step::SetLength),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_reads_like_the_file_it_pretends_to_be_and_the_file_stays(
            content in proptest::collection::vec(any::<u8>(), 0..20_000),
            steps in proptest::collection::vec(step(), 0..12),
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &content).unwrap();
            let overlay = Overlay::new(file.reopen().unwrap(), content.len() as u64);
            let mut model = content.clone();
            for step in steps {
                match step {
                    // As redb does: it makes room before it writes.
                    Step::Write(at, data) => {
                        let end = at as usize + data.len();
                        if end > model.len() {
                            model.resize(end, 0);
                            overlay.set_len(end as u64).unwrap();
                        }
                        model[at as usize..end].copy_from_slice(&data);
                        overlay.write(at, &data).unwrap();
                    }
                    Step::SetLength(length) => {
                        model.resize(length as usize, 0);
                        overlay.set_len(length).unwrap();
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut read = vec![1; model.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                let middle = model.len() / 3..model.len() - model.len() / 5;
                let mut read = vec![1; middle.len()];
                overlay.read(middle.start as u64, &mut read).unwrap();
                prop_assert!(read == model[middle]);
            }
            prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
            prop_assert!(std::fs::read(file.path()).unwrap() == content);
        }
    }
}
