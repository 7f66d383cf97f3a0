//! What a choice, a report and size cost, by divan, with allocations counted: `cargo bench --bench micro`.
//!
//! - `choose`: one choice in a farm of 10, 1,000 and 100,000 members, by every rule of the table, while reports are on file, by a
//!   thread that keeps its views, as those do that answer DNS; `choose_with_labels`: with labels in front of the farm, which are
//!   remembered; `choose_with_guard`: with labels, by a thread that does not keep its views.
//! - `report`: one report applied while every member of the farm reports once a second.
//! - `answer`: one datagram answered, from bytes to bytes, without the kernel; `batch_of_64`: as many as come at once, for one
//!   farm and for 10,000 at random, of which nothing is in the cache.
//! - `scale`: 10,000 farms of 10 members over 100,000 backends taken by the engine, and taken again.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use athena::balance::algorithm::{self, ALGORITHMS};
use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::{Random, SplitMix};
use athena::balance::sight::Sight;
use athena::balance::statistics::{Amount, StatisticName};
use athena::balance::update::BackendUpdate;
use athena::balance::{Ask, Engine, Family, Moment, Name, Plan, Stick, Update};
use athena::dns::udp::{Answer, PLACE};
use athena::dns::wire::Wire;
use athena::dns::{Handler, Options, ZoneContent, Zones};
use athena::metrics::Metrics;
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ZONE: &str = "$TTL 0\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

fn name(text: &str) -> Name {
    Name::parse(text).expect("names made here are names")
}

/// Seconds since the epoch.
const START: u64 = 1_000_000;

fn start() -> Moment {
    Moment::from_unix(Duration::from_secs(START))
}

/// `farms` farms of `members` members each, all different, by one rule.
fn plan(rule: &str, members: usize, farms: usize) -> Plan {
    let spec = algorithm::find(rule).expect("a rule of the table");
    let mut plan = Plan::default();
    for farm in 0..farms {
        let names: Vec<Name> = (0..members).map(|member| name(&format!("b{farm}-{member}"))).collect();
        for (member, backend) in names.iter().enumerate() {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + (farm * members + member) as u32);
            plan.backends.push(BackendPlan::new(backend.clone(), vec![address.into()]));
        }
        let mut farm = FarmPlan::new(name(&format!("f{farm}")), names, spec);
        farm.expect_update = Some(Duration::from_secs(15));
        plan.farms.push(farm);
    }
    plan
}

/// A report of each member of the first farm, with figures that differ.
fn reports(members: usize, names: &[&str], random: &mut SplitMix) -> Vec<Update> {
    let names: Vec<_> = names.iter().map(|name| StatisticName::parse(name).expect("a statistic")).collect();
    let report = |member: usize| {
        let mut update = BackendUpdate::new(name(&format!("b0-{member}")));
        for name in &names {
            update.statistics.push((name.clone(), Amount::Set(random.unit() * 100.0)));
        }
        Update::Backend(update)
    };
    (0..members).map(report).collect()
}

fn engine(rule: &str, members: usize, farms: usize) -> Engine {
    let begun = Moment::from_unix(Duration::from_secs(START - EVERY * REPORTS - 1));
    let engine = Engine::new(plan(rule, members, farms), begun).expect("a plan without problems");
    // More than one of each, so that a rule that learns has learned, over more time than one that waits does.
    for number in 0..=REPORTS {
        let now = Moment::from_unix(Duration::from_secs(START - EVERY * (REPORTS - number)));
        // Load, utilization, requests a second and in flight: all that a rule looks at.
        let reports = reports(members, &["l", "u", "q", "r"], &mut SplitMix::new(1 + number));
        engine.apply(&reports, now).expect("reports without problems");
    }
    engine
}

/// Reports of each member, and seconds from one to the next.
const REPORTS: u64 = 4;
const EVERY: u64 = 5;

/// A rule and a number of members.
struct Case(&'static str, usize);

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.0, self.1)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    ALGORITHMS.iter().flat_map(|spec| [10, 1_000, 100_000].map(|members| Case(spec.name, members)))
}

fn ask(key: &[u8], now: Moment) -> Ask<'_> {
    Ask { family: Some(Family::V4), key, stick: Stick::No, again: false, packet: None, now }
}

#[divan::bench(args = cases(), sample_count = 100, sample_size = 2000)]
fn choose(bencher: Bencher, Case(rule, members): &Case) {
    // A rule that does not look at labels is asked for the bare name.
    let sees_key = algorithm::find(rule).expect("a rule of the table").sees_key;
    choose_by(bencher, rule, *members, sees_key);
}

#[divan::bench(args = cases(), sample_count = 100, sample_size = 2000)]
fn choose_with_labels(bencher: Bencher, Case(rule, members): &Case) {
    choose_by(bencher, rule, *members, true);
}

fn choose_by(bencher: Bencher, rule: &str, members: usize, labels: bool) {
    let engine = engine(rule, members, 1);
    let farm = engine.farm("f0").expect("the farm");
    let mut sight = Sight::of(&farm);
    let mut random = SplitMix::new(1);
    let (mut key, mut now) = (0u64, start());
    bencher.bench_local(move || {
        key = key.wrapping_add(1);
        let key_octets = key.to_ne_bytes();
        let (farm, view, uncounted) = sight.look();
        let ask = ask(if labels { &key_octets } else { &[] }, now);
        black_box(farm.choose_seat(view, &ask, &mut random, uncounted, |seat| seat.v4()));
        if key.is_multiple_of(BATCH) {
            sight.settle();
            now = now + STEP;
        }
    });
}

/// Choices of one batch, which are made at one moment and counted together, and the time from one batch to the next.
const BATCH: u64 = 64;
const STEP: Duration = Duration::from_micros(100);

#[divan::bench(args = cases().filter(|Case(_, members)| *members == 10), sample_count = 100, sample_size = 2000)]
fn choose_with_guard(bencher: Bencher, Case(rule, members): &Case) {
    let engine = engine(rule, *members, 1);
    let farm = engine.farm("f0").expect("the farm");
    let mut random = SplitMix::new(1);
    let mut key = 0u64;
    bencher.bench_local(move || {
        key = key.wrapping_add(1);
        black_box(farm.choose(&ask(&key.to_ne_bytes(), start()), &mut random));
    });
}

/// By the rule that takes least and the one that learns most.
fn report_cases() -> impl Iterator<Item = Case> {
    ["least-load", "adaptive"]
        .into_iter()
        .flat_map(|rule| [10, 1_000, 10_000].map(|members| Case(rule, members)))
}

#[divan::bench(args = report_cases(), sample_count = 100, sample_size = 2000)]
fn report(bencher: Bencher, Case(rule, members): &Case) {
    let (engine, members) = (engine(rule, *members, 1), *members);
    let updates = reports(members, &["l"], &mut SplitMix::new(2));
    let between = Duration::from_secs(1) / members as u32;
    let (mut next, mut now) = (0, start());
    bencher.bench_local(move || {
        now = now + between;
        next = (next + 1) % updates.len();
        engine.apply(black_box(&updates[next..=next]), now).expect("a report without problems")
    });
}

/// What answers datagrams over so many farms, and queries for them at random.
fn wire(farms: usize) -> (Wire, Vec<Vec<u8>>) {
    let engine = engine("least-load", 10, farms);
    let content = ZoneContent::parse(Path::new("zone"), ZONE, &"athena.".parse().expect("a name"));
    let zones = Zones::new(&[content.expect("a zone")], &engine.farms()).expect("zones");
    let handler = Handler::new(Arc::new(engine), zones, Options::default(), Arc::new(Metrics::default()));
    let wire = Wire::new(Arc::new(handler.expect("a handler")), SplitMix::new(1), Arc::default());
    let mut random = SplitMix::new(3);
    let query = |random: &mut SplitMix| {
        let farm = format!("f{}", random.below(farms));
        let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x20".to_vec();
        query.extend(format!("{:016x}{:016x}", random.next(), random.next()).bytes());
        query.push(farm.len() as u8);
        query.extend(farm.bytes());
        query.extend(b"\x06athena\0\0\x01\0\x01");
        query
    };
    (wire, (0..64 * 200).map(|_| query(&mut random)).collect())
}

fn client() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 5353))
}

#[divan::bench(args = [1, 10_000], sample_count = 100, sample_size = 2000)]
fn answer(bencher: Bencher, farms: usize) {
    let (mut wire, queries) = wire(farms);
    let (client, mut place, mut reply) = (client(), [0; PLACE], Vec::new());
    let (mut next, mut id) = (0, 0u16);
    bencher.bench_local(move || {
        next = (next + 1) % queries.len();
        let query = &queries[next];
        place[..query.len()].copy_from_slice(query);
        // A packet of its own, not one that comes once more.
        id = id.wrapping_add(1);
        place[..2].copy_from_slice(&id.to_be_bytes());
        let reply = wire.answer(0, &mut place, query.len(), client, start(), &mut reply);
        if next % 64 == 0 {
            wire.settle();
        }
        black_box(reply)
    });
}

#[divan::bench(args = [1, 10_000], sample_count = 100, sample_size = 100)]
fn batch_of_64(bencher: Bencher, farms: usize) {
    let (mut wire, queries) = wire(farms);
    // One after another, as a socket writes them.
    let lengths: Vec<usize> = queries.iter().map(Vec::len).collect();
    let room = lengths.iter().max().unwrap_or(&0) + 32;
    let each = queries.iter().flat_map(|query| query.iter().copied().chain(vec![0; room - query.len()]));
    let row: Vec<u8> = each.collect();
    let batches: Vec<_> = row.chunks(64 * room).zip(lengths.chunks(64)).collect();
    let (client, mut place, mut reply) = (client(), [0; PLACE], Vec::new());
    let (mut next, mut id) = (0, 0u16);
    bencher.bench_local(move || {
        next = (next + 1) % batches.len();
        let (row, lengths) = batches[next];
        wire.expect(row.chunks(room));
        for (number, (query, &length)) in row.chunks(room).zip(lengths).enumerate() {
            place[..length].copy_from_slice(&query[..length]);
            id = id.wrapping_add(1);
            place[..2].copy_from_slice(&id.to_be_bytes());
            black_box(wire.answer(number, &mut place, length, client, start(), &mut reply));
        }
        wire.settle();
    });
}

thread_local!(static SCALE: RefCell<Option<Plan>> = const { RefCell::new(None) });

/// The plan for 10,000 farms, made once.
fn large() -> Plan {
    SCALE.with(|kept| kept.borrow_mut().get_or_insert_with(|| plan("least-load", 10, 10_000)).clone())
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn scale_start(bencher: Bencher) {
    bencher.with_inputs(large).bench_local_values(|plan| Engine::new(plan, start()).map_err(drop));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn scale_reload(bencher: Bencher) {
    let engine = Engine::new(large(), start()).expect("a plan without problems");
    bencher.with_inputs(large).bench_local_values(|plan| engine.reload(plan, start()).map_err(drop));
}
