//! HTTP/1.1 to others: one request at a time on a connection that somebody else opened. The mirror asks its peers with it,
//! the probes ask backends.
//!
//! What comes back is held to limits here (head, fields, body); how long anything may take is for the caller to say, who
//! knows what it waits for.

use std::io;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

/// Longest head of an answer, in octets.
const MAX_HEAD: usize = 16 << 10;
/// Most header fields of an answer.
const MAX_FIELDS: usize = 64;

/// Why there is no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// What came is no HTTP, or its head is longer than we read.
    #[error("its answer is not HTTP")]
    NotHttp,
    /// Its body is longer than this many octets.
    #[error("its answer has more than {0} octets")]
    TooLong(usize),
    /// The connection ended too soon.
    #[error("{0}")]
    Io(io::Error),
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() {
            return Self::NotHttp;
        }
        Self::Io(io::Error::other(error))
    }
}

/// An open connection. Dropping it closes it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves its octets.
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Speaks HTTP over this stream from now on.
    pub async fn over<S>(stream: S) -> Result<Self, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .handshake(TokioIo::new(stream))
            .await?;
        let task = tokio::spawn(async move {
            // Whoever asks is told of the failure.
            let _ = connection.await;
        });
        Ok(Self { sender, task: task.abort_handle() })
    }

    /// Whether the other end has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and gives the head of the answer, whose body is still to be [`read`].
    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

/// The body of an answer, of up to `most` octets.
pub async fn read(answer: Response<Incoming>, most: usize) -> Result<Bytes, Broken> {
    let body = Limited::new(answer.into_body(), most).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => Broken::TooLong(most),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Broken::from(*error),
            Err(error) => Broken::Io(io::Error::other(error)),
        },
    })?;
    Ok(body.to_bytes())
}
