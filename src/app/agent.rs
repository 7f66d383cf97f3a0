//! HAProxy's agent-checks on their addresses, under the access rules of HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use super::listeners::StreamListener;
use super::{Parts, StartError, options};
use crate::agent_check::{self, AgentServer};
use crate::config::Config;
use crate::connections::Most;
use crate::http::access::Class;
use crate::systemd::Inherited;

/// What is answered over them, for messages.
pub const SERVICE: &str = "agent-check";

/// Agent-checks: everything that answers them now.
pub struct AgentChecks {
    server: Arc<AgentServer>,
    listeners: Vec<StreamListener>,
}

impl AgentChecks {
    /// Nothing as yet.
    pub fn new(parts: &Parts, config: &Config) -> Self {
        let (engine, metrics) = (Arc::clone(&parts.engine), Arc::clone(&parts.metrics));
        let server = AgentServer::new(engine, metrics, parts.clock, agent_options(config));
        Self { server: Arc::new(server), listeners: Vec::new() }
    }

    /// Binds what `config` asks for and is not there yet. Nothing answers before [`serve`](Self::serve).
    pub async fn bind(
        &self,
        config: &Config,
        inherited: &mut Inherited,
    ) -> Result<Vec<StreamListener>, StartError> {
        let mut bound = Vec::new();
        for &address in &config.agent_check.listen {
            if !self.listeners.iter().any(|old| old.is(address)) {
                bound.push(StreamListener::bind(SERVICE, address, inherited).await?);
            }
        }
        Ok(bound)
    }

    /// Answers as `config` says from the next connection on, also on what was bound; gives the listeners that `config`
    /// does not ask for any more, to be stopped.
    pub fn serve(
        &mut self,
        config: &Config,
        parts: &Parts,
        bound: Vec<StreamListener>,
    ) -> Vec<StreamListener> {
        self.server.replace_options(agent_options(config), &parts.engine.farms());
        let wanted = &config.agent_check.listen;
        let (stay, go) =
            self.listeners.drain(..).partition(|old| wanted.iter().any(|wanted| old.is(*wanted)));
        self.listeners = stay;
        self.listeners.extend(bound);
        for listener in &mut self.listeners {
            let server = Arc::clone(&self.server);
            listener.spawn(|listener, stop| server.serve(listener, stop));
        }
        go
    }

    /// Where they are answered.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(StreamListener::address).collect()
    }

    /// Takes no more of them, finishes what is open, and returns when the sockets are closed.
    pub async fn stop(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.stop().await;
        }
    }
}

/// How agent-checks are answered: to those who may query over HTTP.
fn agent_options(config: &Config) -> agent_check::Options {
    let (agent, access) = (&config.agent_check, options::http_options(config).access);
    agent_check::Options {
        most: Most { in_all: agent.connections, from_client: agent.connections_per_client },
        patience: agent.timeout,
        gate: Arc::new(move |client, key| access.check_plain(Class::Query, client, key).is_ok()),
    }
}
