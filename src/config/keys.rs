//! Every key there is: one table that the reader of unknown keys, the defaults, the environment, `athena config` and
//! the effective configuration iterate.
//!
//! To add a key: a line here, its check in `check/`, its field in [`Config`](super::Config).

mod access;
mod agent;
mod cookie;
mod dns;
mod forward;
mod mirror;
pub mod probe;

use crate::balance::algorithm;

/// What a key takes. Decides how the text of an environment variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string; durations and file names as well.
    Text,
    /// A string that is never shown.
    Secret,
    /// A string, or a list of strings or tables.
    List,
    /// A number, or true and false.
    Scalar,
}

/// What a key is when nobody gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This, in TOML.
    Is(&'static str),
    /// The name of [`algorithm::DEFAULT`].
    Algorithm,
    /// Nothing; this is an example of a value.
    Nothing(&'static str),
    /// It must be given; this is an example of a value.
    Required(&'static str),
}

impl Default {
    /// The default in TOML, if there is one.
    pub fn toml(self) -> Option<String> {
        match self {
            Self::Is(toml) => Some(toml.to_owned()),
            Self::Algorithm => Some(format!("\"{}\"", algorithm::DEFAULT.name)),
            Self::Nothing(_) | Self::Required(_) => None,
        }
    }
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// Its name in its section.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when nobody gives it.
    pub default: Default,
    /// What it means, for people; units included.
    pub about: &'static str,
}

/// Keys that stand together.
#[derive(Debug)]
pub struct Section {
    /// Where: the steps of the path, `*` for any name. Empty: the top of the file.
    pub path: &'static [&'static str],
    /// What stands in the brackets of the template.
    pub header: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

const fn key(name: &'static str, kind: Kind, default: Default, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

use self::Default::{Algorithm, Is, Nothing, Required};
use Kind::{List, Scalar, Text};

/// Keys of a zone.
const ZONE: &[Key] = &[
    key("zone", Text, Required("\"athena.example.\""), "Its name."),
    key("zone_file", Text, Nothing("\"zones/athena.example.zone\""), "Its static records, as above."),
];

/// Keys of a farm.
const FARM: &[Key] = &[
    key(
        "members",
        List,
        Required("[\"app01\"]"),
        "Its backends, in the order that failover follows: names, or { name = \"app01\", weight = 2.0 } to multiply \
         a backend's weight here. A name with '*' stands for all whose names fit, and for those that register \
         (access.auto_register).",
    ),
    key("algorithm", Text, Algorithm, "The rule that chooses:"),
    key(
        "load",
        Text,
        Is("\"l\""),
        "What load means here, lower is better: a formula over reported statistics with + - * / ^, parentheses, \
         min max abs sqrt exp ln, such as \"0.7*u + 0.3*queue/50\".",
    ),
    key("ttl", Scalar, Is("0"), "Time to live of its DNS answers, in seconds."),
    key("answers", Scalar, Is("1"), "How many different members one DNS answer holds, best first."),
    key(
        "expect_update",
        Text,
        Nothing("\"15s\""),
        "A member that is silent for longer is out. Left out, or \"none\": silence means nothing.",
    ),
    key(
        "fallback",
        List,
        Is("[]"),
        "Where answers come from when no member is available, in order: farms, addresses (with a port for text \
         answers), host names, URLs.",
    ),
    key(
        "fallback_off",
        List,
        Nothing("[\"http://sorry.example.com/\"]"),
        "The same when the farm was switched off. Left out: as fallback.",
    ),
    key(
        "last_resort",
        Text,
        Is("\"stale\""),
        "When that is of no use either: \"stale\" takes members that are silent but neither off nor down, \"none\" \
         takes nobody.",
    ),
    key(
        "min_available",
        Scalar,
        Is("0.0"),
        "With a smaller share of its weight available than this, 0 to 1, the farm counts as sick and falls back.",
    ),
    key(
        "slow_start",
        Text,
        Nothing("\"30s\""),
        "A member that comes back rises from a tenth of its share to all of it in this time. Left out, or \"none\": \
         at once.",
    ),
    key(
        "slow_start_aggression",
        Scalar,
        Is("1.0"),
        "How it rises: 1 in a straight line, more than 1 faster at first.",
    ),
    key(
        "suspicion",
        Scalar,
        Is("true"),
        "A member whose answers are followed by second tries (again.LABELS) is not given for a while. Turn it off where \
         strangers may ask.",
    ),
    key(
        "answer_load",
        Scalar,
        Nothing("1.0"),
        "What one answer adds to a member's load until its next report, in the units of the formula. Left out: 1, or \
         what the algorithm learns.",
    ),
    key(
        "load_smoothing",
        Text,
        Nothing("\"60s\""),
        "Senders average their loads over this time before they report them, as Unix does with its load average; \
         adaptive takes that out again. Left out, or \"none\": loads are as they are.",
    ),
    key(
        "error_penalty",
        Scalar,
        Is("1.0"),
        "With utilization: what errors count, as a multiple of the utilization that they add if every request is one. \
         0: nothing.",
    ),
    key(
        "hash_bound",
        Scalar,
        Is("1.25"),
        "With hash: most answers of one member, as a multiple of its fair share.",
    ),
];

/// Every section, in the order of the template.
pub static SECTIONS: &[Section] = &[
    Section {
        path: &[],
        header: "",
        about: "",
        keys: &[
            key(
                "zone",
                Text,
                Is("\"athena.\""),
                "The zone that the farms are in; we are authoritative for it.",
            ),
            key(
                "zone_file",
                Text,
                Nothing("\"zones/athena.zone\""),
                "Its static records: SOA, NS, addresses of the name servers, anything else. Left out: a plain SOA and \
                 NS.",
            ),
            key(
                "state_dir",
                Text,
                Nothing("\"/var/lib/athena\""),
                "Where administrative states and warm statistics are kept. Left out: in memory only.",
            ),
        ],
    },
    dns::DNS,
    dns::TLS,
    forward::FORWARD,
    Section {
        path: &["http"],
        header: "[http]",
        about: "",
        keys: &[
            key(
                "listen",
                List,
                Is("[\"127.0.0.1:8053\"]"),
                "Addresses for the text protocol, metrics and health; []: none.",
            ),
            key(
                "tls_cert",
                Text,
                Nothing("\"http.cert.pem\""),
                "Certificates in PEM, our own first: all of these addresses speak HTTPS. Left out: HTTP.",
            ),
            key("tls_key", Text, Nothing("\"http.key.pem\""), "The certificate's private key in PEM."),
            key("path", Text, Is("\"/ath\""), "The path that the text protocol stands under."),
            key("max_embed", Scalar, Is("16"), "Most requests in one GET, separated by ';'."),
            key("allow_diverse_multi", Scalar, Is("false"), "PATH/multi/ takes requests of different kinds."),
            key("connections", Scalar, Is("4096"), "Most connections in all."),
            key(
                "connections_per_client",
                Scalar,
                Is("256"),
                "Most connections of one IPv4 address, or of one IPv6 network of 64 bits.",
            ),
            key("header_timeout", Text, Is("\"10s\""), "A request's head must be complete within this."),
            key("body_timeout", Text, Is("\"10s\""), "A request's body must be complete within this."),
            key("idle_timeout", Text, Is("\"60s\""), "A connection that is idle for longer is closed."),
        ],
    },
    access::SECTION,
    agent::AGENT_CHECK,
    mirror::MIRROR,
    cookie::SECTION,
    Section {
        path: &["log"],
        header: "[log]",
        about: "Logs go to stderr.",
        keys: &[
            key("format", Text, Is("\"text\""), "\"text\" or \"json\"."),
            key("level", Text, Is("\"info\""), "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"."),
        ],
    },
    Section {
        path: &["shutdown"],
        header: "[shutdown]",
        about: "",
        keys: &[key(
            "lameduck",
            Text,
            Is("\"0s\""),
            "After SIGTERM /readyz says 503 and DNS goes on for this long.",
        )],
    },
    Section {
        path: &["backends", "*"],
        header: "[backends.app01]",
        about: "A machine, one section each; it may serve in several farms. Names of backends and farms: up to 32 \
                letters, digits, '-' and '_', with a letter or digit at both ends.",
        keys: &[
            key(
                "address",
                List,
                Required("\"10.0.0.11\""),
                "Its address, [\"10.0.0.11\", \"2001:db8::11\"], or a host name that we resolve.",
            ),
            key("port", Scalar, Nothing("8080"), "Its port, for text answers and SRV. Left out: none."),
            key("weight", Scalar, Is("1.0"), "Twice the weight is twice the capacity."),
            key("refresh", Text, Is("\"30s\""), "A host name is resolved anew this often."),
        ],
    },
    probe::CHECK,
    probe::SCRAPE,
    probe::CHECK_DEFAULTS,
    probe::SCRAPE_DEFAULTS,
    Section {
        path: &["farms", "*"],
        header: "[farms.farm_one]",
        about: "A farm, one section each: farm_one.athena. is the member that the algorithm chooses.",
        keys: FARM,
    },
    Section {
        path: &["farm_defaults"],
        header: "[farm_defaults]",
        about: "Any key of a farm, for all farms; a farm's own key wins.",
        keys: FARM,
    },
    Section {
        path: &["zones", "*"],
        header: "[[zones]]",
        about: "A further zone that we are authoritative for, one section each.",
        keys: ZONE,
    },
];

/// Sections whose name people choose: their own defaults are not part of the built-in layer.
pub fn is_named(section: &Section) -> bool {
    section.path.contains(&"*")
}

/// The section that stands at this path.
pub fn section(path: &[&str]) -> Option<&'static Section> {
    let fits = |section: &&Section| {
        let same = |(pattern, step): (&&str, &&str)| *pattern == "*" || pattern == step;
        section.path.len() == path.len() && section.path.iter().zip(path).all(same)
    };
    SECTIONS.iter().find(fits)
}

/// The key at this path.
pub fn find(path: &[&str]) -> Option<&'static Key> {
    let (last, before) = path.split_last()?;
    section(before)?.keys.iter().find(|key| key.name == *last)
}

/// Every word that may stand right below this path: keys and the first steps of sections.
pub fn words_below(path: &[&str]) -> Vec<&'static str> {
    let keys = section(path).into_iter().flat_map(|section| section.keys.iter().map(|key| key.name));
    let deeper = SECTIONS.iter().filter(|section| section.path.len() > path.len());
    let deeper = deeper.filter(|section| section.path.iter().zip(path).all(|(a, b)| *a == "*" || a == b));
    let mut words: Vec<_> = keys.chain(deeper.map(|section| section.path[path.len()])).collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_key_through_any_name() {
        assert_eq!(find(&["farms", "farm_one", "ttl"]).unwrap().name, "ttl");
        assert_eq!(find(&["zone"]).unwrap().kind, Text);
        assert_eq!(find(&["access", "admin_key"]).unwrap().kind, Kind::Secret);
        assert!(find(&["farms", "ttl"]).is_none());
        assert!(find(&[]).is_none());
    }

    #[test]
    fn what_may_stand_where_is_known() {
        assert_eq!(
            words_below(&["backends", "x"]),
            ["address", "check", "port", "refresh", "scrape", "weight"]
        );
        assert_eq!(words_below(&["backends"]), ["*"]);
        assert!(words_below(&[]).contains(&"dns") && words_below(&[]).contains(&"state_dir"));
    }
}
