//! The stream of news as server-sent events (WHATWG HTML, 9.2).

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::query;
use crate::api::views::{ErrorBody, EventView, EventsQuery, parse_number};
use crate::events::{Delivery, SUBSCRIBERS_MAX, Subscription};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time;

/// How many parcels of events wait to be sent to one listener.
const PARCELS_MAX: usize = 2;
/// After how much silence a listener hears that the node is still there.
const PING_TIME: Duration = Duration::from_secs(15);
/// Opens the stream; a listener who is cut off comes again after a second.
const OPENING: &[u8] = b"retry: 1000\n\n";
const PING: &[u8] = b": still here\n\n";

/// News as it happens. Ids grow; `Last-Event-ID` goes on behind an event, among at least the newest
/// 10,000; who asks for others gets an event `reset` first.
#[utoipa::path(get, path = "/v1/events", tag = "news", params(EventsQuery), responses(
    (status = 200, content_type = "text/event-stream", body = EventView),
    (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn stream(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let EventsQuery { after } = query(&uri)?;
    let last = match headers.get("last-event-id") {
        None => after,
        Some(value) => {
            let id = value.to_str().ok().and_then(parse_number);
            Some(id.ok_or_else(|| ApiError::malformed_parameter("Last-Event-ID", "the id of an event"))?)
        }
    };
    let subscription = api.node.events().subscribe(last);
    let subscription = subscription.ok_or_else(|| ApiError::too_many_subscribers(SUBSCRIBERS_MAX))?;
    let (parcels, body) = mpsc::channel(PARCELS_MAX);
    tokio::spawn(deliver(subscription, parcels));
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, Body::new(EventBody(body))))
}

/// Takes parcels to a listener until it goes, is too slow, or the node stops.
async fn deliver(mut subscription: Subscription, parcels: mpsc::Sender<Bytes>) {
    if parcels.send(Bytes::from_static(OPENING)).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            next = time::timeout(PING_TIME, subscription.next()) => next,
            () = parcels.closed() => return,
        };
        let (parcel, is_last) = match next {
            Ok(Delivery::Frames(frames)) => (frames, false),
            Ok(Delivery::Last(frames)) => (frames, true),
            Ok(Delivery::Closed) => return,
            Err(_elapsed) => (Bytes::from_static(PING), false),
        };
        if parcels.send(parcel).await.is_err() || is_last {
            return;
        }
    }
}

/// A body that ends when nothing more comes.
struct EventBody(mpsc::Receiver<Bytes>);

impl hyper::body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|parcel| parcel.map(|bytes| Ok(Frame::data(bytes))))
    }
}
