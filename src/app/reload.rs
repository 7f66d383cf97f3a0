//! Another configuration while the process runs: who may ask for it, who is told, and what of it counts as a change.
//!
//! SIGHUP and a request over HTTP go the same way. A request waits in a short queue until the loop that runs Athena has
//! time for it, so that there is one reload at a time, and it is answered when the new configuration is in force.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use super::agent::SERVICE;
use super::{Running, StartError};
use crate::config::{
    Access, AgentCheck, Config, Cookie, Dns, Forward, Http, Log, Mirror, Problems, Records, Shutdown, Zone,
};
use crate::http::{NotReloaded, State};
use crate::systemd;

/// Requests that may wait for their turn; further ones wait to be let in.
const WAITING: usize = 4;

/// What a reload came to: one line for each change.
pub type Outcome = Result<Vec<String>, NotReloaded>;

/// Who waits for a reload.
pub type Asker = oneshot::Sender<Outcome>;

/// Takes requests for a reload from HTTP. When the receiver is dropped, they are refused.
pub fn requests(http: &Arc<State>) -> mpsc::Receiver<Asker> {
    let (asking, asked) = mpsc::channel(WAITING);
    http.on_reload(move || {
        let asking = asking.clone();
        Box::pin(async move {
            let (asker, outcome) = oneshot::channel();
            asking.send(asker).await.map_err(|_| NotReloaded::Nobody)?;
            outcome.await.unwrap_or(Err(NotReloaded::Nobody))
        })
    });
    asked
}

/// Loads and takes another configuration, and tells log and service manager what came of it.
pub async fn reload(running: &mut Running, load: &impl Fn() -> Result<Config, Problems>) -> Outcome {
    systemd::reloading();
    let loaded = match load() {
        Ok(config) => running.reload(config).await,
        Err(problems) => Err(StartError::Config(problems)),
    };
    match &loaded {
        Ok(changes) if changes.is_empty() => info!("reloaded: nothing changed"),
        Ok(changes) => changes.iter().for_each(|line| info!("reloaded: {line}")),
        Err(problem) => error!("not reloaded, the old configuration goes on: {problem}"),
    }
    systemd::ready("answering");
    loaded.map_err(|problem| NotReloaded::Refused(problem.to_string()))
}

/// What a configuration says beside farms and backends, kept to tell what another one changes.
pub struct Settings {
    zones: Vec<(Zone, Option<u64>)>,
    state_dir: Option<std::path::PathBuf>,
    dns: Dns,
    http: Http,
    access: Access,
    cookie: Cookie,
    mirror: Mirror,
    forward: Forward,
    agent_check: AgentCheck,
    log: Log,
    shutdown: Shutdown,
    print: RandomState,
}

impl Settings {
    /// Those of this configuration.
    pub fn of(config: &Config) -> Self {
        Self::printed(config, RandomState::new())
    }

    fn printed(config: &Config, print: RandomState) -> Self {
        let content = |zone: &Zone| match &zone.records {
            Records::File(file) => std::fs::read(file).ok().map(|octets| print.hash_one(octets)),
            Records::Text(_) => None,
        };
        Self {
            zones: config.zones.iter().map(|zone| (zone.clone(), content(zone))).collect(),
            state_dir: config.state_dir.clone(),
            dns: config.dns.clone(),
            http: config.http.clone(),
            access: config.access.clone(),
            cookie: config.cookie.clone(),
            mirror: config.mirror.clone(),
            forward: config.forward.clone(),
            agent_check: config.agent_check.clone(),
            log: config.log,
            shutdown: config.shutdown,
            print,
        }
    }

    /// Takes those of another configuration instead, and gives a line for each thing that differs.
    pub fn replace(&mut self, config: &Config) -> Vec<String> {
        let new = Self::printed(config, self.print.clone());
        let mut changes = self.zone_changes(&new);
        changes.extend(listeners("dns", &self.dns.listen, &new.dns.listen));
        changes.extend(listeners("http", &self.http.listen, &new.http.listen));
        let listen = new.agent_check.listen.clone();
        changes.extend(listeners(SERVICE, &self.agent_check.listen, &listen));
        let agent_check = AgentCheck { listen, ..self.agent_check.clone() };
        let dns = Dns { listen: new.dns.listen.clone(), threads: new.dns.threads, ..self.dns.clone() };
        let http = Http { listen: new.http.listen.clone(), ..self.http.clone() };
        for (what, changed) in [
            ("[dns]: changed", dns != new.dns),
            ("[http]: changed", http != new.http),
            ("[access]: changed", self.access != new.access),
            ("[cookie]: changed", self.cookie != new.cookie),
            ("[mirror]: changed", self.mirror != new.mirror),
            ("[forward]: changed", self.forward != new.forward),
            ("[agent_check]: changed", agent_check != new.agent_check),
            ("[shutdown]: changed", self.shutdown != new.shutdown),
            ("dns.threads: changed, in force after a restart", self.dns.threads != new.dns.threads),
            ("state_dir: changed, in force after a restart", self.state_dir != new.state_dir),
            ("[log]: changed, in force after a restart", self.log != new.log),
        ] {
            if changed {
                changes.push(what.to_owned());
            }
        }
        *self = new;
        changes
    }

    fn zone_changes(&self, new: &Self) -> Vec<String> {
        let find = |zones: &'_ [(Zone, Option<u64>)], name: &str| {
            zones.iter().position(|(zone, _)| zone.name == name)
        };
        let mut changes = Vec::new();
        for zone in &new.zones {
            match find(&self.zones, &zone.0.name) {
                None => changes.push(format!("zone {}: added", zone.0.name)),
                Some(index) if self.zones[index] != *zone => {
                    changes.push(format!("zone {}: changed", zone.0.name))
                }
                Some(_) => {}
            }
        }
        let gone = self.zones.iter().filter(|(zone, _)| find(&new.zones, &zone.name).is_none());
        changes.extend(gone.map(|(zone, _)| format!("zone {}: removed", zone.name)));
        changes
    }
}

fn listeners(service: &str, old: &[std::net::SocketAddr], new: &[std::net::SocketAddr]) -> Vec<String> {
    let added = new.iter().filter(|address| !old.contains(address));
    let added = added.map(|address| format!("{service} on {address}: added"));
    let removed = old.iter().filter(|address| !new.contains(address));
    added.chain(removed.map(|address| format!("{service} on {address}: removed"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_differs_is_named_and_what_waits_for_a_restart_says_so() {
        let first = config::demonstration();
        let mut settings = Settings::of(&first);
        assert_eq!(settings.replace(&first), [""; 0]);
        let mut second = first.clone();
        second.dns.listen = vec!["127.0.0.1:5301".parse().unwrap()];
        second.dns.threads = 7;
        second.http.max_embed += 1;
        second.state_dir = Some("/var/lib/athena".into());
        assert_eq!(
            settings.replace(&second),
            [
                "dns on 127.0.0.1:5301: added",
                "dns on 127.0.0.1:5300: removed",
                "[http]: changed",
                "dns.threads: changed, in force after a restart",
                "state_dir: changed, in force after a restart",
            ]
        );
        assert_eq!(settings.replace(&second), [""; 0], "told once");
    }

    #[test]
    fn a_zone_file_counts_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zone");
        std::fs::write(&file, "one").unwrap();
        let mut config = config::demonstration();
        config.zones.push(Zone { name: "other.".into(), records: Records::File(file.clone()) });
        let mut settings = Settings::of(&config::demonstration());
        assert_eq!(settings.replace(&config), ["zone other.: added"]);
        assert_eq!(settings.replace(&config), [""; 0]);
        std::fs::write(&file, "two").unwrap();
        assert_eq!(settings.replace(&config), ["zone other.: changed"]);
        assert_eq!(settings.replace(&config::demonstration()), ["zone other.: removed"]);
    }
}
