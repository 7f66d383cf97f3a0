//! Stories of backends that register: virtual time, no sockets.

use std::time::Duration;

use super::super::super::algorithm;
use super::super::super::choice::Choice;
use super::super::super::durable::Durable;
use super::super::super::farm::Ask;
use super::super::super::plan::{FarmPlan, MemberPlan, Plan, SlowStart};
use super::super::super::random::SplitMix;
use super::super::super::registration::MemberPattern;
use super::super::super::statistics::{Amount, StatisticName};
use super::super::super::update::{Admin, Health, WeightChange};
use super::super::Hearsay;
use super::super::carry::seed;
use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_000 + seconds))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A farm of `app01`, then whatever `web-*` fits, with twice the weight, then `app02`.
fn plan(rule: &str) -> Plan {
    let backend = |index: u8| BackendPlan::new(name(&format!("app0{index}")), vec![[10, 0, 0, index].into()]);
    let mut farm = FarmPlan::new(name("one"), [name("app01"), name("app02")], algorithm::find(rule).unwrap());
    let pattern = Pattern::parse("web-*").unwrap();
    farm.patterns = vec![MemberPattern { pattern, weight: 2.0, place: 1 }];
    let other = FarmPlan::new(name("other"), [name("app01")], algorithm::find(rule).unwrap());
    Plan { backends: vec![backend(1), backend(2)], farms: vec![farm, other] }
}

const RULES: Registration = Registration { limit: 3, silence: Duration::from_secs(60) };

fn engine(rule: &str) -> Engine {
    let engine = Engine::new(plan(rule), at(0)).unwrap();
    assert!(engine.set_registration(Some(RULES), at(0)).is_empty());
    engine
}

fn from(address: [u8; 4]) -> Option<Whereabouts> {
    Some(Whereabouts { addresses: vec![address.into()], port: None, is_said: false })
}

fn figures(who: &str, whereabouts: Option<Whereabouts>) -> BackendUpdate {
    let mut update = BackendUpdate::new(name(who));
    update.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(1.0))];
    update.whereabouts = whereabouts;
    update
}

/// A report of `web-INDEX` from 10.0.1.INDEX.
fn report(index: u8) -> Update {
    Update::Backend(figures(&format!("web-{index}"), from([10, 0, 1, index])))
}

fn members(engine: &Engine, now: Moment) -> Vec<String> {
    let farm = engine.farm_status("one", now).unwrap();
    farm.members.iter().map(|member| member.backend.to_string()).collect()
}

/// How often each is chosen in so many choices.
fn chosen(engine: &Engine, times: usize, now: Moment) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..times {
        match engine.farm("one").unwrap().choose(&Ask::any(now), &mut SplitMix::new(1)) {
            Choice::Member(chosen) => *counts.entry(chosen.machine().name.to_string()).or_default() += 1,
            _ => panic!("nobody"),
        }
    }
    counts
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

#[test]
fn who_reports_under_a_name_that_fits_is_a_member_at_once_and_at_its_place() {
    let engine = engine("round-robin");
    let applied = engine.apply(&[report(2)], at(1)).unwrap();
    let joined =
        "backend web-2: registration absent -> 10.0.1.2 (it reported, and a farm names it by pattern)";
    assert_eq!(texts(&applied.changes), [joined]);
    engine.apply(&[report(1)], at(1)).unwrap();
    assert_eq!(members(&engine, at(1)), ["app01", "web-1", "web-2", "app02"]);
    let counts = chosen(&engine, 60, at(1));
    let expected = [("app01", 10), ("app02", 10), ("web-1", 20), ("web-2", 20)];
    assert_eq!(counts, expected.map(|(who, count)| (who.to_owned(), count)).into());
    assert_eq!(
        engine.machine("WEB-1").unwrap().addresses[..],
        [[10, 0, 1, 1].into()] as [std::net::IpAddr; 1]
    );
    assert_eq!(engine.farm_status("other", at(1)).unwrap().members.len(), 1);
    let status = engine.backend_status("web-1", at(1)).unwrap();
    assert_eq!((status.registered, status.farms), (Some(at(1)), vec![name("one")]));
}

#[test]
fn others_are_refused_as_before() {
    let engine = engine("round-robin");
    let refusal = |update: BackendUpdate| engine.apply(&[Update::Backend(update)], at(1)).unwrap_err();
    let unknown = |who: &str| Refusal::UnknownBackend(name(who));
    assert_eq!(refusal(figures("db-1", from([10, 0, 1, 1]))), unknown("db-1"), "no pattern fits");
    assert_eq!(refusal(figures("web-1", None)), unknown("web-1"), "nobody knows where it is");
    let order = BackendUpdate { admin: Some(Admin::Off), ..BackendUpdate::new(name("web-1")) };
    assert_eq!(refusal(order), unknown("web-1"), "an order is no report");
    let farewell = BackendUpdate { feed: Some(Feed::Out), ..figures("web-1", from([10, 0, 1, 1])) };
    assert_eq!(refusal(farewell), unknown("web-1"), "who leaves does not come");
    let mut nonsense = figures("web-1", from([10, 0, 1, 1]));
    nonsense.statistics[0].1 = Amount::Set(f64::NAN);
    assert!(matches!(refusal(nonsense), Refusal::NotFinite { .. }));
    assert_eq!(members(&engine, at(1)), ["app01", "app02"]);
    assert!(engine.may_register("Web-9") && !engine.may_register("db-1"));
    engine.set_registration(None, at(2));
    assert!(!engine.may_register("web-9"));
    assert!(engine.apply(&[report(1)], at(2)).is_err());
}

#[test]
fn the_limit_holds_for_a_list_as_a_whole() {
    let engine = engine("round-robin");
    engine.apply(&[report(1)], at(1)).unwrap();
    let refused = engine.apply(&[report(2), report(3), report(2), report(4)], at(1)).unwrap_err();
    assert_eq!(refused, Refusal::Full { backend: name("web-4"), limit: 3 });
    assert_eq!(
        refused.to_string(),
        "h: web-4 cannot register: there are 3 already, and access.auto_register_limit allows no more"
    );
    assert_eq!(members(&engine, at(1)), ["app01", "web-1", "app02"], "all or none");
    engine.apply(&[report(2), report(3), report(2)], at(1)).unwrap();
    assert!(engine.apply(&[report(4)], at(1)).is_err());
    engine.apply(&[report(3)], at(1)).unwrap();
    let counts = engine.registration_counts();
    assert_eq!((counts.present, counts.joined, counts.turned_away), (3, 3, 2));
}

#[test]
fn who_is_silent_leaves_and_the_others_stay_who_they_are() {
    let engine = engine("round-robin");
    engine.apply(&[report(1), report(2), report(3)], at(0)).unwrap();
    engine.apply(&[report(2)], at(40)).unwrap();
    assert_eq!(engine.expire(at(60)).changes, []);
    let expired = engine.expire(at(61));
    assert_eq!(
        texts(&expired.changes),
        [
            "backend web-3: registration 10.0.1.3 -> absent (silent for 61 s, 60 s are allowed)",
            "backend web-1: registration 10.0.1.1 -> absent (silent for 61 s, 60 s are allowed)",
        ]
    );
    assert_eq!(members(&engine, at(61)), ["app01", "web-2", "app02"]);
    assert_eq!(chosen(&engine, 8, at(61)).get("web-2"), Some(&4));
    let status = engine.backend_status("web-2", at(61)).unwrap();
    assert_eq!((status.statistics.get("l"), status.answers), (Some(1.0), 4));
    assert!(engine.machine("web-1").is_none() && engine.machine("web-2").is_some());
    assert!(engine.expire(at(100)).changes.is_empty());
    assert_eq!(engine.expire(at(101)).changes.len(), 1);
    assert_eq!(engine.registration_counts().left, 3);
    assert_eq!(members(&engine, at(101)), ["app01", "app02"]);
    // Reports, silence and choices go on as if nobody had ever been there.
    engine.apply(&[report(3)], at(102)).unwrap();
    assert_eq!(members(&engine, at(102)), ["app01", "web-3", "app02"]);
}

#[test]
fn the_agenda_holds_one_look_however_many_come_and_go() {
    let engine = engine("least-load");
    for round in 0..200 {
        let now = at(round * 30);
        engine.expire(now);
        engine.apply(&[report(1 + (round % 5) as u8)], now).unwrap();
    }
    assert!(engine.lock().agenda.len() <= 2, "{}", engine.lock().agenda.len());
    assert!(engine.registration_counts().present <= 3);
}

#[test]
fn one_that_comes_is_eased_in() {
    let mut plan = plan("round-robin");
    plan.farms[0].slow_start = Some(SlowStart { window: Duration::from_secs(100), aggression: 1.0 });
    let engine = Engine::new(plan, at(0)).unwrap();
    engine.set_registration(Some(RULES), at(0));
    engine.apply(&[report(1)], at(10)).unwrap();
    let weight = |now| engine.farm_status("one", now).unwrap().members[1].weight;
    assert_eq!((weight(at(10)), weight(at(60)), weight(at(110))), (0.2, 1.0, 2.0));
}

#[test]
fn a_report_moves_its_backend_but_a_word_on_its_health_from_elsewhere_does_not() {
    let engine = engine("round-robin");
    engine.apply(&[report(1)], at(1)).unwrap();
    let address = || engine.machine("web-1").unwrap().addresses[0].to_string();
    let down = BackendUpdate {
        health: Some(Health::Down),
        whereabouts: from([10, 0, 9, 9]),
        ..BackendUpdate::new(name("web-1"))
    };
    engine.apply(&[Update::Backend(down)], at(2)).unwrap();
    assert_eq!(address(), "10.0.1.1");
    let applied = engine.apply(&[Update::Backend(figures("web-1", from([10, 0, 1, 7])))], at(3)).unwrap();
    assert_eq!(
        texts(&applied.changes),
        ["backend web-1: addresses 10.0.1.1 -> 10.0.1.7 (it reported from there)"]
    );
    assert_eq!(address(), "10.0.1.7");
    let said = Whereabouts { addresses: Vec::new(), port: Some(81), is_said: true };
    engine.apply(&[Update::Backend(figures("web-1", Some(said)))], at(4)).unwrap();
    assert_eq!((address().as_str(), engine.machine("web-1").unwrap().port), ("10.0.1.7", Some(81)));
    engine.apply(&[report(1)], at(5)).unwrap();
    assert_eq!(engine.machine("web-1").unwrap().port, Some(81), "what is not named stays");
    engine.apply(&[Update::Backend(figures("app01", from([10, 0, 9, 9])))], at(6)).unwrap();
    assert_eq!(engine.machine("app01").unwrap().addresses[0].to_string(), "10.0.0.1", "it is configured");
}

#[test]
fn a_decision_outlives_those_who_left() {
    let engine = engine("failover");
    engine.apply(&[report(1)], at(0)).unwrap();
    let drain = BackendUpdate { admin: Some(Admin::Drain), ..BackendUpdate::new(name("web-1")) };
    let weigh =
        BackendUpdate { weight: Some(WeightChange::Override(3.0)), ..BackendUpdate::new(name("web-1")) };
    engine.apply(&[Update::Backend(drain), Update::Backend(weigh)], at(1)).unwrap();
    engine.expire(at(100));
    assert!(engine.machine("web-1").is_none());
    engine.apply(&[report(1)], at(200)).unwrap();
    let status = engine.backend_status("web-1", at(200)).unwrap();
    assert_eq!((status.admin.value, status.weight), (Admin::Drain, 3.0));
    assert_eq!(chosen(&engine, 3, at(200)).get("web-1"), None);
}

#[test]
fn a_reload_keeps_those_whose_pattern_still_fits() {
    let engine = engine("round-robin");
    engine.apply(&[report(1), report(2)], at(1)).unwrap();
    chosen(&engine, 12, at(1));
    let reloaded = engine.reload(plan("round-robin"), at(2)).unwrap();
    assert_eq!((reloaded.summary, reloaded.changes), (vec![], vec![]), "nothing changed");
    assert_eq!(members(&engine, at(2)), ["app01", "web-1", "web-2", "app02"]);
    assert_eq!(engine.backend_status("web-1", at(2)).unwrap().answers, 4);
    // One is configured now, and the pattern fits the other no more.
    let mut next = plan("round-robin");
    next.backends.push(BackendPlan::new(name("web-2"), vec![[10, 0, 2, 2].into()]));
    next.farms[0].members.push(MemberPlan { backend: name("web-2"), weight: 1.0 });
    next.farms[0].patterns[0].pattern = Pattern::parse("*-9").unwrap();
    let reloaded = engine.reload(next, at(3)).unwrap();
    assert_eq!(
        texts(&reloaded.changes),
        ["backend web-1: registration 10.0.1.1 -> absent (no farm names it by pattern any more)"]
    );
    assert_eq!(members(&engine, at(3)), ["app01", "app02", "web-2"]);
    let status = engine.backend_status("web-2", at(3)).unwrap();
    assert_eq!((status.registered, status.answers), (None, 4), "its counters go on");
    assert_eq!(status.addresses[0].to_string(), "10.0.2.2");
    assert!(engine.expire(at(1000)).changes.is_empty(), "who is configured stays");
}

#[test]
fn backends_that_stay_in_place_over_a_reload_are_who_they_were_whoever_comes_behind_them() {
    let engine = engine("round-robin");
    engine.apply(&[report(1), report(2)], at(1)).unwrap();
    let where_is = |who: &str| engine.machine(who).map(|machine| machine.addresses.to_vec());
    let at_home = |who: &str| engine.backend_status(who, at(9)).map(|status| status.addresses);
    // The first of those that registered is configured now, at the place that it has.
    let mut next = plan("round-robin");
    next.backends.push(BackendPlan::new(name("web-1"), vec![[10, 0, 9, 9].into()]));
    engine.reload(next, at(2)).unwrap();
    assert_eq!(where_is("web-1"), Some(vec![[10, 0, 9, 9].into()]));
    assert_eq!(where_is("WEB-2"), Some(vec![[10, 0, 1, 2].into()]), "still registered");
    assert_eq!(engine.registration_counts().present, 1);
    assert_eq!(engine.backend_status("web-1", at(9)).unwrap().reports, 1, "what it reported is known");
    // Nobody is before those who stay, and the last one that was configured is gone.
    engine.reload(plan("round-robin"), at(3)).unwrap();
    assert_eq!((where_is("web-1"), at_home("web-1")), (None, None));
    assert_eq!((where_is("app02"), where_is("web-2").is_some()), (at_home("app02"), true));
    // The first one is gone, so the others move.
    let mut next = plan("round-robin");
    next.backends.remove(0);
    next.farms.iter_mut().for_each(|farm| farm.members.retain(|member| member.backend != name("app01")));
    engine.reload(next, at(4)).unwrap();
    assert_eq!((where_is("app01"), at_home("app01")), (None, None));
    assert_eq!(where_is("app02"), Some(vec![[10, 0, 0, 2].into()]));
    assert_eq!(where_is("app02"), at_home("app02"));
    assert_eq!(members(&engine, at(5)), ["app02", "web-2"]);
}

#[test]
fn a_restart_finds_them_again() {
    let before = engine("round-robin");
    before.apply(&[report(1), report(2)], at(0)).unwrap();
    before.apply(&[report(2)], at(50)).unwrap();
    before.expire(at(61));
    before.apply(&[Update::Backend(figures("web-3", from([10, 0, 1, 3])))], at(61)).unwrap();
    let memory = before.remember(at(70));
    let after = engine("round-robin");
    let changes = after.recall(Vec::<Durable>::new(), &memory, at(500));
    let came = "backend web-2: registration absent -> 10.0.1.2 (as it was before)";
    assert!(texts(&changes).contains(&came.to_owned()), "{:?}", texts(&changes));
    assert_eq!(members(&after, at(500)), ["app01", "web-2", "web-3", "app02"]);
    assert!(after.expire(at(560)).changes.is_empty(), "the time in which we were away is no silence");
    assert_eq!(after.expire(at(561)).changes.len(), 2);
    let without = Engine::new(plan("round-robin"), at(500)).unwrap();
    without.recall(Vec::<Durable>::new(), &memory, at(500));
    assert_eq!(members(&without, at(500)), ["app01", "app02"], "none may register here");
}

#[test]
fn what_another_athena_heard_lets_register_here_too_while_it_is_fresh() {
    let (here, there) = (engine("round-robin"), engine("round-robin"));
    there.apply(&[report(1)], at(10)).unwrap();
    let Update::Backend(said) = report(1) else { unreachable!() };
    let outcome = there.outcome(&said).unwrap();
    assert_eq!(outcome.whereabouts.as_ref().unwrap().addresses, [std::net::IpAddr::from([10, 0, 1, 1])]);
    let hear = |moment, now| here.hear(&[Hearsay { update: outcome.clone(), at: moment }], now).unwrap();
    assert_eq!(hear(at(10), at(71)).changes, [], "too long ago");
    assert_eq!(hear(at(10), at(20)).changes.len(), 1);
    assert_eq!(members(&here, at(20)), members(&there, at(20)));
    assert_eq!(here.expire(at(70)).changes, []);
    assert_eq!(here.expire(at(71)).changes.len(), 1, "it leaves at the same time everywhere");
    there.set_registration(None, at(80));
    assert_eq!(there.hear(&[Hearsay { update: outcome, at: at(80) }], at(80)).unwrap().changes, []);
}

#[test]
fn every_rule_goes_on_while_members_come_and_go() {
    for spec in algorithm::ALGORITHMS {
        let engine = engine(spec.name);
        let mut now = at(0);
        for round in 0..400_u64 {
            now = at(round * 13);
            engine.apply(&[report(1 + (round * 7 % 5) as u8)], now).unwrap_or_default();
            engine.expire(now);
            let counts = chosen(&engine, 5, now);
            let there = members(&engine, now);
            assert!(counts.keys().all(|who| there.contains(who)), "{}: {counts:?} of {there:?}", spec.name);
        }
        let truth = engine.lock();
        for (index, backend) in truth.backends.iter().enumerate() {
            assert_eq!(truth.backend_number(backend.name().as_str()), Some(index));
            for (farm, member) in backend.places.iter() {
                assert_eq!(truth.farms[farm].members[member].backend(), index, "{}", spec.name);
                assert_eq!(truth.farms[farm].members[member].seed, seed(backend.name()), "{}", spec.name);
            }
        }
        drop(truth);
        let status = engine.farm_status("one", now).unwrap();
        assert!(
            (status.members.iter().map(|member| member.share).sum::<f64>() - 1.0).abs() < 1e-6,
            "{}",
            spec.name
        );
    }
}
