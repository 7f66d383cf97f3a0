//! The engine's own stories: virtual time, no sockets. What a user sees of them stands in the scenario files.

use std::net::IpAddr;
use std::time::Duration;

use super::super::algorithm;
use super::super::choice::Choice;
use super::super::farm::Ask;
use super::super::plan::{BackendPlan, Fallback, FarmPlan, LastResort, SlowStart};
use super::super::random::SplitMix;
use super::super::statistics::{Amount, MAX_KEPT, StatisticName};
use super::super::status::LoadState;
use super::super::sticky::Stick;
use super::super::update::{Admin, BackendUpdate, FarmUpdate, Feed, Health, WeightChange};
use super::super::view::Family;
use super::*;

const START: u64 = 1_000;

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(START + seconds))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn backend(text: &str, address: &str) -> BackendPlan {
    BackendPlan::new(name(text), vec![address.parse().unwrap()])
}

fn farm(text: &str, rule: &str, members: &[&str]) -> FarmPlan {
    FarmPlan::new(name(text), members.iter().map(|member| name(member)), algorithm::find(rule).unwrap())
}

fn three(rule: &str) -> Plan {
    let backends =
        (1..=3).map(|index| backend(&format!("app0{index}"), &format!("10.0.0.{index}"))).collect();
    Plan { backends, farms: vec![farm("one", rule, &["app01", "app02", "app03"])] }
}

fn report(who: &str, statistics: &[(&str, f64)]) -> Update {
    let mut update = BackendUpdate::new(name(who));
    let change = |(name, value): &(&str, f64)| (StatisticName::parse(name).unwrap(), Amount::Set(*value));
    update.statistics = statistics.iter().map(change).collect();
    Update::Backend(update)
}

fn order(who: &str, change: impl FnOnce(&mut BackendUpdate)) -> Update {
    let mut update = BackendUpdate::new(name(who));
    change(&mut update);
    Update::Backend(update)
}

fn switch(who: &str, switch: Switch) -> Update {
    Update::Farm(FarmUpdate { farm: name(who), switch: Some(switch) })
}

/// Chooses and says whom: a backend's name, a fallback, or `nobody`.
fn choose(engine: &Engine, farm: &str, now: Moment) -> String {
    said(&engine.farm(farm).unwrap().choose(&Ask::any(now), &mut SplitMix::new(1)))
}

fn said(choice: &Choice) -> String {
    match choice {
        Choice::Member(chosen) => chosen.machine().name.to_string(),
        Choice::Elsewhere(elsewhere) => elsewhere.fallback().to_string(),
        Choice::NoAddress => "no address".to_owned(),
        Choice::Nobody => "nobody".to_owned(),
    }
}

fn changes(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

#[test]
fn a_report_moves_the_very_next_choice() {
    let engine = Engine::new(three("least-load"), at(0)).unwrap();
    engine.apply(&[report("app01", &[("l", 9.0)])], at(1)).unwrap();
    let chosen: Vec<_> = (0..10).map(|_| choose(&engine, "one", at(1))).collect();
    assert!(chosen.iter().all(|who| who != "app01"), "{chosen:?}");
    engine.apply(&[report("app02", &[("l", 20.0)]), report("app03", &[("l", 20.0)])], at(2)).unwrap();
    assert_eq!(choose(&engine, "one", at(2)), "app01");
}

#[test]
fn all_of_a_list_is_carried_out_or_nothing() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let good = report("app01", &[("l", 1.0)]);
    for (bad, why) in [
        (report("app09", &[("l", 1.0)]), "unknown backend: app09"),
        (report("app02", &[("l", f64::NAN)]), "l: not a finite number (app02)"),
        (switch("two", Switch::Off), "unknown farm: two"),
        (
            order("app02", |update| update.weight = Some(WeightChange::Override(-1.0))),
            "w: a weight is 0, or from 0.000001 to 1000000, not -1 (app02)",
        ),
    ] {
        let refusal = engine.apply(&[good.clone(), bad], at(1)).unwrap_err();
        assert_eq!(refusal.to_string(), why);
        assert!(engine.backend_status("app01", at(1)).unwrap().statistics.is_empty());
    }
    assert_eq!((engine.counts().reports, engine.counts().refused), (0, 4));
}

#[test]
fn a_backend_keeps_a_bounded_number_of_statistics() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let names: Vec<String> = (0..=MAX_KEPT).map(|index| format!("s{index}")).collect();
    let pairs: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    engine.apply(&[report("app01", &pairs[..MAX_KEPT])], at(1)).unwrap();
    engine.apply(&[report("app01", &pairs[..MAX_KEPT])], at(2)).unwrap();
    let refusal = engine.apply(&[report("app01", &pairs[MAX_KEPT..])], at(3)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!("s{MAX_KEPT}: at most {MAX_KEPT} statistics are kept of a backend (app01)")
    );
}

#[test]
fn silence_takes_a_member_out_and_a_report_brings_it_back() {
    let mut plan = three("round-robin");
    plan.farms[0].expect_update = Some(Duration::from_secs(15));
    let engine = Engine::new(plan, at(0)).unwrap();
    // Everybody is new, and available until the time of grace ends.
    assert_eq!(engine.backend_status("app01", at(15)).unwrap().feed.value, Feed::New);
    for who in ["app01", "app02"] {
        engine.apply(&[report(who, &[("l", 1.0)])], at(10)).unwrap();
    }
    let expired = engine.expire(at(16));
    assert_eq!(
        changes(&expired.changes),
        ["backend app03: feed new -> out (no report in 16 s, expected every 15 s)"]
    );
    let next = expired.next.unwrap();
    assert!(next > at(25) && next < at(26), "the sweeper sleeps until the next one would be out");
    let seen: Vec<_> = (0..4).map(|_| choose(&engine, "one", at(16))).collect();
    assert_eq!(seen, ["app01", "app02", "app01", "app02"]);
    let status = engine.farm_status("one", at(20)).unwrap();
    assert_eq!((status.available, status.members.len()), (2, 3));
    assert_eq!(status.members[2].reason, "out: last report 20 s ago, expected every 15 s");

    let applied = engine.apply(&[report("app03", &[("l", 1.0)])], at(21)).unwrap();
    assert_eq!(changes(&applied.changes), ["backend app03: feed out -> in (it reported)"]);
    assert_eq!(engine.farm_status("one", at(21)).unwrap().available, 3);
}

#[test]
fn without_an_expectation_silence_means_nothing() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    assert_eq!(engine.expire(at(1_000_000)).next, None);
    let status = engine.backend_status("app01", at(1_000_000)).unwrap();
    assert_eq!((status.feed.value, status.feed.reason.as_str()), (Feed::In, "no report is expected"));
}

#[test]
fn a_backend_may_say_farewell() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let farewell = order("app02", |update| update.feed = Some(Feed::Out));
    let applied = engine.apply(&[farewell], at(1)).unwrap();
    assert_eq!(changes(&applied.changes), ["backend app02: feed in -> out (it said that it leaves)"]);
    assert!((0..9).all(|_| choose(&engine, "one", at(1)) != "app02"));
    engine.apply(&[order("app02", |update| update.feed = Some(Feed::In))], at(2)).unwrap();
    assert!((0..3).any(|_| choose(&engine, "one", at(2)) == "app02"));
}

#[test]
fn the_worst_word_on_health_counts_whoever_said_it() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let say = |report, mark| order("app01", |update| (update.health, update.mark) = (report, mark));
    let health = || {
        let status = engine.backend_status("app01", at(1)).unwrap();
        (status.health.value, status.health.reason)
    };
    engine.apply(&[say(None, Some(Health::Down))], at(1)).unwrap();
    engine.apply(&[say(Some(Health::Up), None)], at(1)).unwrap();
    assert_eq!(health(), (Health::Down, "said people".to_owned()));
    engine.apply(&[say(Some(Health::Down), Some(Health::Up))], at(1)).unwrap();
    assert_eq!(health(), (Health::Down, "said its report".to_owned()));
    engine.apply(&[say(Some(Health::Up), None)], at(1)).unwrap();
    assert_eq!(health(), (Health::Up, String::new()));
}

#[test]
fn drained_and_switched_off_members_get_no_choices() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    engine.apply(&[order("app01", |update| update.admin = Some(Admin::Drain))], at(1)).unwrap();
    let applied = engine.apply(&[order("app02", |update| update.admin = Some(Admin::Off))], at(1)).unwrap();
    assert_eq!(changes(&applied.changes), ["backend app02: admin on -> off (set by an operator)"]);
    assert!((0..9).all(|_| choose(&engine, "one", at(1)) == "app03"));
    let reasons: Vec<_> =
        engine.farm_status("one", at(1)).unwrap().members.into_iter().map(|member| member.reason).collect();
    assert_eq!(reasons, ["drain", "off", ""]);
}

#[test]
fn a_weight_set_at_run_time_counts_at_once_and_can_be_taken_back() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let weigh =
        |change| engine.apply(&[order("app01", |update| update.weight = Some(change))], at(1)).unwrap();
    weigh(WeightChange::Override(2.0));
    let count = |rounds| (0..rounds).filter(|_| choose(&engine, "one", at(1)) == "app01").count();
    assert_eq!(count(8), 4);
    weigh(WeightChange::Override(0.0));
    assert_eq!(count(8), 0);
    let back = weigh(WeightChange::Configured);
    assert_eq!(changes(&back.changes), ["backend app01: weight 0 -> 1 (back to the configuration)"]);
    assert_eq!(count(9), 3);
}

#[test]
fn when_nobody_is_left_the_order_is_kept() {
    let mut plan = three("round-robin");
    plan.backends.push(backend("spare", "10.0.9.1"));
    plan.farms.push(farm("two", "round-robin", &["spare"]));
    plan.farms[0].expect_update = Some(Duration::from_secs(10));
    plan.farms[0].fallback =
        vec![Fallback::Farm(name("two")), Fallback::Address("192.0.2.10".parse().unwrap(), Some(81))];
    let engine = Engine::new(plan.clone(), at(0)).unwrap();
    assert!(choose(&engine, "one", at(1)).starts_with("app0"));

    // 2a. The fallback farm, as soon as the last member is gone.
    let gone = engine.expire(at(11));
    assert_eq!(
        changes(&gone.changes)[3],
        "farm one: source members -> fallback two (no member is available)"
    );
    assert_eq!(choose(&engine, "one", at(11)), "spare");
    assert_eq!(engine.farm("one").unwrap().answers(), 2);
    // 2b. It has nobody either: the address behind it.
    engine.apply(&[order("spare", |update| update.health = Some(Health::Down))], at(12)).unwrap();
    assert_eq!(choose(&engine, "one", at(12)), "192.0.2.10:81");

    // 3. Without fallback: those who are merely silent.
    plan.farms[0].fallback.clear();
    engine.reload(plan.clone(), at(13)).unwrap();
    assert_eq!(engine.farm_status("one", at(13)).unwrap().source.value, Source::Stale);
    engine.apply(&[order("app01", |update| update.health = Some(Health::Down))], at(13)).unwrap();
    engine.expire(at(30));
    assert!((0..6).all(|_| ["app02", "app03"].contains(&choose(&engine, "one", at(30)).as_str())));

    // 4. Nobody.
    plan.farms[0].last_resort = LastResort::None;
    engine.reload(plan, at(31)).unwrap();
    assert_eq!(choose(&engine, "one", at(31)), "nobody");
}

#[test]
fn a_farm_switched_off_has_fallbacks_of_its_own() {
    let mut plan = three("round-robin");
    plan.farms[0].fallback = vec![Fallback::Host("sick.example.com".into(), None)];
    plan.farms[0].fallback_off = Some(vec![Fallback::Host("closed.example.com".into(), Some(80))]);
    let engine = Engine::new(plan, at(0)).unwrap();
    let off = engine.apply(&[switch("one", Switch::Off)], at(1)).unwrap();
    assert_eq!(
        changes(&off.changes),
        [
            "farm one: switch on -> off (set by an operator)",
            "farm one: source members -> fallback closed.example.com:80 (the farm is switched off)"
        ]
    );
    assert_eq!(choose(&engine, "one", at(1)), "closed.example.com:80");
    engine.apply(&[switch("one", Switch::On)], at(2)).unwrap();
    assert_eq!(choose(&engine, "one", at(2)), "app01");
}

#[test]
fn too_few_available_members_make_a_farm_sick_if_it_can_fall_back() {
    let mut plan = three("round-robin");
    plan.farms[0].min_available = 0.5;
    let engine = Engine::new(plan.clone(), at(0)).unwrap();
    for who in ["app01", "app02"] {
        engine.apply(&[order(who, |update| update.admin = Some(Admin::Off))], at(1)).unwrap();
    }
    assert_eq!(choose(&engine, "one", at(1)), "app03", "without a fallback it goes on with those it has");
    let source = engine.farm_status("one", at(1)).unwrap().source;
    assert_eq!(
        source.reason,
        "33 % of the weight is available, at least 50 % should be, but there is no fallback"
    );
    plan.farms[0].fallback = vec![Fallback::Address("192.0.2.1".parse().unwrap(), None)];
    engine.reload(plan, at(2)).unwrap();
    assert_eq!(choose(&engine, "one", at(2)), "192.0.2.1");
}

#[test]
fn a_chain_of_farms_follows_from_end_to_end() {
    let mut plan = three("round-robin");
    for (farm_name, member, fallback) in [("a", "app01", "b"), ("b", "app02", "c"), ("c", "app03", "")] {
        let mut farm = farm(farm_name, "failover", &[member]);
        if !fallback.is_empty() {
            farm.fallback = vec![Fallback::Farm(name(fallback))];
        }
        plan.farms.push(farm);
    }
    let engine = Engine::new(plan, at(0)).unwrap();
    let down = |who| engine.apply(&[order(who, |update| update.health = Some(Health::Down))], at(1)).unwrap();
    down("app01");
    assert_eq!(choose(&engine, "a", at(1)), "app02");
    down("app02");
    // b has no member of its own any more, so a does not fall back on it; its own chain is not a's.
    assert_eq!(choose(&engine, "b", at(1)), "app03");
    assert_eq!(choose(&engine, "a", at(1)), "nobody");
}

#[test]
fn a_family_nobody_has_is_no_error_and_moves_nothing() {
    let mut plan = three("round-robin");
    plan.backends[1].addresses.push("2001:db8::2".parse().unwrap());
    let engine = Engine::new(plan, at(0)).unwrap();
    let ask = |family| Ask { family: Some(family), ..Ask::any(at(1)) };
    let farm = engine.farm("ONE").unwrap();
    let mut random = SplitMix::new(1);
    for _ in 0..5 {
        assert_eq!(said(&farm.choose(&ask(Family::V6), &mut random)), "app02");
    }
    engine.apply(&[order("app02", |update| update.admin = Some(Admin::Off))], at(2)).unwrap();
    let before = farm.answers();
    assert_eq!(said(&farm.choose(&ask(Family::V6), &mut random)), "no address");
    assert_eq!(farm.answers(), before);
    for who in ["app01", "app03"] {
        engine.apply(&[order(who, |update| update.admin = Some(Admin::Off))], at(3)).unwrap();
    }
    assert_eq!(said(&farm.choose(&ask(Family::V4), &mut random)), "nobody");
}

#[test]
fn a_proxy_that_asks_for_both_families_sees_every_member_in_both() {
    let mut plan = three("round-robin");
    plan.backends.truncate(2);
    plan.farms[0].members.truncate(2);
    for (index, backend) in plan.backends.iter_mut().enumerate() {
        backend.addresses.push(format!("2001:db8::{index}").parse().unwrap());
    }
    let engine = Engine::new(plan, at(0)).unwrap();
    let farm = engine.farm("one").unwrap();
    let ask =
        |family| said(&farm.choose(&Ask { family: Some(family), ..Ask::any(at(1)) }, &mut SplitMix::new(1)));
    let pairs: Vec<_> = (0..4).map(|_| (ask(Family::V4), ask(Family::V6))).collect();
    assert!(pairs.iter().all(|(v4, v6)| v4 == v6), "{pairs:?}");
    assert_eq!(pairs.iter().filter(|(v4, _)| v4 == "app01").count(), 2);
}

#[test]
fn several_are_different_and_only_the_first_is_counted() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let farm = engine.farm("one").unwrap();
    let Choice::Member(chosen) = farm.choose_several(&Ask::any(at(1)), 9, &mut SplitMix::new(1)) else {
        panic!()
    };
    let names: Vec<_> = chosen.machines().map(|machine| machine.name.as_str().to_owned()).collect();
    assert_eq!(names, ["app01", "app02", "app03"]);
    let answers: Vec<_> = engine.backend_statuses(at(1)).iter().map(|status| status.answers).collect();
    assert_eq!(answers, [1, 0, 0]);
}

#[test]
fn what_a_formula_lacks_is_named_and_what_it_cannot_give_is_counted() {
    let mut plan = three("least-load");
    plan.farms[0].load = super::super::load::Formula::parse("l / queue").unwrap();
    let engine = Engine::new(plan, at(0)).unwrap();
    engine
        .apply(
            &[report("app01", &[("l", 4.0), ("queue", 2.0)]), report("app02", &[("l", 6.0), ("queue", 1.0)])],
            at(1),
        )
        .unwrap();
    engine.apply(&[report("app03", &[("l", 1.0)])], at(1)).unwrap();
    let loads = || engine.farm_status("one", at(1)).unwrap().members.into_iter().map(|member| member.load);
    assert_eq!(
        loads().collect::<Vec<_>>(),
        [LoadState::Known(2.0), LoadState::Known(6.0), LoadState::Missing("queue".into())]
    );
    // Its load is the average, 4: after the best one has had two answers they are even.
    let chosen: Vec<_> = (0..2).map(|_| choose(&engine, "one", at(1))).collect();
    assert_eq!(chosen, ["app01", "app01"]);
    engine.apply(&[report("app03", &[("queue", 0.0)])], at(2)).unwrap();
    assert_eq!(loads().nth(2), Some(LoadState::NotFinite));
    assert_eq!(engine.farm_status("one", at(2)).unwrap().not_finite, 1);
}

#[test]
fn a_member_that_comes_back_is_eased_in() {
    let mut plan = three("round-robin");
    plan.farms[0].slow_start = Some(SlowStart { window: Duration::from_secs(100), aggression: 1.0 });
    let engine = Engine::new(plan, at(0)).unwrap();
    let weight = |now| engine.farm_status("one", now).unwrap().members[0].weight;
    assert_eq!(weight(at(1)), 1.0, "at the start everybody is there with all his weight");
    engine.apply(&[order("app01", |update| update.health = Some(Health::Down))], at(10)).unwrap();
    engine.apply(&[order("app01", |update| update.health = Some(Health::Up))], at(20)).unwrap();
    assert_eq!(weight(at(20)), 0.1);
    let mut now = at(20);
    let mut counts = Vec::new();
    // Each time the sweeper wakes it makes the view anew; at the end nothing is left on its agenda.
    while let Some(next) = engine.expire(now).next {
        counts.push((0..300).filter(|_| choose(&engine, "one", now) == "app01").count());
        now = next;
    }
    assert_eq!((weight(at(70)), weight(at(120))), (0.5, 1.0));
    assert!(counts[0] < 25 && counts.is_sorted_by(|one, next| *next + 8 >= *one), "{counts:?}");
    assert_eq!((0..300).filter(|_| choose(&engine, "one", now) == "app01").count(), 100);
}

#[test]
fn a_reload_keeps_what_still_exists() {
    let mut plan = three("round-robin");
    let engine = Engine::new(plan.clone(), at(0)).unwrap();
    let farm_before = engine.farm("one").unwrap();
    assert_eq!(choose(&engine, "one", at(1)), "app01");
    engine
        .apply(
            &[report("app02", &[("l", 3.0)]), order("app03", |update| update.admin = Some(Admin::Drain))],
            at(1),
        )
        .unwrap();

    plan.backends.remove(0);
    plan.backends.push(backend("app04", "10.0.0.4"));
    plan.farms[0].members[0].backend = name("app04");
    plan.farms.push(farm("two", "random", &["app02"]));
    let reloaded = engine.reload(plan.clone(), at(2)).unwrap();
    assert_eq!(
        reloaded.summary,
        ["backend app04: added", "farm one: changed", "farm two: added", "backend app01: removed"]
    );
    assert!(Arc::ptr_eq(&farm_before, &engine.farm("one").unwrap()), "whoever holds the farm still holds it");
    assert_eq!(engine.backend_status("app02", at(2)).unwrap().statistics.get("l"), Some(3.0));
    assert_eq!(engine.backend_status("app03", at(2)).unwrap().admin.value, Admin::Drain);
    assert!(engine.backend_status("app01", at(2)).is_none() && engine.machine("app01").is_none());
    assert_eq!(choose(&engine, "one", at(2)), "app02", "the rotation goes on where it was");
    assert_eq!(farm_before.answers(), 2);

    plan.farms[0].members[1].backend = name("nobody");
    let problems = engine.reload(plan, at(3)).unwrap_err();
    assert_eq!(problems[0].to_string(), "farm one: member nobody is no backend");
    assert_eq!(choose(&engine, "one", at(3)), "app04", "the old plan goes on");
}

#[test]
fn addresses_that_are_resolved_later_make_a_member_available() {
    let mut plan = three("round-robin");
    plan.backends[0] =
        BackendPlan { host: Some("app01.example.com".into()), ..BackendPlan::new(name("app01"), vec![]) };
    let engine = Engine::new(plan.clone(), at(0)).unwrap();
    assert_eq!(
        engine.farm_status("one", at(0)).unwrap().members[0].reason,
        "its host name has no address yet"
    );
    let resolved: [IpAddr; 1] = ["10.0.0.7".parse().unwrap()];
    let moved = engine.set_addresses("app01", &resolved, at(1));
    assert_eq!(
        changes(&moved),
        ["backend app01: addresses none -> 10.0.0.7 (app01.example.com was resolved)"]
    );
    assert!(engine.set_addresses("app01", &resolved, at(2)).is_empty());
    assert_eq!(engine.machine("APP01").unwrap().v4(), Some("10.0.0.7".parse().unwrap()));
    engine.reload(plan, at(3)).unwrap();
    assert_eq!(engine.machine("app01").unwrap().addresses.to_vec(), resolved);
}

#[test]
fn who_never_reports_is_neither_flooded_nor_starved_by_those_who_do() {
    let engine = Engine::new(three("least-load"), at(0)).unwrap();
    let mut seen = std::collections::HashMap::new();
    for second in 0..100 {
        for who in ["app01", "app02"] {
            engine.apply(&[report(who, &[("l", 5.0)])], at(second)).unwrap();
        }
        for _ in 0..30 {
            *seen.entry(choose(&engine, "one", at(second))).or_insert(0) += 1;
        }
    }
    assert!(seen.values().all(|&count| (900..1100).contains(&count)), "{seen:?}");
}

#[test]
fn who_sleeps_until_the_next_silence_is_woken_when_one_comes_sooner() {
    use std::sync::atomic::AtomicUsize;

    let mut plan = three("round-robin");
    plan.farms[0].expect_update = Some(Duration::from_secs(100));
    let mut quick = farm("quick", "round-robin", &["app03"]);
    quick.expect_update = Some(Duration::from_secs(5));
    plan.farms.push(quick);
    let engine = Engine::new(plan, at(0)).unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    engine.on_sooner(move || {
        count.fetch_add(1, Relaxed);
    });
    let next = engine.expire(at(50)).next.unwrap();
    assert!(next > at(100), "app03 is out of the quick farm already: {next:?}");
    engine.apply(&[report("app01", &[("l", 1.0)])], at(60)).unwrap();
    assert_eq!(woken.load(Relaxed), 0);
    engine.apply(&[report("app03", &[("l", 1.0)])], at(60)).unwrap();
    assert_eq!(woken.load(Relaxed), 1);
    assert!(engine.expire(at(60)).next.unwrap() < at(66));
}

#[test]
fn a_ranking_tells_the_next_choice_and_moves_nothing() {
    let engine = Engine::new(three("round-robin"), at(0)).unwrap();
    let farm = engine.farm("one").unwrap();
    let mut random = SplitMix::new(1);
    for turn in 0..4 {
        let ranked = farm.rank(&Ask::any(at(1)), &mut random);
        let Choice::Member(ranked) = ranked else { panic!("somebody is there") };
        assert_eq!(ranked.machines().count(), 3);
        assert_eq!(farm.answers(), turn);
        assert_eq!(choose(&engine, "one", at(1)), ranked.machine().name.as_str());
    }
}

#[test]
fn whom_a_key_was_given_to_is_believed_to_be_busier_at_once() {
    for rule in ["least-load", "two-choices", "hot-cold", "adaptive"] {
        let backends = vec![backend("a", "10.0.0.1"), backend("b", "10.0.0.2")];
        let engine =
            Engine::new(Plan { backends, farms: vec![farm("one", rule, &["a", "b"])] }, at(0)).unwrap();
        engine.apply(&[report("a", &[("l", 1.0)]), report("b", &[("l", 1.0)])], at(1)).unwrap();
        let farm = engine.farm("one").unwrap();
        let stick = Stick::Key(b"somebody");
        let by_key = || said(&farm.choose(&Ask { stick, ..Ask::any(at(1)) }, &mut SplitMix::new(1)));
        let given = by_key();
        assert!((1..9).all(|_| by_key() == given), "{rule}");
        let other = if given == "a" { "b" } else { "a" };
        assert!((0..4).all(|_| choose(&engine, "one", at(1)) == other), "{rule}: {given} has nine already");
    }
}
