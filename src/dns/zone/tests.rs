//! What a name is: walks down the index, without messages.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::balance::algorithm;
use crate::balance::plan::FarmPlan;
use crate::balance::{self, Engine, Moment, Plan};

const HEAD: &str = "$TTL 60\n@ SOA ns root 1 2 3 4 1\n@ NS ns\nns A 127.0.0.1\n";

fn content(apex: &str, records: &str) -> ZoneContent {
    let text = format!("{HEAD}{records}");
    ZoneContent::parse(Path::new("a.zone"), &text, &Name::from_ascii(apex).unwrap()).unwrap()
}

fn farms(names: &[&str]) -> Vec<Arc<Farm>> {
    let plan = |name: &&str| FarmPlan::new(balance::Name::parse(name).unwrap(), [], algorithm::DEFAULT);
    let farms = names.iter().map(plan).collect();
    Engine::new(Plan { backends: Vec::new(), farms }, Moment::ZERO).unwrap().farms()
}

fn zones(apex: &str, records: &str, names: &[&str]) -> Zones {
    Zones::new(&[content(apex, records)], &farms(names)).unwrap()
}

/// A name as text, found and described.
fn found(zones: &Zones, text: &str) -> String {
    let wire = name::to_lower_wire(&Name::from_ascii(text).unwrap());
    let text = |range: Range<usize>| String::from_utf8_lossy(&wire[range]).into_owned();
    match zones.find(&wire) {
        Found::Outside => "outside".to_owned(),
        Found::Farm(_, farm) => {
            let mut buffer = [0; 255];
            let key = String::from_utf8_lossy(name::key(&wire[farm.labels], &mut buffer)).into_owned();
            format!("{} {:?} [{key}] {}", farm.farm.name(), farm.form, text(farm.nearest))
                .trim_end()
                .to_owned()
        }
        Found::Machine(_, label) => format!("machine {}", text(label)),
        Found::Name(_, sets) => {
            let kinds: Vec<_> = sets.iter().map(|set| set.kind.to_string()).collect();
            format!("name {}", kinds.join(" ")).trim_end().to_owned()
        }
        Found::Delegation(_, cut) => format!("cut at {}", cut.start),
        Found::Nothing(zone) => format!("nothing in {}", zone.apex),
    }
}

#[test]
fn farms_take_any_labels_and_tell_which() {
    let zones = zones("athena.", "", &["one", "two"]);
    for (name, expected) in [
        ("one.athena.", "one Plain []"),
        ("x.one.athena.", "one Plain [x] x"),
        ("a.b.c.TWO.athena.", "two Plain [a.b.c] c"),
        ("again.one.athena.", "one Again []"),
        ("again.a.b.one.athena.", "one Again [a.b] b"),
        ("a.again.one.athena.", "one Plain [a.again] again"),
        ("_http._tcp.one.athena.", "one Service []"),
        ("_http._tcp.x.one.athena.", "one Service [x] x"),
        ("_tcp.one.athena.", "one ServiceParent []"),
        ("_x.y.one.athena.", "one ServiceParent [y] y"),
        ("one.spares.athena.", "one Spares []"),
        ("a.b.two.all.athena.", "two All [a.b] b"),
        ("three.all.athena.", "nothing in athena."),
        ("all.athena.", "name"),
        ("phys.athena.", "name"),
        ("app01.phys.athena.", "machine app01"),
        ("x.app01.phys.athena.", "nothing in athena."),
        ("again.athena.", "nothing in athena."),
        ("three.athena.", "nothing in athena."),
        ("athena.", "name SOA NS"),
        ("one.athena.example.", "outside"),
        (".", "outside"),
    ] {
        assert_eq!(found(&zones, name), expected, "{name}");
    }
}

#[test]
fn wildcards_stop_where_a_name_is_nearer() {
    // The zone of RFC 4592, 2.2.1, in its own words.
    let records = "* 3600 TXT \"this is a wildcard\"\n* MX 10 host1\nsub.* TXT \"this is not a wildcard\"\n\
        host1 A 192.0.2.1\n_ssh._tcp.host1 SRV 0 0 22 host1\n_ssh._tcp.host2 SRV 0 0 22 host2\nsubdel NS ns.example.com.\n";
    let zones = zones("example.", records, &[]);
    for (name, expected) in [
        ("host3.example.", "name TXT MX"),
        ("foo.bar.example.", "name TXT MX"),
        ("host1.example.", "name A"),
        ("sub.*.example.", "name TXT"),
        ("_telnet._tcp.host1.example.", "nothing in example."),
        ("host.subdel.example.", "cut at 5"),
        ("ghost.*.example.", "nothing in example."),
        ("_tcp.host1.example.", "name"),
    ] {
        assert_eq!(found(&zones, name), expected, "{name}");
    }
}

#[test]
fn a_delegation_hides_what_is_below_and_glue_is_kept() {
    let records = "lab NS ns.a.lab\nns.a.lab A 192.0.2.1\nlow.lab NS ns.a.lab\n";
    let zones = zones("athena.", records, &[]);
    for (name, expected) in
        [("lab.athena.", "cut at 0"), ("ns.a.lab.athena.", "cut at 5"), ("x.low.lab.athena.", "cut at 6")]
    {
        assert_eq!(found(&zones, name), expected, "{name}");
    }
    assert_eq!(zones.records(b"\x02ns\x01a\x03lab\x06athena\0")[0].kind, RecordType::A);
    assert!(zones.records(b"\x01a\x03lab\x06athena\0").is_empty());
}

#[test]
fn the_root_may_be_a_zone_and_hold_farms() {
    let zones = zones(".", "", &["one"]);
    assert_eq!(found(&zones, "x.one."), "one Plain [x] x");
    assert_eq!(found(&zones, "one.all."), "one All []");
    assert_eq!(found(&zones, "athena."), "nothing in .");
}

#[test]
fn what_is_no_name_is_outside() {
    let zones = zones("athena.", "", &["one"]);
    for broken in [&b""[..], b"\x06athena", b"\x03one\xc0\x0c", b"\x40"] {
        assert!(matches!(zones.find(broken), Found::Outside));
        assert!(zones.records(broken).is_empty());
    }
}

#[test]
fn a_zone_that_a_farm_would_hide_is_an_error() {
    let all = |apexes: &[&str], names: &[&str]| {
        let contents: Vec<_> = apexes.iter().map(|apex| content(apex, "")).collect();
        let errors = Zones::new(&contents, &farms(names)).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        all(
            &["athena.", "x.one.athena.", "TWO.athena.", "phys.athena.", "fine.athena.", "one."],
            &["one", "two"]
        ),
        [
            "a.zone: zone x.one.athena. is the name of farm one or below it; rename one of the two",
            "a.zone: zone TWO.athena. is the name of farm two or below it; rename one of the two",
            "a.zone: zone phys.athena.: phys below the zone's name is reserved; take another name",
        ]
    );
    assert_eq!(all(&["a.athena.", "athena.", ".", "b.a.athena."], &["athena", "a"]), [""; 0]);
}

/// What both ways say of names in any letter case, with octets behind them and without.
#[test]
fn who_asks_plainly_is_found_without_a_walk() {
    for (apex, others) in
        [("athena.", &["example."][..]), (".", &["athena."]), ("a.b.athena.example.", &["example."])]
    {
        let contents: Vec<_> =
            [&[apex], others].concat().iter().map(|apex| content(apex, "www A 192.0.2.1\n")).collect();
        let zones = Zones::new(&contents, &farms(&["one", "a-farm-with-a-name-of-32-octets0"])).unwrap();
        let fronts = [
            "",
            "x.",
            "A.b.c.",
            "again.",
            "AGAIN.x.",
            "x.again.",
            "_tcp.",
            "_http._tcp.",
            "x._tcp.",
            "agains.",
        ];
        let names = [
            "one.",
            "ONE.",
            "a-farm-with-a-name-of-32-octets0.",
            "www.",
            "two.",
            "one.all.",
            "spares.",
            "one.phys.",
            "",
        ];
        for name in fronts.iter().flat_map(|front| names.map(|name| format!("{front}{name}"))) {
            for tail in [apex, others[0], "one.", "x."] {
                let Ok(name) = Name::from_ascii(format!("{name}{tail}").replace("..", ".")) else { continue };
                let (wire, lower) = (name::to_wire(&name), name::to_lower_wire(&name));
                let walked = match zones.find(&lower) {
                    Found::Farm(_, FarmName { number, form: Form::Plain, labels, nearest, .. }) => {
                        Some((number, labels, nearest))
                    }
                    _ => None,
                };
                for octets in [&wire[..], &[&wire[..], &[b'x'; 50]].concat()] {
                    let found = zones.plainly(octets).and_then(|name| {
                        let number = zones.named(name.key())?;
                        Some((number, name.below().labels(), name.below().nearest()))
                    });
                    assert_eq!(found, walked, "{name}");
                }
            }
        }
    }
}

#[test]
fn names_that_would_be_hidden_are_errors_with_their_lines() {
    let records =
        "one A 192.0.2.1\nx.one A 192.0.2.1\nb.all TXT x\napp01.phys A 192.0.2.1\nfine A 192.0.2.1\n";
    let contents = [content("athena.", records), content("Athena.", "")];
    let Err(errors) = Zones::new(&contents, &farms(&["one", "two"])) else { panic!("refused") };
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "a.zone: zone Athena. is also that of a.zone",
            "a.zone:5: one.athena. is the name of farm one or below it; rename one of the two",
            "a.zone:6: x.one.athena. is the name of farm one or below it; rename one of the two",
            "a.zone:7: b.all.athena.: all below the zone's name is reserved; take another name",
            "a.zone:8: app01.phys.athena.: phys below the zone's name is reserved; take another name",
        ]
    );
}
