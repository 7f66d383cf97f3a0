//! The keys of `[mirror]`.

use super::Default::{Is, Nothing};
use super::Kind::{List, Scalar, Secret, Text};
use super::{Section, key};

/// `[mirror]`
pub const MIRROR: Section = Section {
    path: &["mirror"],
    header: "[mirror]",
    about: "Other Athenas that shall know what this one is told. List each at the others; a list may name the Athena \
            itself, so that all can have the same one. Peers must be in each other's access.update networks and, for \
            what people decide, in access.admin.",
    keys: &[
        key(
            "peers",
            List,
            Is("[]"),
            "Their URLs, such as \"http://10.0.0.2:8053\" or \"https://ns2.example.com\". Without a path: that of http.path \
             here.",
        ),
        key(
            "ca",
            Text,
            Nothing("\"mirror.cert.pem\""),
            "Certificates in PEM, which those of https peers must come from. Left out: whom the system trusts.",
        ),
        key(
            "key",
            Secret,
            Nothing("\"secret-of-the-peers\""),
            "The access.admin_key of the peers (or their update_key; then what people decide stays here). Better from \
             ATHENA_MIRROR__KEY. Left out: none.",
        ),
        key(
            "name",
            Text,
            Nothing("\"ns1\""),
            "What this Athena is called among them, each differently. Left out: the host's name and a random number.",
        ),
        key(
            "queue",
            Scalar,
            Is("10000"),
            "Most backends and decisions that wait for one peer; what finds no room reaches it with the next exchange \
             of states.",
        ),
        key(
            "wait",
            Text,
            Is("\"5s\""),
            "A start asks the peers for their states; after this time it is ready without those that do not answer.",
        ),
    ],
};
