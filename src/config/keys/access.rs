//! The keys of `[access]`.

use super::Default::{Is, Nothing};
use super::Kind::{List, Scalar, Secret, Text};
use super::{Section, key};

/// `[access]`
pub const SECTION: Section = Section {
    path: &["access"],
    header: "[access]",
    about: "Who may do what over HTTP: a client must be in one of these networks and, where there is a key, bring it \
            or that of a stronger right, as 'Authorization: Bearer KEY' or as k=KEY. Better than here, keys come \
            from the environment: ATHENA_ACCESS__UPDATE_KEY and so on.",
    keys: &[
        key("query", List, Is("[\"0.0.0.0/0\", \"::/0\"]"), "Balance and status."),
        key("update", List, Is("[\"127.0.0.0/8\", \"::1/128\"]"), "Statistics and health."),
        key("admin", List, Is("[\"127.0.0.0/8\", \"::1/128\"]"), "States, weights, farms, debug."),
        key("query_key", Secret, Nothing("\"secret-for-queries\""), "Left out: no key is asked for."),
        key("update_key", Secret, Nothing("\"secret-for-reports\""), "Left out: no key is asked for."),
        key("admin_key", Secret, Nothing("\"secret-for-people\""), "Left out: no key is asked for."),
        key(
            "trusted_proxies",
            List,
            Is("[]"),
            "Proxies whose X-Forwarded-For is believed. All others count by their own address.",
        ),
        key(
            "auto_register",
            Scalar,
            Is("false"),
            "A backend that nobody configured may report, and so joins the farms that name it by pattern \
             (members = [\"web-*\"]). It is where its report comes from, or where A=ADDRESS and P=PORT in it say. Needs \
             update_key.",
        ),
        key("auto_register_limit", Scalar, Is("256"), "Most backends that are registered at once."),
        key(
            "auto_register_leave",
            Text,
            Is("\"5m\""),
            "Who registered leaves when it was silent for longer.",
        ),
        key(
            "auto_register_networks",
            List,
            Nothing("[\"10.0.0.0/8\"]"),
            "Where backends that register may be. Left out: in the networks of update.",
        ),
    ],
};
