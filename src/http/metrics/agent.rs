//! What HAProxy's agent-checks count, as metrics.

use super::exposition::Exposition;
use crate::metrics::AgentMetrics;

/// Appends the metrics of agent-checks.
pub fn write(agent: &AgentMetrics, out: &mut Exposition) {
    out.counter("athena_agent_checks", "Agent-checks of HAProxy, by outcome.")
        .sample(&[("outcome", "answered")], agent.answered.get())
        .sample(&[("outcome", "unknown")], agent.unknown.get())
        .sample(&[("outcome", "malformed")], agent.malformed.get())
        .sample(&[("outcome", "denied")], agent.denied.get())
        .sample(&[("outcome", "silent")], agent.silent.get());
    out.counter("athena_agent_connections", "Connections for agent-checks.")
        .sample(&[("outcome", "accepted")], agent.accepted.get())
        .sample(&[("outcome", "refused")], agent.refused.get());
}
