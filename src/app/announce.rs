//! Where everything answers, for the log.

use tracing::info;

use super::{Running, agent};

/// One line for each address.
pub fn announce(running: &Running) {
    for address in running.dns() {
        info!("dns answers on {address}");
    }
    for (service, address) in running.secure() {
        info!("{service} answers on {address}");
    }
    for address in running.http() {
        info!("http answers on {address}");
    }
    for address in running.agent_checks() {
        info!("{} answers on {address}", agent::SERVICE);
    }
}
