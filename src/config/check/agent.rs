//! `[agent_check]`

use super::super::AgentCheck;
use super::super::node::Node;
use super::{Check, at};

/// Most connections.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

impl<'a> Check<'a> {
    /// `[agent_check]`
    pub fn agent_check(&mut self, root: Node<'a>) -> AgentCheck {
        let path = |key| ["agent_check", key];
        let listen = self.listen(root, &path("listen"), 8054);
        let connections = self.count_in(root, &path("connections"), CONNECTIONS);
        let connections_per_client = self.count_in(root, &path("connections_per_client"), CONNECTIONS);
        let timeout = self.span_in(root, &path("timeout"));
        if let Some(node) = at(root, &["agent_check", "listen"])
            && !listen.is_empty()
            && at(root, &["access", "query"]).is_some_and(|query| query.items().next().is_none())
        {
            self.wrong(node, "nobody may ask: access.query is empty");
        }
        AgentCheck { listen, connections, connections_per_client, timeout }
    }
}
