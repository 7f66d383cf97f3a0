//! Configuration: order of precedence, what the program gets, the round trip of what `athena check` prints, and that
//! everything we hand out as an example can be loaded.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use athena::balance::plan::{Fallback, FarmPlan, LastResort};
use athena::config::{self, Config, Given, Problems, Records};

use crate::dns_secure::Pair;

/// A folder with a configuration in it.
pub struct Folder {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

impl Folder {
    /// A folder whose `athena.toml` holds this text.
    pub fn with(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("athena.toml");
        std::fs::write(&file, toml).unwrap();
        Self { folder, file }
    }

    /// One file more.
    pub fn and(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Loads it with these environment variables.
    pub fn load(&self, variables: &[(&str, &str)]) -> Result<Config, Problems> {
        config::load(Some(&self.file), &environment(variables))
    }

    /// A text without the folder's name.
    pub fn hide(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

pub fn environment(variables: &[(&str, &str)]) -> Vec<Given> {
    let owned = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Given::variables(owned)
}

fn farm<'c>(config: &'c Config, name: &str) -> &'c FarmPlan {
    config.plan.farms.iter().find(|farm| farm.name.as_str() == name).unwrap()
}

const TWO_FARMS: &str = r#"
[backends.app01]
address = ["10.0.0.11", "2001:db8::11"]
port = 8080
weight = 2
[backends.App02]
address = "app02.example.com"
refresh = "5m"

[farms.farm_one]
members = ["app01", { name = "APP02", weight = 0.5 }]
algorithm = "two-choices"
load = "0.7*u + 0.3*queue/50"
fallback = ["farm_two", "192.0.2.10", "http://sorry.example.com/"]
expect_update = "none"
[farms.farm_two]
members = ["app01"]
ttl = 5
last_resort = "none"

[farm_defaults]
expect_update = "15s"
fallback_off = ["farm_two"]
slow_start = "30s"
slow_start_aggression = 2
"#;

#[test]
fn what_is_typed_becomes_what_the_program_uses() {
    let config = Folder::with(TWO_FARMS).load(&[]).unwrap();

    let [app01, app02] = config.plan.backends.as_slice() else { panic!("two backends") };
    let addresses: Vec<IpAddr> = vec!["10.0.0.11".parse().unwrap(), "2001:db8::11".parse().unwrap()];
    assert_eq!(
        (app01.addresses.as_slice(), app01.port, app01.weight),
        (addresses.as_slice(), Some(8080), 2.0)
    );
    assert_eq!((app02.host.as_deref(), app02.addresses.len()), (Some("app02.example.com"), 0));
    assert_eq!(config.hosts.len(), 1);
    assert_eq!(config.hosts[0].refresh, Duration::from_secs(300));

    let one = farm(&config, "farm_one");
    assert_eq!(one.members.iter().map(|member| member.weight).collect::<Vec<_>>(), [1.0, 0.5]);
    assert_eq!(one.algorithm.name, "two-choices");
    assert_eq!(one.load.to_string(), "0.7*u + 0.3*queue/50");
    assert_eq!(one.expect_update, None, "\"none\" takes back what the defaults say");
    assert_eq!(
        one.fallback.iter().map(Fallback::to_string).collect::<Vec<_>>(),
        ["farm_two", "192.0.2.10", "http://sorry.example.com/"]
    );
    assert_eq!(one.slow_start.unwrap().aggression, 2.0);

    let two = farm(&config, "farm_two");
    assert_eq!((two.ttl, two.last_resort), (5, LastResort::None));
    assert_eq!(two.expect_update, Some(Duration::from_secs(15)));
    assert_eq!(two.fallback_off, Some(vec![]), "a default that names the farm itself leaves it out");
    assert_eq!(one.fallback_off.as_ref().unwrap().len(), 1);
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Folder::with("").load(&[]).unwrap();
    assert_eq!(config.zones[0].name, "athena.");
    assert!(matches!(&config.zones[0].records, Records::Text(text) if text.contains("SOA")));
    assert_eq!(config.dns.listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert_eq!((config.dns.max_udp, config.dns.max_udp_local, config.dns.threads), (1232, 8192, 0));
    assert!(config.dns.cookies && !config.dns.explain && !config.dns.ecs);
    assert_eq!((config.dns.nsid, config.dns.version, config.dns.id), (None, None, None));
    assert_eq!((config.http.path.as_str(), config.http.max_embed), ("/ath", 16));
    assert_eq!(config.access.query.len(), 2);
    assert!(config.access.update.iter().all(|network| network.addr().is_loopback()));
    assert_eq!(config.access.admin_key, None);
    assert_eq!(config.shutdown.lameduck, Duration::ZERO);
    assert_eq!(config.state_dir, None);
}

#[test]
fn the_demonstration_is_a_farm_of_three() {
    let config = config::demonstration();
    let farm = farm(&config, "farm_one");
    let members: Vec<_> = farm.members.iter().map(|member| member.backend.as_str()).collect();
    assert_eq!(members, ["app01", "app02", "app03"]);
    let addresses: Vec<_> =
        config.plan.backends.iter().map(|backend| backend.addresses[0].to_string()).collect();
    assert_eq!(addresses, ["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    assert!(config.plan.backends.iter().all(|backend| backend.port == Some(8000)));
    assert_eq!(config.http.listen, ["127.0.0.1:8053".parse().unwrap()]);
    assert!(config.plan.problems().is_empty(), "the engine agrees");
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let folder = Folder::with("[http]\npath = \"/file\"\nmax_embed = 3\n[log]\nlevel = \"warn\"\n");
    let mut given = environment(&[("ATHENA_HTTP__PATH", "/environment"), ("ATHENA_LOG__LEVEL", "debug")]);
    given.push(Given::flag("--log-level", "log.level", vec!["trace".into()]));
    let config = config::load(Some(&folder.file), &given).unwrap();
    assert_eq!(config.http.path, "/environment");
    assert_eq!(config.http.max_embed, 3, "what nobody overrides stays");
    assert_eq!(config::Level::WORDS[config.log.level as usize], "trace");
    assert!(config.http.idle_timeout > Duration::ZERO, "and the default below all");
}

#[test]
fn the_environment_can_say_whatever_the_file_can() {
    let config = Folder::with(TWO_FARMS)
        .load(&[
            ("ATHENA_DNS__LISTEN", r#"["127.0.0.1:5311", "[::1]:5311"]"#),
            ("ATHENA_HTTP__LISTEN", "127.0.0.1:8099"),
            ("ATHENA_DNS__EXPLAIN", "true"),
            ("ATHENA_ACCESS__UPDATE_KEY", "123456"),
            ("ATHENA_FARMS__FARM_ONE__TTL", "7"),
            ("ATHENA_BACKENDS__APP03", r#"{ address = "10.0.0.13", port = 81 }"#),
            ("ATHENA_FARMS__FARM_TWO__MEMBERS", r#"["app03", { name = "app01", weight = 3 }]"#),
            ("ATHENA_SHUTDOWN__LAMEDUCK", "2s"),
            ("ATHENA_SERVER", "http://elsewhere:8053"),
        ])
        .unwrap();
    assert_eq!(config.dns.listen.len(), 2);
    assert_eq!(config.http.listen, ["127.0.0.1:8099".parse().unwrap()]);
    assert!(config.dns.explain);
    assert_eq!(
        config.access.update_key.as_ref().unwrap().expose(),
        "123456",
        "digits are a string where one is due"
    );
    assert_eq!(farm(&config, "farm_one").ttl, 7);
    assert_eq!(farm(&config, "farm_two").members.len(), 2);
    assert_eq!(config.plan.backends[2].port, Some(81));
    assert_eq!(config.shutdown.lameduck, Duration::from_secs(2));
}

#[test]
fn relative_names_start_at_the_folder_of_the_file() {
    let folder = Folder::with(
        "zone_file = \"zones/a.zone\"\nstate_dir = \"state\"\n[dns]\ncookie_secret_file = \"secret\"\n\
         [[zones]]\nzone = \"B.Example\"\nzone_file = \"zones/a.zone\"\n",
    )
    .and("zones/a.zone", "")
    .and("secret", "e5e973e5a6b2a43f48e7dc849e37bfcf\n445536bcd2513298075a5d379663c962\n");
    let config = folder.load(&[]).unwrap();
    let zone = folder.folder.path().join("zones/a.zone");
    assert_eq!(config.zones[0].records, Records::File(zone.clone()));
    assert_eq!(
        (config.zones[1].name.as_str(), &config.zones[1].records),
        ("b.example.", &Records::File(zone))
    );
    assert_eq!(config.state_dir, Some(folder.folder.path().join("state")));
    assert_eq!(config.dns.cookie_secrets.len(), 2, "the present one and a former one");
}

#[test]
fn what_check_prints_can_be_loaded_and_says_the_same() {
    let folder =
        Folder::with(&format!("zone_file = \"a.zone\"\n{TWO_FARMS}[[zones]]\nzone = \"b.example\"\n"))
            .and("a.zone", "");
    let config = folder.load(&[("ATHENA_DNS__NSID", "quo\"te")]).unwrap();
    let again = Folder::with(&config.shown()).load(&[]).unwrap();
    assert_eq!(format!("{:?}", again.plan), format!("{:?}", config.plan));
    assert_eq!((&again.zones, &again.dns, &again.http), (&config.zones, &config.dns, &config.http));
    assert_eq!((&again.access, again.log, &again.hosts), (&config.access, config.log, &config.hosts));
    assert!(config.shown().contains("nsid = \"quo\\\"te\"  # ATHENA_DNS__NSID"), "{}", config.shown());
    assert!(config.shown().contains("weight = 2  # file"));
    assert!(config.shown().contains("max_udp = 1232\n"), "defaults are shown without origin");
}

#[test]
fn keys_are_shown_by_nothing() {
    let secret = "do-not-show-me";
    let folder =
        Folder::with(&format!("[access]\nadmin_key = \"{secret}\"\n[dns]\ncookie_secret_file = \"s\"\n"))
            .and("s", "e5e973e5a6b2a43f48e7dc849e37bfcf");
    let config = folder.load(&[("ATHENA_ACCESS__UPDATE_KEY", secret)]).unwrap();
    assert!(!config.shown().contains(secret) && config.shown().contains("admin_key = \"***\""));
    let debug = format!("{config:?}");
    assert!(!debug.contains(secret) && !debug.contains("229"), "neither by {{:?}}");
    let wrong = Folder::with("[access]\nadmin_key = [\"do-not-show-me\"]\nquery_key = \"do-not show-me\"\n");
    let problems = wrong.load(&[]).unwrap_err().to_string();
    assert!(!problems.contains("show-me"), "{problems}");
}

#[test]
fn the_template_can_be_loaded_as_it_is_and_with_every_key_uncommented() {
    let template = config::template();
    let plain = Folder::with(&template).load(&[]).unwrap();
    assert_eq!(plain.plan.farms.len(), 1);

    // A comment begins with "# ", a key with "#" alone.
    let uncommented: Vec<&str> = template
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let folder = Folder::with(&uncommented.join("\n"))
        .and("zones/athena.zone", "")
        .and("zones/athena.example.zone", "")
        .and("cookie.secret", "e5e973e5a6b2a43f48e7dc849e37bfcf\n");
    for name in ["dns", "http", "mirror"] {
        Pair::new("athena.example").write(folder.folder.path(), name);
    }
    let all = folder.load(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(all.zones.len(), 2);
    for section in config::keys::SECTIONS {
        for key in section.keys {
            let named = uncommented.iter().any(|line| line.starts_with(&format!("{} = ", key.name)));
            assert!(named, "{} is not in the template", key.name);
        }
    }
    // What is shown as a default is the default.
    let mut defaults = plain.dns.clone();
    defaults.nsid = all.dns.nsid.clone();
    defaults.version = all.dns.version.clone();
    defaults.id = all.dns.id.clone();
    defaults.cookie_secrets = all.dns.cookie_secrets.clone();
    defaults.tls.certificate = all.dns.tls.certificate.clone();
    let http = config::Http { certificate: all.http.certificate.clone(), ..plain.http };
    assert_eq!((all.dns, all.http, all.log), (defaults, http, plain.log));
}

#[test]
fn the_examples_can_be_loaded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (example, farms) in [("athena.toml", 4), ("registration/athena.toml", 1)] {
        let config = config::load(Some(&root.join("examples").join(example)), &[]);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.plan.problems().is_empty());
        assert_eq!(config.plan.farms.len(), farms, "{example}");
    }
}

#[test]
fn a_large_configuration_is_read_whole() {
    let mut toml = String::from("[farm_defaults]\nexpect_update = \"15s\"\n");
    for backend in 0..2000 {
        toml.push_str(&format!(
            "[backends.b{backend}]\naddress = \"10.0.{}.{}\"\n",
            backend / 250,
            backend % 250 + 1
        ));
    }
    for farm in 0..200 {
        let members: Vec<_> = (farm * 10..farm * 10 + 10).map(|backend| format!("\"b{backend}\"")).collect();
        toml.push_str(&format!("[farms.f{farm}]\nmembers = [{}]\n", members.join(", ")));
    }
    let config = Folder::with(&toml).load(&[]).unwrap();
    assert_eq!((config.plan.backends.len(), config.plan.farms.len()), (2000, 200));
    assert!(config.plan.problems().is_empty());
}
