//! Reports that another Athena took and passed on.
//!
//! They act like reports to us, but for two things. They count from the moment at which they came in there, so that a
//! backend which fell silent is out at the same time everywhere. And what the other one knows may be newer in one field
//! and older in another; so a sign of life is said in so many words (`feed`), and figures alone are none.

use super::super::moment::Moment;
use super::super::statistics::Amount;
use super::super::update::{BackendUpdate, Feed, Refusal};
use super::{Applied, Engine, Truth};

/// A report that another Athena took.
#[derive(Debug, Clone, PartialEq)]
pub struct Hearsay {
    /// Statistics, health, and the feed if this is the last that was heard of the backend. What only people may say is
    /// passed over: [`Engine::adopt`] takes that.
    pub update: BackendUpdate,
    /// When the backend said so, by our clock.
    pub at: Moment,
}

impl Engine {
    /// Takes reports that another Athena took, all or none. Backends that are not configured here are passed over, unless
    /// they are alive and may register here too. Never waits.
    pub fn hear(&self, reports: &[Hearsay], now: Moment) -> Result<Applied, Refusal> {
        let mut truth = self.lock();
        let known: Vec<&Hearsay> = reports.iter().filter(|report| truth.is_for_us(report, now)).collect();
        let check = known.iter().try_for_each(|report| truth.check_backend(&report.update));
        check.inspect_err(|_| self.count_refused())?;
        for report in &known {
            truth.hear(report, now);
        }
        truth.refresh(now);
        self.show_roster(&mut truth);
        self.wake_if_sooner(&truth);
        let signs = known.iter().filter(|report| report.update.feed.is_some()).count();
        self.counters.reports.fetch_add(signs as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(Applied { changes: std::mem::take(&mut truth.changes), records: Vec::new() })
    }

    /// What a report has come to: the fields that it names, with the values that hold now, sums worked out, and the feed.
    /// `None` if the backend is not there any more.
    pub fn outcome(&self, report: &BackendUpdate) -> Option<BackendUpdate> {
        let truth = self.lock();
        let backend = &truth.backends[truth.backend_number(report.backend.as_str())?];
        let mut outcome = BackendUpdate::new(report.backend.clone());
        let value = |name: &super::super::statistics::StatisticName| backend.statistics.get(name.as_str());
        let fields = report.statistics.iter().filter_map(|(name, _)| Some((name.clone(), value(name)?)));
        outcome.statistics = fields.map(|(name, value)| (name, Amount::Set(value))).collect();
        outcome.health = report.health.map(|_| backend.reported_health);
        outcome.feed = Some(match backend.last_report {
            None => Feed::New,
            Some(_) if backend.left => Feed::Out,
            Some(_) => Feed::In,
        });
        // With each report, so that whoever hears any of them can let it register.
        outcome.whereabouts = backend.rare.registered.map(|_| backend.whereabouts());
        Some(outcome)
    }
}

impl Truth {
    fn is_for_us(&self, report: &Hearsay, now: Moment) -> bool {
        let is_fresh = || self.registry.rules.is_some_and(|rules| now.since(report.at) <= rules.silence);
        let lives = || report.update.feed.is_some() && is_fresh();
        self.backend_number(report.update.backend.as_str()).is_some()
            || (lives() && self.would_register(&report.update))
    }

    fn hear(&mut self, report: &Hearsay, now: Moment) {
        // Nobody reports from the future.
        let at = report.at.min(now);
        let Some(index) = self.find_or_register(&report.update, at, now) else { return };
        let was_in_service = self.is_in_service(index);
        if report.update.health.is_some() {
            self.set_health(index, report.update.health, None, now);
        }
        self.take_report(index, &report.update, report.update.feed.map(|_| at), now);
        if !was_in_service && self.is_in_service(index) {
            self.backends[index].rare.returned = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::name::Name;
    use super::super::super::plan::{BackendPlan, FarmPlan, LastResort, Plan};
    use super::super::super::statistics::StatisticName;
    use super::super::super::update::{Health, Update};
    use super::super::super::{Ask, Choice, algorithm, random::SplitMix};
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(1_000 + seconds))
    }

    fn engine() -> Engine {
        let name = Name::parse("app01").unwrap();
        let backend = BackendPlan::new(name.clone(), vec!["10.0.0.1".parse().unwrap()]);
        let farm = FarmPlan::new(Name::parse("one").unwrap(), [name], algorithm::find("least-load").unwrap());
        let farm =
            FarmPlan { expect_update: Some(Duration::from_secs(15)), last_resort: LastResort::None, ..farm };
        Engine::new(Plan { backends: vec![backend], farms: vec![farm] }, at(0)).unwrap()
    }

    fn report(change: impl FnOnce(&mut BackendUpdate)) -> BackendUpdate {
        let mut update = BackendUpdate::new(Name::parse("APP01").unwrap());
        change(&mut update);
        update
    }

    fn figure(name: &str, amount: Amount) -> Vec<(StatisticName, Amount)> {
        vec![(StatisticName::parse(name).unwrap(), amount)]
    }

    fn gives_somebody(engine: &Engine, now: Moment) -> bool {
        let choice = engine.farm("one").unwrap().choose(&Ask::any(now), &mut SplitMix::new(1));
        matches!(choice, Choice::Member(_))
    }

    #[test]
    fn silence_counts_from_when_the_report_came_in_elsewhere() {
        let engine = engine();
        let update = report(|it| {
            it.statistics = figure("l", Amount::Set(0.5));
            it.feed = Some(Feed::In);
        });
        engine.hear(&[Hearsay { update, at: at(10) }], at(20)).unwrap();
        let status = engine.backend_status("app01", at(20)).unwrap();
        assert_eq!((status.last_report, status.reports), (Some(at(10)), 1));
        engine.expire(at(25));
        assert!(gives_somebody(&engine, at(25)));
        engine.expire(at(26));
        assert!(!gives_somebody(&engine, at(26)), "16 s after the report");
    }

    #[test]
    fn figures_alone_are_no_sign_of_life() {
        let engine = engine();
        let leave = report(|it| it.feed = Some(Feed::Out));
        engine.apply(&[Update::Backend(leave)], at(5)).unwrap();
        let older = report(|it| it.statistics = figure("c", Amount::Set(7.0)));
        engine.hear(&[Hearsay { update: older, at: at(4) }], at(6)).unwrap();
        let status = engine.backend_status("app01", at(6)).unwrap();
        assert_eq!(status.feed.value, Feed::Out);
        assert_eq!(status.statistics.get("c"), Some(7.0));
        assert_eq!((status.last_report, status.reports), (Some(at(5)), 1));
        let back = report(|it| (it.feed, it.health) = (Some(Feed::In), Some(Health::Down)));
        engine.hear(&[Hearsay { update: back, at: at(99) }], at(7)).unwrap();
        let status = engine.backend_status("app01", at(7)).unwrap();
        assert_eq!((status.feed.value, status.health.value), (Feed::In, Health::Down));
        assert_eq!(status.last_report, Some(at(7)), "nobody reports from the future");
    }

    #[test]
    fn an_outcome_is_absolute() {
        let engine = engine();
        let more = report(|it| it.statistics = figure("c", Amount::Add(2.0)));
        engine.apply(&[Update::Backend(more.clone()), Update::Backend(more.clone())], at(1)).unwrap();
        let outcome = engine.outcome(&more).unwrap();
        assert_eq!(outcome.statistics, figure("c", Amount::Set(4.0)));
        assert_eq!((outcome.feed, outcome.health), (Some(Feed::In), None));
        let stranger = BackendUpdate::new(Name::parse("app09").unwrap());
        assert!(engine.outcome(&stranger).is_none());
        let heard = Hearsay { update: stranger, at: at(1) };
        assert_eq!(engine.hear(&[heard], at(1)).unwrap(), Applied::default(), "passed over");
    }
}
