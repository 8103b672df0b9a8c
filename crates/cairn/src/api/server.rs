//! Listens, and answers each request within its limits.
//!
//! # Provided
//!
//! HTTP/1.1 with limits on connections, heads, bodies and time; the checks of [`Hosts`] before any
//! route sees a request; headers that keep a browser from misusing an answer. A panic in a request
//! ends its connection, counts, and nothing else.
//!
//! # Not provided
//!
//! Encryption: the server listens on loopback.

use crate::api::connections::{Connections, Ticket, Watched};
use crate::api::errors::ApiError;
use crate::api::guard::Hosts;
use crate::api::metrics::HttpMetrics;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

/// The most connections at once.
pub const CONNECTIONS_MAX: usize = 256;
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

/// What every connection needs.
#[derive(Clone)]
struct Serving {
    router: TowerToHyperService<Router>,
    hosts: Arc<Hosts>,
    metrics: HttpMetrics,
    stop: watch::Receiver<bool>,
}

/// Answers requests on `listener` until `stop` says true, then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    hosts: Hosts,
    metrics: HttpMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let serving = Serving {
        router: TowerToHyperService::new(router),
        hosts: Arc::new(hosts),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let connections = Connections::new(CONNECTIONS_MAX);
    let mut tasks = JoinSet::new();
    let mut sweep = time::interval(SWEEP_TIME);
    sweep.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &connections, &serving, &mut tasks),
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
fn admit(stream: TcpStream, connections: &Arc<Connections>, serving: &Serving, tasks: &mut JoinSet<()>) {
    match connections.enter() {
        Some(ticket) => {
            // Answers are small: waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            serving.metrics.count_connection();
            tasks.spawn(run_connection(stream, ticket, serving.clone()));
        }
        None => {
            serving.metrics.count_turned_away();
            drop(stream);
        }
    }
}

/// Answers the requests of one connection.
async fn run_connection(stream: TcpStream, ticket: Ticket, serving: Serving) {
    let slot = Arc::clone(ticket.slot());
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&slot)));
    let mut stop = serving.stop.clone();
    let service = service_fn(move |request| {
        let serving = serving.clone();
        let slot = Arc::clone(&slot);
        async move {
            slot.begin_work();
            let response = answer(request, &serving).await;
            slot.end_work(is_stream(&response));
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    // The slot of the connection knows both limits, that of a head and that of a pause.
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection.as_mut() => {}
        () = ticket.slot().cut() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The answer to one request.
async fn answer(request: Request<Incoming>, serving: &Serving) -> Response<Body> {
    let checked = serving.hosts.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
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
