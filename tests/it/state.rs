//! The state file on disks that fail: service goes on, changes are refused, and all is well again when the disk is.
//!
//! Each story is told by a child, this test binary started once more, because it gives up rights or sets limits that
//! hold for a whole process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use athena::balance::durable::Memory;
use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::SplitMix;
use athena::balance::statistics::{Amount, StatisticName};
use athena::balance::update::{Admin, BackendUpdate};
use athena::balance::{Ask, Choice, Engine, Moment, Name, Plan, Refusal, Update, algorithm};
use athena::state::State;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

/// Names the child's folder; the children below do nothing without it.
const FOLDER: &str = "ATHENA_TEST_STATE_DIR";

/// Starts one test of this binary once more, as a process of its own.
pub fn child(test: &str, variable: &str, value: &Path) -> Command {
    // A signal that is ignored stays so: writing over a limit is to be an error, as on a full disk, not a death.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(variable, value);
    command
}

fn tell(test: &str, folder: &Path) {
    let told = child(test, FOLDER, folder).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

pub fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_800_000_000 + seconds))
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// An engine of one farm over `app1`, `app2`, … that keeps its decisions in `state`.
pub fn engine(backends: u8, state: &Arc<State>, found: athena::state::Found) -> Engine {
    let backend = |index: u8| BackendPlan::new(name(&format!("app{index}")), vec![[10, 0, 0, index].into()]);
    let backends: Vec<_> = (1..=backends).map(backend).collect();
    let members: Vec<_> = backends.iter().map(|backend| backend.name.clone()).collect();
    let farm = FarmPlan::new(name("one"), members, algorithm::find("round-robin").unwrap());
    let engine = Engine::new(Plan { backends, farms: vec![farm] }, at(0)).unwrap();
    engine.sign_as("here");
    engine.recall(found.decisions, &found.memory, at(0));
    engine.entrust(Arc::clone(state));
    engine
}

pub fn set(who: &str, admin: Admin) -> Update {
    Update::Backend(BackendUpdate { admin: Some(admin), ..BackendUpdate::new(name(who)) })
}

fn report(who: &str) -> Update {
    let load = (StatisticName::parse("l").unwrap(), Amount::Set(0.5));
    Update::Backend(BackendUpdate { statistics: vec![load], ..BackendUpdate::new(name(who)) })
}

fn admin(engine: &Engine, who: &str) -> Admin {
    engine.backend_status(who, at(9)).unwrap().admin.value
}

/// A report is taken, a question is answered, a change is refused with a reason that names the file.
fn service_goes_on_without_changes(engine: &Engine, state: &State, folder: &Path) {
    engine.apply(&[report("app1")], at(1)).unwrap();
    let farm = engine.farm("one").unwrap();
    assert!(matches!(farm.choose(&Ask::any(at(1)), &mut SplitMix::new(1)), Choice::Member(_)));
    let before = admin(engine, "app2");
    let refusal = engine.apply(&[set("app2", Admin::Drain)], at(1)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotStored(_)));
    let (said, file) = (refusal.to_string(), folder.display().to_string());
    assert!(said.starts_with("the change could not be stored: ") && said.contains(&file), "{said}");
    assert!(said.ends_with(", nothing was changed"), "{said}");
    assert_eq!(admin(engine, "app2"), before);
    let trouble = state.trouble().unwrap();
    assert!(trouble.starts_with("states cannot be saved: ") && trouble.contains(&file), "{trouble}");
    assert!(state.counts().not_kept.get() > 0);
}

/// The next change is taken, and whoever starts after us finds it.
fn all_is_well_again(engine: Engine, state: Arc<State>, folder: &Path) {
    engine.apply(&[set("app2", Admin::Off)], at(2)).unwrap();
    assert_eq!(state.trouble(), None);
    state.save(&engine.remember(at(3))).unwrap();
    drop((engine, state));
    let (state, found) = State::open(folder).unwrap();
    let engine = self::engine(2, &state, found);
    assert_eq!((admin(&engine, "app1"), admin(&engine, "app2")), (Admin::Drain, Admin::Off));
}

/// A folder in which `app1` was drained.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (state, found) = State::open(folder.path()).unwrap();
    engine(2, &state, found).apply(&[set("app1", Admin::Drain)], at(0)).unwrap();
    folder
}

/// Lets no file of this process grow beyond, or be written at, so many octets; `None`: as far as it may.
fn limit_files(octets: Option<u64>) {
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, octets.unwrap_or(most), most).unwrap();
}

#[test]
fn a_disk_that_fills_up_refuses_changes_until_there_is_room() {
    tell("state::child_whose_disk_fills_up", prepared().path());
}

#[test]
#[ignore = "a child of the test above"]
fn child_whose_disk_fills_up() {
    let Some(folder) = folder() else { return };
    let (state, found) = State::open(&folder).unwrap();
    let engine = engine(2, &state, found);
    // Room for nothing, then for the beginning of a file only.
    for octets in [0, 20_000] {
        limit_files(Some(octets));
        service_goes_on_without_changes(&engine, &state, &folder);
        assert!(state.save(&engine.remember(at(2))).is_err());
    }
    limit_files(None);
    all_is_well_again(engine, state, &folder);
}

#[test]
fn a_start_on_a_full_disk_finds_everything() {
    tell("state::child_that_starts_on_a_full_disk", prepared().path());
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_starts_on_a_full_disk() {
    let Some(folder) = folder() else { return };
    limit_files(Some(0));
    let (state, found) = State::open(&folder).unwrap();
    let engine = engine(2, &state, found);
    assert_eq!(admin(&engine, "app1"), Admin::Drain);
    service_goes_on_without_changes(&engine, &state, &folder);
    limit_files(None);
    // Without anybody's change: the next save is the way back, too.
    state.save(&Memory::default()).unwrap();
    assert_eq!(state.trouble(), None);
    all_is_well_again(engine, state, &folder);
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Root may write everywhere, so it becomes nobody.
fn become_somebody_without_rights() {
    if geteuid().is_root() {
        setgroups(&[]).unwrap();
        setgid(Gid::from_raw(65534)).unwrap();
        setuid(Uid::from_raw(65534)).unwrap();
    }
}

#[test]
fn a_read_only_folder_is_read_and_changes_are_refused() {
    let folder = prepared();
    allow(&folder.path().join(athena::state::FILE_NAME), 0o444);
    allow(folder.path(), 0o555);
    tell("state::child_that_may_only_read", folder.path());
    allow(folder.path(), 0o700);
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_may_only_read() {
    let Some(folder) = folder() else { return };
    become_somebody_without_rights();
    let (state, found) = State::open(&folder).unwrap();
    let engine = engine(2, &state, found);
    assert_eq!(admin(&engine, "app1"), Admin::Drain);
    service_goes_on_without_changes(&engine, &state, &folder);
}

#[test]
fn a_folder_that_cannot_be_made_is_trouble_and_a_file_that_cannot_be_read_is_the_end() {
    let folder = prepared();
    allow(folder.path(), 0o755);
    tell("state::child_that_may_do_nothing", folder.path());
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_may_do_nothing() {
    let Some(folder) = folder() else { return };
    become_somebody_without_rights();
    if geteuid().as_raw() == std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&folder).unwrap()) {
        allow(&folder.join(athena::state::FILE_NAME), 0);
        allow(&folder, 0o555);
    }
    let error = State::open(&folder).err().unwrap().to_string();
    assert!(error.contains("athena.redb: cannot be read: Permission denied"), "{error}");
    let (state, found) = State::open(&folder.join("inner")).unwrap();
    service_goes_on_without_changes(&engine(2, &state, found), &state, &folder);
    let no_folder = State::open(Path::new("/dev/null")).err().unwrap().to_string();
    assert!(no_folder.starts_with("state_dir /dev/null: "), "{no_folder}");
}
