//! Athena's DNS alone: engine, zones, handler and UDP loop, without configuration and HTTP, for any number of farms.
//!
//! `farm ADDRESS:PORT ALGORITHM [THREADS [MEMBERS [FARMS [general]]]]`. The farms are `farm_one`, `farm_00002`, `farm_00003` …; each
//! has MEMBERS of its own, and each of these has reported once. With `general` every query goes the general way. Stops when it
//! is killed.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::SplitMix;
use athena::balance::statistics::{Amount, StatisticName};
use athena::balance::update::BackendUpdate;
use athena::balance::{Engine, Moment, Name, Plan, Update, algorithm};
use athena::clock::Clock;
use athena::dns::udp::{Answer, Place, Reply, Udp};
use athena::dns::wire::Wire;
use athena::dns::{Handler, Options, Transport, ZoneContent, Zones};
use athena::metrics::Metrics;

const ZONE: &str = "$TTL 0\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

/// Everything by the general way.
struct General(Arc<Handler>, SplitMix);

impl Answer for General {
    fn answer(
        &mut self,
        _: usize,
        place: &mut Place,
        length: usize,
        client: SocketAddr,
        now: Moment,
        reply: &mut Vec<u8>,
    ) -> Reply {
        match self.0.respond(&place[..length], client, Transport::Udp, now, &mut self.1, reply) {
            true => Reply::Apart,
            false => Reply::None,
        }
    }
}

fn plan(algorithm: &str, members: usize, farms: usize) -> Result<Plan, Box<dyn Error>> {
    let spec = algorithm::find(algorithm).ok_or("no such algorithm")?;
    let mut plan = Plan::default();
    for farm in 1..=farms {
        let backend = |number: usize| Name::parse(&format!("b{farm}-{number}"));
        let names = (1..=members).map(backend).collect::<Result<Vec<_>, _>>()?;
        for (name, number) in names.iter().zip(0u32..) {
            let address =
                Ipv4Addr::from_bits(0x0a00_0000 + (farm as u32 * members as u32 + number) % 0x00ff_ffff);
            plan.backends.push(BackendPlan::new(name.clone(), vec![address.into()]));
        }
        let name = if farm == 1 { "farm_one".to_owned() } else { format!("farm_{farm:05}") };
        plan.farms.push(FarmPlan::new(Name::parse(&name)?, names, spec));
    }
    Ok(plan)
}

/// One report of each backend, with all that rules look at: load, utilization, requests in flight and a second.
fn reports(plan: &Plan) -> Result<Vec<Update>, Box<dyn Error>> {
    let names = ["l", "u", "q", "r"].map(StatisticName::parse);
    let names = names.into_iter().collect::<Option<Vec<_>>>().ok_or("no statistic is called so")?;
    let report = |(backend, number): (&BackendPlan, u32)| {
        let mut update = BackendUpdate::new(backend.name.clone());
        let amount = Amount::Set(f64::from(1 + number % 7) / 10.0);
        update.statistics.extend(names.iter().map(|name| (name.clone(), amount)));
        Update::Backend(update)
    };
    Ok(plan.backends.iter().zip(0..).map(report).collect())
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [address, algorithm, rest @ ..] = arguments else {
        return Err("usage: farm ADDRESS:PORT ALGORITHM [THREADS [MEMBERS [FARMS [general]]]]".into());
    };
    let number = |index: usize, default: usize| rest.get(index).map_or(Ok(default), |number| number.parse());
    let (threads, members, farms) = (number(0, 1)?, number(1, 3)?, number(2, 1)?);
    let clock = Clock::start();
    let plan = plan(algorithm, members, farms)?;
    let reports = reports(&plan)?;
    let engine = Engine::new(plan, clock.now()).map_err(|problems| format!("{problems:?}"))?;
    engine.apply(&reports, clock.now()).map_err(|problems| format!("{problems:?}"))?;
    let apex = "athena.".parse()?;
    let content =
        ZoneContent::parse(Path::new("zone"), ZONE, &apex).map_err(|errors| format!("{errors:?}"))?;
    let zones = Zones::new(&[content], &engine.farms()).map_err(|errors| format!("{errors:?}"))?;
    let metrics = Arc::new(Metrics::default());
    let handler = Arc::new(Handler::new(Arc::new(engine), zones, Options::default(), Arc::clone(&metrics))?);
    let udp = Udp::bind(address.parse()?, threads)?;
    let random = SplitMix::from_system;
    let _running = match rest.get(3).map(String::as_str) {
        Some("general") => udp.spawn(|| General(Arc::clone(&handler), random()), &metrics, clock)?,
        _ => udp.spawn(|| Wire::new(Arc::clone(&handler), random(), Arc::default()), &metrics, clock)?,
    };
    loop {
        std::thread::park();
    }
}
