//! Replies written to the wire: hickory-server's message, compressed and cut to size.
//!
//! The library writes the message with every name in full; here it is gone through once, record by record, and each name's
//! end becomes a pointer to where that stands already. The library could compress by itself, but it notes the question's
//! name together with the type and class behind it, which no owner is equal to, so that every answer spells its owner
//! out; it gives up after 120 names; it cannot tell whether a record fits before its name is shortened; and it sets TC
//! whatever is left out, and leaves OPT out first, where RFC 2181, 9 and RFC 6891, 7 want otherwise.

use std::ops::Range;
use std::slice::Iter;

use hashbrown::HashTable;
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncoder, NameEncoding};
use hickory_server::server::ResponseInfo;
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};

pub use hickory_server::zone_handler::Queries;

use super::name::{self, Labels, ROOT_HASH};
use super::query::{HEADER, name_length, option};

/// Largest offset that a pointer can tell (RFC 1035, 4.1.4).
const FARTHEST: usize = 0x3fff;
/// Octets of OPT without options (RFC 6891, 6.1.2), and of an option without content.
const FIXED_OPT: usize = 11;
const OPTION_HEAD: usize = 4;
/// Octets between the owner of a record and its data.
const FIXED: usize = 10;

/// What it means that not everything fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLack {
    /// TC if an answer is left out; additional records are only a courtesy (RFC 2181, 9).
    #[default]
    Ask,
    /// TC if anything is left out, for a referral without its glue leads nowhere (RFC 9471, 3).
    AskForGlue,
    /// Nothing: it is whole with what fits.
    Leave,
}

/// How long a reply may be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Octets at most.
    pub limit: usize,
    /// The octets that its length is to be a multiple of, by padding (RFC 7830), if it is padded.
    pub block: Option<usize>,
    /// What a lack of room for a record means.
    pub on_lack: OnLack,
}

/// Everything that a reply says.
pub struct Sheet<'q> {
    /// The question section, as it came.
    pub queries: &'q Queries,
    /// What the header says.
    pub metadata: Metadata,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The additional section but for OPT.
    pub additionals: Vec<Record>,
    /// What OPT says; it is written last.
    pub edns: Option<Edns>,
    /// How long it may be.
    pub size: Size,
}

/// A reply whose records are borrowed from a [`Sheet`].
pub type Response<'a> =
    MessageResponse<'a, 'a, Iter<'a, Record>, Iter<'a, Record>, Iter<'a, Record>, Iter<'a, Record>>;

impl Sheet<'_> {
    /// Says SERVFAIL instead, and nothing more.
    pub fn fail(&mut self) {
        self.metadata.response_code = ResponseCode::ServFail;
        self.metadata.authoritative = false;
        [&mut self.answers, &mut self.authorities, &mut self.additionals].into_iter().for_each(Vec::clear);
    }

    /// The message that says so.
    pub fn response(&self) -> Response<'_> {
        MessageResponseBuilder::new(self.queries, self.edns.as_ref()).build(
            self.metadata,
            &self.answers,
            &self.authorities,
            &[],
            &self.additionals,
        )
    }
}

/// The question section that these octets are: one question, or none. `None` if that cannot be read.
pub fn queries(question: &[u8]) -> Option<Queries> {
    Queries::read(&mut BinDecoder::new(question), usize::from(!question.is_empty())).ok()
}

/// Writes `response`, whose question section has `question` octets, into `out`, which is cleared first. Records that find
/// no room are left out, with all that follow them but OPT. Gives what the header says. Fails, and leaves nothing in
/// `out`, if a record cannot be written whatever the room.
pub fn write<'a>(
    response: MessageResponse<
        '_,
        'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
    >,
    question: usize,
    size: Size,
    out: &mut Vec<u8>,
) -> Result<ResponseInfo, ProtoError> {
    out.clear();
    let kept = response.edns().map_or(0, length);
    let mut plain = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut plain);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    let info = response.destructive_emit(&mut encoder)?;
    // What was taken back still stands behind the end.
    let end = encoder.offset();
    let mut writer = Writer { out, kept, size, names: HashTable::new() };
    match writer.message(&plain[..end], question, &info) {
        Some(header) => Ok(header.into()),
        None => {
            out.clear();
            Err(ProtoError::Message("a message that was just written cannot be read"))
        }
    }
}

/// Octets of OPT.
fn length(edns: &Edns) -> usize {
    let options = edns.options().options.iter();
    FIXED_OPT + options.map(|(_, option)| OPTION_HEAD + usize::from(option.len())).sum::<usize>()
}

/// A reply being written.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Octets kept free for OPT.
    kept: usize,
    size: Size,
    names: HashTable<Written>,
}

/// A name, or the end of one, that stands in the message.
#[derive(Clone, Copy)]
struct Written {
    hash: u64,
    at: u16,
}

/// A record of the plain message.
struct Plain<'a> {
    /// The owner in wire format.
    owner: &'a [u8],
    kind: RecordType,
    /// Type, class and TTL as they stand there.
    fixed: &'a [u8],
    data: &'a [u8],
}

impl<'a> Plain<'a> {
    /// The record that stands at `at`, which is moved behind it.
    fn take(plain: &'a [u8], at: &mut usize) -> Option<Self> {
        let (owner, rest) = plain.get(*at..)?.split_at_checked(name_length(plain.get(*at..)?)?)?;
        let (head, rest) = rest.split_first_chunk::<FIXED>()?;
        let [k0, k1, .., l0, l1] = *head;
        let data = rest.get(..u16::from_be_bytes([l0, l1]).into())?;
        let fixed = &plain[*at + owner.len()..*at + owner.len() + FIXED - 2];
        *at += owner.len() + FIXED + data.len();
        Some(Self { owner, kind: RecordType::from(u16::from_be_bytes([k0, k1])), fixed, data })
    }
}

impl Writer<'_> {
    /// Writes `plain`, a whole message without pointers; gives what the header says then.
    fn message(&mut self, plain: &[u8], question: usize, info: &ResponseInfo) -> Option<Header> {
        let mut at = HEADER + question;
        self.out.extend(plain.get(..at)?);
        if question > 0 {
            self.register(HEADER);
        }
        let (mut metadata, mut counts) = (**info, info.counts());
        let (mut whole, mut glue_too) = (!info.truncation, true);
        let HeaderCounts { answers, authorities, additionals, .. } = &mut counts;
        for (count_at, count) in [(6, answers), (8, authorities), (10, additionals)] {
            let mut written = 0_u16;
            for _ in 0..*count {
                let record = Plain::take(plain, &mut at)?;
                let fits = match record.kind {
                    RecordType::OPT => self.opt(&record),
                    _ => whole && glue_too && self.record(&record),
                };
                written += u16::from(fits);
                whole &= fits || count_at == 10;
                glue_too &= fits;
            }
            *count = written;
            self.out[count_at..count_at + 2].copy_from_slice(&written.to_be_bytes());
        }
        metadata.truncation = match self.size.on_lack {
            OnLack::Ask => !whole,
            OnLack::AskForGlue => !(whole && glue_too),
            OnLack::Leave => false,
        };
        self.out[2] = self.out[2] & !TC | if metadata.truncation { TC } else { 0 };
        Some(Header { metadata, counts })
    }

    /// Adds a record, or nothing at all; gives whether it fitted.
    fn record(&mut self, record: &Plain<'_>) -> bool {
        let start = self.out.len();
        self.name(record.owner, true);
        self.out.extend(record.fixed);
        let length_at = self.out.len();
        self.out.extend([0, 0]);
        self.data(record);
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        if self.out.len() + self.kept <= self.size.limit {
            return true;
        }
        self.out.truncate(start);
        self.names.retain(|written| usize::from(written.at) < start);
        false
    }

    /// Names in the data of RFC 1035's types may be compressed, others not (RFC 3597, 4).
    fn data(&mut self, record: &Plain<'_>) {
        let data = record.data;
        let names = |from: usize, count: usize| -> Option<[Range<usize>; 2]> {
            let first = from..from + name_length(data.get(from..)?)?;
            let second = match count {
                1 => first.end..first.end,
                _ => first.end..first.end + name_length(data.get(first.end..)?)?,
            };
            Some([first, second])
        };
        let (found, compress) = match record.kind {
            RecordType::NS | RecordType::CNAME | RecordType::PTR => (names(0, 1), true),
            RecordType::MX => (names(2, 1), true),
            RecordType::SOA => (names(0, 2), true),
            // RFC 2782: the target is not compressed. But it may be pointed to.
            RecordType::SRV => (names(6, 1), false),
            _ => (None, false),
        };
        let Some([first, second]) = found else {
            self.out.extend(data);
            return;
        };
        self.out.extend(&data[..first.start]);
        self.name(&data[first.clone()], compress);
        if !second.is_empty() {
            self.name(&data[second.clone()], compress);
        }
        self.out.extend(&data[first.end.max(second.end)..]);
    }

    /// Adds OPT, for which room was kept, and pads with it: up to a multiple of the block, or to the limit (RFC 7830, 3).
    /// Where not even an empty option fits there is none.
    fn opt(&mut self, record: &Plain<'_>) -> bool {
        self.out.extend(record.owner);
        self.out.extend(record.fixed);
        let bare = self.out.len() + 2 + record.data.len() + OPTION_HEAD;
        let zeros = self
            .size
            .block
            .and_then(|block| bare.next_multiple_of(block).min(self.size.limit).checked_sub(bare));
        let more = zeros.map_or(0, |zeros| OPTION_HEAD + zeros);
        self.out.extend(((record.data.len() + more) as u16).to_be_bytes());
        self.out.extend(record.data);
        if let Some(zeros) = zeros {
            self.out.extend(option::PADDING.to_be_bytes());
            self.out.extend((zeros as u16).to_be_bytes());
            self.out.resize(self.out.len() + zeros, 0);
        }
        true
    }

    /// Writes a name, its end as a pointer to where that stands already if `compress`, and notes what can be pointed to.
    fn name(&mut self, wire: &[u8], compress: bool) {
        let start = self.out.len();
        self.out.extend(wire);
        if let (Some((end, at)), true) = (self.register(start), compress) {
            self.out.truncate(end);
            self.out.extend((0xc000 | at).to_be_bytes());
        }
    }

    /// Notes every suffix of the uncompressed name at `start` that is new, and gives the longest one that is not: where
    /// it begins, and where it stands already. A name's suffixes are all noted, so the search ends at the first miss.
    fn register(&mut self, start: usize) -> Option<(usize, u16)> {
        let labels = Labels::of(&self.out[start..])?;
        let mut known = None;
        let mut hash = ROOT_HASH;
        for index in (0..labels.count()).rev() {
            let begin = start + labels.start(index);
            hash = name::extend_hash(hash, labels.label(&self.out[start..], index));
            if known.is_none_or(|(known, _)| known == start + next_start(&labels, index)) {
                let same =
                    |written: &Written| written.hash == hash && same_name(self.out, written.at.into(), begin);
                if let Some(written) = self.names.find(hash, same) {
                    known = Some((begin, written.at));
                    continue;
                }
            }
            if begin <= FARTHEST {
                let written = Written { hash, at: begin as u16 };
                self.names.insert_unique(hash, written, |written| written.hash);
            }
        }
        known
    }
}

/// The bit of TC in its octet of the header.
const TC: u8 = 0x02;

/// Where the label after `index` begins; for the last one there is none.
fn next_start(labels: &Labels, index: usize) -> usize {
    if index + 1 < labels.count() { labels.start(index + 1) } else { usize::MAX / 2 }
}

/// Whether the names at two places are the same to the letter: HAProxy compares owners and targets byte by byte. Only
/// names that we wrote stand there, and their pointers lead backwards.
fn same_name(out: &[u8], mut a: usize, mut b: usize) -> bool {
    let follow = |mut at: usize| {
        while out[at] & 0xc0 == 0xc0 {
            at = usize::from(u16::from_be_bytes([out[at], out[at + 1]])) & FARTHEST;
        }
        at
    };
    loop {
        (a, b) = (follow(a), follow(b));
        let end = 1 + usize::from(out[a]);
        if out.get(a..a + end) != out.get(b..b + end) {
            return false;
        }
        if end == 1 {
            return true;
        }
        (a, b) = (a + end, b + end);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode};
    use hickory_proto::rr::rdata::{A, MX, NS, SOA, SRV};
    use hickory_proto::rr::{Name, RData};

    use super::*;

    const QUESTION: &[u8] = b"\x05_http\x04_tcp\x04Farm\x06athena\0\0\x21\0\x01";

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(owner: &str) -> Record {
        Record::from_rdata(name(owner), 0, RData::A(A::new(10, 0, 0, 1)))
    }

    fn sheet(queries: &Queries, answers: Vec<Record>, additionals: Vec<Record>, limit: usize) -> Sheet<'_> {
        let metadata = Metadata::new(0xabcd, MessageType::Response, OpCode::Query);
        let size = Size { limit, ..Size::default() };
        Sheet {
            queries,
            metadata,
            answers,
            authorities: Vec::new(),
            additionals,
            edns: Some(Edns::new()),
            size,
        }
    }

    fn written(sheet: &Sheet<'_>) -> Vec<u8> {
        let mut out = b"left over".to_vec();
        write(sheet.response(), QUESTION.len(), sheet.size, &mut out).unwrap();
        out
    }

    #[test]
    fn names_point_back_and_read_the_same() {
        let owner = name("_http._tcp.Farm.athena.");
        let srv = |target: &str| RData::SRV(SRV::new(0, 256, 80, name(target)));
        let answers = vec![
            Record::from_rdata(owner.clone(), 0, srv("app01.phys.athena.")),
            Record::from_rdata(owner, 0, srv("app02.phys.athena.")),
        ];
        let root = Record::from_rdata(Name::root(), 7, RData::NS(NS(name("y.app02.phys.athena."))));
        let glue = vec![
            a("app01.phys.athena."),
            a("app02.phys.athena."),
            a("x.y.app02.phys.athena."),
            a("FARM.athena."),
            root,
        ];
        let queries = queries(QUESTION).unwrap();
        let sheet = sheet(&queries, answers, glue, 512);
        let out = written(&sheet);
        // Owners of answers and of their targets' addresses are two octets each.
        let (head, opt) = (HEADER + QUESTION.len(), 11);
        let (srv, glue_size) = (2 + 10 + 6 + 19, 2 + 10 + 4);
        assert_eq!(out.len(), head + 2 * srv + 2 * glue_size + (6 + 14) + (5 + 2 + 14) + (1 + 10 + 2) + opt);
        assert_eq!(&out[HEADER..head], QUESTION, "letter by letter as it came");
        let message = Message::from_vec(&out).unwrap();
        assert_eq!(message.answers, sheet.answers);
        assert_eq!(message.additionals, sheet.additionals);
        assert!(
            message.additionals[3].name.eq_case(&name("FARM.athena.")),
            "another letter case is another spelling"
        );
        assert!(message.edns.is_some());
    }

    #[test]
    fn names_in_data_are_shortened_where_everybody_expects_it() {
        let queries = queries(QUESTION).unwrap();
        let of_athena = |data: RData| Record::from_rdata(name("athena."), 1, data);
        let soa = SOA::new(name("ns.athena."), name("root.athena."), 1, 2, 3, 4, 5);
        let answers = vec![
            of_athena(RData::SOA(soa)),
            of_athena(RData::MX(MX::new(7, name("mail.athena.")))),
            of_athena(RData::NS(NS(name("ns.athena.")))),
        ];
        let sheet = sheet(&queries, answers, vec![], 512);
        let out = written(&sheet);
        assert_eq!(Message::from_vec(&out).unwrap().answers, sheet.answers);
        let (soa, mx, ns) = (5 + 7 + 20, 2 + 7, 2);
        assert_eq!(out.len(), HEADER + QUESTION.len() + 3 * 12 + soa + mx + ns + 11);
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace_but_opt() {
        let queries = queries(QUESTION).unwrap();
        let names = ["_http._tcp.Farm.athena.", "athena.", "much.longer.names.do.not.fit.", "athena."];
        let room = HEADER + QUESTION.len() + 2 * 16 + 11;
        let mut sheet = sheet(&queries, names.map(a).to_vec(), vec![a("athena.")], room + 3);
        sheet.metadata.response_code = ResponseCode::BADVERS;
        let out = written(&sheet);
        assert_eq!(out.len(), room);
        let message = Message::from_vec(&out).unwrap();
        assert_eq!((&message.answers[..], message.additionals.len()), (&sheet.answers[..2], 0));
        assert!(message.metadata.truncation);
        assert_eq!(message.edns.unwrap().rcode_high(), 1);
    }

    #[test]
    fn a_lack_of_room_means_what_it_is_said_to_mean() {
        let queries = queries(QUESTION).unwrap();
        let room = HEADER + QUESTION.len() + 16 + 11;
        let truncated = |answers: usize, on_lack: OnLack| {
            let mut sheet = sheet(&queries, vec![a("athena."); answers], vec![a("athena.")], room);
            sheet.size.on_lack = on_lack;
            Message::from_vec(&written(&sheet)).unwrap().metadata.truncation
        };
        let cases = [OnLack::Ask, OnLack::AskForGlue, OnLack::Leave];
        assert_eq!(cases.map(|on_lack| truncated(2, on_lack)), [true, true, false], "an answer is missing");
        assert_eq!(cases.map(|on_lack| truncated(1, on_lack)), [false, true, false], "its glue is");
        assert_eq!(cases.map(|on_lack| truncated(0, on_lack)), [false; 3], "nothing is");
    }

    #[test]
    fn padding_fills_a_block_or_what_room_there_is() {
        let queries = queries(QUESTION).unwrap();
        let mut sheet = sheet(&queries, vec![a("athena.")], vec![], 1000);
        sheet.size.block = Some(128);
        assert_eq!(written(&sheet).len(), 128);
        sheet.size.limit = 120;
        let out = written(&sheet);
        assert_eq!(out.len(), 120);
        assert!(Message::from_vec(&out).is_ok());
        let bare = HEADER + QUESTION.len() + 16 + 11;
        sheet.size.limit = bare + 3;
        assert_eq!(written(&sheet).len(), bare, "there is no room for an option");
    }
}
