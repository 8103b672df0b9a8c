//! Listens, and answers each request within its limits.
//!
//! # Provided
//!
//! HTTP/1.1, encrypted where [`Access`] says so, with limits on connections, heads, bodies, time and
//! requests a second; the checks of [`Hosts`] before any route sees a request; headers that keep a browser
//! from misusing an answer. A panic in a request ends its connection, counts, and nothing else.

use crate::api::clients::Client;
use crate::api::connections::{Connections, Places, Slot, Ticket, Watched};
use crate::api::errors::ApiError;
use crate::api::guard::{Hosts, Token};
use crate::api::metrics::HttpMetrics;
use crate::api::rates::{Kind, Limiter, Rates};
use crate::api::tls::Identity;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use axum::response::IntoResponse as _;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;

/// The most connections at once, and of one client of another machine.
pub const PLACES: Places = Places { total: 256, each: 64 };
/// The most bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a request may take until its answer begins.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// How often overdue connections are looked for.
const SWEEP_TIME: Duration = Duration::from_millis(500);
/// How long open requests have when the node stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
/// How long to wait after the system had no descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may ask, how, and how often.
#[derive(Debug)]
pub struct Access {
    /// The names under which the node is asked.
    pub hosts: Hosts,
    /// What shows who the node is; requests come as they are where there is none.
    pub identity: Option<Identity>,
    /// What every request must carry; none where only what changes the node needs the token.
    pub token: Option<Token>,
    /// How much one client may ask.
    pub rates: Rates,
}

/// What every connection needs.
#[derive(Clone)]
struct Serving {
    router: TowerToHyperService<Router>,
    tls: Option<TlsAcceptor>,
    metrics: HttpMetrics,
    door: Arc<Door>,
    stop: watch::Receiver<bool>,
}

/// What a request passes before the router sees it.
struct Door {
    hosts: Hosts,
    token: Option<Token>,
    limiter: Limiter,
}

/// From where a connection comes, and where it arrived.
#[derive(Clone, Copy)]
struct Way {
    client: Client,
    arrived_at: SocketAddr,
}

/// Answers requests on `listener` until `stop` says true, then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    access: Access,
    metrics: HttpMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let Access { hosts, identity, token, rates } = access;
    let serving = Serving {
        router: TowerToHyperService::new(router),
        tls: identity.map(|identity| TlsAcceptor::from(identity.into_config())),
        metrics: metrics.clone(),
        door: Arc::new(Door { hosts, token, limiter: Limiter::new(rates) }),
        stop: stop.clone(),
    };
    let connections = Connections::new(PLACES);
    let mut tasks = JoinSet::new();
    let mut sweep = time::interval(SWEEP_TIME);
    sweep.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => admit(stream, from, &connections, &serving, &mut tasks),
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = tasks.join_next() => metrics.count_end(&ended),
            _ = sweep.tick(), if connections.count() > 0 => connections.sweep(),
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            metrics.count_end(&ended);
        }
    };
    // Whoever has not finished by now is cut off when the tasks are dropped.
    let _ = time::timeout(STOP_TIME_MAX, ended).await;
}

/// Waits until the node stops, or nobody is left who could tell.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Gives a connection its task, or turns it away.
fn admit(
    stream: TcpStream,
    from: SocketAddr,
    connections: &Arc<Connections>,
    serving: &Serving,
    tasks: &mut JoinSet<()>,
) {
    // A connection without an own address has ended already.
    let Ok(arrived_at) = stream.local_addr() else { return };
    let way = Way { client: Client::of(from.ip()), arrived_at };
    match connections.enter(way.client) {
        Some(ticket) => {
            // Answers are small: waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            serving.metrics.count_connection();
            tasks.spawn(run_connection(stream, way, ticket, serving.clone()));
        }
        None => {
            serving.metrics.count_turned_away();
            drop(stream);
        }
    }
}

/// Answers the requests of one connection, until its place is needed.
async fn run_connection(stream: TcpStream, way: Way, ticket: Ticket, serving: Serving) {
    let slot = Arc::clone(ticket.slot());
    let stream = Watched::new(stream, Arc::clone(&slot));
    let conversation = async {
        match serving.tls.clone() {
            None => converse(stream, way, slot, serving).await,
            Some(tls) => {
                // Whoever does not greet as TLS 1.3 has it has nothing to say here.
                let Ok(stream) = tls.accept(stream).await else { return };
                converse(stream, way, slot, serving).await;
            }
        }
    };
    tokio::select! {
        () = conversation => {}
        () = ticket.slot().cut() => {}
    }
}

/// Reads requests and answers them until one side ends it.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    way: Way,
    slot: Arc<Slot>,
    serving: Serving,
) {
    let mut stop = serving.stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let serving = serving.clone();
        let slot = Arc::clone(&slot);
        async move {
            slot.begin_work();
            let request = request.map(|body| Arriving { body, slot: Arc::clone(&slot) });
            let response = answer(request, way, &serving).await;
            slot.end_work(is_stream(&response));
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    // The slot of the connection knows both limits, that of a head and that of a pause.
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection.as_mut() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The answer to one request.
async fn answer(request: Request<Arriving>, way: Way, serving: &Serving) -> Response<Body> {
    let mut response = match serving.door.check(&request, way) {
        Err(error) => error.into_response(),
        Ok(()) => match time::timeout(REQUEST_TIME_MAX, serving.router.call(request)).await {
            Ok(Ok(response)) => response,
            Err(_elapsed) => ApiError::timeout().into_response(),
        },
    };
    serving.metrics.count_answer(response.status());
    for (name, value) in SAFETY_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

impl Door {
    /// Whether the router may see a request.
    fn check(&self, request: &Request<Arriving>, way: Way) -> Result<(), ApiError> {
        let kind = if request.method().is_safe() { Kind::Read } else { Kind::Write };
        self.limiter.take(way.client, kind).map_err(|_wait| ApiError::too_often())?;
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        self.hosts.check(method, uri, headers, way.arrived_at)?;
        self.token.as_ref().map_or(Ok(()), |token| token.check(headers))
    }
}

/// A body on its way; while the node waits for it, the place of the connection says so.
struct Arriving {
    body: Incoming,
    slot: Arc<Slot>,
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match frame {
            Poll::Pending => self.slot.wait_for_body(),
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(_) => self.slot.begin_work(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What every answer tells a browser: guess nothing, tell nobody where the link was, run nothing.
const SAFETY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

fn is_stream(response: &Response<Body>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream")
}
