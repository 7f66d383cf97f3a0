//! The keys of `[agent_check]`.

use super::Default::Is;
use super::Kind::{List, Scalar, Text};
use super::{Section, key};

/// `[agent_check]`
pub const AGENT_CHECK: Section = Section {
    path: &["agent_check"],
    header: "[agent_check]",
    about: "HAProxy's agent-check, for servers that stand in HAProxy's own configuration: it hears each member's share as a \
            weight, and its state. A server line there: server app01 10.0.0.11:8080 weight 100 check agent-check \
            agent-addr 10.0.0.53 agent-port 8054 agent-inter 2s agent-send \"farm_one/app01\\n\". HAProxy must be in \
            access.query and, where there is a key, send it too: \"farm_one/app01 k=KEY\\n\".",
    keys: &[
        key("listen", List, Is("[]"), "Addresses such as \"127.0.0.1:8054\"; []: none."),
        key("connections", Scalar, Is("4096"), "Most connections in all."),
        key(
            "connections_per_client",
            Scalar,
            Is("1024"),
            "Most connections of one IPv4 address, or of one IPv6 network of 64 bits.",
        ),
        key(
            "timeout",
            Text,
            Is("\"1s\""),
            "A line must be complete within this, and its answer read within as much again; less than agent-inter.",
        ),
    ],
};
