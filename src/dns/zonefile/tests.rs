//! Zone files read and refused.

use super::*;

fn apex() -> Name {
    Name::from_ascii("athena.").unwrap()
}

const HEAD: &str = "$TTL 1h\n@ SOA ns root 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\n";

/// What the records behind [`HEAD`] are, each as text.
fn records(text: &str) -> Vec<String> {
    let content = ZoneContent::parse(Path::new("a.zone"), &format!("{HEAD}{text}"), &apex());
    let content = content.unwrap_or_else(|errors| panic!("{}", shown(&errors).join("\n")));
    let record = |entry: &ZoneEntry| {
        let Record { name, ttl, data, .. } = &entry.record;
        format!("{name} {ttl} {} {data}", entry.record.record_type())
    };
    content.entries[3..].iter().map(record).collect()
}

fn shown(errors: &[ZoneError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn errors(text: &str) -> Vec<String> {
    shown(&ZoneContent::parse(Path::new("a.zone"), text, &apex()).unwrap_err())
}

#[test]
fn owners_ttls_and_classes_are_carried_along() {
    let text = "a 5 IN A 10.0.0.1\n  in 6 AAAA ::1\n\tTXT x ; comment\n$ORIGIN sub\n@ A 10.0.0.2\nb.athena. A 10.0.0.3\n\
        $ORIGIN .\nc.athena 1m30s A 10.0.0.4\n$TTL 7\n A 10.0.0.5\n";
    assert_eq!(
        records(text),
        [
            "a.athena. 5 A 10.0.0.1",
            "a.athena. 6 AAAA ::1",
            "a.athena. 3600 TXT x",
            "sub.athena. 3600 A 10.0.0.2",
            "b.athena. 3600 A 10.0.0.3",
            "c.athena. 90 A 10.0.0.4",
            "c.athena. 7 A 10.0.0.5",
        ]
    );
}

#[test]
fn every_common_type_is_read() {
    let text = r#"
a MX 10 mail
_x._tcp SRV 0 5 80 ns
p PTR host.example.
t TXT ( "two words; (here)"
        \"q\065 )
h HINFO "a cpu" os
caa CAA 0 issue "ca.example"
n NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .
s HTTPS 1 . alpn="h2,h3" port=8443
v SVCB 1 ns port=53
fp SSHFP 1 1 123456789abcdef67890123456789abcdef67890
tlsa TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
kid NS ns.example.
kid DS 60485 5 1 ( 2BB183AF5F22588179A53B0A
                   98631FAD1A292118 )
u TYPE65280 \# 4 0A00 0001
g A \# 4 0a000001
e TYPE65281 \# 0
"#;
    let found = records(text);
    for (index, expected) in [
        "a.athena. 3600 MX 10 mail.athena.",
        "_x._tcp.athena. 3600 SRV 0 5 80 ns.athena.",
        "p.athena. 3600 PTR host.example.",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(found[index], *expected);
    }
    let content = ZoneContent::parse(Path::new("a"), &format!("{HEAD}{text}"), &apex()).unwrap();
    let content = |owner: &str| {
        let name = Name::from_ascii(owner).unwrap();
        &content.entries.iter().rfind(|entry| entry.record.name == name).unwrap().record
    };
    let RData::TXT(texts) = &content("t.athena.").data else { panic!() };
    assert_eq!(*texts.txt_data, [Box::from(*b"two words; (here)"), Box::from(*b"\"qA")]);
    let RData::SVCB(svcb) = &content("v.athena.").data else { panic!() };
    assert_eq!(svcb.target_name.to_ascii(), "ns.athena.");
    let RData::A(address) = &content("g.athena.").data else { panic!() };
    assert_eq!(address.to_string(), "10.0.0.1");
    for owner in ["u.athena.", "kid.athena.", "e.athena."] {
        assert!(matches!(content(owner).data, RData::Unknown { .. }), "{owner}");
    }
    assert_eq!(content("kid.athena.").record_type(), RecordType::DS);
}

#[test]
fn names_may_hold_any_octet() {
    let text = "a\\.b\\032c A 10.0.0.1\n*.w A 10.0.0.2\n_x A 10.0.0.3\n";
    let content = ZoneContent::parse(Path::new("a"), &format!("{HEAD}{text}"), &apex()).unwrap();
    assert_eq!(content.entries[3].record.name.iter().next(), Some(&b"a.b c"[..]));
}

#[test]
fn all_problems_come_at_once_each_with_its_line() {
    let text = "$TTL 60\n\
        @ SOA ns root 1 2 3 4 5\n\
        a A 10.0.0.256\n\
        b AAA 10.0.0.1\n\
        c MX mail\n\
        d TXT \"open\n\
        e. A 10.0.0.1\n\
        f CH A 10.0.0.1\n\
        g 99999999999 A 10.0.0.1\n\
        a..b A 10.0.0.1\n\
        h A\n\
        $GENERATE 1-9 x A 10.0.0.$\n\
        $TTL\n\
        i TXT \\300\n\
        j SOA ns root 1 2 3 4 5\n\
        k CNAME a\n\
        k A 10.0.0.1\n\
        l CNAME a\n\
        l CNAME b\n\
        @ SOA ns root 9 2 3 4 5\n\
        *.m NS ns\n\
        n DNAME x.\n\
        o RRSIG x\n\
        p SRV 0 0 99999 ns\n\
        q SOA ns root 1 2 x 4 5\n\
        r TYPE65280 \\# 3 0102\n\
        s IN\n\
        t A ) 10.0.0.1\n\
        u TXT ( x\n";
    let found = errors(text);
    insta::assert_snapshot!(found.join("\n"), @r"
    a.zone:3: A: takes one IPv4 address, not 10.0.0.256
    a.zone:4: AAA: no record type; write OWNER [TTL] [IN] TYPE DATA
    a.zone:5: MX: takes PREFERENCE EXCHANGE, not 1 word
    a.zone:6: a quoted text is not closed on its line
    a.zone:7: e. is outside the zone athena.; a name without a final dot is relative to $ORIGIN
    a.zone:8: class CH: only IN is served
    a.zone:9: 99999999999: no time to live; write seconds, or 1h30m, up to 2147483647 seconds
    a.zone:10: a..b: no domain name: labels have 1 to 63 octets, a name at most 255
    a.zone:11: A: takes one IPv4 address, not 0 words
    a.zone:12: $GENERATE: the directives are $ORIGIN, $TTL and $INCLUDE
    a.zone:13: $TTL takes one time
    a.zone:14: \300: '\' is followed by one character or by three decimal digits up to 255
    a.zone:15: SOA at j.athena.: it belongs to the zone's own name, athena.
    a.zone:16: k.athena. has a CNAME and other records (line 17); a CNAME stands alone
    a.zone:19: l.athena. has two CNAME records (line 18); it can have one
    a.zone:20: a second SOA record; the first one is at line 2
    a.zone:21: *.m.athena.: a wildcard cannot be delegated
    a.zone:22: DNAME: not served; write the names one by one, or a wildcard CNAME
    a.zone:23: RRSIG: signatures and their chains are made by the server that signs, not kept in the file
    a.zone:24: SRV: port: 99999 is no number that fits
    a.zone:25: x: no time to live; write seconds, or 1h30m, up to 2147483647 seconds
    a.zone:26: TYPE65280: \# 3 is followed by 2 octets
    a.zone:27: the record ends before its type; write OWNER [TTL] [IN] TYPE DATA
    a.zone:28: ')' without '(' before it
    a.zone:29: a parenthesis is opened here and never closed
    ");
}

#[test]
fn a_zone_needs_its_soa_and_its_servers() {
    assert_eq!(
        errors("$TTL 60\na A 10.0.0.1\n"),
        [
            "a.zone: no SOA record at athena.; write `@ SOA ns hostmaster 1 3600 600 86400 1`",
            "a.zone: no NS record at athena.; write `@ NS ns` and the address of ns",
        ]
    );
    assert_eq!(
        errors(" A 10.0.0.1\n@ NS ns\n"),
        [
            "a.zone:1: no owner: a line that begins with a blank goes on with the owner above it, and there is none",
            "a.zone:2: no time to live: give this record one, or write $TTL above it",
            "a.zone: no SOA record at athena.; write `@ SOA ns hostmaster 1 3600 600 86400 1`",
        ]
    );
}

#[test]
fn without_ttl_the_last_one_or_the_minimum_holds() {
    let text = "@ SOA ns root 1 2 3 4 9\n@ NS ns\nns 30 A 127.0.0.1\na A 10.0.0.1\n";
    let content = ZoneContent::parse(Path::new("a"), text, &apex()).unwrap();
    let ttls: Vec<_> = content.entries.iter().map(|entry| entry.record.ttl).collect();
    assert_eq!(ttls, [9, 9, 30, 30]);
}

#[test]
fn odd_things_are_warned_of_and_served() {
    let text = format!("{HEAD}lab NS ns.lab\nlab NS far.example.\nx.lab TXT hidden\n");
    let content = ZoneContent::parse(Path::new("a.zone"), &text, &apex()).unwrap();
    assert_eq!(
        shown(&content.warnings),
        [
            "a.zone:5: name server ns.lab.athena. is in this zone but has no address in it; add an A or AAAA record",
            "a.zone:7: x.lab.athena. TXT is hidden by the delegation of lab.athena.; only addresses of name servers are of use there",
        ]
    );
}

#[test]
fn files_include_files_and_name_them_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("more")).unwrap();
    std::fs::write(path("a.zone"), format!("{HEAD}$INCLUDE more/b.zone sub\nlast A 10.0.0.3\n")).unwrap();
    std::fs::write(path("more/b.zone"), "x A 10.0.0.1\n$INCLUDE c.zone\n").unwrap();
    std::fs::write(path("more/c.zone"), "y A 10.0.0.2\n").unwrap();
    let content = ZoneContent::load(&path("a.zone"), &apex()).unwrap();
    let owners: Vec<_> = content.entries[3..].iter().map(|entry| entry.record.name.to_ascii()).collect();
    assert_eq!(owners, ["x.sub.athena.", "y.sub.athena.", "last.athena."]);

    std::fs::write(path("more/c.zone"), "y A x\n$INCLUDE c.zone\n$INCLUDE gone.zone\n").unwrap();
    let errors = shown(&ZoneContent::load(&path("a.zone"), &apex()).unwrap_err());
    let c = path("more/c.zone");
    assert!(errors.contains(&format!("{}:1: A: takes one IPv4 address, not x", c.display())), "{errors:?}");
    assert!(errors.contains(&format!("{}:2: $INCLUDE goes deeper than 8 files", c.display())), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("gone.zone: cannot be read: ")), "{errors:?}");
    let missing = shown(&ZoneContent::load(&path("none"), &apex()).unwrap_err());
    assert!(missing[0].contains("none: cannot be read: "), "{missing:?}");
}

#[test]
fn the_products_own_zone_file_is_sound() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones/athena.zone");
    let content = ZoneContent::load(&file, &apex()).unwrap();
    assert_eq!(shown(&content.warnings), [""; 0]);
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    /// Every type that is handed on to hickory, and some that are not.
    const TYPES: [&str; 14] = [
        "CAA",
        "CERT",
        "CSYNC",
        "HTTPS",
        "NAPTR",
        "OPENPGPKEY",
        "SMIMEA",
        "SSHFP",
        "SVCB",
        "TLSA",
        "HINFO",
        "DS",
        "TXT",
        "TYPE9 \\#",
    ];

    proptest! {
        #[test]
        fn of_any_type_is_read_or_refused(kind in prop::sample::select(&TYPES[..]), data in "([0-9]{1,3} ){0,4}[ -~]{0,80}") {
            let _ = ZoneContent::parse(Path::new("a"), &format!("{HEAD}x {kind} {data}\n"), &apex());
        }

        #[test]
        fn is_read_or_refused(text in "(\\$TTL 5\n)?([a-z@*.$\\\\\"();\\t 0-9]|A |SOA |TXT |IN |CNAME |\n){0,200}") {
            let _ = ZoneContent::parse(Path::new("a"), &text, &apex());
        }

        #[test]
        fn of_any_characters_is_read_or_refused(text in any::<String>()) {
            let _ = ZoneContent::parse(Path::new("a"), &format!("{HEAD}{text}"), &apex());
        }
    }
}
