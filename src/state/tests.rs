//! The state file by itself: what comes back, what is refused, and what a broken file does. Failing disks and crashes
//! need processes of their own and stand in `tests/it`.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::*;
use crate::balance::Moment;
use crate::balance::durable::{BackendMemory, FarmMemory, Override, Setting, Stamp};
use crate::balance::registration::Whereabouts;
use crate::balance::statistics::{Amount, StatisticName, Statistics};
use crate::balance::update::{Admin, Feed, Health, Switch};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_800_000_000 + seconds))
}

fn record(who: &str, setting: Setting, seconds: u64) -> Durable {
    Durable { name: name(who), setting, stamp: Stamp { at: at(seconds), by: "here".into() } }
}

/// One of each kind, in the order in which they are found.
fn decisions() -> Vec<Durable> {
    // 0.1 + 0.2 and its like come back to the last bit only if nobody rounds.
    let change = Override { weight: 0.1 + 0.2, configured: 1.0 / 3.0 };
    vec![
        record("app01", Setting::Admin(Admin::Drain), 1),
        record("app02", Setting::Mark(Health::Down), 2),
        record("farm_one", Setting::Switch(Switch::Off), 5),
        record("app01", Setting::Weight(Some(change)), 3),
        record("app02", Setting::Weight(None), 4),
    ]
}

fn memory() -> Memory {
    let mut statistics = Statistics::default();
    for (name, value) in [("l", 2.0f64.sqrt()), ("queue", 1e300), ("c", 0.0)] {
        statistics.change(&StatisticName::parse(name).unwrap(), Amount::Set(value));
    }
    let addresses = vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let heard = BackendMemory {
        name: name("app01"),
        statistics,
        health: Health::Down,
        health_since: at(7),
        feed: Feed::In,
        feed_since: at(6),
        last_report: Some(at(8)),
        left: false,
        returned: Some(at(6)),
        reports: 12,
        answers: 345,
        answers_since_report: 6,
        whereabouts: Some(Whereabouts { addresses, port: Some(8080), is_said: true }),
    };
    let silent = BackendMemory {
        name: name("app02"),
        statistics: Statistics::default(),
        health: Health::Up,
        feed: Feed::New,
        last_report: None,
        returned: None,
        ..heard.clone()
    };
    let farm = FarmMemory { name: name("farm_one"), answers: u64::MAX, not_finite: 3 };
    Memory { taken: at(9), backends: vec![heard, silent], farms: vec![farm] }
}

/// A folder with a whole state file that was closed properly.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = State::open(folder.path()).unwrap();
    state.keep(&decisions()).unwrap();
    state.save(&memory()).unwrap();
    let file = state.file.clone();
    (folder, file)
}

fn refusal(folder: &Path) -> String {
    match State::open(folder) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string().replace(&folder.display().to_string(), "DIR"),
    }
}

#[test]
fn everything_comes_back_as_it_was() {
    let (folder, _) = written();
    let (_, found) = State::open(folder.path()).unwrap();
    assert_eq!(found, Found { decisions: decisions(), memory: memory() });
}

#[test]
fn a_first_start_finds_nothing_and_makes_a_file_for_this_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("var/athena");
    let (state, found) = State::open(&inner).unwrap();
    assert_eq!((found, state.trouble()), (Found::default(), None));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inner), mode(&state.file)), (0o700, 0o600));
    let names: Vec<_> = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [FILE_NAME]);
}

#[test]
fn a_later_record_takes_the_place_of_an_earlier_one_and_only_of_that() {
    let (folder, _) = written();
    let (state, _) = State::open(folder.path()).unwrap();
    let later = record("app01", Setting::Admin(Admin::Off), 20);
    state.keep(&[record("app01", Setting::Admin(Admin::On), 10), later.clone()]).unwrap();
    let less = Memory { backends: Vec::new(), ..memory() };
    state.save(&less).unwrap();
    assert_eq!((state.counts().kept.get(), state.counts().saved.get()), (1, 1));
    drop(state);
    let (_, found) = State::open(folder.path()).unwrap();
    assert_eq!((&found.decisions[0], found.decisions.len()), (&later, 5));
    assert_eq!(found.memory, less, "what is not remembered any more is not found either");
}

#[test]
fn a_second_process_is_turned_away() {
    let (folder, _) = written();
    let (state, _) = State::open(folder.path()).unwrap();
    assert_eq!(
        refusal(folder.path()),
        "state_dir DIR: in use by another process; stop that one, or give each its own state_dir"
    );
    drop(state);
    State::open(folder.path()).unwrap();
}

#[test]
fn what_is_no_state_file_is_refused_and_left_as_it_is() {
    const ADVICE: &str = "; restore it from a backup, or move it away to start without saved states";
    for (content, why) in [
        (&b""[..], "it is empty"),
        (b"farm_one=off\n", "Not a redb database: magic number mismatch"),
        (&[0; 100_000], "Not a redb database: magic number mismatch"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        fs::write(&file, content).unwrap();
        let expected = format!("DIR/athena.redb: damaged, or no state file of athena: {why}{ADVICE}");
        assert_eq!(refusal(folder.path()), expected);
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
    let expected = format!("DIR/athena.redb: damaged, or no state file of athena: it is not a file{ADVICE}");
    assert_eq!(refusal(folder.path()), expected);
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = Database::create(folder.path().join(FILE_NAME)).unwrap();
    let transaction = theirs.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("blocks")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(theirs);
    assert!(refusal(folder.path()).contains("Table 'athena' does not exist"), "{}", refusal(folder.path()));
    let theirs = Database::open(folder.path().join(FILE_NAME)).unwrap();
    let read = theirs.begin_read().unwrap();
    read.open_table(TableDefinition::<u64, u64>::new("blocks")).unwrap();
}

/// Changes a state file behind our back, as another release or a fault of ours would.
fn forge(file: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (folder, file) = written();
    forge(&file, |transaction| {
        let mut facts = transaction.open_table(TableDefinition::<&str, u64>::new("athena")).unwrap();
        facts.insert("format", store::FORMAT + 1).unwrap();
    });
    assert_eq!(
        refusal(folder.path()),
        "DIR/athena.redb: written by a newer athena (format 2, this one reads 1); run that one, or move the file away \
         to start without saved states"
    );
}

#[test]
fn a_record_that_makes_no_sense_is_named() {
    for (key, value, why) in [
        (("admin", "app01"), &b"\0"[..], "admin app01: expected value at line 1 column 1"),
        (("admin", "app01"), br#"{"setting":{"admin":"asleep"},"at":1,"by":"x"}"#, "\"asleep\" is no state"),
        (("mark", "app01"), br#"{"setting":{"admin":"on"},"at":1,"by":"x"}"#, "it stands in another's place"),
        (("admin", "APP 1"), br#"{"setting":{"admin":"on"},"at":1,"by":"x"}"#, "names hold letters"),
        (
            ("weight", "app01"),
            br#"{"setting":{"weight":{"weight":-1.0,"configured":1.0}},"at":1,"by":"x"}"#,
            "-1 is no weight",
        ),
    ] {
        let (folder, file) = written();
        forge(&file, |transaction| {
            let table = TableDefinition::<(&str, &str), &[u8]>::new("decisions");
            transaction.open_table(table).unwrap().insert(key, value).unwrap();
        });
        let said = refusal(folder.path());
        assert!(said.contains("damaged") && said.contains(why), "{said}");
    }
}

#[test]
fn a_memory_that_makes_no_sense_is_named() {
    for (key, value, why) in [
        (("vms", 0), &b"[]"[..], "vms 0: neither backends nor farms"),
        (("farms", 7), b"[{}]", "farms 7: missing field `name`"),
        (("backends", 7), b"", "backends 7: EOF while parsing"),
    ] {
        let (folder, file) = written();
        forge(&file, |transaction| {
            let table = TableDefinition::<(&str, u64), &[u8]>::new("memory");
            transaction.open_table(table).unwrap().insert(key, value).unwrap();
        });
        let said = refusal(folder.path());
        assert!(said.contains("damaged") && said.contains(why), "{said}");
    }
}

#[test]
fn a_file_that_somebody_removed_is_written_anew() {
    let (folder, file) = written();
    let (state, _) = State::open(folder.path()).unwrap();
    fs::remove_file(&file).unwrap();
    let later = record("app03", Setting::Admin(Admin::Off), 20);
    state.keep(std::slice::from_ref(&later)).unwrap();
    drop(state);
    let (_, found) = State::open(folder.path()).unwrap();
    assert_eq!(found.decisions.len(), decisions().len() + 1);
    assert!(found.decisions.contains(&later));
}

#[test]
fn what_a_crash_left_of_a_new_file_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let beside = folder.path().join("athena.redb.new");
    fs::write(&beside, [0; 5000]).unwrap();
    let (state, found) = State::open(folder.path()).unwrap();
    assert_eq!((found, state.trouble()), (Found::default(), None));
    assert!(!beside.exists());
}

/// Somebody stands where the new file is to be made.
#[test]
fn a_change_that_cannot_be_kept_is_refused_until_it_can() {
    let (folder, file) = written();
    let (state, _) = State::open(folder.path()).unwrap();
    let obstacle = folder.path().join("athena.redb.new");
    fs::create_dir(&obstacle).unwrap();
    fs::remove_file(&file).unwrap();
    let later = [record("app03", Setting::Admin(Admin::Off), 20)];
    let refusal = state.keep(&later).unwrap_err().to_string();
    assert!(refusal.starts_with(&file.display().to_string()), "{refusal}");
    assert!(state.trouble().unwrap().starts_with("states cannot be saved: "));
    assert!(state.save(&memory()).is_err());
    assert_eq!((state.counts().not_kept.get(), state.counts().not_saved.get()), (1, 1));
    fs::remove_dir(&obstacle).unwrap();
    state.save(&memory()).unwrap();
    assert_eq!(state.trouble(), None);
    drop(state);
    let (_, found) = State::open(folder.path()).unwrap();
    assert_eq!(found, Found { decisions: decisions(), memory: memory() }, "without what was refused");
}

/// How a file may come to harm.
#[derive(Debug, Clone)]
enum Harm {
    Flip { at: usize, bit: u8 },
    Overwrite { at: usize, with: Vec<u8> },
    Zero { at: usize, length: usize },
    Cut { at: usize },
    Grow { with: Vec<u8> },
}

impl Harm {
    fn any() -> impl Strategy<Value = Self> {
        let octets = |most| proptest::collection::vec(any::<u8>(), 1..most);
        // Most of the file is free pages, so half of the harm is done to its head, where all the pointers are.
        let place = || prop_oneof![0..1usize << 10, any::<usize>()];
        prop_oneof![
            3 => (place(), 0..8u8).prop_map(|(at, bit)| Self::Flip { at, bit }),
            2 => (place(), octets(64)).prop_map(|(at, with)| Self::Overwrite { at, with }),
            1 => (place(), 1..8192usize).prop_map(|(at, length)| Self::Zero { at, length }),
            1 => any::<usize>().prop_map(|at| Self::Cut { at }),
            1 => octets(8192).prop_map(|with| Self::Grow { with }),
        ]
    }

    fn do_to(&self, file: &mut Vec<u8>) {
        let length = file.len().max(1);
        match self {
            Self::Flip { at, bit } => file[at % length] ^= 1 << bit,
            Self::Overwrite { at, with } => {
                file.iter_mut().skip(at % length).zip(with).for_each(|(old, new)| *old = *new);
            }
            Self::Zero { at, length: many } => {
                file.iter_mut().skip(at % length).take(*many).for_each(|octet| *octet = 0);
            }
            Self::Cut { at } => file.truncate(at % length),
            Self::Grow { with } => file.extend(with),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_file_opens_whole_or_not_at_all(harm in Harm::any()) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| fs::read(written().1).unwrap());
        let mut bytes = WHOLE.clone();
        harm.do_to(&mut bytes);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        if let Ok(found) = store::examine(file, bytes.len() as u64) {
            prop_assert_eq!(found, Found { decisions: decisions(), memory: memory() });
        }
    }
}
