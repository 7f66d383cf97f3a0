//! Killed at random moments while states change: what was answered `ok` is there, and the state file opens.
//!
//! A child, this test binary started once more, takes decisions and prints each before and after. It is killed by
//! SIGKILL after a random time, which may be while it makes its first file. `ATHENA_CRASH_ROUNDS=20000` for a long run,
//! `ATHENA_CRASH_SEED=…` for another one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use athena::balance::durable::Durable;
use athena::balance::random::{Random, SplitMix};
use athena::balance::update::{Admin, BackendUpdate, FarmUpdate, Health, Switch, WeightChange};
use athena::balance::{Moment, Update};
use athena::state::State;

use super::state::{child, engine, name};

/// Names the child's folder.
const FOLDER: &str = "ATHENA_TEST_CRASH_DIR";
const BACKENDS: u8 = 6;

/// Decisions as lines, by what they decide.
type Known = BTreeMap<String, String>;

fn line(record: &Durable) -> (String, String) {
    let Durable { name, setting, stamp } = record;
    (format!("{:?}/{name}", setting.axis()), format!("{setting}@{}", stamp.at.nanos()))
}

fn below(random: &mut SplitMix, most: u64) -> u64 {
    random.next() % most
}

/// A decision about anything.
fn decision(random: &mut SplitMix) -> Update {
    let mut update = BackendUpdate::new(name(&format!("app{}", 1 + below(random, u64::from(BACKENDS)))));
    match below(random, 5) {
        0 => update.admin = Some([Admin::On, Admin::Drain, Admin::Off][below(random, 3) as usize]),
        1 => update.mark = Some([Health::Up, Health::Down][below(random, 2) as usize]),
        2 => update.weight = Some(WeightChange::Override(1.0 + below(random, 1000) as f64 / 7.0)),
        3 => update.weight = Some(WeightChange::Configured),
        _ => {
            let switch = Some([Switch::On, Switch::Off][below(random, 2) as usize]);
            return Update::Farm(FarmUpdate { farm: name("one"), switch });
        }
    }
    Update::Backend(update)
}

#[test]
#[ignore = "a child of the test below"]
fn child_that_decides_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (state, found) = State::open(&folder).unwrap();
    assert_eq!(state.trouble(), None);
    // Later than everything decided before, so that each decision has a stamp of its own.
    let last = found.decisions.iter().map(|record| record.stamp.at.nanos()).max().unwrap_or(0);
    let engine = engine(BACKENDS, &state, found);
    let mut random = SplitMix::new(last ^ u64::from(std::process::id()));
    let mut out = std::io::stdout().lock();
    for tick in 1.. {
        let now = Moment::from_nanos(last + tick * 1_000);
        let updates: Vec<Update> = (0..1 + below(&mut random, 3)).map(|_| decision(&mut random)).collect();
        // What is about to be asked for cannot be told by its stamp, so tell the stamp and let the parent match it.
        writeln!(out, "\nasks {}", now.nanos()).unwrap();
        let records = engine.apply(&updates, now).unwrap().records;
        let told: Vec<String> =
            records.iter().map(line).map(|(key, value)| format!("{key}={value}")).collect();
        writeln!(out, "\nok {} .", told.join(" ")).unwrap();
        if below(&mut random, 8) == 0 {
            state.save(&engine.remember(now)).unwrap();
        }
    }
}

/// One life: from the start to the kill. Gives what it was told `ok` for, and the time of what it asked for last.
fn live_and_die(folder: &Path, life: Duration, known: &mut Known) -> Option<u64> {
    let mut command = child("crash::child_that_decides_until_it_is_killed", FOLDER, folder);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (send, lines) = mpsc::channel();
    let output = BufReader::new(process.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        // A line may be cut off by the kill, in the middle of a character even.
        output.split(b'\n').map_while(Result::ok).all(|line| send.send(line).is_ok());
    });
    let clock = athena::clock::Clock::start();
    let end = clock.now() + life;
    let mut said = Vec::new();
    while let Ok(line) = lines.recv_timeout(end.since(clock.now())) {
        said.push(line);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap();
    said.extend(lines.try_iter());

    let mut pending = None;
    for line in said.iter().map(|line| String::from_utf8_lossy(line)) {
        if let Some(at) = line.strip_prefix("asks ") {
            pending = at.parse().ok().or(pending);
        } else if let Some(told) = line.strip_prefix("ok ").and_then(|line| line.strip_suffix(" .")) {
            let told = told.split(' ').filter_map(|entry| entry.split_once('='));
            known.extend(told.map(|(key, value)| (key.to_owned(), value.to_owned())));
            pending = None;
        }
    }
    pending
}

/// Opens the file that was left and compares. Gives whether the last, unanswered wish was carried out.
fn examine(folder: &Path, known: &mut Known, pending: Option<u64>) -> bool {
    let (state, found) = State::open(folder).unwrap_or_else(|error| panic!("after a kill: {error}"));
    assert_eq!(state.trouble(), None);
    let stored: Known = found.decisions.iter().map(line).collect();
    let is_pending = |value: &str| {
        let at = value.rsplit_once('@').and_then(|(_, at)| at.parse::<u64>().ok());
        at.is_some() && at == pending
    };
    for (key, value) in known.iter() {
        // What holds already is confirmed without a disk: then only the stamp is older.
        let same = |stored: &String| stored.split('@').next() == value.split('@').next();
        let stands = stored.get(key).is_some_and(|stored| same(stored) || is_pending(stored));
        let is_default =
            !stored.contains_key(key) && ["on", "configured"].contains(&value.split('@').next().unwrap());
        assert!(stands || is_default, "{key} was answered as {value}, but stored is {:?}", stored.get(key));
    }
    let mut carried_out = false;
    for (key, value) in &stored {
        assert!(known.contains_key(key) || is_pending(value), "{key}={value} was never asked for");
        carried_out |= is_pending(value);
    }
    *known = stored;
    carried_out
}

#[test]
fn every_change_that_was_answered_survives_a_kill_at_any_moment() {
    let number = |variable: &str, otherwise| {
        std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let rounds = number("ATHENA_CRASH_ROUNDS", 200);
    let seed = number("ATHENA_CRASH_SEED", 1);
    let mut random = SplitMix::new(seed);
    let mut folder = tempfile::tempdir().unwrap();
    let mut known = Known::new();
    let (mut unanswered, mut half_way, mut decisions) = (0, 0, 0);
    for round in 0..rounds {
        if round % 8 == 0 {
            // A kill may meet the first start.
            folder = tempfile::tempdir().unwrap();
            known.clear();
        }
        let life = Duration::from_micros(below(&mut random, 90_000));
        let pending = live_and_die(folder.path(), life, &mut known);
        decisions += known.len();
        unanswered += usize::from(pending.is_some());
        half_way += usize::from(examine(folder.path(), &mut known, pending));
    }
    println!(
        "{rounds} kills: {unanswered} with an open wish, {half_way} of these were stored; {decisions} checked"
    );
    assert!(decisions > 0 && unanswered > 0, "the kills came too early to prove anything");
}
