//! `balance`: which member a farm gives, as text.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::codes::Phys;
use super::format::{Format, Record};
use super::query::Request;
use super::records::{Backend, NONE};
use super::{Asked, Sheet};
use crate::balance::farm::Machine;
use crate::balance::plan::{Fallback, UrlHost};
use crate::balance::random::SplitMix;
use crate::balance::status::BackendStatus;
use crate::balance::{Ask, Choice};
use crate::http::error::{Error, shown};

/// Most members that one query may ask for.
const MAX_MEMBERS: usize = 1024;

/// A balance request that was read.
#[derive(Debug)]
pub struct Balance<'a> {
    farms: Vec<Cow<'a, str>>,
    format: Option<Format<Phys>>,
    most: usize,
    key: Vec<u8>,
}

impl<'a> Balance<'a> {
    /// Reads `farm_one,farm_two,f="%h",n=3,key=VALUE,t=TOKEN`.
    pub fn parse(mut request: Request<'a>) -> Result<Self, Error> {
        let farms = request.take_words();
        let format = super::format::<Phys>(&mut request)?;
        let most = match request.take("n") {
            None => 1,
            Some(text) => match text.parse() {
                Ok(most @ 1..=MAX_MEMBERS) => most,
                _ => {
                    let problem = format!("not a whole number from 1 to {MAX_MEMBERS}: {:?}", shown(&text));
                    return Err(Error::argument("n", problem));
                }
            },
        };
        let (key, token) = (request.take("key"), request.take("t"));
        if let Some(name) = request.left_over() {
            return Err(Error::argument(name, "unknown argument"));
        }
        if farms.is_empty() {
            return Err(Error::argument("balance", "no farm is named"));
        }
        // A token that is not one of ours counts as a key. Letter case is lost in DNS, where the same key is a label,
        // and both ways must lead to the same member.
        let key = key.or(token).map_or_else(Vec::new, |key| key.to_ascii_lowercase().into_bytes());
        Ok(Self { farms, format, most, key })
    }

    /// How many farms it asks for.
    pub fn things(&self) -> usize {
        self.farms.len()
    }

    /// Asks each farm and writes its lines.
    pub fn answer(&self, asked: &Asked<'_>, sheet: &mut Sheet) -> Result<(), Error> {
        for name in &self.farms {
            match self.ask(name, asked, &mut sheet.text) {
                Ok(()) => {
                    asked.state.metrics.http.balanced.count();
                    sheet.answered();
                }
                Err(error) => sheet.fail(error)?,
            }
        }
        Ok(())
    }

    fn ask(&self, name: &str, asked: &Asked<'_>, out: &mut String) -> Result<(), Error> {
        let farm = asked.state.engine.farm(asked.options.farm_name(name));
        let farm = farm.ok_or_else(|| Error::UnknownFarm(shown(name)))?;
        let ask = Ask { family: None, key: &self.key, now: asked.now };
        let choice = RANDOM.with_borrow_mut(|random| farm.choose_several(&ask, self.most, random));
        match choice {
            Choice::Member(chosen) => {
                for machine in chosen.machines() {
                    match &self.format {
                        None => authority(machine, out),
                        Some(format) => format.print(&Member::new(machine, asked), out),
                    }
                }
                Ok(())
            }
            Choice::Elsewhere(elsewhere) => {
                match &self.format {
                    None => {
                        host_and_port(elsewhere.fallback(), out);
                        out.push('\n');
                    }
                    Some(format) => format.print(elsewhere.fallback(), out),
                }
                Ok(())
            }
            Choice::NoAddress | Choice::Nobody => Err(Error::Nobody(shown(name))),
        }
    }
}

thread_local! {
    /// Random numbers without a lock: a generator for each thread.
    static RANDOM: RefCell<SplitMix> = RefCell::new(SplitMix::from_system());
}

/// A member's line: `10.0.0.11:8080`, `[2001:db8::11]:8080`.
fn authority(machine: &Machine, out: &mut String) {
    if let Some(address) = machine.address(None) {
        address_and_port(address, machine.port, out);
    }
    out.push('\n');
}

/// As the host and port of a URL (RFC 3986, 3.2): IPv6 in brackets, with or without port.
fn address_and_port(address: IpAddr, port: Option<u16>, out: &mut String) {
    let _ = match address {
        IpAddr::V4(address) => write!(out, "{address}"),
        IpAddr::V6(address) => write!(out, "[{address}]"),
    };
    if let Some(port) = port {
        let _ = write!(out, ":{port}");
    }
}

fn host_and_port(fallback: &Fallback, out: &mut String) {
    let _ = match fallback {
        Fallback::Address(address, port) => return address_and_port(*address, *port, out),
        other => write!(out, "{other}"),
    };
}

/// A member that was chosen. Its name, address and port are at hand; the rest is asked of the engine, once, if a format
/// prints it.
struct Member<'a> {
    machine: &'a Arc<Machine>,
    asked: &'a Asked<'a>,
    status: OnceCell<Option<BackendStatus>>,
}

impl<'a> Member<'a> {
    fn new(machine: &'a Arc<Machine>, asked: &'a Asked<'a>) -> Self {
        Self { machine, asked, status: OnceCell::new() }
    }

    fn status(&self) -> Option<Backend<'_>> {
        let Asked { state, now, .. } = self.asked;
        let status =
            self.status.get_or_init(|| state.engine.backend_status(self.machine.name.as_str(), *now));
        status.as_ref().map(|status| Backend { status, now: *now })
    }
}

impl Record<Phys> for Member<'_> {
    fn field(&self, field: Phys, out: &mut String) {
        let _ = match (field, self.machine.address(None), self.machine.port) {
            (Phys::Name, ..) => write!(out, "{}", self.machine.name),
            (Phys::Address, Some(address), _) => write!(out, "{address}"),
            (Phys::Port, _, Some(port)) => write!(out, "{port}"),
            (Phys::Address | Phys::Port, ..) => write!(out, "{NONE}"),
            _ => match self.status() {
                Some(backend) => return backend.field(field, out),
                None => write!(out, "{NONE}"),
            },
        };
    }

    fn named(&self, name: &str, out: &mut String) {
        match self.status() {
            Some(backend) => backend.named(name, out),
            None => out.push_str(NONE),
        }
    }
}

/// A fallback that is no farm has a name (all of it), an address or host, and maybe a port.
impl Record<Phys> for Fallback {
    fn field(&self, field: Phys, out: &mut String) {
        let _ = match (field, self) {
            (Phys::Name, other) => write!(out, "{other}"),
            (Phys::Address, Self::Address(address, _)) => write!(out, "{address}"),
            (Phys::Address, Self::Host(host, _)) => write!(out, "{host}"),
            (Phys::Address, Self::Url { host: UrlHost::Address(address), .. }) => write!(out, "{address}"),
            (Phys::Address, Self::Url { host: UrlHost::Name(host), .. }) => write!(out, "{host}"),
            (Phys::Port, Self::Address(_, Some(port)) | Self::Host(_, Some(port))) => write!(out, "{port}"),
            _ => write!(out, "{NONE}"),
        };
    }

    fn named(&self, _: &str, out: &mut String) {
        out.push_str(NONE);
    }
}
