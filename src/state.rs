//! The state file: what people decided and what backends reported, over a restart and a crash.
//!
//! | what | when it is on disk | what a crash costs |
//! | --- | --- | --- |
//! | decisions ([`Durable`]) | before they are in force, so before `ok` | nothing |
//! | memory ([`Memory`]) | when somebody calls [`State::save`]: every half minute and at the stop | the last half minute |
//!
//! **Nothing is lost silently.** A file that is damaged, foreign or newer stops the start with an error that says what
//! to do, and is left as it is. The whole file is read and checked in memory first, so a check never changes it.
//!
//! **A disk that fails does not stop service.** When the file cannot be written (full disk, read-only file system),
//! changes are refused, [`State::trouble`] says why, and everything else goes on. All decisions are also held in
//! memory, so recovery is one step, tried with each change and each save: write a complete new file beside the old one
//! and rename it. That heals whatever was the matter, a file that somebody removed under us included, and leaves no
//! trace of a change that was refused half-way.
//!
//! Everything here blocks: from asynchronous code it is to be called with `spawn_blocking`.

mod form;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::balance::Name;
use crate::balance::durable::{Axis, Durable, Keeper, Memory, NotKept};
use crate::metrics::Counter;
use store::{Store, StoreError};

/// The file's name in `state_dir`.
pub const FILE_NAME: &str = "athena.redb";

/// The open state file. One process at a time has it.
pub struct State {
    file: PathBuf,
    truth: Mutex<Truth>,
    /// Apart from the truth, so that asking for it does not wait for a disk.
    trouble: Mutex<Option<String>>,
    counts: StateCounts,
    /// Locked as long as this lives. `None`: the folder could not be made, so nobody else has it either.
    _folder: Option<File>,
}

struct Truth {
    /// `None` after a failure, until a new file could be written.
    store: Option<Store>,
    /// Every decision that was kept: what a new file is written from.
    decisions: BTreeMap<(Axis, Name), Durable>,
}

/// What a process before this one left.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Decisions.
    pub decisions: Vec<Durable>,
    /// What was reported and counted.
    pub memory: Memory,
}

/// What the state file did.
#[derive(Debug, Default)]
pub struct StateCounts {
    /// Changes kept.
    pub kept: Counter,
    /// Changes refused because they could not be kept.
    pub not_kept: Counter,
    /// Times that statistics and counters were saved.
    pub saved: Counter,
    /// Times that they could not be saved.
    pub not_saved: Counter,
}

/// Why there is no start with this state file. In every case it is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// `state_dir` is no folder, or cannot be looked into.
    #[error("state_dir {path}: {source}", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "state_dir {path}: in use by another process; stop that one, or give each its own state_dir",
        path = .path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file is there, but may not be read.
    #[error("{path}: cannot be read: {source}; without it decisions of operators would be lost", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not as it was written, or something else altogether.
    #[error(
        "{path}: damaged, or no state file of athena: {why}; restore it from a backup, or move it away to start without \
         saved states",
        path = .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later release wrote it.
    #[error(
        "{path}: written by a newer athena (format {format}, this one reads {ours}); run that one, or move the file \
         away to start without saved states",
        path = .path.display(), ours = store::FORMAT
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
}

impl State {
    /// Opens the state file in `folder`, and makes both if they are not there (with access for this user only). If
    /// they can be read but not written, the start is a good one, with [`trouble`](Self::trouble). Blocks.
    pub fn open(folder: &Path) -> Result<(Arc<Self>, Found), StateError> {
        let file = folder.join(FILE_NAME);
        let lock = match lock(folder) {
            Ok(lock) => Some(lock),
            Err(StateError::Folder { source, .. }) if is_unwritable(&source) && !folder.exists() => None,
            Err(error) => return Err(error),
        };
        let found = match read(&file)? {
            Some(bytes) => Some(store::examine(bytes).map_err(|error| error.about(&file))?),
            None => None,
        };
        let is_new = found.is_none();
        let found = found.unwrap_or_default();
        let key = |record: &Durable| (record.axis(), record.name.clone());
        let decisions = found.decisions.iter().map(|record| (key(record), record.clone())).collect();
        let state = Self {
            truth: Mutex::new(Truth { store: None, decisions }),
            trouble: Mutex::default(),
            counts: StateCounts::default(),
            _folder: lock,
            file,
        };
        let opened = if is_new { Store::create(&state.file, &[]) } else { Store::open(&state.file) };
        match opened {
            Ok(store) => state.truth().store = Some(store),
            Err(StoreError::InUse) => return Err(StateError::InUse { path: folder.to_owned() }),
            Err(error) => state.note(Some(error)),
        }
        Ok((Arc::new(state), found))
    }

    /// Saves what was reported and counted, in place of what was saved before. Also the way back from
    /// [`trouble`](Self::trouble), so it is worth calling then. Blocks.
    pub fn save(&self, memory: &Memory) -> Result<(), NotKept> {
        let done = self.write(&[], Some(memory));
        let counter = if done.is_ok() { &self.counts.saved } else { &self.counts.not_saved };
        counter.count();
        done
    }

    /// Why changes are refused at present; `None`: they are not. Does not block.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters. Does not block.
    pub fn counts(&self) -> &StateCounts {
        &self.counts
    }

    /// Writes records, memory, or both: all or nothing.
    fn write(&self, records: &[Durable], memory: Option<&Memory>) -> Result<(), NotKept> {
        let mut truth = self.truth();
        let written = truth.write(&self.file, records, memory);
        self.note(written.as_ref().err().map(|error| StoreError::Failed(error.to_string())));
        written.map_err(|error| NotKept(format!("{}: {error}", self.file.display())))
    }

    /// Takes note of a failure or a success, and logs when one follows the other.
    fn note(&self, error: Option<StoreError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let now = error.map(|error| format!("states cannot be saved: {}: {error}", self.file.display()));
        match (&*trouble, &now) {
            (None, Some(why)) => tracing::error!("{why}; changes of states are refused"),
            (Some(_), None) => tracing::info!("{}: states are saved again", self.file.display()),
            _ => {}
        }
        *trouble = now;
    }

    /// Waits for whoever writes.
    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Arc<State> {
    fn keep(&self, records: &[Durable]) -> Result<(), NotKept> {
        let done = self.write(records, None);
        let counter = if done.is_ok() { &self.counts.kept } else { &self.counts.not_kept };
        counter.count();
        done
    }
}

impl Truth {
    fn write(&mut self, file: &Path, records: &[Durable], memory: Option<&Memory>) -> Result<(), StoreError> {
        // After a failure nobody can say what is on disk, so it is not asked any more.
        let store = match self.store.take().filter(|store| store.is_at(file)) {
            Some(store) => store,
            None => Store::create(file, &self.decisions.values().cloned().collect::<Vec<_>>())?,
        };
        store.write(records, memory)?;
        self.store = Some(store);
        let key = |record: &Durable| (record.axis(), record.name.clone());
        self.decisions.extend(records.iter().map(|record| (key(record), record.clone())));
        Ok(())
    }
}

impl StoreError {
    fn about(self, file: &Path) -> StateError {
        let path = file.to_owned();
        match self {
            Self::InUse => StateError::InUse { path },
            Self::Newer(format) => StateError::Newer { path, format },
            Self::Damaged(why) | Self::Failed(why) => StateError::Damaged { path, why },
        }
    }
}

/// Makes the folder if need be, and locks it. The lock is on the folder, because the file in it may be replaced.
fn lock(folder: &Path) -> Result<File, StateError> {
    let wrong = |source| StateError::Folder { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    let handle = File::open(folder).map_err(wrong)?;
    match handle.try_lock() {
        Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: folder.to_owned() }),
        // Some network file systems cannot lock a folder; there the lock of the file itself must do.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(handle),
    }
}

/// The whole file; `None` if there is none.
fn read(file: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let unreadable = |source| StateError::Unreadable { path: file.to_owned(), source };
    match fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            Err(StateError::Damaged { path: file.to_owned(), why: "it is not a file".to_owned() })
        }
        Ok(_) => fs::read(file).map(Some).map_err(unreadable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// Whether an error says that this file system takes nothing at present, rather than that the path is wrong.
fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}
