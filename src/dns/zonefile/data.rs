//! The data of records, and the words that stand before it.

use std::str::FromStr;

use data_encoding::HEXUPPER_PERMISSIVE;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, MX, NS, NULL, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};
use hickory_proto::serialize::txt::parse_ttl;

use super::Problem;
use super::entry::Token;

/// Largest TTL (RFC 2181, 8).
const MAX_TTL: u32 = i32::MAX as u32;

/// A name; relative to `origin` unless it ends in a dot, `@` is the origin itself.
pub fn name(token: &Token, origin: &Name) -> Result<Name, Problem> {
    let problem = || Problem::Name(token.raw.clone());
    if token.raw == "@" && !token.quoted {
        return Ok(origin.clone());
    }
    let octets = token.octets()?;
    if octets == [(b'.', false)] {
        return Ok(Name::root());
    }
    let absolute = octets.last() == Some(&(b'.', false));
    let relative = if absolute { &octets[..octets.len() - 1] } else { &octets[..] };
    let label = |label: &[(u8, bool)]| -> Result<Vec<u8>, Problem> {
        // Characters beyond ASCII would be looked for in vain: clients ask for the A-label (RFC 5891).
        let plain = |&(octet, escaped): &(u8, bool)| escaped || octet.is_ascii_graphic();
        let fits = (1..=63).contains(&label.len()) && label.iter().all(plain);
        fits.then(|| label.iter().map(|&(octet, _)| octet).collect()).ok_or_else(problem)
    };
    let mut labels: Vec<Vec<u8>> =
        relative.split(|&octet| octet == (b'.', false)).map(label).collect::<Result<_, _>>()?;
    if !absolute {
        labels.extend(origin.iter().map(<[u8]>::to_vec));
    }
    Name::from_labels(labels).map_err(|_| problem())
}

/// A time to live.
pub fn ttl(text: &str) -> Result<u32, Problem> {
    let problem = || Problem::Ttl(text.to_owned());
    parse_ttl(text).ok().filter(|&ttl| ttl <= MAX_TTL).ok_or_else(problem)
}

/// Whether a word is the class IN; another class is refused.
pub fn is_class(text: &str) -> Result<bool, Problem> {
    match text.to_ascii_uppercase().as_str() {
        "IN" | "CLASS1" => Ok(true),
        "CH" | "HS" | "CS" | "NONE" => Err(Problem::Class(text.to_owned())),
        word if word.strip_prefix("CLASS").is_some_and(|number| number.parse::<u16>().is_ok()) => {
            Err(Problem::Class(text.to_owned()))
        }
        _ => Ok(false),
    }
}

/// A record type: its mnemonic, or `TYPE` and its number (RFC 3597, 5).
pub fn kind(text: &str) -> Result<RecordType, Problem> {
    let problem = || Problem::Type(text.to_owned());
    let word = text.to_ascii_uppercase();
    let kind = match word.strip_prefix("TYPE") {
        Some(number) => RecordType::from(number.parse::<u16>().map_err(|_| problem())?),
        None => RecordType::from_str(&word).map_err(|_| problem())?,
    };
    let reason = match kind {
        RecordType::OPT | RecordType::TSIG | RecordType::ANY | RecordType::AXFR | RecordType::IXFR => {
            "this type is only asked for or sent, never stored"
        }
        RecordType::ANAME => "give the farm or the host an A and an AAAA record, or a CNAME",
        RecordType::DNAME => "not served; write the names one by one, or a wildcard CNAME",
        RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 | RecordType::NSEC3PARAM => {
            "signatures and their chains are made by the server that signs, not kept in the file"
        }
        RecordType::ZERO | RecordType::NULL | RecordType::SIG | RecordType::KEY => "this type is obsolete",
        _ => return Ok(kind),
    };
    Err(Problem::TypeNotHere(kind, reason))
}

/// The data of a record of type `kind`.
pub fn read(kind: RecordType, tokens: &[Token], origin: &Name) -> Result<RData, Problem> {
    if let [Token { raw, quoted: false }, rest @ ..] = tokens
        && raw == r"\#"
    {
        return generic(kind, rest);
    }
    let fields = Fields { kind, tokens, origin };
    Ok(match kind {
        RecordType::A => RData::A(A(fields.only("one IPv4 address")?)),
        RecordType::AAAA => RData::AAAA(AAAA(fields.only("one IPv6 address")?)),
        RecordType::NS => RData::NS(NS(fields.only_name("the name server's name")?)),
        RecordType::CNAME => RData::CNAME(CNAME(fields.only_name("the canonical name")?)),
        RecordType::PTR => RData::PTR(PTR(fields.only_name("one name")?)),
        RecordType::MX => {
            fields.count(2, "PREFERENCE EXCHANGE")?;
            RData::MX(MX::new(fields.number(0, "preference")?, fields.name(1)?))
        }
        RecordType::SRV => {
            fields.count(4, "PRIORITY WEIGHT PORT TARGET")?;
            let (priority, weight) = (fields.number(0, "priority")?, fields.number(1, "weight")?);
            RData::SRV(SRV::new(priority, weight, fields.number(2, "port")?, fields.name(3)?))
        }
        RecordType::SOA => fields.soa()?,
        RecordType::TXT => fields
            .texts(1..=usize::MAX)
            .map(|texts| RData::TXT(TXT::from_bytes(texts.iter().map(Vec::as_slice).collect())))?,
        RecordType::HINFO => {
            let mut texts = fields.texts(2..=2)?.into_iter().map(Vec::into_boxed_slice);
            let (cpu, os) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
            RData::HINFO(HINFO::from_bytes(cpu, os))
        }
        RecordType::DS | RecordType::CDS => fields.delegation_signer()?,
        RecordType::DNSKEY | RecordType::CDNSKEY | RecordType::Unknown(_) => {
            return Err(fields.wrong(r"write its data as \# LENGTH HEX (RFC 3597)"));
        }
        RecordType::NAPTR => fields.by_hickory(Some(5))?,
        RecordType::SVCB | RecordType::HTTPS => fields.by_hickory(Some(1))?,
        _ => fields.by_hickory(None)?,
    })
}

/// RFC 3597, 5: a length and as many octets in hexadecimal, blanks between them as one likes.
fn generic(kind: RecordType, tokens: &[Token]) -> Result<RData, Problem> {
    let wrong = |what: &str| Problem::Data { kind, what: what.to_owned() };
    let [length, hex @ ..] = tokens else { return Err(wrong(r"write \# LENGTH HEX")) };
    let hex: String = hex.iter().map(|token| token.raw.as_str()).collect();
    let octets =
        HEXUPPER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| wrong("the data is no hexadecimal"))?;
    if length.raw.parse() != Ok(octets.len()) || octets.len() > usize::from(u16::MAX) {
        return Err(Problem::Data {
            kind,
            what: format!(r"\# {} is followed by {} octets", length.raw, octets.len()),
        });
    }
    from_octets(kind, &octets).ok_or_else(|| wrong("these octets are no data of this type"))
}

fn from_octets(kind: RecordType, octets: &[u8]) -> Option<RData> {
    if matches!(kind, RecordType::Unknown(_)) || kind.is_dnssec() {
        let rdata = if octets.is_empty() { NULL::new() } else { NULL::with(octets.to_vec()) };
        return Some(RData::Unknown { code: kind, rdata });
    }
    let length = u16::try_from(octets.len()).ok()?;
    RData::read(&mut BinDecoder::new(octets), kind, Restrict::new(length)).ok()
}

/// The words of a record's data.
struct Fields<'a> {
    kind: RecordType,
    tokens: &'a [Token],
    origin: &'a Name,
}

impl Fields<'_> {
    fn wrong(&self, what: impl Into<String>) -> Problem {
        Problem::Data { kind: self.kind, what: what.into() }
    }

    fn count(&self, count: usize, form: &str) -> Result<(), Problem> {
        if self.tokens.len() == count {
            return Ok(());
        }
        Err(self.wrong(format!("takes {form}, not {}", words(self.tokens.len()))))
    }

    fn only<T: FromStr>(&self, form: &str) -> Result<T, Problem> {
        self.count(1, form)?;
        let raw = &self.tokens[0].raw;
        raw.parse().map_err(|_| self.wrong(format!("takes {form}, not {raw}")))
    }

    fn only_name(&self, form: &str) -> Result<Name, Problem> {
        self.count(1, form)?;
        self.name(0)
    }

    fn name(&self, index: usize) -> Result<Name, Problem> {
        name(&self.tokens[index], self.origin)
    }

    fn number<T: FromStr>(&self, index: usize, word: &str) -> Result<T, Problem> {
        let raw = &self.tokens[index].raw;
        raw.parse().map_err(|_| self.wrong(format!("{word}: {raw} is no number that fits")))
    }

    fn soa(&self) -> Result<RData, Problem> {
        self.count(7, "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM")?;
        let time = |index: usize| ttl(&self.tokens[index].raw);
        // Times are below 2^31 by now.
        let signed = |index: usize| time(index).map(|seconds| seconds as i32);
        let (mname, rname) = (self.name(0)?, self.name(1)?);
        let serial = self.number(2, "serial")?;
        Ok(RData::SOA(SOA::new(mname, rname, serial, signed(3)?, signed(4)?, signed(5)?, time(6)?)))
    }

    fn texts(&self, counts: std::ops::RangeInclusive<usize>) -> Result<Vec<Vec<u8>>, Problem> {
        if !counts.contains(&self.tokens.len()) {
            let most = if *counts.end() == usize::MAX { " or more" } else { "" };
            return Err(self.wrong(format!(
                "takes {}{most} texts, not {}",
                counts.start(),
                self.tokens.len()
            )));
        }
        let texts: Vec<_> = self.tokens.iter().map(Token::text_octets).collect::<Result<_, _>>()?;
        match texts.iter().find(|text| text.len() > 255) {
            // RFC 1035, 3.3: a character-string has at most 255 octets.
            Some(long) => Err(self.wrong(format!("a text has at most 255 octets, this one {}", long.len()))),
            None => Ok(texts),
        }
    }

    /// RFC 4034, 5.3
    fn delegation_signer(&self) -> Result<RData, Problem> {
        let form = "KEY-TAG ALGORITHM DIGEST-TYPE DIGEST";
        if self.tokens.len() < 4 {
            return Err(self.wrong(format!("takes {form}, not {}", words(self.tokens.len()))));
        }
        let mut octets = self.number::<u16>(0, "key tag")?.to_be_bytes().to_vec();
        octets.push(self.number(1, "algorithm")?);
        octets.push(self.number(2, "digest type")?);
        let hex: String = self.tokens[3..].iter().map(|token| token.raw.as_str()).collect();
        let digest = HEXUPPER_PERMISSIVE.decode(hex.as_bytes());
        octets.extend(digest.map_err(|_| self.wrong("the digest is no hexadecimal"))?);
        Ok(RData::Unknown { code: self.kind, rdata: NULL::with(octets) })
    }

    /// Hands the words to hickory, which knows no origin: the one that is a name is made absolute first.
    fn by_hickory(&self, name_at: Option<usize>) -> Result<RData, Problem> {
        let mut words = Vec::with_capacity(self.tokens.len());
        for (index, token) in self.tokens.iter().enumerate() {
            words.push(match token {
                _ if name_at == Some(index) => name(token, self.origin)?.to_ascii(),
                Token { raw, quoted: true } => format!("\"{raw}\""),
                Token { raw, .. } => raw.clone(),
            });
        }
        RData::try_from_str(self.kind, &words.join(" ")).map_err(|error| self.wrong(error.to_string()))
    }
}

fn words(count: usize) -> String {
    format!("{count} word{}", if count == 1 { "" } else { "s" })
}
