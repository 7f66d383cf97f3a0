//! Log lines go to stderr, as text or as JSON.
//!
//! Libraries are heard from "warn" on only: hickory, for one, has an info line for each query. Its resolver is not heard at
//! all, since it has a warning for each datagram that somebody forges; what upstreams do is counted, and told by ourselves.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::config::{Level, Log, LogFormat};
use crate::dns::forward::UNHEARD;

/// Sets logging up for the whole process; a second call changes nothing.
pub fn start(log: Log) {
    let lines = match log.format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            fmt::layer().with_ansi(colours).with_writer(io::stderr).boxed()
        }
    };
    // Fails only where logging is set up already.
    let _ = registry().with(lines.with_filter(filter(log.level))).try_init();
}

/// What is heard: ourselves from `level` on, libraries from "warn" on, at "trace" everybody.
fn filter(level: Level) -> Targets {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => return Targets::new().with_default(LevelFilter::TRACE),
    };
    let unheard = UNHEARD.map(|library| (library, LevelFilter::OFF));
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_targets(unheard).with_target("athena", own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as Heard;

    #[test]
    fn a_library_does_not_log_each_query() {
        let info = filter(Level::Info);
        assert!(info.would_enable("athena::app", &Heard::INFO));
        assert!(!info.would_enable("hickory_server::server", &Heard::INFO));
        assert!(info.would_enable("hickory_server::server", &Heard::WARN));
        assert!(!info.would_enable("hickory_net::udp::udp_client_stream", &Heard::WARN));
        let error = filter(Level::Error);
        assert!(!error.would_enable("hyper", &Heard::WARN) && error.would_enable("athena", &Heard::ERROR));
        assert!(filter(Level::Trace).would_enable("hickory_proto", &Heard::TRACE));
    }
}
