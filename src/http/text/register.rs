//! Where a backend is that nobody configured: `A=10.0.0.5` (or `A=10.0.0.5+2001:db8::5`) and `P=8080` in its report, and
//! else the address that the report comes from.
//!
//! Registering takes all of this: `access.auto_register`, update access with its key, a name that a farm names by
//! pattern, an address in `access.auto_register_networks`, and room. For backends that are configured the two arguments
//! are read and passed over, so that one script does for all.
//!
//! A report moves its backend, but for one that names no address and nothing but health (`v=down`): that may come from a
//! checker elsewhere.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Asked;
use crate::balance::Update;
use crate::balance::registration::{MAX_ADDRESSES, Whereabouts, is_host_address};
use crate::balance::update::BackendUpdate;
use crate::http::access::Denied;
use crate::http::error::{Error, shown};

/// What a report says in so many words of where its backend is.
pub fn said(update: &mut BackendUpdate) -> &mut Whereabouts {
    let nothing = || Whereabouts { addresses: Vec::new(), port: None, is_said: true };
    update.whereabouts.get_or_insert_with(nothing)
}

/// `10.0.0.5`, or several with `+` between them.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, Error> {
    let mut addresses = Vec::new();
    for part in text.split('+') {
        let address = part.parse::<IpAddr>().map_err(|_| {
            let problem = format!("not an address such as 10.0.0.5 or 2001:db8::5: {:?}", shown(part));
            Error::argument("A", problem)
        })?;
        let address = address.to_canonical();
        is_host_address(address).map_err(|why| Error::argument("A", format!("{address}: {why}")))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.len() {
        0..=MAX_ADDRESSES => Ok(addresses),
        many => Err(Error::argument("A", format!("at most {MAX_ADDRESSES} addresses, not {many}"))),
    }
}

/// A port.
pub fn port(text: &str) -> Result<u16, Error> {
    let port = text.parse::<u16>().ok().filter(|port| *port != 0);
    port.ok_or_else(|| Error::argument("P", format!("not a port from 1 to 65535: {:?}", shown(text))))
}

/// Fills in where reports come from, and refuses who would be where nobody may be. What is of no use is taken out, so that
/// the engine needs not look at it.
pub fn locate(updates: &mut [Update], asked: &Asked<'_>) -> Result<(), Error> {
    for update in updates {
        let Update::Backend(update) = update else { continue };
        match &asked.options.register {
            Some(networks) if update.is_report() => locate_one(update, networks, asked)?,
            _ => update.whereabouts = None,
        }
    }
    Ok(())
}

fn locate_one(update: &mut BackendUpdate, networks: &[IpNet], asked: &Asked<'_>) -> Result<(), Error> {
    let mut whereabouts = update.whereabouts.take();
    let names_addresses = whereabouts.as_ref().is_some_and(|at| !at.addresses.is_empty());
    if !names_addresses {
        let Some(address) = asked.sender.address else { return Ok(()) };
        let from = Whereabouts { addresses: Vec::new(), port: None, is_said: false };
        whereabouts.get_or_insert(from).addresses.push(address);
    }
    let Some(whereabouts) = whereabouts else { return Ok(()) };
    let Some(&outside) = whereabouts.addresses.iter().find(|address| !within(networks, **address)) else {
        update.whereabouts = Some(whereabouts);
        return Ok(());
    };
    let engine = &asked.state.engine;
    let name = update.backend.as_str();
    // Whoever reports on others from there may go on.
    if names_addresses || (engine.machine(name).is_none() && engine.may_register(name)) {
        let argument = if names_addresses { "A" } else { "h" }.to_owned();
        return Err(Error::Denied { argument, denied: Denied::Register(outside) });
    }
    Ok(())
}

/// Whether an address is in one of the networks.
pub fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports_are_read_or_named() {
        let list = |text: &str| addresses(text).map(|list| list.len()).map_err(|error| error.to_string());
        assert_eq!(list("10.0.0.5+2001:db8::5+10.0.0.5+::ffff:10.0.0.5"), Ok(2));
        let wrong = "A: not an address such as 10.0.0.5 or 2001:db8::5: \"web\"";
        assert_eq!(list("10.0.0.5+web"), Err(wrong.to_owned()));
        assert_eq!(list("0.0.0.0"), Err("A: 0.0.0.0: this address means \"any\"".to_owned()));
        assert!(list("").is_err());
        let many: Vec<_> = (1..10).map(|index| format!("10.0.0.{index}")).collect();
        assert_eq!(list(&many.join("+")), Err("A: at most 8 addresses, not 9".to_owned()));
        assert_eq!(port("8080"), Ok(8080));
        assert_eq!(port("0").unwrap_err().to_string(), "P: not a port from 1 to 65535: \"0\"");
        assert!(port("http").is_err());
    }
}
