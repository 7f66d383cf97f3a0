//! What we find out about backends by ourselves: whether they pass our checks, and what is in the way of their figures.
//!
//! Neither is an [`Update`](super::Update): nobody may say it for us, it is not kept over a restart, and other Athenas are
//! not told, since each looks with its own eyes and over its own network.

use std::sync::Arc;

use super::super::moment::Moment;
use super::super::rare::Checked;
use super::super::status::Change;
use super::super::update::Health;
use super::Engine;

impl Engine {
    /// Takes what active checks say of a backend, with the reason for people: `tcp check 10.0.0.11:8080: connection
    /// refused, 3 of 3 failed`. `None`: it is not checked any more, which lifts what they said. The worst of what reports,
    /// people and checks say counts. Gives what changed; an unknown name changes nothing. Never waits.
    pub fn set_checked(&self, backend: &str, word: Option<(Health, &str)>, now: Moment) -> Vec<Change> {
        let mut truth = self.lock();
        let Some(index) = truth.backend_number(backend) else { return Vec::new() };
        let was_in_service = truth.is_in_service(index);
        let relief = word.map_or("it is not checked any more", |(_, reason)| reason);
        truth.with_health(index, Some(relief), now, |backend| {
            let before = backend.rare.checked.take();
            backend.rare.checked = word.map(|(health, reason)| {
                let same = before.filter(|before| before.health == health);
                let since = same.map_or(now, |before| before.since);
                Checked { health, reason: reason.into(), since }
            });
        });
        if !was_in_service && truth.is_in_service(index) {
            truth.backends[index].rare.returned = Some(now);
        }
        truth.refresh(now);
        self.wake_if_sooner(&truth);
        std::mem::take(&mut truth.changes)
    }

    /// Notes what is in the way of the figures that we fetch of a backend, or that nothing is any more. It stands in the
    /// status and changes nothing else: what counts is the silence that follows. An unknown name changes nothing.
    pub fn set_scrape_trouble(&self, backend: &str, trouble: Option<&str>) {
        let mut truth = self.lock();
        if let Some(index) = truth.backend_number(backend) {
            let backend = &mut truth.backends[index];
            if backend.rare.scrape_trouble.as_deref() != trouble {
                backend.rare.scrape_trouble = trouble.map(Arc::from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::name::Name;
    use super::super::super::plan::{BackendPlan, FarmPlan, Plan, SlowStart};
    use super::super::super::update::{BackendUpdate, Update};
    use super::super::super::{Ask, Choice, algorithm, random::SplitMix};
    use super::*;

    const REFUSED: &str = "tcp check 10.0.0.1:80: connection refused, 3 of 3 failed";

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(1_000 + seconds))
    }

    fn plan() -> Plan {
        let names = ["app01", "app02"].map(|name| Name::parse(name).unwrap());
        let backend = |name: &Name| BackendPlan::new(name.clone(), vec!["10.0.0.1".parse().unwrap()]);
        let backends = names.iter().map(backend).collect();
        let farm = FarmPlan::new(Name::parse("one").unwrap(), names, algorithm::find("failover").unwrap());
        let slow_start = Some(SlowStart { window: Duration::from_secs(100), aggression: 1.0 });
        Plan { backends, farms: vec![FarmPlan { slow_start, ..farm }] }
    }

    fn engine() -> Engine {
        Engine::new(plan(), at(0)).unwrap()
    }

    fn first(engine: &Engine, now: Moment) -> String {
        match engine.farm("one").unwrap().choose(&Ask::any(now), &mut SplitMix::new(1)) {
            Choice::Member(chosen) => chosen.machine().name.to_string(),
            _ => "nobody".to_owned(),
        }
    }

    fn say(engine: &Engine, change: impl FnOnce(&mut BackendUpdate), now: Moment) {
        let mut update = BackendUpdate::new(Name::parse("app01").unwrap());
        change(&mut update);
        engine.apply(&[Update::Backend(update)], now).unwrap();
    }

    #[test]
    fn a_check_takes_a_backend_out_and_back_with_its_reason() {
        let engine = engine();
        assert_eq!(first(&engine, at(0)), "app01");
        let changes = engine.set_checked("app01", Some((Health::Down, REFUSED)), at(1));
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [format!("backend app01: health up -> down ({REFUSED})")]);
        assert_eq!(first(&engine, at(1)), "app02");
        let status = engine.backend_status("app01", at(9)).unwrap();
        assert_eq!((status.health.value, status.health.since), (Health::Down, at(1)));
        assert_eq!(status.health.reason, REFUSED);
        let farm = engine.farm_status("one", at(9)).unwrap();
        assert_eq!(farm.members[0].reason, format!("down: {REFUSED}"));

        assert_eq!(engine.set_checked("app01", Some((Health::Down, "another reason")), at(2)), []);
        let checked = engine.backend_status("app01", at(9)).unwrap().checked.unwrap();
        assert_eq!((checked.since, checked.reason.as_str()), (at(1), "another reason"));

        let changes = engine.set_checked("app01", Some((Health::Up, "passed")), at(3));
        assert_eq!(changes[0].to_string(), "backend app01: health down -> up (passed)");
        assert_eq!(first(&engine, at(3)), "app01");
        let weight = engine.farm_status("one", at(3)).unwrap().members[0].weight;
        assert!(weight < 0.2, "slow start begins: {weight}");
    }

    #[test]
    fn the_worst_of_the_three_counts_and_each_goes_its_own_way() {
        let engine = engine();
        engine.set_checked("app01", Some((Health::Down, REFUSED)), at(1));
        say(&engine, |it| it.health = Some(Health::Up), at(2));
        say(&engine, |it| it.mark = Some(Health::Up), at(2));
        assert_eq!(first(&engine, at(2)), "app02", "nobody says it up over a check");
        say(&engine, |it| it.health = Some(Health::Down), at(3));
        let reason = |now| engine.backend_status("app01", now).unwrap().health.reason;
        assert_eq!(reason(at(3)), REFUSED);
        assert_eq!(engine.set_checked("app01", Some((Health::Up, "passed")), at(4)), []);
        assert_eq!(reason(at(4)), "said its report");
        say(&engine, |it| it.mark = Some(Health::Down), at(5));
        say(&engine, |it| it.health = Some(Health::Up), at(5));
        assert_eq!(reason(at(5)), "said people");
        say(&engine, |it| it.mark = Some(Health::Up), at(6));
        assert_eq!(first(&engine, at(6)), "app01");
    }

    #[test]
    fn what_a_check_said_outlives_a_reload_and_is_lifted_when_nobody_checks_any_more() {
        let engine = engine();
        engine.set_checked("app01", Some((Health::Down, REFUSED)), at(1));
        engine.reload(plan(), at(2)).unwrap();
        assert_eq!(first(&engine, at(2)), "app02");
        let changes = engine.set_checked("app01", None, at(3));
        assert_eq!(changes[0].why, "it is not checked any more");
        assert_eq!(first(&engine, at(3)), "app01");
        assert_eq!(engine.set_checked("app99", Some((Health::Down, REFUSED)), at(3)), []);
    }

    #[test]
    fn trouble_with_a_scrape_is_shown_and_changes_nothing() {
        let engine = engine();
        engine.set_scrape_trouble("app01", Some("connection refused"));
        engine.set_scrape_trouble("app99", Some("connection refused"));
        let status = engine.backend_status("app01", at(1)).unwrap();
        assert_eq!(status.scrape_trouble.as_deref(), Some("connection refused"));
        assert_eq!(first(&engine, at(1)), "app01");
        engine.set_scrape_trouble("app01", None);
        assert_eq!(engine.backend_status("app01", at(1)).unwrap().scrape_trouble, None);
    }
}
