//! The fast way and the general way are one: generated sequences of queries go to two servers with the same farms, the same
//! secrets and the same random numbers, one of which knows only the general way.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::balance::plan::{BackendPlan, Fallback, FarmPlan};
use crate::balance::{Engine, Name, Plan, algorithm};
use crate::dns::udp::{LONGEST_QUERY, PLACE};
use crate::dns::{CookieOptions, ZoneContent, Zones};
use crate::metrics::{Counter, DnsMetrics, Metrics};

const ZONE: &str = "$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
www CNAME farm_one
*.wild A 192.0.2.7
child NS ns.child
ns.child A 192.0.2.53
";
const SECRET: [u8; 16] = *b"a secret of ours";
const START: Moment = Moment::ZERO;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn plan() -> Plan {
    let backend = |text: &str, addresses: &[&str]| {
        BackendPlan::new(name(text), addresses.iter().map(|address| address.parse().unwrap()).collect())
    };
    let farm = |text: &str, members: &[&str], rule: &str| {
        FarmPlan::new(name(text), members.iter().map(|member| name(member)), algorithm::find(rule).unwrap())
    };
    let mut plan = Plan {
        backends: vec![
            backend("four1", &["10.0.0.1"]),
            backend("four2", &["10.0.0.2"]),
            backend("both1", &["10.0.0.3", "2001:db8::3"]),
            backend("both2", &["10.0.0.4", "2001:db8::4"]),
            backend("six1", &["2001:db8::5"]),
        ],
        farms: vec![
            farm("farm_one", &["four1", "four2", "both1"], "round-robin"),
            farm("mixed", &["both1", "both2", "four1", "six1"], "two-choices"),
            farm("loads", &["both1", "both2", "four2"], "least-load"),
            farm("keys", &["both1", "both2", "four1"], "hash"),
            farm("chance", &["both1", "both2"], "random"),
            farm("four", &["four1"], "failover"),
            farm("six", &["six1"], "weighted"),
            farm("several", &["four1", "four2", "both1"], "round-robin"),
            farm("empty", &[], "random"),
            farm("relay", &[], "random"),
            farm("address", &[], "random"),
            farm("host", &[], "random"),
        ],
    };
    let fallback = [
        ("relay", Fallback::Farm(name("mixed"))),
        ("address", Fallback::Address("192.0.2.99".parse().unwrap(), None)),
        ("host", Fallback::Host("ns.athena".to_owned(), None)),
    ];
    for farm in &mut plan.farms {
        let found = fallback.iter().find(|(of, _)| *of == farm.name.as_str());
        farm.fallback.extend(found.map(|(_, fallback)| fallback.clone()));
        farm.answers = if farm.name.as_str() == "several" { 2 } else { 1 };
        farm.ttl = farm.name.as_str().len() as u32 * 1000;
    }
    plan
}

/// A server of its own, with one thread.
struct World {
    wire: Wire,
    general: SplitMix,
    handler: Arc<Handler>,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new(options: &Options, seed: u64) -> Self {
        Self::of(plan(), options, seed)
    }

    fn of(plan: Plan, options: &Options, seed: u64) -> Self {
        let engine = Arc::new(Engine::new(plan, START).unwrap());
        let apex = "athena.".parse().unwrap();
        let content = ZoneContent::parse(Path::new("athena.zone"), ZONE, &apex).unwrap();
        let zones = Zones::new(&[content], &engine.farms()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let handler =
            Handler::new(Arc::clone(&engine), zones, options.clone(), Arc::clone(&metrics)).unwrap();
        let handler = Arc::new(handler);
        let wire = Wire::new(Arc::clone(&handler), SplitMix::new(seed), Arc::default());
        Self { wire, general: SplitMix::new(seed), handler, engine, metrics }
    }

    /// The answer by the fast way where that goes, and whether it went.
    fn ask(&mut self, query: &[u8], client: SocketAddr, now: Moment) -> (Option<Vec<u8>>, bool) {
        let answer = self.ask_amid(0, query, client, now);
        self.wire.settle();
        answer
    }

    /// The same amid a batch, in which the query has this number.
    fn ask_amid(
        &mut self,
        number: usize,
        query: &[u8],
        client: SocketAddr,
        now: Moment,
    ) -> (Option<Vec<u8>>, bool) {
        let mut place = [0xee; PLACE];
        place[..query.len()].copy_from_slice(query);
        let mut apart = b"left over".to_vec();
        let reply = self.wire.answer(number, &mut place, query.len(), client, now, &mut apart);
        match reply {
            Reply::None => (None, false),
            Reply::InPlace(length) => (Some(place[..length].to_vec()), true),
            Reply::Apart => (Some(apart), false),
        }
    }

    fn ask_generally(&mut self, query: &[u8], client: SocketAddr, now: Moment) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        let answered =
            self.handler.respond(query, client, Transport::Udp, now, &mut self.general, &mut reply);
        answered.then_some(reply)
    }

    fn counts(&self) -> Vec<(String, u64)> {
        let farms = self.engine.farms();
        let answers = farms.iter().map(|farm| (farm.name().to_string(), farm.answers()));
        let backends = self.engine.backend_statuses(START);
        let given = backends.iter().map(|backend| (backend.name.to_string(), backend.answers));
        let repeats = [("repeats".to_owned(), self.engine.repeats())];
        counters(&self.metrics.dns).chain(answers).chain(given).chain(repeats).collect()
    }
}

fn counters(metrics: &DnsMetrics) -> impl Iterator<Item = (String, u64)> {
    let all: [(&str, &Counter); 16] = [
        ("udp", &metrics.udp),
        ("tcp", &metrics.tcp),
        ("dropped", &metrics.dropped),
        ("answered", &metrics.answered),
        ("nodata", &metrics.nodata),
        ("referral", &metrics.referral),
        ("nxdomain", &metrics.nxdomain),
        ("refused", &metrics.refused),
        ("servfail", &metrics.servfail),
        ("formerr", &metrics.formerr),
        ("notimp", &metrics.notimp),
        ("badvers", &metrics.badvers),
        ("badcookie", &metrics.badcookie),
        ("truncated", &metrics.truncated),
        ("cookie_valid", &metrics.cookie_valid),
        ("cookie_invalid", &metrics.cookie_invalid),
    ];
    all.map(|(name, counter)| (name.to_owned(), counter.get())).into_iter()
}

/// A query in its parts.
#[derive(Debug, Clone)]
struct Draft {
    id: u16,
    flags: u16,
    labels: Vec<String>,
    kind: u16,
    class: u16,
    edns: Option<OptDraft>,
    more: Vec<u8>,
    /// Changes to the finished octets: place and value.
    blows: Vec<(prop::sample::Index, u8)>,
    /// Octets cut off at the end.
    cut: usize,
}

#[derive(Debug, Clone)]
struct OptDraft {
    payload: u16,
    version: u8,
    flags: u16,
    options: Vec<(u16, Vec<u8>)>,
}

impl Draft {
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        octets.extend(self.id.to_be_bytes());
        octets.extend(self.flags.to_be_bytes());
        let additional = u8::from(self.edns.is_some()) + u8::from(!self.more.is_empty());
        octets.extend([0, 1, 0, 0, 0, 0, 0, additional]);
        for label in &self.labels {
            octets.push(label.len() as u8);
            octets.extend(label.bytes());
        }
        octets.push(0);
        octets.extend(self.kind.to_be_bytes());
        octets.extend(self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            octets.extend([0, 0, 41]);
            octets.extend(edns.payload.to_be_bytes());
            octets.extend([0, edns.version]);
            octets.extend(edns.flags.to_be_bytes());
            let options: Vec<u8> =
                edns.options.iter().flat_map(|(code, content)| option_octets(*code, content)).collect();
            octets.extend((options.len() as u16).to_be_bytes());
            octets.extend(options);
        }
        octets.extend(&self.more);
        for (place, value) in &self.blows {
            let place = place.index(octets.len());
            octets[place] = *value;
        }
        octets.truncate(octets.len().saturating_sub(self.cut).min(LONGEST_QUERY));
        octets
    }
}

fn option_octets(code: u16, content: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(content.len() as u16).to_be_bytes(), content].concat()
}

fn any_case(text: String) -> impl Strategy<Value = String> {
    let length = text.len();
    vec(any::<bool>(), length).prop_map(move |upper| {
        let case = |(letter, upper): (char, bool)| if upper { letter.to_ascii_uppercase() } else { letter };
        text.chars().zip(upper).map(case).collect()
    })
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    let front = prop_oneof![
        4 => "[a-z0-9_-]{1,20}",
        1 => select(&["again", "_http", "_tcp", "s-key", "spares", "all", "phys", "*"][..]).prop_map(str::to_owned),
        1 => Just("x".repeat(63)),
        1 => Just("\0.\u{7f}".to_owned()),
    ];
    const FARMS: &[&str] = &["farm_one", "mixed", "loads", "keys", "chance", "four", "six"];
    const OTHERS: &[&str] = &[
        "several",
        "empty",
        "relay",
        "address",
        "host",
        "nobody",
        "www",
        "wild",
        "child",
        "ns",
        "both1.phys",
        "mixed.all",
        "mixed.spares",
        "",
    ];
    let base = prop_oneof![6 => select(FARMS), 2 => select(OTHERS)];
    let apex = prop_oneof![20 => Just("athena"), 1 => Just("athena.example"), 1 => Just("")];
    (vec(front, 0..4), base, apex).prop_flat_map(|(front, base, apex)| {
        let dotted = base.split('.').chain(apex.split('.')).filter(|label| !label.is_empty());
        let all: Vec<String> = front.into_iter().chain(dotted.map(str::to_owned)).collect();
        all.into_iter().map(any_case).collect::<Vec<_>>()
    })
}

/// A cookie's content: some of them are ours.
fn cookie() -> impl Strategy<Value = Vec<u8>> {
    let ours = any::<[u8; 8]>().prop_map(|client_cookie| {
        let cookies = Cookies::new(vec![SECRET]).unwrap();
        let client = IpAddr::from([127, 0, 0, 1]);
        cookies.check(&client_cookie, client, START + Duration::from_secs(1000)).unwrap().reply.to_vec()
    });
    prop_oneof![ours, vec(any::<u8>(), 8), vec(any::<u8>(), 0..48)]
}

fn subnet() -> impl Strategy<Value = Vec<u8>> {
    let good = (any::<bool>(), any::<[u8; 16]>(), 0u8..=128).prop_map(|(six, mut address, prefix)| {
        let prefix = if six { prefix } else { prefix % 33 };
        let octets = usize::from(prefix.div_ceil(8));
        if let Some(last) = address[..octets].last_mut().filter(|_| prefix % 8 != 0) {
            *last &= 0xff << (8 - prefix % 8);
        }
        [&[0, 1 + u8::from(six), prefix, 0], &address[..octets]].concat()
    });
    prop_oneof![4 => good, 1 => vec(any::<u8>(), 0..24)]
}

fn opt() -> impl Strategy<Value = OptDraft> {
    let one = prop_oneof![
        4 => cookie().prop_map(|content| (option::COOKIE, content)),
        2 => subnet().prop_map(|content| (option::SUBNET, content)),
        1 => Just((option::NSID, Vec::new())),
        1 => (any::<u16>(), vec(any::<u8>(), 0..16)),
    ];
    let version = prop_oneof![12 => Just(0), 1 => any::<u8>()];
    let flags = prop_oneof![4 => select(&[0u16, 0x8000][..]), 1 => any::<u16>()];
    (any::<u16>(), version, flags, vec(one, 0..3)).prop_map(|(payload, version, flags, options)| OptDraft {
        payload,
        version,
        flags,
        options,
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    let flags = prop_oneof![8 => select(&[0u16, 0x0100, 0x0110, 0x0120, 0x0010][..]), 1 => any::<u16>()];
    let kind = prop_oneof![8 => select(&[A, AAAA][..]), 1 => select(&[2u16, 5, 6, 16, 33, 41, 64, 65, 252, 255][..]), 1 => any::<u16>()];
    let class = prop_oneof![20 => Just(IN), 1 => select(&[0u16, 3, 254, 255][..])];
    // A record that means nothing to us, and TSIG.
    let more = prop_oneof![
        12 => Just(Vec::new()),
        1 => Just(b"\0\0\x10\0\x01\0\0\0\0\0\x02\x01a".to_vec()),
        1 => Just(b"\0\0\xfa\0\xff\0\0\0\0\0\0".to_vec()),
        1 => vec(any::<u8>(), 1..30),
    ];
    let blows =
        prop_oneof![8 => Just(Vec::new()), 1 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)];
    let cut = prop_oneof![12 => Just(0usize), 1 => 1usize..80];
    (any::<u16>(), flags, labels(), kind, class, proptest::option::of(opt()), more, blows, cut).prop_map(
        |(id, flags, labels, kind, class, edns, more, blows, cut)| Draft {
            id,
            flags,
            labels,
            kind,
            class,
            edns,
            more,
            blows,
            cut,
        },
    )
}

fn client() -> impl Strategy<Value = SocketAddr> {
    const ADDRESSES: &[&str] = &["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "::ffff:127.0.0.1"];
    select(ADDRESSES).prop_map(|address| SocketAddr::new(address.parse().unwrap(), 5353))
}

fn options() -> impl Strategy<Value = Options> {
    let nsid = proptest::option::of(Just(b"here".to_vec()));
    let logged = prop_oneof![9 => Just(None), 1 => Just(std::num::NonZeroU32::new(1000))];
    (any::<bool>(), any::<bool>(), any::<bool>(), nsid, logged).prop_map(
        |(explain, ecs, enabled, nsid, log_queries)| {
            let cookies = CookieOptions { enabled, secrets: vec![SECRET] };
            Options { explain, ecs, nsid, log_queries, cookies, ..Options::default() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_give_the_same_bytes_and_count_the_same(
        options in options(),
        seed in any::<u64>(),
        asked in vec((draft(), client(), 0u64..4000, 0u64..4), 1..40),
    ) {
        let (mut fast, mut general) = (World::new(&options, seed), World::new(&options, seed));
        for (draft, client, seconds, resent) in asked {
            let query = draft.octets();
            // Some packets come again, while they are remembered and later.
            for time in 0..=resent {
                let now = START + Duration::from_secs(seconds + time * 3);
                let (answer, was_fast) = fast.ask(&query, client, now);
                let expected = general.ask_generally(&query, client, now);
                prop_assert_eq!(&answer, &expected, "fast: {}, {:?}", was_fast, draft);
                prop_assert_eq!(fast.counts(), general.counts());
            }
        }
    }
}

fn plain(labels: &str, kind: u16, edns: Option<OptDraft>) -> Draft {
    let labels = labels.split('.').map(str::to_owned).collect();
    Draft { id: 7, flags: 0x0100, labels, kind, class: IN, edns, more: vec![], blows: vec![], cut: 0 }
}

fn with(options: &[(u16, &[u8])]) -> Option<OptDraft> {
    let options = options.iter().map(|(code, content)| (*code, content.to_vec())).collect();
    Some(OptDraft { payload: 1232, version: 0, flags: 0x8000, options })
}

#[test]
fn what_proxies_ask_goes_the_fast_way_and_nothing_else_does() {
    let client = "127.0.0.1:5353".parse().unwrap();
    let options = Options { ecs: true, ..Options::default() };
    let mut world = World::new(&options, 1);
    let mut way = |draft: Draft| world.ask(&draft.octets(), client, START).1;
    let network = [0, 1, 24, 0, 192, 0, 2];
    for draft in [
        plain("farm_one.athena", A, None),
        plain("FARM_ONE.Athena", A, None),
        plain("0123456789abcdef0123456789abcdef.farm_one.athena", A, None),
        plain("a.b.c.mixed.athena", AAAA, None),
        plain("relay.athena", A, None),
        plain("farm_one.athena", A, with(&[])),
        plain("farm_one.athena", A, with(&[(option::COOKIE, b"12345678")])),
        plain("keys.athena", A, with(&[(option::SUBNET, &network), (option::COOKIE, b"12345678")])),
        plain("farm_one.athena", A, with(&[(option::NSID, b""), (65001, b"unknown")])),
    ] {
        assert!(way(draft.clone()), "{draft:?}");
    }
    let version_one = with(&[]).map(|edns| OptDraft { version: 1, ..edns });
    for draft in [
        plain("four.athena", AAAA, None),
        plain("farm_one.athena", 16, None),
        plain("several.athena", A, None),
        plain("empty.athena", A, None),
        plain("address.athena", A, None),
        plain("again.x.farm_one.athena", A, None),
        plain("_tcp.farm_one.athena", A, None),
        plain("farm_one.spares.athena", A, None),
        plain("nobody.athena", A, None),
        plain("farm_one.athena.example", A, None),
        plain("farm_one.athena", A, version_one),
        Draft { class: 3, ..plain("farm_one.athena", A, None) },
        Draft { flags: 0x2800, ..plain("farm_one.athena", A, None) },
        Draft { more: vec![0], ..plain("farm_one.athena", A, None) },
    ] {
        assert!(!way(draft.clone()), "{draft:?}");
    }
}

/// So many farms that what a batch needs is fetched before it is answered.
fn crowd() -> Plan {
    let mut plan = plan();
    let rules = ["least-load", "two-choices", "round-robin", "hash"];
    for (number, rule) in (0..sights::CROWD).zip(rules.iter().cycle()) {
        let members = ["four1", "both1", "six1"].map(name);
        plan.farms.push(FarmPlan::new(
            name(&format!("crowd{number}")),
            members,
            algorithm::find(rule).unwrap(),
        ));
    }
    plan
}

#[test]
fn what_is_fetched_ahead_changes_no_answer_and_counts_nothing() {
    let options = Options::default();
    let (mut ahead, mut plainly) = (World::of(crowd(), &options, 5), World::of(crowd(), &options, 5));
    let names =
        ["crowd7", "CROWD8", "x.crowd9", "crowd10.spares", "relay", "empty", "nobody", "www", "crowd999"];
    let kinds = [A, AAAA, 16].iter().cycle();
    let drafts = names.iter().cycle().zip(kinds).take(60);
    let drafts = drafts.map(|(name, &kind)| plain(&format!("{name}.athena"), kind, None).octets());
    let mut queries: Vec<Vec<u8>> = drafts.collect();
    queries.extend([vec![], vec![0; 12], b"no query at all, but octets".to_vec()]);
    let (before, mut fast) = (ahead.counts(), 0);
    ahead.wire.expect(queries.iter().map(Vec::as_slice));
    assert_eq!(ahead.counts(), before);
    let client = "127.0.0.1:5353".parse().unwrap();
    for (number, query) in queries.iter().enumerate() {
        let answer = ahead.ask_amid(number, query, client, START);
        assert_eq!(answer, plainly.ask(query, client, START));
        let is_fast = answer.1;
        fast += u32::from(is_fast);
    }
    assert!(fast > 20, "{fast}");
    ahead.wire.settle();
    assert_eq!(ahead.counts(), plainly.counts());
}

#[test]
fn the_answer_is_what_the_specification_says_to_the_octet() {
    let mut world = World::new(&Options::default(), 1);
    let mut query = plain("A1.Four.athena", A, with(&[(option::COOKIE, b"12345678")]));
    query.flags = 0x0130;
    let client = "127.0.0.1:5353".parse().unwrap();
    let (answer, was_fast) = world.ask(&query.octets(), client, START);
    let answer = answer.unwrap();
    assert!(was_fast);
    // QR, AA, RD; CD without AD; one question, one answer, one OPT.
    assert_eq!(answer[..12], *b"\0\x07\x85\x10\0\x01\0\x01\0\0\0\x01");
    let question = b"\x02A1\x04Four\x06athena\0\0\x01\0\x01";
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\x0f\xa0\0\x04\x0a\0\0\x01";
    let opt = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x1c\0\x0a\0\x1812345678";
    let whole = [&question[..], record, opt].concat();
    assert_eq!(answer[12..12 + whole.len()], whole);
    assert_eq!(answer.len(), 12 + whole.len() + 16);
    assert_eq!((world.metrics.dns.answered.get(), world.metrics.dns.cookie_invalid.get()), (1, 1));
}
