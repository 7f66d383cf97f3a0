//! What is asked and what is told, in virtual time.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::balance::algorithm;
use crate::balance::plan::{BackendPlan, Fallback, FarmPlan, Plan};
use crate::balance::statistics::{Amount, StatisticName};
use crate::balance::update::{BackendUpdate, FarmUpdate, Switch, Update, WeightChange};

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_000 + seconds))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// One farm of two by load, one of two by weight that expects reports and falls back on an address when less than half
/// of it is there, and a machine without a farm.
fn engine() -> Engine {
    let backend = |text: &str, address: &str| BackendPlan::new(name(text), vec![address.parse().unwrap()]);
    let mut backends =
        vec![backend("app01", "10.0.0.1"), backend("app02", "10.0.0.2"), backend("app03", "10.0.0.3")];
    backends.push(BackendPlan::new(name("app04"), Vec::new()));
    backends[3].host = Some("app04.example.com".to_owned());
    backends[1].weight = 3.0;
    let farm = |text: &str, members: [&str; 2], rule: &str| {
        FarmPlan::new(name(text), members.map(name), algorithm::find(rule).unwrap())
    };
    let one = farm("one", ["app01", "app02"], "round-robin");
    let mut two = farm("two", ["app02", "app03"], "load-weighted");
    two.expect_update = Some(Duration::from_secs(15));
    two.fallback = vec![Fallback::Address("192.0.2.1".parse().unwrap(), None)];
    two.min_available = 0.5;
    let three = farm("three", ["app03", "app04"], "round-robin");
    Engine::new(Plan { backends, farms: vec![one, two, three] }, at(0)).unwrap()
}

fn apply(engine: &Engine, backend: &str, change: impl FnOnce(&mut BackendUpdate), now: Moment) {
    let mut update = BackendUpdate::new(name(backend));
    change(&mut update);
    engine.apply(&[Update::Backend(update)], now).unwrap();
}

fn load(value: f64) -> impl FnOnce(&mut BackendUpdate) {
    move |update| update.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(value))]
}

/// The line that is told.
fn told(engine: &Engine, damper: &Damper, line: &str, now: Moment) -> String {
    let question = Question::parse(line.as_bytes());
    match question.and_then(|question| answer(engine, damper, &question, now)) {
        Ok(verdict) => verdict.to_string(),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn a_share_is_a_part_of_the_best() {
    let (engine, damper) = (engine(), Damper::new(BEST));
    let told = |line: &str| told(&engine, &damper, line, at(1));
    assert_eq!(told("one/app01"), "ready up 33%");
    assert_eq!(told("ONE/App02"), "ready up 100%");
    assert_eq!(told("app01"), "ready up 33%", "its only farm's");
    assert_eq!(told("app02"), "ready up 100%", "in two farms: as a machine");
    apply(&engine, "app03", load(0.0), at(1));
    apply(&engine, "app02", load(11.0), at(1));
    assert_eq!(told("two/app02"), "ready up 25%", "3 / (1 + 11) of 1");
    assert_eq!(told("two/app03"), "ready up 100%");
}

#[test]
fn what_people_want_is_told_in_haproxy_s_words_and_taken_back() {
    let (engine, damper) = (engine(), Damper::new(BEST));
    let told = |line: &str, seconds| told(&engine, &damper, line, at(seconds));
    apply(&engine, "app01", |update| update.admin = Some(Admin::Drain), at(1));
    assert_eq!(told("one/app01", 1), "drain up");
    apply(&engine, "app01", |update| update.health = Some(Health::Down), at(1));
    assert_eq!(told("one/app01", 1), "drain down #down: said its report");
    assert_eq!(told("app01", 1), "drain down #down: said its report");
    apply(&engine, "app01", |update| update.admin = Some(Admin::Off), at(1));
    assert_eq!(told("one/app01", 1), "maint");
    apply(&engine, "app01", |update| update.admin = Some(Admin::On), at(1));
    assert_eq!(told("one/app01", 1), "ready down #down: said its report");
    apply(&engine, "app01", |update| update.health = Some(Health::Up), at(1));
    assert_eq!(told("one/app01", 1), "ready up 33%");
    apply(&engine, "app01", |update| update.weight = Some(WeightChange::Override(0.0)), at(1));
    assert_eq!(told("one/app01", 1), "ready up 0% #weight 0");
    let off = FarmUpdate { farm: name("one"), switch: Some(Switch::Off) };
    engine.apply(&[Update::Farm(off)], at(1)).unwrap();
    assert_eq!(told("one/app02", 1), "maint", "the farm is off");
}

#[test]
fn silence_and_a_sick_farm_are_told_with_their_reasons() {
    let (engine, damper) = (engine(), Damper::new(BEST));
    let told = |line: &str, seconds| told(&engine, &damper, line, at(seconds));
    apply(&engine, "app03", load(0.0), at(10));
    engine.expire(at(20));
    // The heavier of the two is silent: a quarter of the weight is left, which is less than half.
    assert_eq!(told("two/app02", 20), "ready down #out: last report 20 s ago, expected every 15 s");
    assert_eq!(told("app02", 20), "ready down #out: no report in 20 s, expected every 15 s");
    assert_eq!(
        told("two/app03", 20),
        "ready up 0% #25 % of the weight is available, at least 50 % should be"
    );
    assert_eq!(told("one/app02", 20), "ready up 100%", "there nobody expects reports");
    apply(&engine, "app02", load(0.0), at(21));
    assert_eq!(told("two/app03", 21), "ready up 33%");
}

#[test]
fn what_we_cannot_say_is_one_word_that_changes_nothing() {
    let (engine, damper) = (engine(), Damper::new(BEST));
    let long = "x".repeat(40);
    for (line, word) in [
        ("", "agent-send-is-not-farm/backend"),
        ("one/", "agent-send-is-not-farm/backend"),
        ("one/two/app01", "agent-send-is-not-farm/backend"),
        ("one/app01 secret", "agent-send-is-not-farm/backend"),
        ("one/app01 k=a b", "agent-send-is-not-farm/backend"),
        ("GET / HTTP/1.1", "agent-send-is-not-farm/backend"),
        ("up,100%", "agent-send-is-not-farm/backend"),
        (&long, "agent-send-is-not-farm/backend"),
        ("six/app01", "unknown-farm:six"),
        ("one/app09", "unknown-backend:app09"),
        ("app09", "unknown-backend:app09"),
        ("one/app03", "not-a-member:one/app03"),
        ("three/app04", "no-address-yet:app04"),
        ("app04", "no-address-yet:app04"),
    ] {
        assert_eq!(told(&engine, &damper, line, at(1)), word, "{line}");
        // HAProxy cuts words at these, and reads digits with a percent sign as a weight.
        assert!(
            !word.contains([' ', '\t', ',', '#', '%']) && !word.starts_with(|c: char| c.is_ascii_digit())
        );
    }
    assert_eq!(Question::parse(b"\xff"), Err(Problem::Malformed));
    let question = Question::parse(b" one/app01 k=s,e=c \r").unwrap();
    assert_eq!((question.farm, question.key), (Some(name("one")), Some(&b"s,e=c"[..])));
}

proptest! {
    /// Whatever a client says, it hears one line, of words that HAProxy knows or that change nothing there.
    #[test]
    fn anything_at_all_is_answered_by_one_line(line in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[a-z0-9/_ =k.-]{0,40}".prop_map(String::into_bytes),
        "(one|two|six)/(app0[0-9])( k=.{0,9})?".prop_map(String::into_bytes),
    ]) {
        let (engine, damper) = (engine(), Damper::new(BEST));
        let answered = Question::parse(&line).and_then(|question| answer(&engine, &damper, &question, at(1)));
        let told = match &answered {
            Ok(verdict) => verdict.to_string(),
            Err(problem) => problem.to_string(),
        };
        prop_assert!(!told.is_empty() && !told.contains(['\n', '\r', '\0']), "{told:?}");
        prop_assert_eq!(answered.is_err(), !told.contains(' ') && told != "maint", "{}", told);
    }
}

#[test]
fn a_reason_stays_on_its_line() {
    let verdict = Verdict::Down("two\nlines\r\x1b[2J".to_owned());
    assert_eq!(verdict.to_string(), "ready down #twolines[2J");
}
