//! Stickiness, second tries and suspicion as a farm's users meet them: virtual time, no sockets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::super::super::algorithm::{self, ALGORITHMS};
use super::super::super::choice::Choice;
use super::super::super::farm::{Ask, Farm};
use super::super::super::name::Name;
use super::super::super::plan::{BackendPlan, Fallback, FarmPlan, MemberPlan, Plan};
use super::super::super::random::SplitMix;
use super::super::super::repeat::{MEMORY, Repeats};
use super::super::super::sticky::Stick;
use super::super::super::token::{self, Mode, TokenError, TokenKey, TokenKeys};
use super::super::super::update::{Admin, BackendUpdate, FarmUpdate, Feed, Health, Update, WeightChange};
use super::super::super::view::Family;
use super::super::Engine;
use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix(Duration::from_millis(1_795_000_000_000 + millis))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(text: &str) -> TokenKey {
    TokenKey::new(text.as_bytes()).unwrap()
}

/// Backends app1, app2 … with an IPv4 address each, all in farm one; app1 alone in farm two.
fn plan(rule: &str, count: usize) -> Plan {
    let names: Vec<Name> = (1..=count).map(|number| name(&format!("app{number}"))).collect();
    let backend = |(name, number): (&Name, usize)| {
        BackendPlan::new(name.clone(), vec![format!("10.0.0.{number}").parse().unwrap()])
    };
    let rule = algorithm::find(rule).unwrap();
    let two = FarmPlan::new(name("two"), [name("app1")], rule);
    Plan {
        backends: names.iter().zip(1..).map(backend).collect(),
        farms: vec![FarmPlan::new(name("one"), names, rule), two],
    }
}

struct World {
    engine: Engine,
    random: SplitMix,
    now: u64,
    /// Knows packets again, if it is there; a packet holds the text asked for, and nothing else.
    repeats: Option<Repeats>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let engine = Engine::new(plan, at(0)).unwrap();
        engine.set_token_keys(TokenKeys::new(key("a secret"), None));
        Self { engine, random: SplitMix::new(3), now: 0, repeats: None }
    }

    fn farm(&self) -> Arc<Farm> {
        self.engine.farm("one").unwrap()
    }

    /// What is answered to the labels `text` in front of farm one, for an A query.
    fn ask(&mut self, text: &str) -> String {
        self.ask_for(text, Some(Family::V4))
    }

    fn ask_for(&mut self, text: &str, family: Option<Family>) -> String {
        let (again, labels) = match text.strip_prefix("again") {
            Some(rest) => (true, rest.trim_start_matches('.')),
            None => (false, text),
        };
        let (farm, now) = (self.farm(), at(self.now));
        let nearest = labels.rsplit('.').next().unwrap_or("");
        let stick = farm.read_label(nearest.as_bytes(), now);
        let client = "192.0.2.1:5353".parse().unwrap();
        let packet = self.repeats.as_ref().map(|repeats| repeats.packet(client, text.as_bytes()));
        let ask = Ask { family, key: labels.as_bytes(), stick, again, packet, now };
        match farm.choose(&ask, &mut self.random) {
            Choice::Member(chosen) => chosen.machine().name.to_string(),
            Choice::Elsewhere(elsewhere) => elsewhere.fallback().to_string(),
            Choice::NoAddress => "no address".to_owned(),
            Choice::Nobody => "nobody".to_owned(),
        }
    }

    fn token(&self, mode: Mode, target: &str) -> String {
        token::sign(&key("a secret"), mode, at(3_600_000), &name(target), &name("one"))
    }

    fn tell(&self, who: &str, change: impl FnOnce(&mut BackendUpdate)) {
        let mut update = BackendUpdate::new(name(who));
        change(&mut update);
        self.engine.apply(&[Update::Backend(update)], at(self.now)).unwrap();
    }

    fn answers_of(&self, who: &str) -> u64 {
        self.engine.backend_status(who, at(self.now)).unwrap().answers
    }

    /// Tries under fresh labels until `dead` is given, and then once more: gives whom the second try got.
    fn fail(&mut self, dead: &str) -> String {
        loop {
            self.now += 1;
            let labels = format!("request-{}", self.now);
            if self.ask(&labels) == dead {
                return self.ask(&format!("again.{labels}"));
            }
        }
    }

    fn expire(&mut self) -> Vec<String> {
        let expired = self.engine.expire(at(self.now));
        expired.changes.iter().map(Change::to_string).collect()
    }

    fn reason(&self, member: usize) -> (bool, String) {
        let status = self.engine.farm_status("one", at(self.now)).unwrap();
        (status.members[member].available, status.members[member].reason.clone())
    }
}

#[test]
fn a_key_has_its_member_whatever_the_rule() {
    for spec in ALGORITHMS {
        let mut world = World::new(plan(spec.name, 5));
        let first: Vec<String> = (0..40).map(|user| world.ask(&format!("s-User{user}"))).collect();
        for round in 0..3 {
            for (user, member) in first.iter().enumerate() {
                assert_eq!(&world.ask(&format!("x{round}.S-uSER{user}")), member, "{}", spec.name);
            }
        }
        assert!(first.iter().any(|member| *member != first[0]), "{}", spec.name);
        // Who goes takes his own users only along, and has them back when he returns.
        world.tell("app2", |update| update.admin = Some(Admin::Drain));
        for (user, member) in first.iter().enumerate() {
            let now = world.ask(&format!("s-user{user}"));
            assert!(if member == "app2" { now != "app2" } else { now == *member }, "{}", spec.name);
        }
        world.tell("app2", |update| update.admin = Some(Admin::On));
        let again: Vec<String> = (0..40).map(|user| world.ask(&format!("s-user{user}"))).collect();
        assert_eq!(again, first, "{}", spec.name);
    }
}

#[test]
fn sticky_answers_are_counted_and_move_no_rotation() {
    let mut world = World::new(plan("round-robin", 3));
    assert_eq!(world.ask(""), "app1");
    let kept = world.ask("s-somebody");
    let token = world.token(Mode::Pin, "app3");
    assert_eq!(world.ask(&token), "app3");
    assert_eq!((world.ask(""), world.ask("")), ("app2".to_owned(), "app3".to_owned()));
    assert_eq!(world.farm().answers(), 5);
    let given: u64 = (1..=3).map(|number| world.answers_of(&format!("app{number}"))).sum();
    assert_eq!(given, 5);
    assert!(world.answers_of(&kept) >= 1);
}

#[test]
fn a_keeping_token_holds_while_its_backend_is_up_and_a_pin_always() {
    let mut farm_plan = plan("failover", 3);
    farm_plan.farms[0].expect_update = Some(Duration::from_secs(15));
    let mut world = World::new(farm_plan);
    let (keep, pin) = (world.token(Mode::Keep, "app2"), world.token(Mode::Pin, "app2"));
    let given = |world: &mut World| (world.ask(&keep), world.ask(&pin));
    let (app1, app2) = ("app1".to_owned(), "app2".to_owned());
    let held = (app2.clone(), app2.clone());
    let pinned = (app1, app2);

    assert_eq!(given(&mut world), held, "on");
    world.tell("app2", |update| update.admin = Some(Admin::Drain));
    assert_eq!(given(&mut world), held, "drained");
    world.tell("app2", |update| update.weight = Some(WeightChange::Override(0.0)));
    assert_eq!(given(&mut world), held, "drained, and of weight 0");
    world.tell("app2", |update| update.health = Some(Health::Down));
    assert_eq!(given(&mut world), pinned, "down");
    world.tell("app2", |update| update.health = Some(Health::Up));
    assert_eq!(given(&mut world), held, "up again");

    // Silence is noticed though the member was no candidate before.
    world.tell("app1", |update| update.feed = Some(Feed::In));
    world.now += 10_000;
    world.tell("app1", |update| update.feed = Some(Feed::In));
    world.now += 6_000;
    world.expire();
    assert_eq!(given(&mut world), pinned, "out");
    world.tell("app2", |update| update.feed = Some(Feed::In));
    assert_eq!(given(&mut world), held, "it reported");
    world.tell("app2", |update| update.admin = Some(Admin::Off));
    assert_eq!(given(&mut world), pinned, "off");
    assert_eq!(world.engine.token_counts().foreign, 0);
}

#[test]
fn sessions_stay_where_they_are_when_their_farm_is_sick_but_not_when_it_is_off() {
    let mut sick = plan("failover", 3);
    sick.farms[0].min_available = 0.9;
    sick.farms[0].fallback = vec![Fallback::Host("sorry.example".to_owned(), None)];
    let mut world = World::new(sick);
    let keep = world.token(Mode::Keep, "app2");
    world.tell("app3", |update| update.health = Some(Health::Down));
    assert_eq!((world.ask("x"), world.ask(&keep)), ("sorry.example".to_owned(), "app2".to_owned()));
    let off = FarmUpdate { farm: name("one"), switch: Some(Switch::Off) };
    world.engine.apply(&[Update::Farm(off)], at(1)).unwrap();
    assert_eq!(world.ask(&keep), "sorry.example");
}

#[test]
fn a_farm_token_moves_a_user_to_another_farm() {
    let mut farms = plan("failover", 3);
    farms.farms[1].members = vec![MemberPlan { backend: name("app3"), weight: 1.0 }];
    let mut world = World::new(farms);
    let token = world.token(Mode::Farm, "two");
    assert_eq!((world.ask(&token), world.ask("x")), ("app3".to_owned(), "app1".to_owned()));
    assert_eq!((world.farm().answers(), world.engine.farm("two").unwrap().answers()), (2, 1));
    let own = world.token(Mode::Farm, "one");
    assert_eq!(world.ask(&own), "app1");
}

#[test]
fn an_address_of_the_other_family_is_nodata_for_whoever_sticks() {
    let mut mixed = plan("failover", 2);
    mixed.backends[1].addresses = vec!["2001:db8::2".parse().unwrap()];
    let mut world = World::new(mixed);
    let v6 = Some(Family::V6);
    for mode in [Mode::Keep, Mode::Pin] {
        let token = world.token(mode, "app1");
        assert_eq!(
            (world.ask(&token), world.ask_for(&token, v6)),
            ("app1".to_owned(), "no address".to_owned())
        );
    }
    for user in 0..8 {
        let labels = format!("s-{user}");
        let both = [world.ask(&labels), world.ask_for(&labels, v6), world.ask_for(&labels, None)];
        let expected = if both[2] == "app1" { ["app1", "no address"] } else { ["no address", "app2"] };
        assert_eq!(both[..2], expected);
    }
}

#[test]
fn tokens_that_do_not_hold_are_counted_and_are_labels() {
    let mut world = World::new(plan("failover", 2));
    let token = |key_text: &str, expires: u64, target: &str, farm: &str| {
        token::sign(&key(key_text), Mode::Keep, at(expires), &name(target), &name(farm))
    };
    let bad = [
        token("another secret", 3_600_000, "app2", "one"),
        token("a secret", 3_600_000, "app2", "two"),
        token("a secret", 0, "app2", "one"),
        token("a secret", 3_600_000, "app9", "one"),
        world.token(Mode::Farm, "nine"),
    ];
    for label in &bad {
        assert_eq!(world.ask(label), "app1", "{label}");
    }
    assert_eq!(world.ask("6f4a1c80-92c0-4f0a-9f5d-0123456789ab"), "app1");
    let counts = world.engine.token_counts();
    assert_eq!((counts.held, counts.forged, counts.expired), (0, 2, 1));
    assert_eq!((counts.foreign, counts.malformed), (2, 0));
    // Where nothing but a token can stand, what is none is counted as well.
    let farm = world.farm();
    let stick = farm.read_token(b"garbage", at(0));
    assert!(matches!(stick, Stick::Failed(TokenError::Malformed)));
    farm.choose(&Ask { stick, ..Ask::any(at(0)) }, &mut world.random);
    assert!(matches!(farm.read_token(b"s-42", at(0)), Stick::Key(b"42")));
    assert_eq!(world.engine.token_counts().malformed, 1);
}

#[test]
fn a_token_that_comes_once_more_in_the_same_packet_is_counted_once() {
    let mut world = World::new(plan("round-robin", 3));
    world.repeats = Some(Repeats::default());
    let (keep, pin) = (world.token(Mode::Keep, "app2"), world.token(Mode::Pin, "app3"));
    let moved = world.token(Mode::Farm, "two");
    for (label, who) in [(&keep, "app2"), (&pin, "app3"), (&moved, "app1")] {
        assert_eq!([world.ask(label), world.ask(label)], [who, who]);
    }
    let answers = |world: &World| ["app1", "app2", "app3"].map(|who| world.answers_of(who));
    assert_eq!(answers(&world), [1, 1, 1]);
    assert_eq!((world.farm().answers(), world.engine.token_counts().held), (3, 3));
    assert_eq!(world.engine.repeats(), 3);
    // Drained, it keeps who was there before; down, it does not, but a pin holds.
    world.tell("app2", |update| update.admin = Some(Admin::Drain));
    assert_eq!((world.ask(&keep), world.engine.repeats()), ("app2".to_owned(), 4));
    world.tell("app2", |update| update.health = Some(Health::Down));
    world.tell("app3", |update| update.health = Some(Health::Down));
    assert_eq!((world.ask(&keep), world.engine.repeats()), ("app1".to_owned(), 4));
    assert_eq!((world.ask(&pin), world.engine.repeats()), ("app3".to_owned(), 5));
    // Later it is another request.
    world.now += MEMORY.as_millis() as u64 + 100;
    assert_eq!((world.ask(&pin), world.engine.repeats()), ("app3".to_owned(), 5));
    assert_eq!(answers(&world), [2, 1, 2]);
}

#[test]
fn packets_of_other_clients_or_other_octets_are_other_requests() {
    let mut world = World::new(plan("round-robin", 3));
    let repeats = Repeats::default();
    let farm = world.farm();
    let packets: [(&str, &[u8]); 6] = [
        ("192.0.2.1:5353", b"\x12\x34 one"),
        ("192.0.2.1:5354", b"\x12\x34 one"),
        ("192.0.2.2:5353", b"\x12\x34 one"),
        ("[2001:db8::1]:5353", b"\x12\x34 one"),
        ("192.0.2.1:5353", b"\x12\x35 one"),
        ("192.0.2.1:5353", b"\x12\x34 ONE"),
    ];
    for (client, octets) in packets {
        let packet = Some(repeats.packet(client.parse().unwrap(), octets));
        farm.choose(&Ask { packet, ..Ask::any(at(0)) }, &mut world.random);
    }
    assert_eq!((farm.answers(), world.engine.repeats()), (6, 0));
}

#[test]
fn keys_roll_over_without_a_user_noticing() {
    let mut world = World::new(plan("failover", 2));
    let token = world.token(Mode::Keep, "app2");
    world.engine.set_token_keys(TokenKeys::new(key("the next secret"), Some(key("a secret"))));
    assert_eq!(world.ask(&token), "app2");
    world.engine.set_token_keys(TokenKeys::new(key("the next secret"), None));
    assert_eq!(world.ask(&token), "app1");
    // Without a key there are no tokens: a label that looks like one is a label.
    world.engine.set_token_keys(TokenKeys::default());
    assert_eq!(world.ask(&token), "app1");
    assert_eq!(world.engine.token_counts().forged, 1);
    // What is no answer counts no token.
    world.engine.set_token_keys(TokenKeys::new(key("the next secret"), None));
    assert_eq!(world.ask_for(&token, Some(Family::V6)), "no address");
    assert_eq!(world.engine.token_counts().forged, 1);
}

#[test]
fn a_second_try_gets_somebody_else_whatever_the_rule() {
    for spec in ALGORITHMS {
        for count in [2, 3, 12] {
            let mut world = World::new(plan(spec.name, count));
            for round in 0..30 {
                // Far enough apart that nobody becomes suspect.
                world.now += 6_000;
                let labels = format!("r{round}.x");
                let first = world.ask(&labels);
                let second = world.ask(&format!("again.{labels}"));
                assert_ne!(first, second, "{} of {count}", spec.name);
                let third = world.ask(&format!("again.again.{labels}"));
                assert_ne!(second, third, "{} of {count}", spec.name);
                let key = format!("s-{round}");
                assert_ne!(world.ask(&key), world.ask(&format!("again.{key}")), "{}", spec.name);
                assert_ne!(world.ask(""), world.ask("again"), "{}", spec.name);
            }
        }
    }
}

#[test]
fn a_second_try_gets_the_same_if_there_is_nobody_else() {
    let mut world = World::new(plan("round-robin", 1));
    assert_eq!((world.ask("a"), world.ask("again.a")), ("app1".to_owned(), "app1".to_owned()));
    assert_eq!((world.ask("s-a"), world.ask("again.s-a")), ("app1".to_owned(), "app1".to_owned()));
    // One that follows nothing is a choice like any other.
    assert_eq!((world.ask("again.never"), world.ask("again")), ("app1".to_owned(), "app1".to_owned()));
}

#[test]
fn a_failed_session_is_moved_and_a_pinned_one_is_not() {
    let mut world = World::new(plan("failover", 3));
    let (keep, pin) = (world.token(Mode::Keep, "app1"), world.token(Mode::Pin, "app1"));
    assert_eq!(
        (world.ask(&keep), world.ask(&format!("again.{keep}"))),
        ("app1".to_owned(), "app2".to_owned())
    );
    assert_eq!((world.ask(&pin), world.ask(&format!("again.{pin}"))), ("app1".to_owned(), "app1".to_owned()));
}

#[test]
fn what_happened_ten_seconds_ago_is_forgotten() {
    let mut world = World::new(plan("failover", 2));
    assert_eq!(world.ask("a"), "app1");
    world.now += 9_900;
    assert_eq!(world.ask("again.a"), "app2");
    world.now += 200;
    assert_eq!(world.ask("again.a"), "app1");
}

#[test]
fn a_member_that_fails_becomes_suspect_and_is_trusted_again() {
    let mut world = World::new(plan("round-robin", 3));
    let woken = Arc::new(AtomicUsize::new(0));
    let bell = Arc::clone(&woken);
    world.engine.on_sooner(move || {
        bell.fetch_add(1, Relaxed);
    });
    assert_eq!(world.expire(), [""; 0]);
    for _ in 0..2 {
        assert_ne!(world.fail("app2"), "app2");
    }
    assert_eq!((woken.load(Relaxed), world.expire().len()), (0, 0), "two are no evidence");
    world.fail("app2");
    assert_eq!(woken.load(Relaxed), 1);
    assert_eq!(
        world.expire(),
        [
            "backend app2: trust trusted -> suspect (farm one: 3 of 3 answers in 10 s were followed by a second try; for 10 s)"
        ]
    );
    let reason = "suspect: 3 of 3 answers in 10 s were followed by a second try";
    assert_eq!(world.reason(1), (false, reason.to_owned()));
    let status = world.engine.farm_status("one", at(world.now)).unwrap();
    assert_eq!((status.available, status.members[1].share), (2, 0.0));
    let start = world.now;
    for _ in 0..30 {
        assert_ne!(world.ask(""), "app2");
    }
    // A report does not clear it, and costs no new view.
    world.tell("app2", |update| update.feed = Some(Feed::In));
    assert_ne!(world.ask(""), "app2");
    // Sessions go elsewhere as well: whoever kept to it would meet the failure himself.
    let keep = world.token(Mode::Keep, "app2");
    assert_ne!(world.ask(&keep), "app2");

    world.now = start + 9_999;
    assert_eq!(world.expire(), [""; 0]);
    world.now = start + 10_000;
    assert_eq!(world.expire(), ["backend app2: trust suspect -> trusted (farm one: 10 s are over)"]);
    assert_eq!((world.reason(1), world.ask(&keep)), ((true, String::new()), "app2".to_owned()));
    assert!((0..3).any(|_| world.ask("") == "app2"));

    // It fails again at once: twice as long.
    (0..3).for_each(|_| drop(world.fail("app2")));
    let changes = world.expire();
    assert!(changes.len() == 1 && changes[0].ends_with("for 20 s)"), "{changes:?}");
}

#[test]
fn a_few_failures_among_many_answers_are_no_suspicion() {
    let mut world = World::new(plan("round-robin", 2));
    for round in 0..200 {
        world.now += 20;
        let labels = format!("r{round}");
        // After a good start, about four of ten answers of app1 fail.
        if world.ask(&labels) == "app1" && round > 20 && round % 5 < 2 {
            world.ask(&format!("again.{labels}"));
        }
        assert_eq!(world.expire(), [""; 0], "{round}");
    }
}

#[test]
fn at_least_half_of_the_weight_stays() {
    let mut world = World::new(plan("random", 4));
    for dead in ["app1", "app3", "app2"] {
        (0..3).for_each(|_| drop(world.fail(dead)));
        assert_eq!(world.expire().len(), 1, "{dead} is suspect");
    }
    // app1 and app3 were first; app2 must stay though it is suspect.
    assert_eq!((world.reason(0).0, world.reason(2).0), (false, false));
    let kept = "suspect, but too little of the farm would remain: ";
    let (available, reason) = world.reason(1);
    assert!(available && reason.starts_with(kept), "{reason}");
    let given: Vec<String> = (0..40).map(|_| world.ask("")).collect();
    assert!(given.iter().any(|who| who == "app2") && given.iter().all(|who| who != "app1"));
    // Somebody healthy goes: now app1 is needed, and the oldest suspicion gives way to none, the others do.
    world.tell("app4", |update| update.admin = Some(Admin::Off));
    assert_eq!([0, 1, 2].map(|member| world.reason(member).0), [false, true, true]);
}

#[test]
fn suspicion_can_be_turned_off() {
    let mut trusting = plan("round-robin", 3);
    trusting.farms[0].suspicion = false;
    let mut world = World::new(trusting.clone());
    (0..10).for_each(|_| assert_ne!(world.fail("app2"), "app2"));
    assert_eq!(world.expire(), [""; 0]);
    // Switched on, and off again, while the engine runs.
    trusting.farms[0].suspicion = true;
    let reloaded = world.engine.reload(trusting.clone(), at(world.now)).unwrap();
    assert_eq!(reloaded.summary, ["farm one: changed"]);
    (0..3).for_each(|_| drop(world.fail("app2")));
    assert_eq!(world.expire().len(), 1);
    trusting.farms[0].suspicion = false;
    world.engine.reload(trusting, at(world.now)).unwrap();
    assert!(world.reason(1).0);
}

#[test]
fn a_reload_keeps_suspicions_by_name_and_mistakes_nobody() {
    let mut world = World::new(plan("round-robin", 3));
    (0..3).for_each(|_| drop(world.fail("app2")));
    assert_eq!(world.expire().len(), 1);
    let start = world.now;
    assert_eq!((world.ask("before"), world.ask("")), ("app3".to_owned(), "app1".to_owned()));
    let mut other = plan("round-robin", 3);
    other.farms[0].members.reverse();
    world.engine.reload(other, at(world.now)).unwrap();
    assert_eq!([0, 1, 2].map(|member| world.reason(member).0), [true, false, true]);
    // app3 stands where app1 stood: the memory must not confuse them.
    world.ask("again");
    world.ask("again.before");
    world.now = start + 10_000;
    assert_eq!(world.expire().len(), 1);
    assert!(world.reason(1).0);
}

#[test]
fn standby_members_without_labels_accuse_only_who_stands_out() {
    // One request at a time: the last choice is the one that failed.
    let mut world = World::new(plan("round-robin", 3));
    for _ in 0..12 {
        world.now += 100;
        if world.ask("") == "app2" {
            assert_ne!(world.ask("again"), "app2");
        }
    }
    let changes = world.expire();
    assert!(changes.len() == 1 && changes[0].starts_with("backend app2: trust trusted -> suspect"));

    // Many at a time: app2 fails, but whoever was chosen last is blamed. Nobody stands out.
    let mut world = World::new(plan("random", 2));
    let mut blamed: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        world.now += 10;
        let failed = world.ask("") == "app2";
        *blamed.entry(world.ask("")).or_default() += usize::from(failed);
        if failed {
            world.ask("again");
        }
    }
    assert!(blamed.values().all(|&often| often > 30), "{blamed:?}");
    assert_eq!(world.expire(), [""; 0]);
}

#[test]
fn a_second_try_that_is_asked_twice_counts_once() {
    let mut world = World::new(plan("failover", 2));
    world.ask("a");
    (0..5).for_each(|_| assert_eq!(world.ask("again.a"), "app2"));
    assert_eq!(world.expire(), [""; 0]);
}
