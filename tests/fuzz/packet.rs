//! Packets, mutated: what a server must survive, and how it must answer.
//!
//! Each round takes a packet of `corpus/packets.txt`, hits it a few times (bits, octets, lengths, pieces of other packets),
//! and hands it to two servers with the same farms and the same random numbers, one of which knows the fast way. Both must
//! give the same octets and count the same; what they give must be a message that hickory reads, with the query's id and
//! question, no longer than the client can take; a packet that is no query must get nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use athena::balance::plan::{BackendPlan, Fallback, FarmPlan};
use athena::balance::random::{Random, SplitMix};
use athena::balance::{Engine, Moment, Name, Plan, algorithm};
use athena::dns::query::name_length;
use athena::dns::udp::{Answer, LONGEST_QUERY, PLACE, Reply};
use athena::dns::wire::Wire;
use athena::dns::{CookieOptions, Handler, Options, Transport, ZoneContent, Zones};
use athena::metrics::Metrics;
use hickory_proto::op::Message;

const CORPUS: &str = include_str!("corpus/packets.txt");
const ZONE: &str = "$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
www CNAME farm_one
*.wild A 192.0.2.7
child NS ns.child
ns.child A 192.0.2.53
";

/// Where those are that are not near.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// What a run did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Of them, answered the fast way.
    pub fast: u64,
    /// Of them, answered the general way.
    pub general: u64,
}

/// Two servers of one mind, and what hits packets.
pub struct Fuzz {
    corpus: Vec<Vec<u8>>,
    random: SplitMix,
    wire: Wire,
    handler: Arc<Handler>,
    draws: SplitMix,
    metrics: [Arc<Metrics>; 2],
    tally: Tally,
}

impl Fuzz {
    /// A run that depends on `seed` alone.
    pub fn new(seed: u64) -> Result<Self, String> {
        let line = |line: &&str| !line.starts_with('#') && !line.is_empty();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let packet = |line: &str| line.as_bytes().chunks(2).map(octet).collect::<Option<Vec<u8>>>();
        let corpus = CORPUS.lines().filter(line).map(packet).collect::<Option<Vec<_>>>();
        let corpus = corpus.ok_or("corpus/packets.txt is not hexadecimal")?;
        let ((handler, one), (twin, two)) = (server()?, server()?);
        let wire = Wire::new(twin, SplitMix::new(seed), Arc::default());
        let (random, draws) = (SplitMix::new(!seed), SplitMix::new(seed));
        Ok(Self { corpus, random, wire, handler, draws, metrics: [one, two], tally: Tally::default() })
    }

    /// So many packets; stops at the first that is not as it should be, and says why, with the packet.
    pub fn run(&mut self, packets: u64) -> Result<Tally, String> {
        for _ in 0..packets {
            let packet = self.packet();
            let (client, now) = self.circumstances();
            // Some come once more, while both ways remember them.
            for _ in 0..1 + u32::from(self.random.below(4) == 0) {
                self.check(&packet, client, now).map_err(|why| {
                    let octets: String = packet.iter().map(|octet| format!("{octet:02x}")).collect();
                    format!("{why}\n{octets}")
                })?;
            }
        }
        Ok(self.tally)
    }

    fn packet(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut packet = self.corpus[random.below(self.corpus.len())].clone();
        for _ in 0..random.below(6) {
            let other = &self.corpus[random.below(self.corpus.len())];
            hit(&mut packet, other, random);
        }
        packet.truncate(LONGEST_QUERY);
        packet
    }

    /// Who sends a packet, and when. No two have one address and port: whether a packet is one that came before, the two
    /// ways may remember for different times.
    fn circumstances(&mut self) -> (SocketAddr, Moment) {
        let (round, port) = (self.tally.packets / 65_535, 1 + (self.tally.packets % 65_535) as u16);
        let host = round as u32;
        let client = match self.random.below(4) {
            0 => IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits().wrapping_add(host))),
            1 => IpAddr::V4(Ipv4Addr::from_bits(PUBLIC.to_bits().wrapping_add(host))),
            2 => IpAddr::V6(Ipv6Addr::from_bits(Ipv6Addr::LOCALHOST.to_bits() + u128::from(round))),
            _ => IpAddr::V6(Ipv4Addr::from_bits(PUBLIC.to_bits().wrapping_add(host)).to_ipv6_mapped()),
        };
        let now = Moment::from_unix(Duration::from_secs(self.random.below(8000) as u64));
        (SocketAddr::new(client, port), now)
    }

    fn check(&mut self, packet: &[u8], client: SocketAddr, now: Moment) -> Result<(), String> {
        let mut place = [0xee; PLACE];
        place[..packet.len()].copy_from_slice(packet);
        let mut apart = Vec::new();
        let reply = self.wire.answer(0, &mut place, packet.len(), client, now, &mut apart);
        self.wire.settle();
        let fast = match reply {
            Reply::None => None,
            Reply::InPlace(length) => Some(&place[..length]),
            Reply::Apart => Some(&apart[..]),
        };
        self.tally.packets += 1;
        self.tally.fast += u64::from(matches!(reply, Reply::InPlace(_)));
        self.tally.general += u64::from(reply == Reply::Apart);
        let mut general = Vec::new();
        let answered =
            self.handler.respond(packet, client, Transport::Udp, now, &mut self.draws, &mut general);
        if fast != answered.then_some(&general[..]) {
            return Err(format!("the two ways differ: {fast:02x?} and {general:02x?}"));
        }
        let [one, two] =
            self.metrics.each_ref().map(|metrics| (metrics.dns.replies(), metrics.dns.dropped.get()));
        if one != two || one.0 + one.1 != self.tally.packets {
            return Err(format!("the counters differ: {one:?} and {two:?} of {}", self.tally.packets));
        }
        fast.map_or(Ok(()), |reply| sound(packet, reply))
    }
}

/// Whether a reply is one to this packet.
fn sound(packet: &[u8], reply: &[u8]) -> Result<(), String> {
    if packet.len() < 12 || packet[2] & 0x80 != 0 {
        return Err("a packet that is no query was answered".to_owned());
    }
    if reply.len() < 12 || reply[..2] != packet[..2] || reply[2] & 0x80 == 0 {
        return Err(format!("no response to this query: {reply:02x?}"));
    }
    if reply.len() > 8192 {
        return Err(format!("{} octets", reply.len()));
    }
    // AD, Z and RA are never set; nginx drops answers with AD.
    if reply[3] & 0xe0 != 0 {
        return Err(format!("AD, Z or RA is set: {:02x}", reply[3]));
    }
    Message::from_vec(reply).map_err(|error| format!("unreadable: {error}: {reply:02x?}"))?;
    if reply[5] == 1 {
        let end = 12 + name_length(&reply[12..]).ok_or("no name in the question")? + 4;
        if packet.get(12..end) != reply.get(12..end) {
            return Err(format!("the question is not echoed: {reply:02x?}"));
        }
    }
    Ok(())
}

/// Changes a packet in one way.
fn hit(packet: &mut Vec<u8>, other: &[u8], random: &mut SplitMix) {
    const TELLING: [u8; 10] = [0, 1, 12, 28, 41, 63, 64, 0x7f, 0xc0, 0xff];
    if packet.is_empty() {
        packet.extend_from_slice(other);
        return;
    }
    let at = random.below(packet.len());
    match random.below(9) {
        0 => packet[at] ^= 1 << random.below(8),
        1 => packet[at] = random.next() as u8,
        2 => packet[at] = TELLING[random.below(TELLING.len())],
        3 => packet.insert(at, random.next() as u8),
        4 => drop(packet.remove(at)),
        5 => packet.truncate(at),
        // The head of this one, the tail of another.
        6 => {
            packet.truncate(at);
            packet.extend_from_slice(&other[random.below(other.len())..]);
        }
        7 => {
            let end = packet.len().min(at + 1 + random.below(32));
            let piece = packet[at..end].to_vec();
            packet.splice(at..at, piece);
        }
        // Counts of sections, and flags.
        _ => packet[random.below(12).min(at)] = random.below(4) as u8,
    }
}

fn server() -> Result<(Arc<Handler>, Arc<Metrics>), String> {
    // Both remember labels alike: what one overwrites, the other does too.
    let engine = Engine::with_secret(plan()?, 7, Moment::ZERO).map_err(|problems| format!("{problems:?}"))?;
    let apex = "athena.".parse().map_err(|error| format!("{error}"))?;
    let content =
        ZoneContent::parse(Path::new("zone"), ZONE, &apex).map_err(|errors| format!("{errors:?}"))?;
    let zones = Zones::new(&[content], &engine.farms()).map_err(|errors| format!("{errors:?}"))?;
    let metrics = Arc::new(Metrics::default());
    let cookies = CookieOptions { enabled: true, secrets: vec![[7; 16]] };
    let options =
        Options { ecs: true, explain: true, nsid: Some(b"here".to_vec()), cookies, ..Options::default() };
    let handler = Handler::new(Arc::new(engine), zones, options, Arc::clone(&metrics));
    Ok((Arc::new(handler.map_err(|error| error.to_string())?), metrics))
}

fn plan() -> Result<Plan, String> {
    let name = |text: &str| Name::parse(text).map_err(|error| error.to_string());
    let backends = [
        ("four1", &["10.0.0.1"][..]),
        ("four2", &["10.0.0.2"]),
        ("both1", &["10.0.0.3", "2001:db8::3"]),
        ("both2", &["10.0.0.4", "2001:db8::4"]),
    ];
    let farms = [
        ("farm_one", &["four1", "four2", "both1"][..], "round-robin"),
        ("four", &["four1", "four2"], "two-choices"),
        ("keys", &["both1", "both2", "four1"], "hash"),
        ("several", &["four1", "four2", "both1"], "least-load"),
        ("empty", &[], "random"),
        ("host", &[], "random"),
    ];
    let mut plan = Plan::default();
    for (backend, addresses) in backends {
        let parse = |address: &&str| address.parse::<std::net::IpAddr>();
        let addresses = addresses.iter().map(parse).collect::<Result<Vec<_>, _>>();
        plan.backends.push(BackendPlan::new(name(backend)?, addresses.map_err(|error| error.to_string())?));
    }
    for (farm, members, rule) in farms {
        let members = members.iter().map(|member| name(member)).collect::<Result<Vec<_>, _>>()?;
        let mut farm = FarmPlan::new(name(farm)?, members, algorithm::find(rule).ok_or("no such rule")?);
        match farm.name.as_str() {
            "several" => farm.answers = 3,
            "host" => farm.fallback.push(Fallback::Host("www.athena".to_owned(), None)),
            _ => {}
        }
        plan.farms.push(farm);
    }
    Ok(plan)
}
