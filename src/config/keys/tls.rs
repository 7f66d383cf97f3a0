//! The keys of `[dns.tls]`.

use super::Default::{Is, Nothing};
use super::Kind::{List, Text};
use super::{Section, key};

/// `[dns.tls]`
pub const DNS: Section = Section {
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
