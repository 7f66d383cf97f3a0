//! The HTTP connection to one peer: kept open, with a time-out on every step.
//!
//! One request at a time: whoever sends next waits for the answer anyhow, and meanwhile a batch gathers. Every message
//! may be sent twice without harm, so one that fails on a connection that was open for a while is sent again on a new
//! one; the peer may have closed it at the same moment.
//!
//! Over HTTPS nothing is said, the key least of all, before the peer has shown a certificate for the name or address in its
//! URL. No redirect is followed: the key goes where the configuration says and nowhere else.

use std::future::Future;
use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Peer;
use super::link::Trouble;
use crate::fetch::{Broken, Connection, read};
use crate::http::text::mirror::WHO;
use crate::tls::{Authorities, connecting};

/// To be connected. Together with the longest wait between attempts it is well below the 2 s in which two Athenas agree
/// again after healing, even if the healing falls into an attempt.
const CONNECT: Duration = Duration::from_millis(500);
/// The same for TLS on top of it: two more ways to the peer and back.
const HANDSHAKE: Duration = Duration::from_millis(500);
/// To be answered: the peer may have to wait for its disk.
const ANSWER: Duration = Duration::from_secs(2);
/// To read an answer to its end: the state of a hundred thousand backends over a slow line.
const BODY: Duration = Duration::from_secs(30);
/// Longest answer, in octets.
const MAX_ANSWER: usize = 256 << 20;

/// What a peer answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub text: String,
}

/// Whoever carries requests to a peer.
pub trait Carry: Send {
    /// Asks for `path`, relative to the peer's base, with a form as body if there is one (POST), else without (GET).
    fn ask(
        &mut self,
        path: &str,
        form: Option<String>,
    ) -> impl Future<Output = Result<Answer, Trouble>> + Send;
}

/// See the module's head.
pub struct Client {
    peer: Peer,
    /// What TLS needs, if it is spoken; or why it cannot be.
    tls: Option<Result<(TlsConnector, ServerName<'static>), String>>,
    authorization: Option<HeaderValue>,
    who: Option<HeaderValue>,
    open: Option<Connection>,
}

impl Client {
    /// One that is not connected yet; trusts peers over HTTPS that `authorities` or else the system vouch for, brings `key`
    /// and says that it is `name`.
    pub fn new(peer: Peer, authorities: Option<&Authorities>, key: Option<&str>, name: &str) -> Self {
        let tls = peer.tls.then(|| {
            let name = ServerName::try_from(peer.host.clone());
            let name = name.map_err(|_| format!("{} is no name that a certificate can bear", peer.host))?;
            let config = connecting(authorities).map_err(|error| format!("tls: {error}"))?;
            Ok((TlsConnector::from(config), name))
        });
        let authorization = key.and_then(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { peer, tls, authorization, who: HeaderValue::try_from(name).ok(), open: None }
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let address = (self.peer.host.as_str(), self.peer.port);
        let stream = timeout(CONNECT, TcpStream::connect(address)).await;
        let stream =
            stream.map_err(|_| Trouble::Silent("no connection", CONNECT))?.map_err(Trouble::Connect)?;
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Ok(Connection::over(stream).await?),
            Some(Err(why)) => Err(Trouble::Connect(io::Error::other(why.clone()))),
            Some(Ok((connector, name))) => {
                let secured = timeout(HANDSHAKE, connector.connect(name.clone(), stream)).await;
                let secured = secured.map_err(|_| Trouble::Silent("no TLS handshake", HANDSHAKE))?;
                Ok(Connection::over(secured.map_err(Trouble::Connect)?).await?)
            }
        }
    }

    fn request(&self, path: &str, form: Option<&str>) -> Result<Request<Full<Bytes>>, Trouble> {
        let Peer { host, port, base, .. } = &self.peer;
        let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::builder().uri(format!("{base}/{path}")).header(HOST, host);
        if let Some(who) = &self.who {
            request = request.header(WHO, who);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = match form {
            None => request.method("GET").body(Full::default()),
            Some(form) => {
                let request =
                    request.method("POST").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                request.body(Full::from(form.to_owned()))
            }
        };
        request.map_err(|error| Trouble::Connect(io::Error::other(error)))
    }

    async fn ask_once(
        &self,
        connection: &mut Connection,
        path: &str,
        form: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let request = self.request(path, form)?;
        let answer = timeout(ANSWER, connection.ask(request)).await;
        let answer = answer.map_err(|_| Trouble::Silent("no answer", ANSWER))??;
        let status = answer.status().as_u16();
        let body = timeout(BODY, read(answer, MAX_ANSWER)).await;
        let body = body.map_err(|_| Trouble::Silent("no end of its answer", BODY))??;
        let text = String::from_utf8(body.into());
        let text = text.map_err(|_| Trouble::Nonsense("its answer is not UTF-8".to_owned()))?;
        Ok(Answer { status, text })
    }
}

impl Carry for Client {
    async fn ask(&mut self, path: &str, form: Option<String>) -> Result<Answer, Trouble> {
        if let Some(mut connection) = self.open.take_if(|connection| !connection.is_closed())
            && let Ok(answer) = self.ask_once(&mut connection, path, form.as_deref()).await
        {
            self.open = Some(connection);
            return Ok(answer);
        }
        let mut connection = self.connect().await?;
        let answer = self.ask_once(&mut connection, path, form.as_deref()).await?;
        self.open = Some(connection);
        Ok(answer)
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Io(error) => Self::Connect(error),
            nonsense @ (Broken::NotHttp | Broken::TooLong(_)) => Self::Nonsense(nonsense.to_string()),
        }
    }
}
