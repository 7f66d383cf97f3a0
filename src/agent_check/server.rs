//! Connections of HAProxy's agent-checks: each says one line, hears one, and is closed.
//!
//! What a client can hold is bounded: connections in all and by address, the octets of a line, and one time-out from the
//! first to the last octet. Nothing here waits for another client.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Options;
use super::answer::{BEST, Problem, Question, Verdict, answer};
use crate::balance::damper::Damper;
use crate::balance::{Engine, Farm};
use crate::clock::Clock;
use crate::connections::{Connections, Permit};
use crate::metrics::{AgentMetrics, Metrics};

/// Longest line, in octets: two names, and a key.
pub const MAX_LINE: usize = 1024;
/// How long to wait when no connection can be accepted, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers agent-checks on any number of listeners, under common limits.
pub struct AgentServer {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    clock: Clock,
    options: ArcSwap<Options>,
    connections: Arc<Connections>,
    damper: Damper,
}

/// What came of waiting for a line.
enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Something else.
    Problem(Problem),
    /// Nobody is there who could be told anything.
    Nobody,
}

impl AgentServer {
    /// A server of what `engine` knows.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, clock: Clock, options: Options) -> Self {
        let (options, connections) = (ArcSwap::from_pointee(options), Arc::default());
        Self { engine, metrics, clock, options, connections, damper: Damper::new(BEST) }
    }

    /// Takes other options: connections that come from now on follow them. Forgets what was told of farms that are no
    /// more.
    pub fn replace_options(&self, options: Options, farms: &[Arc<Farm>]) {
        self.options.store(Arc::new(options));
        self.damper.retain(farms);
    }

    /// Accepts from `listener` until `stop` turns true or its sender is gone; then closes the listener, drops those who
    /// have not said their line, finishes answers, and returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut open = JoinSet::new();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(ended) = open.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "agent-check: a connection ended in a panic");
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    failing = false;
                    if let Some(permit) = self.admit(client) {
                        open.spawn(Arc::clone(&self).converse(stream, client.ip(), permit, stop.clone()));
                    }
                }
                Err(error) => {
                    // One line when it begins, not one for each attempt.
                    if !std::mem::replace(&mut failing, true) && !is_clients_fault(&error) {
                        tracing::warn!(%error, "agent-check: no connection can be accepted");
                    }
                    let _ = timeout(ACCEPT_PAUSE, stopped(&mut stop)).await;
                }
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    fn admit(&self, client: SocketAddr) -> Option<Permit> {
        let permit = self.connections.admit(client.ip(), self.options.load().most);
        match permit {
            Some(_) => self.counts().accepted.count(),
            None => self.counts().refused.count(),
        }
        permit
    }

    fn counts(&self) -> &AgentMetrics {
        &self.metrics.agent
    }

    async fn converse(
        self: Arc<Self>,
        mut stream: TcpStream,
        client: IpAddr,
        _permit: Permit,
        mut stop: watch::Receiver<bool>,
    ) {
        let patience = self.options.load().patience;
        let heard = tokio::select! {
            biased;
            heard = hear(&mut stream, patience) => heard,
            () = stopped(&mut stop) => return,
        };
        let answered = match heard {
            Heard::Nobody => return self.counts().silent.count(),
            Heard::Problem(problem) => Err(problem),
            Heard::Line(line) => self.answer(&line, client),
        };
        self.count(&answered);
        let line = match answered {
            Ok(verdict) => format!("{verdict}\n"),
            Err(problem) => format!("{problem}\n"),
        };
        // How it ends is the client's affair: it asks again in a moment.
        let _ = timeout(patience, async {
            stream.write_all(line.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    }

    fn answer(&self, line: &[u8], client: IpAddr) -> Result<Verdict, Problem> {
        let question = Question::parse(line)?;
        if !(self.options.load().gate)(client, question.key) {
            return Err(Problem::Denied);
        }
        answer(&self.engine, &self.damper, &question, self.clock.now())
    }

    fn count(&self, answered: &Result<Verdict, Problem>) {
        let counts = self.counts();
        match answered {
            Ok(_) => counts.answered.count(),
            Err(Problem::Nothing | Problem::NoNewline | Problem::Malformed) => counts.malformed.count(),
            Err(Problem::Denied) => counts.denied.count(),
            Err(_) => counts.unknown.count(),
        }
    }
}

/// Reads up to the line's end, which is a line feed or, for those who close their side, the end of what they say.
async fn hear(stream: &mut TcpStream, patience: Duration) -> Heard {
    let mut heard = Vec::new();
    let ended = timeout(patience, async {
        let mut room = [0; MAX_LINE];
        loop {
            match stream.read(&mut room).await {
                Ok(0) if heard.is_empty() => return Some(Heard::Nobody),
                Ok(0) => return None,
                Ok(length) => heard.extend_from_slice(&room[..length]),
                Err(_) => return Some(Heard::Nobody),
            }
            if let Some(end) = heard.iter().position(|octet| *octet == b'\n') {
                heard.truncate(end);
                return (end > MAX_LINE).then_some(Heard::Problem(Problem::Malformed));
            }
            if heard.len() > MAX_LINE {
                return Some(Heard::Problem(Problem::Malformed));
            }
        }
    });
    match ended.await {
        Ok(Some(other)) => other,
        Ok(None) => Heard::Line(heard),
        Err(_) if heard.is_empty() => Heard::Problem(Problem::Nothing),
        Err(_) => Heard::Problem(Problem::NoNewline),
    }
}

/// Waits until `stop` is true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Whether the connection was gone before it was accepted.
fn is_clients_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
