//! The keys of `[forward]`.

use super::Default::Is;
use super::Kind::{List, Scalar, Text};
use super::{Section, key};

/// `[forward]`
pub const FORWARD: Section = Section {
    path: &["forward"],
    header: "[forward]",
    about: "Names outside our zones, for clients whose only name server this is: they are asked of others, and the answers \
            are kept. Everybody else gets REFUSED.",
    keys: &[
        key(
            "upstreams",
            List,
            Is("[]"),
            "Name servers that resolve for us, such as \"10.0.0.53\" or \"[2001:db8::53]:5353\". []: nothing is forwarded.",
        ),
        key("access", List, Is("[]"), "Networks that may ask. []: nobody."),
        key(
            "open",
            Scalar,
            Is("false"),
            "Lets access name public networks larger than /16 (IPv4) or /32 (IPv6), which would make us an open resolver \
             that strangers attack others with. Only behind a filter of your own.",
        ),
        key(
            "order",
            Text,
            Is("\"listed\""),
            "\"listed\": the first upstream is asked, and the next ones if it fails; \"rotate\": each first in turn.",
        ),
        key(
            "timeout",
            Text,
            Is("\"4s\""),
            "A question that takes longer is answered SERVFAIL. Up to three upstreams share this time.",
        ),
        key(
            "cache",
            Scalar,
            Is("10000"),
            "Answers kept, for as long as their TTL says, a day at most; 0: none.",
        ),
        key("queries", Scalar, Is("1024"), "Most questions in flight; further ones get SERVFAIL at once."),
        key(
            "queries_per_client",
            Scalar,
            Is("256"),
            "The same of one IPv4 address, or one IPv6 network of 64 bits.",
        ),
    ],
};
