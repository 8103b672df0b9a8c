//! The HTTP client of the commands: one node, kept-alive connections, the same JSON types as the server;
//! over TLS where the node can be reached by others, which then sees the token with every request.

mod help;

use crate::api::errors::{ApiError, of_block};
use crate::api::tls::{TlsError, client_config};
use crate::api::views::{ErrorBody, ErrorView, Status, SubmitResult, Submitted};
use crate::failure::CliError;
use crate::values::{NodeTrust, NodeUrl};
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use cairn_core::block::BlockError;
use help::command_help;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest token file that is read.
const TOKEN_BYTES_MAX: u64 = 1024;

/// A node as the commands talk to it.
#[derive(Clone, Debug)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>,
    url: NodeUrl,
    token_file: Option<PathBuf>,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no node answers at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer did not come in time.
    #[error("{url} did not answer within {} s", .within.as_secs())]
    TimedOut {
        /// Where.
        url: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection broke before the answer was there.
    #[error("the connection to {url} broke")]
    Broken {
        /// Where.
        url: String,
        /// What the system said.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer is not one of a node of this version.
    #[error("the answer of {url} is not one of a cairn node")]
    NotANode {
        /// Where.
        url: String,
    },
    /// The node refused.
    #[error("{}", .error.message)]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// Why.
        error: Box<ErrorView>,
    },
    /// The token that the request needs cannot be read.
    #[error("the token file cannot be read")]
    NoToken {
        /// Where it should be.
        file: Option<PathBuf>,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Client {
    /// A client of the node at `url`; requests that change the node carry the token of `token_file`.
    /// It knows no certificate, so that `url` must be one of `http`.
    pub fn new(url: NodeUrl, token_file: Option<PathBuf>) -> Self {
        let config = client_config(None).expect("no file is read");
        Self { http: connections(config), url, token_file }
    }

    /// The same client, which trusts certificates as `trust` says.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the file with certificates cannot be read.
    pub fn trusting(self, trust: &NodeTrust) -> Result<Self, TlsError> {
        Ok(Self { http: connections(client_config(Some(trust))?), ..self })
    }

    /// Where the node is.
    pub const fn url(&self) -> &NodeUrl {
        &self.url
    }

    /// Asks for what lies at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (_, bytes) = self.exchange(self.request(Method::GET, path, Body::empty())).await?;
        self.read(&bytes)
    }

    /// Asks for the bytes at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get_bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.exchange(self.request(Method::GET, path, Body::empty())).await.map(|(_, bytes)| bytes)
    }

    /// Sends `value` to `path` with the node's token.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn command<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bearer = match self.bearer() {
            Ok(bearer) => bearer,
            Err(error) => {
                // That nobody is there is the better answer, where nobody is.
                self.get::<Status>("/v1/status").await?;
                return Err(error);
            }
        };
        let body = serde_json::to_vec(value).expect("requests are JSON");
        let mut request = self.request(Method::POST, path, Body::from(body));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, "application/json".parse().expect("a header value"));
        headers.insert(AUTHORIZATION, bearer);
        let (_, bytes) = self.exchange(request).await?;
        self.read(&bytes)
    }

    /// Submits the canonical bytes of one transaction.
    ///
    /// # Errors
    ///
    /// [`ClientError`], with the broken rule if the node refused the transaction.
    pub async fn submit(&self, transaction: Vec<u8>) -> Result<Submitted, ClientError> {
        let (_, bytes) = self.exchange(self.submission(Bytes::from(transaction))).await?;
        self.read(&bytes)
    }

    /// Submits the canonical bytes of two or more transactions, one behind the other.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what became of each transaction stands in the answer.
    pub async fn submit_many(&self, transactions: Bytes) -> Result<Vec<SubmitResult>, ClientError> {
        let (_, bytes) = self.exchange(self.submission(transactions)).await?;
        self.read(&bytes)
    }

    fn submission(&self, bytes: Bytes) -> Request<Body> {
        let mut request = self.request(Method::POST, "/v1/transactions", Body::from(bytes));
        let kind = "application/octet-stream".parse().expect("a header value");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        request
    }

    fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.as_str()))
            .header(ACCEPT, "application/json")
            .body(body)
            .expect("a checked address and a path of our own make an URI");
        // A node that is reached from elsewhere wants it always, and says so where it is missing.
        if let Some(bearer) = self.url.is_encrypted().then(|| self.bearer().ok()).flatten() {
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        request
    }

    /// Sends a request and reads the whole answer, which is one of success.
    async fn exchange(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), ClientError> {
        let url = || self.url.as_str().to_owned();
        let whole = async {
            let answer = self.http.request(request).await.map_err(|source| {
                if source.is_connect() {
                    ClientError::Unreachable { url: url(), source }
                } else {
                    ClientError::Broken { url: url(), source }
                }
            })?;
            let status = answer.status();
            let bytes = axum::body::to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await;
            Ok((status, bytes.map_err(|_| ClientError::NotANode { url: url() })?))
        };
        let within = ANSWER_WITHIN;
        let (status, bytes) = tokio::time::timeout(within, whole)
            .await
            .unwrap_or_else(|_| Err(ClientError::TimedOut { url: url(), within }))?;
        if status.is_success() {
            return Ok((status, bytes));
        }
        let body: ErrorBody = self.read(&bytes)?;
        Err(ClientError::Refused { status, error: Box::new(body.error) })
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|_| ClientError::NotANode { url: self.url.as_str().to_owned() })
    }

    fn bearer(&self) -> Result<HeaderValue, ClientError> {
        use std::io::Read as _;
        let missing = |source| ClientError::NoToken { file: self.token_file.clone(), source };
        let file = self.token_file.as_ref().ok_or_else(|| missing(std::io::ErrorKind::NotFound.into()))?;
        let mut text = String::new();
        let file = std::fs::File::open(file).map_err(missing)?;
        file.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(missing)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        bearer.map_err(|_| missing(std::io::Error::other("the file holds no token")))
    }
}

fn connections(
    config: ClientConfig,
) -> hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_WITHIN));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    client.build(builder.wrap_connector(connector))
}

/// Whether something failed because nothing makes the node's certificate trustworthy.
fn is_mistrust(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // An error of the system shows what it wraps only when it is asked for that.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => is_mistrust(wrapped),
        None => error.source().is_some_and(is_mistrust),
    }
}

/// What a node would refuse is refused here with the same words.
impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let help = command_help(error.code).map_or(error.help, Cow::Borrowed);
        let failure = Self::failed(error.code, error.message).help(help);
        match error.rule {
            Some(rule) => failure.rule(rule),
            None => failure,
        }
    }
}

impl CliError {
    /// With the rule that a block breaks, and what the block has instead.
    #[must_use]
    pub fn broken_by(self, error: &BlockError) -> Self {
        let failure = self.because(error);
        match of_block(error).rule {
            Some(rule) => failure.rule(rule),
            None => failure,
        }
    }
}

impl From<TlsError> for CliError {
    fn from(error: TlsError) -> Self {
        let failure = Self::failed("unusable-certificate", error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match &error {
            ClientError::Unreachable { url, source } if is_mistrust(source) => Self::unreachable(
                "unknown-certificate",
                format!("the certificate of {url} is not a known one"),
            )
            .because(source)
            .help("say which to trust, as the node printed it: `--node-cert sha256:…`, or a PEM file"),
            ClientError::Unreachable { source, .. } => Self::unreachable("no-node", message)
                .because(source)
                .help("start one: `cairn devnet`; or say where it is: `--node URL`"),
            ClientError::TimedOut { .. } => Self::timed_out("no-answer", message)
                .help("is the machine very busy? `cairn --node URL …` asks another node"),
            ClientError::Broken { source, .. } => Self::unreachable("connection-broken", message)
                .because(source)
                .help("did the node stop? or does it speak TLS: then its address begins with https://"),
            ClientError::NotANode { .. } => Self::unreachable("not-a-node", message)
                .help("is something else behind this port, or a node of another version?"),
            ClientError::Refused { error, .. } => {
                let failure = Self::failed(error.code.clone(), message);
                let failure = match &error.rule {
                    Some(rule) => failure.rule(rule.clone()),
                    None => failure,
                };
                match command_help(&error.code) {
                    Some(help) => failure.help(help),
                    None if error.help.is_empty() => failure,
                    None => failure.help(error.help.clone()),
                }
            }
            ClientError::NoToken { file, source } => {
                let help = match file {
                    Some(file) => format!("{} must be a file that you can read", file.display()),
                    None => "say where the node keeps it: `--token-file FILE`".to_owned(),
                };
                Self::failed("no-token", message).because(source).help(help)
            }
        }
    }
}
