//! Every configuration error, as people see it. The snapshots are read line by line when they change: each line must
//! name place and key, say what is wrong, and what would be right.

use crate::config::{Folder, environment};

/// What is said about these texts, one after the other.
fn said(cases: &[(&str, &[(&str, &str)])]) -> String {
    let mut said = String::new();
    for (toml, variables) in cases {
        let folder = Folder::with(toml).and("folder/file", "").and("short.secret", "abc\n");
        let problems =
            folder.load(variables).err().map_or("no problem".to_owned(), |problems| problems.to_string());
        for (name, text) in *variables {
            said.push_str(&format!("$ {name}={text}\n"));
        }
        for (line, text) in toml.lines().enumerate() {
            said.push_str(&format!("{:>2} | {text}\n", line + 1));
        }
        said.push_str(&format!("{}\n\n", folder.hide(&problems)));
    }
    said
}

macro_rules! story {
    ($name:ident, $($toml:expr),+ $(,)?) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(said(&[$(($toml, &[])),+]));
        }
    };
}

story! {
    syntax,
    "zone = \n[dns\nlisten = []\n",
    "zone = \"a.\"\nzone = \"b.\"\n",
    "[dns]\nlisten = [\"127.0.0.1:53\"\n[http]\n",
}

story! {
    unknown_keys,
    "zome = \"athena.\"\nservers = 1\n[dns]\nlisten_on = []\nlissten = []\npath = \"/x\"\n[mirrors]\npeers = []\n[htpp]\npath = \"/\"\n",
    "[backends.a]\naddress = \"10.0.0.1\"\nwieght = 2\n[farms.f]\nmembers = [\"a\", { name = \"a\", wait = 2 }]\nalgorythm = \"hash\"\nstate_dir = \"x\"\ncookie = 1\n[farm_defaults]\nexpect-update = \"1s\"\n[backend_defaults]\nport = 1\n",
    "dns = 5\nbackends = [1]\nfarm_defaults = \"x\"\n[zones]\nzone = \"a.\"\n",
    "zones = [ 5, { zone = \"b.\", fiel = 1 } ]\n[farms]\nf = 5\n",
}

story! {
    types_of_several_values_at_once,
    "zone = 5\n[dns]\nlisten = 5300\nthreads = \"many\"\nmax_udp = 100\nmax_udp_local = 1.5\nexplain = \"yes\"\nnsid = 7\nversion = \"\"\ncookies = 1\ntcp_connections = 0\ntcp_idle = 10\nlog_queries = -1\n",
    "[http]\npath = [\"/a\"]\nmax_embed = 99999999999999999999\nallow_diverse_multi = 0\nheader_timeout = \"10\"\nbody_timeout = \"0s\"\nidle_timeout = \"1.5s\"\n[log]\nformat = \"jsn\"\nlevel = \"loud\"\n[shutdown]\nlameduck = true\n",
}

story! {
    addresses_and_networks,
    "[dns]\nlisten = [\"127.0.0.1\", \"localhost:53\", \"::1\", \"127.0.0.1:5300\", \"127.0.0.1:5300\", 5]\n[access]\nquery = [\"10.0.0.1/8\", \"10.0.0.1\", \"everybody\", \"10.0.0.0/33\"]\nupdate = { a = 1 }\n",
    "[dns]\nlisten = []\n",
    "[http]\nlisten = \"127.0.0.1:5300\"\n",
    "[http]\npath = \"ath\"\n",
    "[http]\npath = \"/a b\"\n",
    "[http]\npath = \"/metrics/x\"\n",
    "[access]\nadmin_key = \"\"\nupdate_key = \"with space\"\nquery_key = 5\n",
}

story! {
    registration,
    "[access]\nauto_register = true\nauto_register_limit = 0\nauto_register_leave = \"0s\"\nauto_register_networks = [\"10.0.0.1/8\"]\n[farms.f]\nmembers = [\"web-*\"]\n",
    "[access]\nauto_register = 100\nauto_registr = true\n[backends.web-1]\naddress = \"10.0.0.1\"\n[farms.f]\nmembers = [\"web-*\", \"web-1\", \"WEB-*\", \"db-*\", \"w.*\", { name = \"*\", weight = 0 }]\n",
}

story! {
    mirrors,
    "[mirror]\npeers = [\"10.0.0.2:8053\", \"https://ns2\", \"http://ns2:8053\", \"http://NS2:8053/ath\", 5, \"http://ns2:0\"]\nkey = \"with space\"\nname = \"ns 1\"\nqueue = 0\nwait = 5\nreadyness = 1\n",
    "[mirror]\npeers = [\"http://ns2\"]\nca = \"folder/file\"\n",
    "[mirror]\npeers = [\"https://ns2\"]\nca = \"missing.pem\"\n",
}

story! {
    checks_and_scrapes,
    "[backends.a]\naddress = \"10.0.0.1\"\n[backends.a.check]\nrise = 0\n[backends.a.scrape]\ninterval = 5\n[backends.b]\naddress = \"10.0.0.2\"\n[backends.b.check]\ntype = \"tpc\"\nports = 1\n[backends.b.scrape]\nformat = \"html\"\n",
    "[backends.a]\naddress = \"10.0.0.1\"\n[backends.a.check]\ntype = \"tcp\"\npath = \"/\"\ntimeout = \"0s\"\nspread = 2\n[backends.a.scrape]\nformat = \"prometheus\"\n",
    "[backends.a]\naddress = \"10.0.0.1\"\nport = 80\n[backends.a.check]\ntype = \"http\"\nmethod = \"get\"\npath = \"http://10.0.0.1/x\"\nstatus = [\"2xx\", \"ok\", \"399-200\"]\nhost = \"a b\"\ntls = true\nauthorization = \"a\\nb\"\n",
    "[backends.a]\naddress = \"10.0.0.1\"\nport = 80\n[backends.a.scrape]\nformat = \"prometheus\"\nmax_size = 0\npath = \"metrics\"\nstatistics = { L = \"a\", w = \"a\", \"x-y\" = \"a\", c = 5, d1 = \"a{b=~\\\"c\\\"}\", d2 = \"sum(rate(a))\", d3 = \"node-load\", d4 = \"a{b\" }\n",
    "[backends.a]\naddress = \"10.0.0.1\"\nport = 80\n[backends.a.scrape]\nformat = \"nginx\"\nstatistics = { c = \"active\", q = \"max(requests)\" }\n[backends.b]\naddress = \"10.0.0.2\"\nport = 80\n[backends.b.scrape]\nformat = \"json\"\nstatistics = { c = \"a..b\" }\n[backends.c]\naddress = \"10.0.0.3\"\nport = 80\n[backends.c.scrape]\nformat = \"apache\"\nstatistics = \"BusyWorkers\"\n",
    "[backends.a]\naddress = \"10.0.0.1\"\ncheck = \"tcp\"\n[backend_defaults.check]\ntype = \"none\"\nfall = 0\n[backend_defaults.scrape]\nstatistics = {}\nformat = \"json\"\nextra = 1\n",
}

story! {
    zones_and_files,
    "zone = \"a b.\"\nzone_file = \"missing.zone\"\nstate_dir = \"folder/file\"\n[dns]\ncookie_secret_file = \"short.secret\"\n",
    "zone = \"\"\nzone_file = \"folder\"\nstate_dir = \"\"\n[[zones]]\nzone_file = 5\n[[zones]]\nzone = \"b.\"\n[[zones]]\nzone = \"B\"\n",
    "zone = \"bücher.example.\"\n[dns]\ncookie_secret_file = \"missing\"\n",
}

story! {
    backends,
    "[backends.app01]\nport = 8080\n[backends.\"app 02\"]\naddress = \"10.0.0.2\"\n[backends._app]\naddress = []\n[backends.app04]\naddress = \"10.0.0.4:8080\"\n[backends.app05]\naddress = \"10.0.0.300\"\n[backends.app06]\naddress = [\"10.0.0.6\", \"app06.example.com\"]\n[backends.app07]\naddress = [\"10.0.0.7\", \"10.0.0.7\", \"0.0.0.0\", \"ff02::1\"]\n[backends.app08]\naddress = 8\nport = 0\nweight = -1\nrefresh = \"0s\"\n[backends.app09]\naddress = \"app09.example.com:80\"\nport = \"http\"\nweight = inf\n",
    "[backends.app01]\naddress = \"10.0.0.1\"\n[backends.APP01]\naddress = \"10.0.0.2\"\n",
}

/// Two backends and the beginning of a farm.
macro_rules! farm {
    ($rest:literal) => {
        concat!(
            "[backends]\napp01.address = \"10.0.0.1\"\napp02.address = \"10.0.0.2\"\n[farms.farm_one]\n",
            $rest
        )
    };
}

story! {
    farms,
    farm!("ttl = 1\n"),
    farm!("members = []\n"),
    farm!("members = [\"app03\", \"app01\", \"App01\", 5, { weight = 1 }, { name = \"app02\", weight = 0 }, \"unheard-of\"]\n"),
    farm!("members = \"app01\"\nalgorithm = \"least-lod\"\nttl = -1\nanswers = 0\nexpect_update = \"0s\"\nlast_resort = \"stail\"\nmin_available = 1.5\nslow_start = 30\nslow_start_aggression = 0\nanswer_load = 0\nload_smoothing = \"0s\"\nerror_penalty = -1\nhash_bound = 0.5\n"),
    farm!("members = { name = \"app01\" }\nalgorithm = \"best\"\n"),
    "[backends.a]\naddress = \"10.0.0.1\"\n[farms.all]\nmembers = [\"a\"]\n[farms.a_]\nmembers = [\"a\"]\n",
    "[backends.a]\naddress = \"10.0.0.1\"\n[farms.f]\nmembers = [\"a\"]\n[farms.g]\nmembers = [\"a\"]\n[farm_defaults]\nalgorithm = \"hsah\"\nmembers = [\"b\"]\n",
}

story! {
    formulas,
    farm!("members = [\"app01\"]\nload = \"\"\n"),
    farm!("members = [\"app01\"]\nload = \"0.7*u + \"\n"),
    farm!("members = [\"app01\"]\nload = \"mx(u, c)\"\n"),
    farm!("members = [\"app01\"]\nload = \"l + Queue\"\n"),
    farm!("members = [\"app01\"]\nload = \"s * 2\"\n"),
    farm!("members = [\"app01\"]\nload = 5\n"),
}

story! {
    fallbacks,
    farm!("members = [\"app01\"]\nfallback = [\"farm_tow\", \"10.0.0.300\", \"sorry.example.com:0\", \"http:///x\", \"0.0.0.0\", \"farm_two\", \"farm_two.athena.\", \"nobody\", 7]\n[farms.farm_two]\nmembers = [\"app02\"]\n"),
    farm!("members = [\"app01\"]\nfallback = [\"farm_one\"]\n"),
    farm!("members = [\"app01\"]\nfallback = [\"b\"]\n[farms.b]\nmembers = [\"app01\"]\nfallback_off = [\n  \"192.0.2.1\",\n  \"farm_one\",\n]\n[farms.c]\nmembers = [\"app01\"]\nfallback = [\"d.athena\"]\n[farms.d]\nmembers = [\"app01\"]\nfallback = [\"c\"]\n"),
    "[backends.a]\naddress = \"10.0.0.1\"\n[farms.x]\nmembers = [\"a\"]\nfallback = [\"y\"]\n[farms.y]\nmembers = [\"a\"]\n[farm_defaults]\nfallback = [\"x\"]\n",
}

#[test]
fn the_environment() {
    insta::assert_snapshot!(said(&[
        (
            "[dns]\nthreads = 2\n",
            &[
                ("ATHENA_DNS__THREADS", "many"),
                ("ATHENA_DNS__LISTENN", "127.0.0.1:53"),
                ("ATHENA_HTTP__LISTEN", "[\"127.0.0.1\"]"),
                ("ATHENA_ZOME", "x."),
                ("ATHENA_SHUTDOWN", "5s"),
                ("ATHENA_FARMS__F__TTL", "3"),
            ],
        ),
        ("[farms.f]\nttl = 1\n", &[("ATHENA_FARMS__F__MEMBERS", "nobody")]),
    ]));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::with("");
    let missing = folder.folder.path().join("missing.toml");
    let problems = athena::config::load(Some(&missing), &[]).unwrap_err().to_string();
    assert_eq!(
        folder.hide(&problems),
        "missing.toml: cannot be read: No such file or directory (os error 2)"
    );
    std::fs::write(&folder.file, b"zone = \"a.\"\nx = \"\xff\"\n").unwrap();
    let problems = athena::config::load(Some(&folder.file), &environment(&[])).unwrap_err().to_string();
    assert_eq!(folder.hide(&problems), "athena.toml: line 2 is not UTF-8 text");
}

#[test]
fn whatever_stands_at_whatever_key_is_taken_or_refused_at_its_line() {
    let odd = [
        "\"\"",
        "\"x\"",
        "\"é\\u0000[\"",
        "-1",
        "0",
        "9223372036854775807",
        "99999999999999999999",
        "nan",
        "-inf",
        "1e300",
        "true",
        "[]",
        "[[]]",
        "[{}]",
        "{}",
        "{ a = [1] }",
        "1979-05-27",
        "\"99999999999999999h\"",
        "\"::\"",
        "\"[\"",
        "\"://\"",
        "\"(((\"",
        "\"none\"",
    ];
    for section in athena::config::keys::SECTIONS {
        for key in section.keys {
            for value in odd {
                let toml = format!("{}\n{} = {value}\n", section.header, key.name);
                let Err(problems) = Folder::with(&toml).load(&[]) else { continue };
                for problem in problems.iter() {
                    // What is missing is said of the section, what is wrong of the key.
                    let shown = problem.to_string();
                    assert!(
                        shown.contains("athena.toml:1: ") || shown.contains("athena.toml:2: "),
                        "{toml}: {shown}"
                    );
                    assert!(!problem.text.is_empty() && !problem.text.contains('\n'), "{toml}: {shown:?}");
                }
            }
        }
    }
}

story! {
    forwarding,
    "[forward]\nupstreams = [\"dns.example\", \"10.0.0.53:0\", \"0.0.0.0\", \"10.0.0.1\", \"10.0.0.1:53\", \"224.0.0.1\", 5]\naccess = [\"0.0.0.0/0\", \"::/0\", \"10.0.0.0/8\", \"8.0.0.0/8\", \"somebody\"]\norder = \"first\"\ntimeout = \"0s\"\ncache = -1\nqueries = 0\n",
    "[dns]\nlisten = [\"127.0.0.1:5300\", \"0.0.0.0:5301\"]\n[forward]\nupstreams = [\"127.0.0.1:5300\", \"127.0.0.2:5301\", \"127.0.0.2:5300\"]\naccess = [\"127.0.0.1\"]\n",
    "[forward]\nupstreams = [\"10.0.0.53\"]\n",
    "[forward]\naccess = [\"10.0.0.0/8\"]\n",
    "[forward]\nupstreams = \"10.0.0.53\"\naccess = \"0.0.0.0/0\"\nopen = true\nacess = []\n",
}
