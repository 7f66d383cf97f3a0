//! Decisions: kept before they are in force, refused when they cannot be kept, found again, agreed upon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;

use super::super::super::algorithm;
use super::super::super::durable::NotKept;
use super::super::super::plan::{BackendPlan, FarmPlan, Plan};
use super::super::super::statistics::{Amount, StatisticName};
use super::super::super::update::{Admin, Health, Switch};
use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_000 + seconds))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn plan(weights: &[f64]) -> Plan {
    let backend = |(index, weight): (usize, &f64)| {
        let address = format!("10.0.0.{}", index + 1).parse().unwrap();
        let plan = BackendPlan::new(name(&format!("app0{}", index + 1)), vec![address]);
        BackendPlan { weight: *weight, ..plan }
    };
    let backends: Vec<_> = weights.iter().enumerate().map(backend).collect();
    let members: Vec<_> = backends.iter().map(|backend| backend.name.clone()).collect();
    let farm = FarmPlan::new(name("one"), members, algorithm::find("least-load").unwrap());
    Plan { backends, farms: vec![farm] }
}

fn order(who: &str, change: impl FnOnce(&mut BackendUpdate)) -> Update {
    let mut update = BackendUpdate::new(name(who));
    change(&mut update);
    Update::Backend(update)
}

fn admin(who: &str, admin: Admin) -> Update {
    order(who, |update| update.admin = Some(admin))
}

fn weight(who: &str, weight: f64) -> Update {
    order(who, |update| update.weight = Some(WeightChange::Override(weight)))
}

fn report(who: &str, load: f64) -> Update {
    let load = (StatisticName::parse("l").unwrap(), Amount::Set(load));
    order(who, |update| update.statistics = vec![load])
}

fn switch(switch: Switch) -> Update {
    Update::Farm(FarmUpdate { farm: name("one"), switch: Some(switch) })
}

/// A keeper in memory, whose disk may be full.
#[derive(Clone, Default)]
struct Shelf {
    kept: Arc<Mutex<Vec<Durable>>>,
    full: Arc<AtomicBool>,
}

impl Keeper for Shelf {
    fn keep(&self, records: &[Durable]) -> Result<(), NotKept> {
        if self.full.load(SeqCst) {
            return Err(NotKept("the shelf is full".to_owned()));
        }
        self.kept.lock().unwrap().extend_from_slice(records);
        Ok(())
    }
}

impl Shelf {
    /// What stands on it, one line a record, and empties it.
    fn take(&self) -> Vec<String> {
        let line = |record: Durable| {
            let Durable { name, setting, stamp } = record;
            format!("{name} {:?} {setting} {} {}", setting.axis(), stamp.at.nanos(), stamp.by)
        };
        self.kept.lock().unwrap().drain(..).map(line).collect()
    }
}

fn engine(plan: Plan, by: &str) -> (Engine, Shelf) {
    let engine = Engine::new(plan, at(0)).unwrap();
    let shelf = Shelf::default();
    engine.sign_as(by);
    engine.entrust(shelf.clone());
    (engine, shelf)
}

fn admin_of(engine: &Engine, who: &str) -> Admin {
    engine.backend_status(who, at(99)).unwrap().admin.value
}

#[test]
fn decisions_are_kept_and_reports_are_not() {
    let (engine, shelf) = engine(plan(&[1.0, 1.0]), "a");
    engine.apply(&[report("app01", 0.5)], at(1)).unwrap();
    assert_eq!(shelf.take(), [""; 0]);
    let mark = order("app02", |update| update.mark = Some(Health::Down));
    let updates = [admin("app01", Admin::Drain), weight("app01", 2.5), mark, switch(Switch::Off)];
    let applied = engine.apply(&updates, at(2)).unwrap();
    assert_eq!(
        shelf.take(),
        [
            "app01 Admin drain 1002000000000 a",
            "app02 Mark down 1002000000000 a",
            "app01 Weight 2.5 1002000000000 a",
            "one Switch off 1002000000000 a",
        ]
    );
    assert_eq!((applied.changes.len(), applied.records.len()), (5, 4), "the farm's source changed, too");
}

#[test]
fn what_holds_already_needs_no_disk_but_is_told_to_others() {
    let (engine, shelf) = engine(plan(&[1.0]), "a");
    let applied = engine.apply(&[admin("app01", Admin::On), switch(Switch::On)], at(1)).unwrap();
    assert_eq!((shelf.take().len(), applied.records.len()), (0, 2));
    engine.apply(&[admin("app01", Admin::Off)], at(2)).unwrap();
    engine.apply(&[admin("app01", Admin::Off)], at(3)).unwrap();
    assert_eq!(shelf.take(), ["app01 Admin off 1002000000000 a"]);
    let decision = &engine.decisions()[0];
    assert_eq!((decision.setting, decision.stamp.at), (Setting::Admin(Admin::Off), at(3)));
    let status = engine.backend_status("app01", at(4)).unwrap();
    assert_eq!(status.admin.since, at(2), "since when it holds, not since when it was confirmed");
}

#[test]
fn what_cannot_be_kept_is_refused_as_a_whole_and_works_again_later() {
    let (engine, shelf) = engine(plan(&[1.0, 1.0]), "a");
    shelf.full.store(true, SeqCst);
    let refusal = engine.apply(&[report("app02", 9.0), admin("app01", Admin::Off)], at(1)).unwrap_err();
    assert_eq!(refusal.to_string(), "the change could not be stored: the shelf is full, nothing was changed");
    assert_eq!(admin_of(&engine, "app01"), Admin::On);
    assert!(engine.backend_status("app02", at(1)).unwrap().statistics.is_empty());
    assert_eq!((engine.counts().reports, engine.counts().refused), (0, 1));
    engine.apply(&[report("app02", 9.0)], at(2)).unwrap();
    shelf.full.store(false, SeqCst);
    engine.apply(&[admin("app01", Admin::Off)], at(3)).unwrap();
    assert_eq!(admin_of(&engine, "app01"), Admin::Off);
    assert_eq!(shelf.take().len(), 1);
}

#[test]
fn the_last_word_of_a_list_counts() {
    let (engine, shelf) = engine(plan(&[1.0]), "a");
    engine.apply(&[admin("app01", Admin::Off), admin("app01", Admin::Drain)], at(1)).unwrap();
    assert_eq!(shelf.take(), ["app01 Admin drain 1001000000000 a"]);
    assert_eq!(admin_of(&engine, "app01"), Admin::Drain);
}

/// A keeper that says when it has begun and waits until it may end.
struct Slow {
    begun: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Keeper for Slow {
    fn keep(&self, _: &[Durable]) -> Result<(), NotKept> {
        self.begun.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(())
    }
}

#[test]
fn reports_and_statuses_do_not_wait_for_a_slow_disk() {
    let engine = Engine::new(plan(&[1.0, 1.0]), at(0)).unwrap();
    let (begun, has_begun) = mpsc::sync_channel(1);
    let (may_go_on, go_on) = mpsc::sync_channel(1);
    engine.entrust(Slow { begun, go_on: Mutex::new(go_on) });
    std::thread::scope(|scope| {
        let order = scope.spawn(|| engine.apply(&[admin("app01", Admin::Off)], at(1)));
        has_begun.recv().unwrap();
        engine.apply(&[report("app01", 0.5)], at(2)).unwrap();
        assert_eq!(admin_of(&engine, "app01"), Admin::On, "not in force before it is kept");
        may_go_on.send(()).unwrap();
        order.join().unwrap().unwrap();
    });
    let status = engine.backend_status("app01", at(3)).unwrap();
    assert_eq!((status.admin.value, status.last_report), (Admin::Off, Some(at(2))));
}

#[test]
fn a_stamp_is_later_than_the_one_it_replaces_whatever_the_clock_says() {
    let (engine, shelf) = engine(plan(&[1.0]), "a");
    engine.apply(&[admin("app01", Admin::Off)], at(50)).unwrap();
    engine.apply(&[admin("app01", Admin::On)], at(1)).unwrap();
    assert_eq!(shelf.take(), ["app01 Admin off 1050000000000 a", "app01 Admin on 1050000000001 a"]);
}

#[test]
fn a_second_process_finds_what_the_first_decided() {
    let (first, _) = engine(plan(&[1.0, 1.0]), "a");
    let mark = order("app02", |update| update.mark = Some(Health::Down));
    first.apply(&[admin("app01", Admin::Off), weight("app02", 5.0), mark], at(1)).unwrap();
    first.apply(&[switch(Switch::Off)], at(2)).unwrap();

    let (second, shelf) = engine(plan(&[1.0, 1.0]), "a");
    let changes = second.recall(first.decisions(), &Default::default(), at(60));
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "backend app01: admin on -> off (as it was decided before)");
    assert_eq!(shelf.take(), [""; 0], "nothing new was decided");
    let status = second.backend_status("app02", at(61)).unwrap();
    assert_eq!((status.weight, status.health.value, status.mark), (5.0, Health::Down, Some(Health::Down)));
    assert_eq!(status.health.since, at(1));
    let farm = second.farm_status("one", at(61)).unwrap();
    assert_eq!((farm.switch.value, farm.switch.since), (Switch::Off, at(2)));
    assert_eq!(second.backend_status("app01", at(61)).unwrap().admin.since, at(1));
    assert_eq!(second.decisions(), first.decisions());
}

#[test]
fn the_configuration_wins_over_a_saved_weight_once_it_changed_and_stays_the_winner() {
    let (first, _) = engine(plan(&[1.0, 1.0]), "a");
    first.apply(&[weight("app01", 5.0), weight("app02", 5.0)], at(1)).unwrap();

    let (second, shelf) = engine(plan(&[2.0, 1.0]), "a");
    let changes = second.recall(first.decisions(), &Default::default(), at(2));
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["backend app02: weight 1 -> 5 (as it was decided before)"]);
    let weights = |engine: &Engine| -> Vec<f64> {
        engine.backend_statuses(at(3)).iter().map(|status| status.weight).collect()
    };
    assert_eq!(weights(&second), [2.0, 5.0]);
    assert_eq!(shelf.take(), ["app01 Weight configured 1002000000000 a"]);

    // The configuration goes back: the weight of before does not come alive again.
    let (third, _) = engine(plan(&[1.0, 1.0]), "a");
    third.recall(second.decisions(), &Default::default(), at(3));
    assert_eq!(weights(&third), [1.0, 5.0]);
}

#[test]
fn a_reload_overrules_a_weight_in_the_same_way() {
    let (engine, shelf) = engine(plan(&[1.0]), "a");
    engine.apply(&[weight("app01", 5.0)], at(1)).unwrap();
    shelf.take();
    assert_eq!(engine.reload(plan(&[1.0]), at(2)).unwrap().changes, []);
    let reloaded = engine.reload(plan(&[2.0]), at(3)).unwrap();
    assert_eq!(
        reloaded.changes[0].to_string(),
        "backend app01: weight 5 -> 2 (the configuration wins: it changed from 1 to 2 since)"
    );
    assert_eq!(shelf.take(), ["app01 Weight configured 1003000000000 a"]);
}

#[test]
fn a_drained_machine_that_leaves_the_configuration_returns_drained() {
    let (engine, _) = engine(plan(&[1.0, 1.0]), "a");
    engine.apply(&[admin("app02", Admin::Drain)], at(1)).unwrap();
    engine.reload(plan(&[1.0]), at(2)).unwrap();
    assert!(engine.backend_status("app02", at(2)).is_none());
    engine.reload(plan(&[1.0, 1.0]), at(3)).unwrap();
    assert_eq!(admin_of(&engine, "app02"), Admin::Drain);
}

#[test]
fn of_two_athenas_the_later_decision_wins_in_both_and_they_agree() {
    let (one, one_shelf) = engine(plan(&[1.0, 1.0]), "one");
    let (two, two_shelf) = engine(plan(&[3.0, 1.0]), "two");
    one.apply(&[admin("app01", Admin::Off), weight("app01", 7.0)], at(1)).unwrap();
    two.apply(&[admin("app01", Admin::Drain)], at(2)).unwrap();
    two.apply(&[admin("app02", Admin::Off)], at(2)).unwrap();
    one.apply(&[admin("app02", Admin::Drain)], at(2)).unwrap();
    one_shelf.take();
    two_shelf.take();
    one.adopt(&two.decisions(), at(3)).unwrap();
    let applied = two.adopt(&one.decisions(), at(3)).unwrap();
    for engine in [&one, &two] {
        assert_eq!((admin_of(engine, "app01"), admin_of(engine, "app02")), (Admin::Drain, Admin::Off));
        assert_eq!(engine.backend_status("app01", at(4)).unwrap().weight, 7.0);
    }
    assert_eq!(
        one_shelf.take(),
        ["app01 Admin drain 1002000000000 two", "app02 Admin off 1002000000000 two"]
    );
    assert_eq!(two_shelf.take(), ["app01 Weight 7 1001000000000 one"]);
    assert_eq!(
        applied.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["backend app01: weight 3 -> 7 (decided at one)"]
    );
    // Told again, nothing happens; two's own configured weight stands beside the override.
    assert_eq!(two.adopt(&one.decisions(), at(5)).unwrap(), Applied::default());
    assert_eq!(two.reload(plan(&[3.0, 1.0]), at(6)).unwrap().changes, []);
}

#[test]
fn of_another_only_what_makes_sense_is_adopted() {
    let (engine, shelf) = engine(plan(&[1.0]), "a");
    let stamp = Stamp { at: at(5), by: "b".into() };
    let record = |who, setting| Durable { name: name(who), setting, stamp: stamp.clone() };
    let strange = [
        record("app09", Setting::Admin(Admin::Off)),
        record("app01", Setting::Switch(Switch::Off)),
        record("one", Setting::Mark(Health::Down)),
    ];
    assert_eq!(engine.adopt(&strange, at(6)).unwrap(), Applied::default());
    let change = Override { weight: f64::NAN, configured: 1.0 };
    let nonsense =
        [record("app01", Setting::Admin(Admin::Off)), record("app01", Setting::Weight(Some(change)))];
    assert!(matches!(engine.adopt(&nonsense, at(6)), Err(Refusal::Weight { .. })));
    shelf.full.store(true, SeqCst);
    let sensible = [record("app01", Setting::Admin(Admin::Off))];
    assert!(matches!(engine.adopt(&sensible, at(6)), Err(Refusal::NotStored(_))));
    assert_eq!(admin_of(&engine, "app01"), Admin::On);
    assert_eq!(engine.decisions(), []);
}
