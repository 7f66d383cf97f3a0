//! Any packet at all: no panic, and every reply is one that hickory reads, with the query's id.

use athena::dns::{Options, Transport};
use hickory_proto::op::{Message, MessageType};
use proptest::prelude::*;

use crate::dns_table::{Server, counters, plan, query};

/// What stands in a name of interest.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "farm_one", "keyed", "backed", "athena", "phys", "spares", "all", "again", "_http", "_tcp", "lab", "sites",
            "www", "ns1", "app01", "example", "FARM_one",
        ])
        .prop_map(str::to_owned),
        1 => "[a-zA-Z0-9_-]{1,63}",
    ]
}

/// Questions that mean something, most of them in our zone.
fn question() -> impl Strategy<Value = String> {
    let kinds =
        vec!["A", "AAAA", "SRV", "TXT", "HTTPS", "SVCB", "NS", "SOA", "ANY", "AXFR", "DS", "MX", "TYPE999"];
    let flags = vec![
        "",
        "+do",
        "+nsid",
        "+cookie",
        "+ecs=10.1.2",
        "+edns=512",
        "+edns=0",
        "+version=3",
        "+rd",
        "+cd",
        "+tcp",
        "+class=3",
        "+opcode=2",
        "+unknown",
    ];
    let labels = prop::collection::vec(label(), 0..3);
    (
        labels,
        any::<bool>(),
        prop::sample::select(kinds),
        prop::collection::vec(prop::sample::select(flags), 0..4),
    )
        .prop_map(|(labels, ours, kind, flags)| {
            let end = if ours || labels.is_empty() { "athena." } else { "" };
            let dot = |label: &String| format!("{label}.");
            let name: String = labels.iter().map(dot).collect();
            format!("{name}{end} {kind} {}", flags.join(" "))
        })
}

/// Asks, and checks what holds for every packet.
fn ask(server: &mut Server, message: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let before = counters(&server.metrics.dns);
    let reply = server.ask(message, transport);
    let moved: u64 = counters(&server.metrics.dns)
        .iter()
        .zip(&before)
        .filter(|((name, _), _)| !["truncated", "cookie_valid", "cookie_invalid"].contains(name))
        .map(|((_, after), (_, before))| after - before)
        .sum();
    prop_assert_eq!(moved, 2, "one transport and one outcome");
    let is_query = message.len() >= 12 && message[2] & 0x80 == 0;
    prop_assert_eq!(reply.is_some(), is_query);
    if let Some(reply) = reply {
        let parsed = Message::from_vec(&reply).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&reply[..2], &message[..2]);
        prop_assert_eq!(parsed.metadata.message_type, MessageType::Response);
        let flags = reply[3] & 0xf0;
        prop_assert_eq!(flags, message[3] & 0x10, "RA, Z and AD are 0, CD is copied");
        if transport == Transport::Udp {
            prop_assert!(reply.len() <= 1232);
        }
    }
    Ok(())
}

fn server() -> Server {
    let options = Options {
        ecs: true,
        explain: true,
        nsid: Some(b"here".to_vec()),
        version: Some("Athena".to_owned()),
        ..Options::default()
    };
    Server::new(plan(), include_str!("../../zones/athena.zone"), options)
}

proptest! {
    #[test]
    fn questions_of_all_kinds_get_a_sound_reply(questions in prop::collection::vec(question(), 1..20)) {
        let mut server = server();
        for question in questions {
            let transport = if question.contains("+tcp") { Transport::Tcp } else { Transport::Udp };
            ask(&mut server, &query(&question), transport)?;
        }
    }

    #[test]
    fn damaged_questions_do_no_harm(
        question in question(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut message = query(&question);
        for (place, octet) in damage {
            let place = place.index(message.len());
            message[place] = octet;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        message.extend(tail);
        ask(&mut server(), &message, Transport::Udp)?;
    }

    #[test]
    fn noise_does_no_harm(message in prop::collection::vec(any::<u8>(), 0..600)) {
        ask(&mut server(), &message, Transport::Udp)?;
    }
}
