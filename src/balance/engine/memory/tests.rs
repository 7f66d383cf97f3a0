//! What a restart remembers: figures while they are fresh, silence with its age, counters always.

use std::time::Duration;

use super::super::super::algorithm;
use super::super::super::farm::Ask;
use super::super::super::name::Name;
use super::super::super::plan::{BackendPlan, FarmPlan, Plan};
use super::super::super::random::SplitMix;
use super::super::super::statistics::StatisticName;
use super::super::super::status::LoadState;
use super::super::super::update::{Feed, Update};
use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_000 + seconds))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Two backends in two farms, which expect a report every so many seconds; 0: they expect none.
fn plan(patience: [u64; 2]) -> Plan {
    let backend = |index: u8| BackendPlan::new(name(&format!("app0{index}")), vec![[10, 0, 0, index].into()]);
    let farm = |(farm, patience): (&str, u64)| {
        let rule = algorithm::find("least-load").unwrap();
        let mut farm = FarmPlan::new(name(farm), [name("app01"), name("app02")], rule);
        farm.expect_update = (patience > 0).then(|| Duration::from_secs(patience));
        farm
    };
    let farms = ["quick", "slow"].into_iter().zip(patience).map(farm).collect();
    Plan { backends: vec![backend(1), backend(2)], farms }
}

fn report(who: &str, load: f64, change: impl FnOnce(&mut BackendUpdate)) -> Update {
    let mut update = BackendUpdate::new(name(who));
    update.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(load))];
    change(&mut update);
    Update::Backend(update)
}

/// Lets one process report and stop, and another one start.
fn restart(patience: [u64; 2], updates: &[(Update, u64)], stop: u64, start: u64) -> Engine {
    let first = Engine::new(plan(patience), at(0)).unwrap();
    for (update, seconds) in updates {
        first.apply(std::slice::from_ref(update), at(*seconds)).unwrap();
    }
    first.expire(at(stop));
    let second = Engine::new(plan(patience), at(start)).unwrap();
    second.recall(Vec::new(), &first.remember(at(stop)), at(start));
    second
}

fn feed(engine: &Engine, who: &str, seconds: u64) -> (Feed, String) {
    let status = engine.backend_status(who, at(seconds)).unwrap();
    (status.feed.value, status.feed.reason)
}

#[test]
fn fresh_figures_count_with_their_true_age() {
    let report = report("app01", 3.0, |_| ());
    let engine = restart([15, 60], &[(report, 10)], 12, 14);
    let status = engine.backend_status("app01", at(14)).unwrap();
    assert_eq!(
        (status.statistics.get("l"), status.last_report, status.reports),
        (Some(3.0), Some(at(10)), 1)
    );
    assert_eq!(engine.farm_status("quick", at(14)).unwrap().members[0].load, LoadState::Known(3.0));
    assert_eq!(engine.expire(at(25)).changes, []);
    let expired = engine.expire(at(26));
    let told: Vec<String> = expired.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["backend app01: feed in -> out (last report 16 s ago, expected every 15 s)"],
        "neither later nor earlier for the restart"
    );
}

#[test]
fn our_absence_is_not_their_silence() {
    let health = |update: &mut BackendUpdate| update.health = Some(Health::Down);
    let engine = restart([15, 60], &[(report("app01", 3.0, health), 10)], 12, 500);
    let status = engine.backend_status("app01", at(500)).unwrap();
    assert!(status.statistics.is_empty(), "figures that old are dropped");
    assert_eq!((status.health.value, status.health.since), (Health::Up, at(500)));
    assert_eq!(feed(&engine, "app01", 500), (Feed::New, "no report yet, expected every 15 s".to_owned()));
    assert!(engine.farm_status("quick", at(515)).unwrap().members[0].available, "a time of grace");
    engine.expire(at(516));
    assert_eq!(feed(&engine, "app01", 516).0, Feed::Out);
}

#[test]
fn who_was_out_before_stays_out() {
    let engine = restart([15, 15], &[(report("app01", 3.0, |_| ()), 10)], 100, 101);
    let said = feed(&engine, "app01", 101);
    assert_eq!(said, (Feed::Out, "last report 91 s ago, expected every 15 s".to_owned()));
    let farewell = |update: &mut BackendUpdate| update.feed = Some(Feed::Out);
    let engine = restart([15, 15], &[(report("app01", 3.0, farewell), 10)], 11, 12);
    assert_eq!(feed(&engine, "app01", 12), (Feed::Out, "it said that it leaves".to_owned()));
    assert_eq!(feed(&engine, "app02", 12).0, Feed::New, "it never reported");
}

#[test]
fn each_farm_trusts_the_figures_as_long_as_it_would_have_without_the_restart() {
    let engine = restart([15, 60], &[(report("app01", 3.0, |_| ()), 10)], 12, 40);
    let load = |farm: &str| engine.farm_status(farm, at(40)).unwrap().members[0].clone();
    assert!(!load("quick").available);
    assert!(load("slow").available);
    assert_eq!(load("slow").load, LoadState::Known(3.0));
    let engine = restart([0, 0], &[(report("app01", 3.0, |_| ()), 10)], 12, 90_000);
    let status = engine.backend_status("app01", at(90_000)).unwrap();
    assert_eq!(status.statistics.get("l"), Some(3.0), "where silence means nothing, age does not either");
}

#[test]
fn reported_health_is_kept_while_it_is_fresh() {
    let health = |update: &mut BackendUpdate| update.health = Some(Health::Down);
    let engine = restart([15, 15], &[(report("app01", 3.0, health), 10)], 12, 14);
    let status = engine.backend_status("app01", at(14)).unwrap();
    assert_eq!((status.health.value, status.health.since), (Health::Down, at(10)));
}

#[test]
fn counters_and_what_was_handed_out_go_on() {
    let first = Engine::new(plan([15, 15]), at(0)).unwrap();
    let farm = first.farm("quick").unwrap();
    let ask = |seconds| Ask::any(at(seconds));
    (0..6).for_each(|_| drop(farm.choose(&ask(1), &mut SplitMix::new(1))));
    first.apply(&[report("app01", 0.0, |_| ()), report("app02", 2.5, |_| ())], at(2)).unwrap();
    (0..2).for_each(|_| drop(farm.choose(&ask(3), &mut SplitMix::new(1))));
    let then = first.backend_status("app01", at(4)).unwrap();
    assert_eq!((then.answers_since_report, farm.answers()), (2, 8), "both went to the idle one");

    let second = Engine::new(plan([15, 15]), at(5)).unwrap();
    second.recall(Vec::new(), &first.remember(at(4)), at(5));
    let now = second.backend_status("app01", at(5)).unwrap();
    assert_eq!((now.answers, now.answers_since_report), (then.answers, 2));
    let farm = second.farm("quick").unwrap();
    assert_eq!(farm.answers(), 8);
    // 0 + 2 handed out is still less than 2.5, 0 + 3 is not.
    drop(farm.choose(&ask(5), &mut SplitMix::new(1)));
    assert_eq!(second.backend_status("app01", at(5)).unwrap().answers_since_report, 3);
    drop(farm.choose(&ask(5), &mut SplitMix::new(1)));
    assert_eq!(second.backend_status("app01", at(5)).unwrap().answers_since_report, 3);
    assert_eq!(second.counts().reports, 0, "this one counts what this process took");
}

#[test]
fn many_backends_are_all_remembered() {
    let backend = |index: u32| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + index);
        BackendPlan::new(name(&format!("b{index}")), vec![address.into()])
    };
    let backends: Vec<_> = (1..=3 * SLICE as u32 + 1).map(backend).collect();
    let names: Vec<Name> = backends.iter().map(|backend| backend.name.clone()).collect();
    let farm = FarmPlan::new(name("all_of_them"), names.clone(), algorithm::find("random").unwrap());
    let engine = Engine::new(Plan { backends, farms: vec![farm] }, at(0)).unwrap();
    let memory = engine.remember(at(1));
    let remembered: Vec<Name> = memory.backends.into_iter().map(|backend| backend.name).collect();
    assert_eq!((remembered, memory.farms.len()), (names, 1));
}
