//! The keys of `[dns]` and `[dns.tls]`.

use super::Default::{Is, Nothing};
use super::Kind::{List, Scalar, Text};
use super::{Section, key};

/// `[dns]`
pub const DNS: Section = Section {
    path: &["dns"],
    header: "[dns]",
    about: "",
    keys: &[
        key("listen", List, Is("[\"127.0.0.1:5300\"]"), "Addresses to answer on, UDP and TCP on each."),
        key("threads", Scalar, Is("0"), "UDP threads; 0: one a core."),
        key("max_udp", Scalar, Is("1232"), "Longest UDP answer in octets, to clients that offer as much."),
        key("max_udp_local", Scalar, Is("8192"), "The same for clients with loopback and private addresses."),
        key(
            "explain",
            Scalar,
            Is("false"),
            "TXT queries for a farm are answered with the choice, the rule and the loads it saw.",
        ),
        key(
            "ecs",
            Scalar,
            Is("false"),
            "The EDNS client subnet (RFC 7871) is the key of hashing algorithms.",
        ),
        key("nsid", Text, Nothing("\"ns1\""), "What we say to NSID (RFC 5001). Left out: nothing."),
        key("version", Text, Nothing("\"athena\""), "What we say to CH TXT version.bind. Left out: REFUSED."),
        key("id", Text, Nothing("\"ns1\""), "What we say to CH TXT id.server. Left out: REFUSED."),
        key("cookies", Scalar, Is("true"), "DNS Cookies (RFC 7873, RFC 9018)."),
        key(
            "cookie_secret_file",
            Text,
            Nothing("\"cookie.secret\""),
            "A file of 32 hexadecimal digits, the same on all servers of the zone; further lines hold former \
             secrets that are still accepted. Left out: a random secret for each start.",
        ),
        key("tcp_connections", Scalar, Is("1024"), "Most TCP connections in all."),
        key("tcp_connections_per_client", Scalar, Is("128"), "Most TCP connections of one client address."),
        key("tcp_idle", Text, Is("\"30s\""), "A TCP connection that is idle for longer is closed."),
        key("log_queries", Scalar, Is("0"), "Logs one query in so many; 0: none."),
    ],
};

/// `[dns.tls]`
pub const TLS: Section = Section {
    path: &["dns", "tls"],
    header: "[dns.tls]",
    about: "DNS that nobody on the way can read. A reload reads certificates anew.",
    keys: &[
        key(
            "cert",
            Text,
            Nothing("\"dns.cert.pem\""),
            "Certificates in PEM, our own first, for all three. Left out: none of them is served.",
        ),
        key("key", Text, Nothing("\"dns.key.pem\""), "The certificate's private key in PEM."),
        key("tls_listen", List, Is("[]"), "Addresses for DNS over TLS (RFC 7858), usually port 853."),
        key("https_listen", List, Is("[]"), "Addresses for DNS over HTTPS (RFC 8484), usually port 443."),
        key("https_path", Text, Is("\"/dns-query\""), "Its path."),
        key("quic_listen", List, Is("[]"), "Addresses for DNS over QUIC (RFC 9250), usually port 853."),
    ],
};
