//! One connection to a backend: TCP, TLS if it shall be, and a request that asks no more than it must.
//!
//! Each look has a connection of its own, because that a connection can be made is most of what is to be found out. There
//! are no redirects, no cookies, no compression and no proxies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::plan::{Call, Encryption, Method, Target};
use super::trouble::Trouble;
use crate::balance::view::Machine;
use crate::fetch::{Broken, Connection};
use crate::tls::Trust;

/// Who we say that we are.
const AGENT: &str = concat!("athena/", env!("CARGO_PKG_VERSION"));
/// What we read: exporters and JSON pages alike, plainest first.
const READS: &str = "text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.5";

/// The addresses of a backend that answers give: the first of each family.
pub fn addresses(machine: &Machine) -> Vec<std::net::IpAddr> {
    let mut addresses: Vec<std::net::IpAddr> =
        machine.v4().map(Into::into).into_iter().chain(machine.v6().map(Into::into)).collect();
    // The preferred one first.
    addresses.sort_by_key(|address| machine.addresses.iter().position(|it| it == address));
    addresses
}

/// Connects to one target.
pub struct Caller {
    target: Target,
    /// How to speak TLS, or why we cannot.
    tls: Option<Result<Arc<ClientConfig>, String>>,
}

impl Caller {
    /// One for this target.
    pub fn new(target: Target, trust: &Trust) -> Self {
        let tls = match target.encryption {
            Encryption::Off => None,
            Encryption::Verified => Some(trust.system()),
            Encryption::Unverified => Some(Ok(trust.anybody())),
        };
        Self { target, tls }
    }

    /// `http://10.0.0.11:8080/path`: for people.
    pub fn url(&self, address: SocketAddr, call: &Call) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}{}", call.path)
    }

    /// A connection on which nothing was said yet but, where it shall be, the handshake of TLS. `limit` is for each of both.
    pub async fn connect(&self, address: std::net::IpAddr, limit: Duration) -> Result<Stream, Trouble> {
        let address = SocketAddr::new(address, self.target.port);
        let stream = timeout(limit, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| Trouble::NoConnection(limit))?;
        let stream = stream.map_err(|error| Trouble::of(error, address))?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let config = tls.as_ref().map_err(|why| Trouble::Tls(why.clone()))?;
        let name = self.name(address)?;
        let shaken = timeout(limit, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await;
        let stream = shaken.map_err(|_| Trouble::NoAnswer(limit))?;
        Ok(Stream::Encrypted(Box::new(stream.map_err(|error| Trouble::Tls(error.to_string()))?)))
    }

    /// The same, ready for requests.
    pub async fn open(&self, address: std::net::IpAddr, limit: Duration) -> Result<Connection, Trouble> {
        Ok(match self.connect(address, limit).await? {
            Stream::Plain(stream) => Connection::over(stream).await?,
            Stream::Encrypted(stream) => Connection::over(*stream).await?,
        })
    }

    /// The name that the certificate must be for.
    fn name(&self, address: SocketAddr) -> Result<ServerName<'static>, Trouble> {
        let Some(host) = &self.target.host else { return Ok(address.ip().into()) };
        let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let name = name.map_or(host.as_str(), |(name, _)| name).trim_matches(['[', ']']).to_owned();
        ServerName::try_from(name).map_err(|error| Trouble::Tls(error.to_string()))
    }

    /// A request to whoever is at this address.
    pub fn request(&self, address: std::net::IpAddr, call: &Call) -> Result<Request<Full<Bytes>>, Trouble> {
        let address = SocketAddr::new(address, self.target.port);
        let host = self.target.host.clone().unwrap_or_else(|| address.to_string());
        let method = match call.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(&call.path)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, READS)
            .header(CONNECTION, "close");
        if let Some(authorization) = &call.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::default());
        request.map_err(|error| Broken::Io(std::io::Error::other(error)).into())
    }
}

/// A connection.
pub enum Stream {
    /// TCP
    Plain(TcpStream),
    /// TLS over it.
    Encrypted(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}
