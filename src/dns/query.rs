//! What a message asks: header, question, EDNS, read in one pass that allocates nothing.
//!
//! Every message is read so before hickory-server makes a request of it, for three reasons: an opcode or a count is judged
//! before anything else is read; the library drops broken EDNS options, where RFC 6891 and RFC 7871 ask for FORMERR; and a
//! flood of junk should cost less than an answer. Nothing here follows a compression pointer, so there is no loop to guard
//! against.

use hickory_proto::op::ResponseCode;

/// Octets of a header (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;
/// Most octets of a name in wire format (RFC 1035, 3.1).
pub const MAX_NAME: usize = 255;

/// OPT (RFC 6891).
const TYPE_OPT: u16 = 41;
/// TSIG (RFC 8945).
const TYPE_TSIG: u16 = 250;

/// Records beside the question that a query may have. What is known has two or three: OPT, a signature, the SOA of an IXFR. A message of
/// 64 KiB holds thousands, which hickory-server would read one by one: that is sixty queries' work.
const MOST_RECORDS: u32 = 16;
/// EDNS options that it may have, for the same reason.
const MOST_OPTIONS: usize = 64;

/// Option codes of EDNS that are answered (IANA, DNS EDNS0 Option Codes).
pub mod option {
    /// RFC 5001
    pub const NSID: u16 = 3;
    /// RFC 7871
    pub const SUBNET: u16 = 8;
    /// RFC 7873
    pub const COOKIE: u16 = 10;
    /// RFC 7828
    pub const KEEPALIVE: u16 = 11;
    /// RFC 7830
    pub const PADDING: u16 = 12;
}

/// A message that may be answered.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Its id.
    pub id: u16,
    /// Its opcode; 0 is QUERY.
    pub opcode: u8,
    /// RD
    pub recursion_desired: bool,
    /// CD
    pub checking_disabled: bool,
    /// Its one question; `None` if it has none, or none that can be read.
    pub question: Option<Question<'a>>,
    /// EDNS, if it has it and its fixed part can be read.
    pub edns: Option<Edns<'a>>,
    /// Whether it has records besides: they mean nothing to us, and nobody has looked into them.
    pub has_more: bool,
    /// What is wrong with it: FORMERR or NOTIMP.
    pub fault: Option<ResponseCode>,
}

/// The question section.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Name, type and class as they came.
    pub bytes: &'a [u8],
    /// The name in wire format, in the letter case it came in, uncompressed, with the root's octet.
    pub name: &'a [u8],
    /// QTYPE
    pub kind: u16,
    /// QCLASS
    pub class: u16,
}

/// The OPT record (RFC 6891, 6.1).
#[derive(Debug, Clone, Copy)]
pub struct Edns<'a> {
    /// Octets that the sender can take over UDP.
    pub payload: u16,
    /// Version; only 0 is known.
    pub version: u8,
    /// DO
    pub dnssec_ok: bool,
    /// The cookie option's content (RFC 7873, 4): 8 octets, or 16 to 40.
    pub cookie: Option<&'a [u8]>,
    /// Whether it asks for our identifier (RFC 5001).
    pub nsid: bool,
    /// Whether it is padded, so that the reply may be (RFC 7830, 4).
    pub padding: bool,
    /// Whether it speaks of the connection's idle time (RFC 7828), which over QUIC is an error (RFC 9250, 5.5.2).
    pub keepalive: bool,
    /// The client's network (RFC 7871).
    pub subnet: Option<Subnet<'a>>,
}

/// A client's network (RFC 7871, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// FAMILY: 1 is IPv4, 2 is IPv6.
    pub family: u8,
    /// SOURCE PREFIX-LENGTH; 0 asks not to be told apart.
    pub prefix: u8,
    /// As many octets of the address as the prefix reaches into; bits beyond it are 0.
    pub address: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads a message. `None`: it gets no answer, because it is shorter than a header or is a response itself.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = message.get(..HEADER)?.try_into().ok()?;
        if header[2] & 0x80 != 0 {
            return None;
        }
        let mut query = Self {
            id: u16::from_be_bytes([header[0], header[1]]),
            opcode: header[2] >> 3 & 0x0f,
            recursion_desired: header[2] & 0x01 != 0,
            checking_disabled: header[3] & 0x10 != 0,
            question: None,
            edns: None,
            has_more: false,
            fault: None,
        };
        query.fault = if query.opcode != 0 {
            Some(ResponseCode::NotImp)
        } else {
            query.read_sections(header, &message[HEADER..]).err()
        };
        Some(query)
    }

    fn read_sections(&mut self, header: &[u8; HEADER], body: &'a [u8]) -> Result<(), ResponseCode> {
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let mut reader = Reader(body);
        match count(4) {
            0 => {}
            1 => self.question = Some(reader.question().ok_or(ResponseCode::FormErr)?),
            // RFC 9619: a query has at most one question.
            _ => return Err(ResponseCode::FormErr),
        }
        if [6, 8, 10].map(|section| u32::from(count(section))).iter().sum::<u32>() > MOST_RECORDS {
            return Err(ResponseCode::FormErr);
        }
        for section in [6, 8, 10] {
            for left in (0..count(section)).rev() {
                let record = reader.record().ok_or(ResponseCode::FormErr)?;
                match record.kind {
                    // RFC 6891, 6.1.1: one OPT, in the additional section, owned by the root.
                    TYPE_OPT if section == 10 && self.edns.is_none() && record.at_root => {
                        self.edns = Some(Edns::new(&record));
                        self.read_options(record.content)?;
                    }
                    TYPE_OPT => return Err(ResponseCode::FormErr),
                    // RFC 8945, 5.1: TSIG is the last record.
                    TYPE_TSIG if section != 10 || left != 0 => return Err(ResponseCode::FormErr),
                    _ => self.has_more = true,
                }
            }
        }
        if reader.0.is_empty() { Ok(()) } else { Err(ResponseCode::FormErr) }
    }

    fn read_options(&mut self, content: &'a [u8]) -> Result<(), ResponseCode> {
        let Some(edns) = self.edns.as_mut().filter(|edns| edns.version == 0) else { return Ok(()) };
        let (mut reader, mut count) = (Reader(content), 0);
        while !reader.0.is_empty() {
            let (code, value) = reader.option().ok_or(ResponseCode::FormErr)?;
            count += 1;
            if count > MOST_OPTIONS {
                return Err(ResponseCode::FormErr);
            }
            match code {
                // RFC 7873, 5.2.2: a cookie of another length is FORMERR; the first of several counts.
                option::COOKIE if value.len() != 8 && !(16..=40).contains(&value.len()) => {
                    return Err(ResponseCode::FormErr);
                }
                option::COOKIE if edns.cookie.is_none() => edns.cookie = Some(value),
                option::NSID => edns.nsid = true,
                option::PADDING => edns.padding = true,
                option::KEEPALIVE => edns.keepalive = true,
                option::SUBNET => edns.subnet = Some(Subnet::read(value).ok_or(ResponseCode::FormErr)?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Edns<'_> {
    fn new(record: &Record<'_>) -> Self {
        Self {
            payload: record.class,
            version: record.ttl[1],
            dnssec_ok: record.ttl[2] & 0x80 != 0,
            cookie: None,
            nsid: false,
            padding: false,
            keepalive: false,
            subnet: None,
        }
    }
}

impl<'a> Subnet<'a> {
    /// Reads the option; `None` for what RFC 7871, 6 and 7.1.2 want rejected: an unknown family, a scope in a query, a
    /// prefix that is too long, octets too few or too many, bits set beyond the prefix.
    fn read(option: &'a [u8]) -> Option<Self> {
        let (&[0, family, prefix, 0], address) = option.split_first_chunk::<4>()? else { return None };
        let most = match family {
            1 => 32,
            2 => 128,
            _ => return None,
        };
        if prefix > most || address.len() != usize::from(prefix).div_ceil(8) {
            return None;
        }
        let beyond = 0xff_u8.checked_shr(u32::from(prefix % 8)).unwrap_or(0);
        if prefix % 8 != 0 && address.last()? & beyond != 0 {
            return None;
        }
        Some(Self { family, prefix, address })
    }
}

/// A resource record whose owner was skipped.
struct Record<'a> {
    at_root: bool,
    kind: u16,
    class: u16,
    ttl: [u8; 4],
    content: &'a [u8],
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Its name must not be compressed: there is nothing before it that a pointer could point to.
    fn question(&mut self) -> Option<Question<'a>> {
        let whole = self.0;
        let length = name_length(whole)?;
        let name = self.take(length)?;
        let (kind, class) = (self.number()?, self.number()?);
        Some(Question { bytes: &whole[..length + 4], name, kind, class })
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let at_root = self.0.first() == Some(&0);
        self.skip_name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let ttl = self.take(4)?.try_into().ok()?;
        let length = self.number()?;
        Some(Record { at_root, kind, class, ttl, content: self.take(length.into())? })
    }

    fn option(&mut self) -> Option<(u16, &'a [u8])> {
        let (code, length) = (self.number()?, self.number()?);
        Some((code, self.take(length.into())?))
    }

    fn skip_name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..=63 => self.take(length.into())?,
                // A pointer (RFC 1035, 4.1.4) ends the name.
                0xc0.. => return self.take(1).map(|_| ()),
                _ => return None,
            };
        }
    }
}

/// The octets of the uncompressed name that `bytes` begin with, the root's included; `None` if there is none.
pub fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return (at < MAX_NAME).then_some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x04FARM\x06athena\0\0\x01\0\x01";

    fn with_opt(content: &[u8]) -> Vec<u8> {
        let mut message = PLAIN.to_vec();
        message[11] = 1;
        message.extend(b"\0\0\x29\x10\0\0\0\x80\0");
        message.extend((content.len() as u16).to_be_bytes());
        message.extend(content);
        message
    }

    #[test]
    fn a_plain_query_is_read_whole() {
        let query = Query::read(PLAIN).unwrap();
        assert_eq!((query.id, query.opcode, query.fault), (0x1234, 0, None));
        assert!(query.recursion_desired && query.checking_disabled && query.edns.is_none());
        let question = query.question.unwrap();
        assert_eq!((question.name, question.kind, question.class), (&b"\x04FARM\x06athena\0"[..], 1, 1));
        assert_eq!(question.bytes, &PLAIN[12..]);
    }

    #[test]
    fn edns_and_its_options_are_read_and_unknown_ones_skipped() {
        let message =
            with_opt(b"\xff\xfe\0\x01z\0\x03\0\0\0\x0a\0\x0812345678\0\x08\0\x07\0\x01\x14\0\x0a\x01\x10");
        let edns = Query::read(&message).unwrap().edns.unwrap();
        assert_eq!((edns.payload, edns.version, edns.dnssec_ok, edns.nsid), (4096, 0, true, true));
        assert_eq!(edns.cookie, Some(&b"12345678"[..]));
        assert_eq!(edns.subnet, Some(Subnet { family: 1, prefix: 20, address: &[10, 1, 16] }));
    }

    #[test]
    fn responses_and_fragments_of_headers_get_no_answer() {
        assert!(Query::read(&PLAIN[..11]).is_none());
        let mut response = PLAIN.to_vec();
        response[2] |= 0x80;
        assert!(Query::read(&response).is_none());
    }

    #[test]
    fn more_records_or_options_than_any_query_has_are_formerr() {
        let fault = |message: &[u8]| Query::read(message).unwrap().fault;
        let with_records = |count: u8| {
            let mut message = PLAIN.to_vec();
            (message[7], message[11]) = (1, count - 1);
            // They point back to the question's name.
            (0..count).for_each(|_| message.extend(b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x01\0"));
            message
        };
        assert_eq!(fault(&with_records(16)), None);
        assert_eq!(fault(&with_records(17)), Some(ResponseCode::FormErr));
        assert_eq!(fault(&with_opt(&b"\xff\xfe\0\0".repeat(64))), None);
        assert_eq!(fault(&with_opt(&b"\xff\xfe\0\0".repeat(65))), Some(ResponseCode::FormErr));
    }

    #[test]
    fn every_way_to_be_malformed_is_formerr() {
        let fault = |message: &[u8]| Query::read(message).unwrap().fault;
        let changed = |at: usize, to: u8| {
            let mut message = PLAIN.to_vec();
            message[at] = to;
            message
        };
        let options = [
            &b"\0\x0a\0\x0712345671"[..9],
            b"\0\x0a\0\x09123456789",
            b"\0\x08\0\x04\0\x03\0\0",
            b"\0\x08\0\x05\0\x01\x08\x01\x0a",
            b"\0\x08\0\x05\0\x01\x10\0\x0a",
            b"\0\x08\0\x05\0\x01\x04\0\x0f",
            b"\0\x08\0\x09\0\x01\x28\0\x0a\0\0\0\0",
            b"\0\x03\0\x05",
            b"\0",
        ];
        let mut two_opts = with_opt(b"");
        two_opts[11] = 2;
        two_opts.extend(b"\0\0\x29\x10\0\0\0\x80\0\0\0");
        let mut opt_as_answer = with_opt(b"");
        opt_as_answer.swap(7, 11);
        let broken = options.iter().map(|content| with_opt(content)).chain([
            changed(5, 2),
            changed(7, 1),
            changed(12, 0xc0),
            changed(12, 63),
            [PLAIN, b"x"].concat(),
            PLAIN[..PLAIN.len() - 1].to_vec(),
            two_opts,
            opt_as_answer,
        ]);
        for message in broken {
            assert_eq!(fault(&message), Some(ResponseCode::FormErr), "{message:02x?}");
        }
        assert_eq!(fault(PLAIN), None);
        assert_eq!(fault(&with_opt(b"")), None);
        assert_eq!(fault(&changed(2, 0x28)), Some(ResponseCode::NotImp));
    }

    #[test]
    fn a_name_has_at_most_255_octets() {
        let labels = |last: usize| {
            let mut name = [&[63][..], &[b'a'; 63]].concat().repeat(3);
            name.push(last as u8);
            name.extend(vec![b'b'; last]);
            name.push(0);
            name
        };
        assert_eq!(name_length(&labels(61)), Some(255));
        assert_eq!(name_length(&labels(62)), None);
        assert_eq!(name_length(b"\x03ab"), None);
    }
}
