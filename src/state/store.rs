//! The file itself: a redb database of three tables. The only place that imports redb.
//!
//! Redb commits by writing pages that nobody uses and then one header, with checksums over both, so a crash at any
//! moment leaves the old state or the new one. It writes a new file in several steps, though, and a crash between them
//! would leave something that is no database; so a new file is made under another name and then renamed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition, TableError, TransactionError,
};

use super::{Found, form};
use crate::balance::durable::{Durable, Memory};
use crate::balance::moment::Moment;

/// The format that this release writes, and the only one it reads. It grows when an older release could misread what a
/// newer one writes.
pub(super) const FORMAT: u64 = 1;

/// Facts about the file: [`FORMAT_KEY`], [`TAKEN_KEY`].
const FACTS: TableDefinition<&str, u64> = TableDefinition::new("athena");
/// Decisions by axis and name.
const DECISIONS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("decisions");
/// What was reported and counted, by `backend` or `farm` and name.
const MEMORY: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("memory");

const FORMAT_KEY: &str = "format";
/// When the memory was taken, in nanoseconds since the Unix epoch.
const TAKEN_KEY: &str = "taken";

/// Most memory that redb may use to hold pages, in octets.
const CACHE: usize = 4 << 20;

/// The open file.
pub(super) struct Store {
    database: Database,
    /// Device and inode.
    identity: (u64, u64),
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Another process has it open.
    #[error("in use by another process")]
    InUse,
    /// It was written in this format, which is newer than ours.
    #[error("written in format {0}")]
    Newer(u64),
    /// It is not what we wrote.
    #[error("{0}")]
    Damaged(String),
    /// The system, or redb, could not do it.
    #[error("{0}")]
    Failed(String),
}

/// Reads everything out of a copy of the file in memory, and checks all of it. Redb repairs such a copy where a crash
/// left work undone; the file itself is not touched.
pub(super) fn examine(bytes: Vec<u8>) -> Result<Found, StoreError> {
    if bytes.is_empty() {
        return Err(StoreError::Damaged("it is empty".to_owned()));
    }
    unharmed(move || {
        let copy = InMemoryBackend::new();
        copy.set_len(bytes.len() as u64).map_err(failed)?;
        copy.write(0, &bytes).map_err(failed)?;
        drop(bytes);
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(true);
        read(&builder.create_with_backend(copy)?)
    })
}

/// Takes a panic for what it is here: redb met something that it holds to be impossible.
fn unharmed<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Damaged("its parts contradict each other".to_owned())))
}

fn read(database: &Database) -> Result<Found, StoreError> {
    let transaction = database.begin_read()?;
    let facts = transaction.open_table(FACTS)?;
    let fact = |key| Ok::<_, StoreError>(facts.get(key)?.map(|value| value.value()));
    match fact(FORMAT_KEY)? {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT => return Err(StoreError::Newer(format)),
        _ => return Err(StoreError::Damaged("it names no format".to_owned())),
    }
    let mut found = Found::default();
    for entry in transaction.open_table(DECISIONS)?.iter()? {
        let (key, value) = entry?;
        let (axis, name) = key.value();
        let decision = form::read_decision(axis, name, value.value());
        found.decisions.push(decision.map_err(|why| StoreError::Damaged(format!("{axis} {name}: {why}")))?);
    }
    found.memory.taken = Moment::from_nanos(fact(TAKEN_KEY)?.unwrap_or(0));
    for entry in transaction.open_table(MEMORY)?.iter()? {
        let (key, value) = entry?;
        let (kind, name) = key.value();
        let read = form::read_memory(kind, name, value.value(), &mut found.memory);
        read.map_err(|why| StoreError::Damaged(format!("{kind} {name}: {why}")))?;
    }
    Ok(found)
}

impl Store {
    /// Opens a file that was [examined](examine).
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        Self::over(file)
    }

    /// Writes a new file with these decisions and puts it in the place of `path`.
    pub(super) fn create(path: &Path, decisions: &[Durable]) -> Result<Self, StoreError> {
        let beside = path.with_extension("redb.new");
        let made = Self::create_at(&beside, decisions).and_then(|store| {
            fs::rename(&beside, path).map_err(failed)?;
            // The new name is safe only when the folder is.
            let folder = path.parent().unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(store)
        });
        if made.is_err() {
            // What is left of it would only take room on a disk that may be full.
            let _ = fs::remove_file(&beside);
        }
        made
    }

    fn create_at(beside: &Path, decisions: &[Durable]) -> Result<Self, StoreError> {
        // A crash may have left one; it never was the state file.
        match fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let store = Self::over(options.open(beside).map_err(failed)?)?;
        let transaction = store.database.begin_write()?;
        transaction.open_table(FACTS)?.insert(FORMAT_KEY, FORMAT)?;
        transaction.open_table(MEMORY)?;
        insert(&transaction, decisions)?;
        transaction.commit()?;
        Ok(store)
    }

    fn over(file: File) -> Result<Self, StoreError> {
        let found = file.metadata().map_err(failed)?;
        let database = unharmed(move || {
            Ok(Database::builder().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?)
        })?;
        Ok(Self { database, identity: (found.dev(), found.ino()) })
    }

    /// Whether `path` still leads to this file, and not to another one or nowhere.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// Writes records over those of the same axis and name, and memory over all of the memory before; all or nothing,
    /// and safe on disk when this returns.
    pub(super) fn write(&self, records: &[Durable], memory: Option<&Memory>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        insert(&transaction, records)?;
        if let Some(memory) = memory {
            transaction.open_table(FACTS)?.insert(TAKEN_KEY, memory.taken.nanos())?;
            transaction.delete_table(MEMORY)?;
            let mut table = transaction.open_table(MEMORY)?;
            for (kind, name, value) in form::write_memory(memory) {
                table.insert((kind, name), &*value)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn insert(transaction: &redb::WriteTransaction, records: &[Durable]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(DECISIONS)?;
    for record in records {
        let (axis, value) = form::write_decision(record);
        table.insert((axis, record.name.as_str()), &*value)?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::Storage(error) => error.into(),
            DatabaseError::UpgradeRequired(version) => Self::Damaged(format!(
                "its layout is version {version} of redb's, which this one does not read"
            )),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Corrupted(why) => Self::Damaged(why),
            // Redb's words for a file that does not begin as its files do.
            StorageError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            StorageError::Io(error) => Self::Failed(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            // A redb database, but not one of ours.
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<TransactionError> for StoreError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}
