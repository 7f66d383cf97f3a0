//! The keys of `[backends.*.check]`, `[backends.*.scrape]` and of their defaults under `[backend_defaults]`.

use super::Default::{Is, Nothing};
use super::Kind::{List, Scalar, Secret, Text};
use super::{Key, Section, key};

/// Keys that only a check of type http has.
pub const OF_HTTP: [&str; 4] = ["method", "path", "status", "authorization"];

const INTERVAL: Key = key("interval", Text, Is("\"5s\""), "From one look to the next.");
const TIMEOUT: Key = key("timeout", Text, Is("\"2s\""), "One look takes no longer than this.");
const SPREAD: Key = key(
    "spread",
    Scalar,
    Is("0.1"),
    "By which part of it each interval is longer or shorter at random, 0 to 0.5, so that backends are not asked all at \
     once.",
);
const PORT: Key = key("port", Scalar, Nothing("9100"), "Left out: the backend's.");
const TLS: Key = key(
    "tls",
    Text,
    Is("\"off\""),
    "\"off\"; \"verified\": with a certificate that this system trusts; \"unverified\": with any.",
);
const HOST: Key = key(
    "host",
    Text,
    Nothing("\"app.example.com\""),
    "What to call the backend in the request and in TLS. Left out: the host name or address that it is configured by.",
);
const AUTHORIZATION: Key = key(
    "authorization",
    Secret,
    Nothing("\"Bearer secret-of-the-page\""),
    "Sent as the field Authorization. Left out: none.",
);

const CHECK_KEYS: &[Key] = &[
    key(
        "type",
        Text,
        Nothing("\"http\""),
        "\"tcp\": somebody accepts connections (and, with tls, shakes hands); \"http\": a request is answered as expected; \
         \"none\": not checked, whatever the defaults say.",
    ),
    INTERVAL,
    TIMEOUT,
    SPREAD,
    key(
        "rise",
        Scalar,
        Is("2"),
        "So many in a row must pass before it is up again. The very first counts alone.",
    ),
    key("fall", Scalar, Is("3"), "So many in a row must fail before it is down."),
    key("port", Scalar, Nothing("8080"), "Left out: the backend's."),
    TLS,
    HOST,
    key("method", Text, Is("\"GET\""), "Of http: \"GET\", \"HEAD\" or \"OPTIONS\"."),
    key("path", Text, Is("\"/\""), "Of http: path and query."),
    key(
        "status",
        List,
        Is("[\"200-399\"]"),
        "Of http: expected statuses, such as \"200\", \"2xx\" or \"200-399\".",
    ),
    AUTHORIZATION,
];

const SCRAPE_KEYS: &[Key] = &[
    key(
        "format",
        Text,
        Nothing("\"prometheus\""),
        "\"prometheus\": an exporter's page; \"apache\": mod_status with ?auto; \"nginx\": stub_status; \"json\"; \"none\": \
         not fetched, whatever the defaults say.",
    ),
    key(
        "statistics",
        Scalar,
        Nothing("{ l = \"node_load1\" }"),
        "Which number of the page becomes which statistic. prometheus: a metric, with labels where there are several: \
         'threads{pool=\"x\"}'. apache: what a line begins with: \"BusyWorkers\". nginx: \"Active connections\", \
         \"requests\" and so on. json: \"queue.length\" or \"/queue/length\", with * for every item. sum(…), min(…), \
         max(…), avg(…) make one of several; rate(…) is the growth a second. All must be there, or the page does not \
         count.",
    ),
    key("interval", Text, Is("\"5s\""), "From one page to the next; a good deal shorter than expect_update."),
    TIMEOUT,
    SPREAD,
    PORT,
    TLS,
    HOST,
    key(
        "path",
        Text,
        Nothing("\"/metrics\""),
        "Path and query. Left out: /metrics, /server-status?auto, /stub_status, /.",
    ),
    AUTHORIZATION,
    key("max_size", Scalar, Is("1048576"), "Longest page, in octets."),
];

/// `[backends.*.check]`
pub(super) const CHECK: Section = Section {
    path: &["backends", "*", "check"],
    header: "[backends.app01.check]",
    about: "Whether a backend works, found out by trying: active checks, beside its own reports and the word of people; the \
            worst counts. All addresses that answers give are tried, and all must pass.",
    keys: CHECK_KEYS,
};

/// `[backends.*.scrape]`
pub(super) const SCRAPE: Section = Section {
    path: &["backends", "*", "scrape"],
    header: "[backends.app01.scrape]",
    about: "Statistics of a backend that cannot report, fetched from a page of its own. A page counts as a report, one that \
            cannot be had as silence.",
    keys: SCRAPE_KEYS,
};

/// `[backend_defaults.check]`
pub(super) const CHECK_DEFAULTS: Section = Section {
    path: &["backend_defaults", "check"],
    header: "[backend_defaults.check]",
    about: "Any key of a check, for all backends; a backend's own key wins. With a type here all are checked.",
    keys: CHECK_KEYS,
};

/// `[backend_defaults.scrape]`
pub(super) const SCRAPE_DEFAULTS: Section = Section {
    path: &["backend_defaults", "scrape"],
    header: "[backend_defaults.scrape]",
    about: "Any key of a scrape, for all backends; a backend's own key wins. With a format here all are scraped.",
    keys: SCRAPE_KEYS,
};
