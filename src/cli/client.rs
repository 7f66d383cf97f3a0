//! Requests in the text protocol to a running Athena.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Failure;
use crate::tls;

/// A server that says nothing for so long cannot be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer: the status of very many backends.
const MAX_ANSWER: u64 = 1 << 30;
/// Longest message of a server's that is shown.
const MAX_MESSAGE: usize = 400;
/// What stands in a value as it is; all else is percent-encoded, separators of the protocol above all.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// Where the running Athena is
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The running Athena")]
pub struct Client {
    /// Its address
    #[arg(long, value_name = "URL", env = "ATHENA_SERVER", default_value = "http://127.0.0.1:8053")]
    server: String,
    /// Who vouches for it where it speaks https: certificates in PEM [default: those that the system trusts]
    #[arg(long, value_name = "FILE", env = "ATHENA_CA")]
    ca: Option<PathBuf>,
    /// The path of its text protocol
    #[arg(long, value_name = "PATH", env = "ATHENA_PATH", default_value = "/ath")]
    path: String,
    /// The key that it asks for
    #[arg(long, value_name = "KEY", env = "ATHENA_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// A query string, part by part.
#[derive(Debug, Default, Clone)]
pub struct Query(String);

impl Query {
    /// One word more, such as a farm's name. Names are asked for in lower case: a capital E in first place would mean
    /// something else.
    pub fn word(mut self, word: &str) -> Self {
        self.separate();
        self.0.extend(utf8_percent_encode(&word.to_ascii_lowercase(), PLAIN));
        self
    }

    /// One `key=value` more.
    pub fn pair(mut self, key: &str, value: &str) -> Self {
        self.separate();
        self.0.extend(utf8_percent_encode(key, PLAIN));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, PLAIN));
        self
    }

    fn separate(&mut self) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
    }
}

impl Client {
    /// Asks for text.
    pub fn ask(&self, resource: &str, query: &Query) -> Result<String, Failure> {
        self.get(resource, query, "text/plain")
    }

    /// Asks for JSON.
    pub fn ask_json(&self, resource: &str, query: &Query) -> Result<String, Failure> {
        self.get(resource, query, "application/json")
    }

    fn get(&self, resource: &str, query: &Query, accept: &str) -> Result<String, Failure> {
        let url = self.url(resource, query)?;
        let mut request = self.agent(PATIENCE)?.get(&url).header("accept", accept);
        if let Some(bearer) = self.bearer() {
            request = request.header("authorization", bearer);
        }
        self.answer(request.call())
    }

    /// Has something changed.
    pub fn change(&self, resource: &str, query: &Query) -> Result<String, Failure> {
        self.session(PATIENCE)?.change(resource, query)
    }

    /// The way for many changes, each of which has so much time. Refuses what is wrong with the server's URL or
    /// certificates.
    pub fn session(&self, patience: Duration) -> Result<Session, Failure> {
        self.url("", &Query::default())?;
        Ok(Session { agent: self.agent(patience)?, client: self.clone() })
    }

    fn bearer(&self) -> Option<String> {
        self.key.as_ref().filter(|key| !key.is_empty()).map(|key| format!("Bearer {key}"))
    }

    /// `http://127.0.0.1:8053` + `/ath` + `/balance/` + `?` + query
    fn url(&self, resource: &str, Query(query): &Query) -> Result<String, Failure> {
        let server = match self.server.split_once("://") {
            Some(("http" | "https", _)) => self.server.clone(),
            None => format!("http://{}", self.server),
            Some((scheme, _)) => {
                return Err(Failure::Usage(format!(
                    "--server {}: {scheme} is not spoken here, http and https are",
                    self.server
                )));
            }
        };
        let path = self.path.trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        Ok(format!("{}{slash}{path}/{resource}/?{query}", server.trim_end_matches('/')))
    }

    /// One that does not follow redirects, and goes straight to the server whatever proxy the environment names.
    fn agent(&self, patience: Duration) -> Result<Agent, Failure> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(patience))
            .user_agent(concat!("athena/", env!("CARGO_PKG_VERSION")));
        if !self.server.starts_with("https://") {
            return Ok(config.build().new_agent());
        }
        let roots = match &self.ca {
            Some(file) => RootCerts::new_with_certs(&authorities(file)?),
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(tls::provider());
        Ok(config.tls_config(tls.build()).build().new_agent())
    }

    fn answer(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<String, Failure> {
        let unreachable = |why: String| Failure::Unreachable { server: self.server.clone(), why };
        let mut response = answer.map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::Usage(format!("--server {}, --path {} or --key: {error}", self.server, self.path))
            }
            ureq::Error::Io(error) => unreachable(error.to_string()),
            error => unreachable(error.to_string()),
        })?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string();
        let body = body.map_err(|error| unreachable(format!("its answer broke off: {error}")))?;
        if status.is_success() { Ok(body) } else { Err(Failure::Refused(reason(status, &body))) }
    }
}

/// A way to a running Athena that keeps its connection.
#[derive(Clone)]
pub struct Session {
    agent: Agent,
    client: Client,
}

impl Session {
    /// Has something changed.
    pub fn change(&self, resource: &str, query: &Query) -> Result<String, Failure> {
        let url = self.client.url(resource, query)?;
        let mut request = self.agent.post(&url).header("accept", "text/plain");
        if let Some(bearer) = self.client.bearer() {
            request = request.header("authorization", bearer);
        }
        self.client.answer(request.send_empty())
    }

    /// Where it leads.
    pub fn server(&self) -> &str {
        &self.client.server
    }
}

/// The certificates in this file.
fn authorities(file: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let refuse = |why: String| Failure::Usage(format!("--ca {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        Err(refuse("expected certificates in PEM".into()))
    } else {
        Ok(certificates)
    }
}

/// What the server said, on one line; all of what is wrong with its configuration.
fn reason(status: StatusCode, body: &str) -> String {
    if status == StatusCode::CONFLICT {
        let visible = |line: &str| line.chars().filter(|character| !character.is_control()).collect();
        return body.trim_end().lines().map(visible).collect::<Vec<String>>().join("\n");
    }
    let first: String = body.lines().next().unwrap_or_default().trim().chars().take(MAX_MESSAGE).collect();
    let visible: String = first.chars().filter(|character| !character.is_control()).collect();
    if visible.is_empty() { format!("the server answered {status}") } else { visible }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str, path: &str) -> Client {
        Client { server: server.into(), ca: None, path: path.into(), key: None }
    }

    #[test]
    fn values_cannot_break_out_of_their_place() {
        let query = Query::default().word("Farm_One").pair("key", "a,b;h=x&%\"").pair("l", "+1");
        assert_eq!(query.0, "farm_one,key=a%2Cb%3Bh%3Dx%26%25%22,l=%2B1");
    }

    #[test]
    fn urls_are_put_together_however_people_write_the_parts() {
        let query = Query::default().word("f");
        let url = |server: &str, path: &str| client(server, path).url("balance", &query).unwrap();
        assert_eq!(url("http://a:1", "/ath"), "http://a:1/ath/balance/?f");
        assert_eq!(url("a:1/", "ath/"), "http://a:1/ath/balance/?f");
        assert_eq!(url("http://a:1", "/"), "http://a:1/balance/?f");
        assert_eq!(url("https://a", "/ath"), "https://a/ath/balance/?f");
        let failure = client("ftp://a", "/ath").url("balance", &query).unwrap_err();
        assert_eq!(
            (failure.code(), failure.to_string()),
            (2, "--server ftp://a: ftp is not spoken here, http and https are".into())
        );
    }

    #[test]
    fn a_refusal_is_one_line_without_tricks() {
        assert_eq!(reason(StatusCode::NOT_FOUND, "unknown farm: x\nmore\n"), "unknown farm: x");
        assert_eq!(reason(StatusCode::BAD_GATEWAY, ""), "the server answered 502 Bad Gateway");
        assert_eq!(reason(StatusCode::OK, "\x1b[2Jgone"), "[2Jgone");
    }
}
