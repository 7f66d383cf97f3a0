//! hickory-server as it comes: one record in an in-memory zone, answered by its own UDP loop on one thread.
//!
//! `hickory ADDRESS:PORT` answers `farm_one.athena. A`; stops when it is killed.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record};
use hickory_server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: hickory ADDRESS:PORT")?;
    let origin = Name::from_str("athena.")?;
    let server = Name::from_str("ns.athena.")?;
    let soa = SOA::new(server, Name::from_str("hostmaster.athena.")?, 1, 3600, 600, 86400, 0);
    let mut zone: InMemoryZoneHandler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    zone.upsert_mut(Record::from_rdata(origin.clone(), 0, RData::SOA(soa)), 0);
    let member = RData::A(A::new(127, 0, 0, 11));
    zone.upsert_mut(Record::from_rdata(Name::from_str("farm_one.athena.")?, 0, member), 0);
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone) as Arc<dyn ZoneHandler>]);
    let mut server = Server::new(catalog);
    server.register_socket(tokio::net::UdpSocket::bind(address).await?);
    server.block_until_done().await?;
    Ok(())
}
