//! A running node and its interface, from the first answer until it is told to stop.

use super::context::Context;
use crate::api::faucet::Faucet;
use crate::api::guard::{TOKEN_FILE, Token};
use crate::api::views::Status;
use crate::api::{ApiSettings, serve as serve_api};
use crate::client::Client;
use crate::failure::CliError;
use crate::output;
use crate::paths::{RunningNode, register};
use crate::run::Running;
use crate::values::NodeUrl;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long whoever holds a port has to say who it is.
const NEIGHBOUR_WITHIN: Duration = Duration::from_secs(1);

/// What a node is served with.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) directory: PathBuf,
    pub(crate) listener: TcpListener,
    pub(crate) faucet: Option<Faucet>,
}

/// Sends the log to stderr, filtered.
pub(crate) fn log(filter: &str) -> Result<(), CliError> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage("wrong-value", format!("`{filter}` is no filter for the log")).because(&error)
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::colours_on_stderr())
        .with_writer(std::io::stderr);
    // A second subscriber is refused; the first goes on.
    let _ = subscriber.try_init();
    Ok(())
}

/// Takes a port. A busy one is an error that names who holds it, where that can be found out.
pub(crate) fn bind(address: SocketAddr, help: &str) -> Result<TcpListener, CliError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        if error.kind() != std::io::ErrorKind::AddrInUse {
            return CliError::failed("cannot-listen", format!("nobody can listen on {address}")).because(&error);
        }
        let holder = holder_of(address).map_or_else(String::new, |holder| format!(": {holder} answers there"));
        CliError::failed("port-in-use", format!("port {} is in use already{holder}", address.port())).help(help)
    })
}

/// Who holds a port, if it is a node of ours.
fn holder_of(address: SocketAddr) -> Option<String> {
    let url = NodeUrl::parse(&format!("http://{address}")).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let status: Status = runtime.block_on(async {
        let client = Client::new(url, None);
        tokio::time::timeout(NEIGHBOUR_WITHIN, client.get("/v1/status")).await.ok()?.ok()
    })?;
    Some(format!("the cairn node {} of network \"{}\"", status.name, status.network))
}

/// Answers requests until the node is told to stop; `ready` hears when the first can come.
pub(crate) fn serve(
    running: Running,
    serving: Serving,
    context: &Context,
    ready: impl FnOnce(&RunningNode),
) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        CliError::failed("no-runtime", "the system gives no event queue").because(&error)
    })?;
    let outcome = runtime.block_on(serve_until_stopped(&running, serving, context, ready));
    runtime.shutdown_timeout(Duration::from_secs(1));
    running.stop();
    outcome
}

async fn serve_until_stopped(
    running: &Running,
    serving: Serving,
    context: &Context,
    ready: impl FnOnce(&RunningNode),
) -> Result<(), CliError> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        CliError::failed("cannot-serve", what.to_owned()).because(error)
    };
    let Serving { name, role, directory, listener, faucet } = serving;
    let address = listener.local_addr().map_err(|error| failed("the port is not known", &error))?;
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| failed("the port cannot be listened on", &error))?;
    let token = Token::create(&directory).map_err(|error| failed("the token cannot be made", &error))?;
    let node = running.handle().clone();
    let record = RunningNode {
        pid: std::process::id(),
        name: name.clone(),
        api: format!("http://{address}"),
        network: node.genesis().section().network.name.clone(),
        identity: node.genesis().identity().to_string(),
        token_file: directory.join(TOKEN_FILE),
        data_dir: directory.clone(),
    };
    let (stop, mut stopped) = watch::channel(false);
    stop_on_signals(stop.clone()).map_err(|error| failed("signals cannot be heard", &error))?;
    let api = ApiSettings { node, name, role, token, faucet, stop };
    let server = tokio::spawn(serve_api(listener, address, api));
    // Who finds the node in the register can ask it at once: the port is open.
    let registered = register(&context.directories.runtime, &record);
    if let Err(error) = &registered {
        output::warn(&format!("the node is not in the register, so commands need --node: {error}"));
    }
    ready(&record);
    // The sender lives as long as the server does.
    let _ = stopped.wait_for(|stop| *stop).await;
    let served = server.await;
    drop(registered);
    Token::remove(&directory);
    served.map_err(|error| failed("the interface stopped by itself", &error))
}

/// Turns the first SIGINT or SIGTERM into a stop, and the second into an end.
fn stop_on_signals(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        stop.send_replace(true);
        next().await;
        // The log is whole at any moment, so an end without ceremony loses nothing that was promised.
        output::note("stopped at once");
        std::process::exit(1);
    });
    Ok(())
}
