//! Replies written to the wire: header, echoed question, records with compressed names, OPT last, cut to size.
//!
//! hickory's encoder could do it, but it keeps a copy of every suffix it may point to, gives up pointing after 64, and does
//! not let names in SRV data be pointed *to*, which is what makes an answer with glue short. It still writes the data of
//! the rarer types.

use hashbrown::HashTable;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::name::{self, Labels, ROOT_HASH};
use super::query::{HEADER, Query, option};

/// Largest offset that a pointer can tell (RFC 1035, 4.1.4).
const FARTHEST: usize = 0x3fff;
/// Octets of OPT without options (RFC 6891, 6.1.2), and of an option without content.
const FIXED_OPT: usize = 11;
const OPTION_HEAD: usize = 4;

/// A section after the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// ANCOUNT
    Answer = 6,
    /// NSCOUNT
    Authority = 8,
    /// ARCOUNT
    Additional = 10,
}

/// A reply being written. What does not fit is left out; who writes decides what that means.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    /// Octets kept free for OPT.
    kept: usize,
    names: HashTable<Written>,
}

/// A name, or the end of one, that stands in the message.
#[derive(Clone, Copy)]
struct Written {
    hash: u64,
    at: u16,
}

impl<'a> Writer<'a> {
    /// Begins a reply to `query` in `out`, which must be empty: id, opcode, RD and CD are the query's, its question stands
    /// as it came, AD, Z and RA are 0. The reply will have at most `limit` octets, of which `kept` are kept for OPT.
    pub fn new(out: &'a mut Vec<u8>, query: &Query<'_>, limit: usize, kept: usize) -> Self {
        let flags = 0x80 | query.opcode << 3 | u8::from(query.recursion_desired);
        out.extend(query.id.to_be_bytes());
        out.extend([flags, u8::from(query.checking_disabled) << 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut writer = Self { out, limit, kept, names: HashTable::new() };
        if let Some(question) = &query.question {
            writer.out[5] = 1;
            writer.out.extend(question.bytes);
            writer.register(HEADER);
        }
        writer
    }

    /// Sets AA.
    pub fn authoritative(&mut self) {
        self.out[2] |= 0x04;
    }

    /// Sets RA.
    pub fn recursion_available(&mut self) {
        self.out[3] |= 0x80;
    }

    /// Sets TC.
    pub fn truncated(&mut self) {
        self.out[2] |= 0x02;
    }

    /// Sets the low four bits of the RCODE; the others stand in OPT.
    pub fn rcode(&mut self, code: ResponseCode) {
        self.out[3] = self.out[3] & 0xf0 | code.low();
    }

    /// Adds a record to a section, or nothing at all; gives whether it fitted. Sections are written in their order.
    pub fn record(&mut self, section: Section, record: &Record) -> bool {
        let start = self.out.len();
        let fitted = self.try_record(record) && self.out.len() + self.kept <= self.limit;
        if !fitted {
            self.out.truncate(start);
            self.names.retain(|written| usize::from(written.at) < start);
            return false;
        }
        self.count(section);
        true
    }

    /// Adds the OPT record, for which room was kept (RFC 6891, 6.1.2). It has to be the last one.
    pub fn opt(&mut self, payload: u16, code: ResponseCode, dnssec_ok: bool, options: &[u8]) {
        self.out.extend([0, 0, 41]);
        self.out.extend(payload.to_be_bytes());
        self.out.extend([code.high(), 0, u8::from(dnssec_ok) << 7, 0]);
        self.out.extend((options.len() as u16).to_be_bytes());
        self.out.extend(options);
        self.count(Section::Additional);
    }

    /// The same with one option more, which fills the message up to a multiple of `block` octets, or to its limit (RFC
    /// 7830, 3). Where not even an empty option fits there is none.
    pub fn opt_padded(
        &mut self,
        payload: u16,
        code: ResponseCode,
        dnssec_ok: bool,
        options: &[u8],
        block: usize,
    ) {
        let bare = self.out.len() + FIXED_OPT + options.len() + OPTION_HEAD;
        let whole = bare.next_multiple_of(block).min(self.limit);
        let padded = whole.checked_sub(bare).map(|zeros| {
            let mut padded = options.to_vec();
            padded.extend(option::PADDING.to_be_bytes());
            padded.extend((zeros as u16).to_be_bytes());
            padded.resize(padded.len() + zeros, 0);
            padded
        });
        self.opt(payload, code, dnssec_ok, padded.as_deref().unwrap_or(options));
    }

    fn count(&mut self, section: Section) {
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]) + 1;
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn try_record(&mut self, record: &Record) -> bool {
        self.name(&record.name, true);
        self.out.extend(u16::from(record.record_type()).to_be_bytes());
        self.out.extend(u16::from(record.dns_class).to_be_bytes());
        self.out.extend(record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend([0, 0]);
        if !self.data(&record.data) {
            return false;
        }
        match u16::try_from(self.out.len() - length_at - 2) {
            Ok(length) => self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes()),
            Err(_) => return false,
        }
        true
    }

    /// Names in the data of RFC 1035's types may be compressed, others not (RFC 3597, 4).
    fn data(&mut self, data: &RData) -> bool {
        match data {
            RData::A(address) => self.out.extend(address.0.octets()),
            RData::AAAA(address) => self.out.extend(address.0.octets()),
            RData::NS(server) => self.name(&server.0, true),
            RData::CNAME(target) => self.name(&target.0, true),
            RData::PTR(target) => self.name(&target.0, true),
            RData::MX(mx) => {
                self.out.extend(mx.preference.to_be_bytes());
                self.name(&mx.exchange, true);
            }
            RData::SOA(soa) => {
                self.name(&soa.mname, true);
                self.name(&soa.rname, true);
                self.out.extend(soa.serial.to_be_bytes());
                for time in [soa.refresh, soa.retry, soa.expire] {
                    self.out.extend(time.to_be_bytes());
                }
                self.out.extend(soa.minimum.to_be_bytes());
            }
            RData::SRV(srv) => {
                for number in [srv.priority, srv.weight, srv.port] {
                    self.out.extend(number.to_be_bytes());
                }
                // RFC 2782: the target is not compressed.
                self.name(&srv.target, false);
            }
            other => {
                let mut encoder = BinEncoder::with_offset(self.out, self.out.len() as u32);
                encoder.set_name_encoding(NameEncoding::Uncompressed);
                return other.emit(&mut encoder).is_ok();
            }
        }
        true
    }

    /// Writes a name, its end as a pointer to where that stands already if `compress`, and notes what can be pointed to.
    fn name(&mut self, name: &Name, compress: bool) {
        let start = self.out.len();
        for label in name.iter() {
            self.out.push(label.len() as u8);
            self.out.extend(label);
        }
        self.out.push(0);
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
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::{A, NS, SRV};

    use super::*;

    const QUERY: &[u8] =
        b"\xab\xcd\x01\x10\0\x01\0\0\0\0\0\0\x05_http\x04_tcp\x04Farm\x06athena\0\0\x21\0\x01";

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(owner: &str) -> Record {
        Record::from_rdata(name(owner), 0, RData::A(A::new(10, 0, 0, 1)))
    }

    #[test]
    fn names_point_back_and_read_the_same() {
        let query = Query::read(QUERY).unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, &query, 512, 11);
        writer.authoritative();
        let owner = name("_http._tcp.Farm.athena.");
        let srv = |target: &str| RData::SRV(SRV::new(0, 256, 80, name(target)));
        let answers = [
            Record::from_rdata(owner.clone(), 0, srv("app01.phys.athena.")),
            Record::from_rdata(owner, 0, srv("app02.phys.athena.")),
        ];
        let glue = [
            a("app01.phys.athena."),
            a("app02.phys.athena."),
            a("x.y.app02.phys.athena."),
            a("FARM.athena."),
        ];
        let root = Record::from_rdata(Name::root(), 7, RData::NS(NS(name("y.app02.phys.athena."))));
        assert!(answers.iter().all(|record| writer.record(Section::Answer, record)));
        assert!(glue.iter().all(|record| writer.record(Section::Additional, record)));
        assert!(writer.record(Section::Additional, &root));
        writer.opt(1232, ResponseCode::NoError, true, b"");
        // Owners of answers and of their targets' addresses are two octets each.
        let (question, opt) = (QUERY.len(), 11);
        let (srv, glue_size) = (2 + 10 + 6 + 19, 2 + 10 + 4);
        assert_eq!(
            out.len(),
            question + 2 * srv + 2 * glue_size + (6 + 14) + (5 + 2 + 14) + (1 + 10 + 2) + opt
        );
        let message = Message::from_vec(&out).unwrap();
        assert_eq!(message.answers, answers);
        assert_eq!(message.additionals[..4], glue);
        assert!(
            message.additionals[3].name.eq_case(&glue[3].name),
            "another letter case is another spelling"
        );
        assert_eq!(message.additionals[4], root);
        let metadata = &message.metadata;
        assert!(metadata.authoritative && metadata.checking_disabled && metadata.recursion_desired);
        assert_eq!((metadata.id, metadata.authentic_data, metadata.truncation), (0xabcd, false, false));
        assert!(message.edns.unwrap().flags().dnssec_ok);
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let query = Query::read(QUERY).unwrap();
        let mut out = Vec::new();
        let room = QUERY.len() + 2 * 16 + 11;
        let mut writer = Writer::new(&mut out, &query, room, 11);
        assert!(writer.record(Section::Answer, &a("_http._tcp.Farm.athena.")));
        assert!(!writer.record(Section::Answer, &a("much.longer.names.do.not.fit.")));
        assert!(writer.record(Section::Answer, &a("athena.")));
        assert!(!writer.record(Section::Answer, &a("athena.")));
        writer.truncated();
        writer.opt(1232, ResponseCode::BADVERS, false, b"");
        assert_eq!(out.len(), room);
        let message = Message::from_vec(&out).unwrap();
        assert_eq!(message.answers, [a("_http._tcp.Farm.athena."), a("athena.")]);
        assert!(message.metadata.truncation);
        assert_eq!(message.edns.unwrap().rcode_high(), 1);
    }
}
