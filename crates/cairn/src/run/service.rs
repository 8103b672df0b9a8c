//! Nodes with their interfaces, from start to stop: what `cairn node` and `cairn devnet` have in common.

use super::links::{LinkError, LinkSettings, Links};
use super::supervisor::Supervisor;
use super::{NodeHandle, NodeSettings, Progress, RunError, Running};
use crate::api::faucet::Faucet;
use crate::api::guard::{Hosts, Scheme, TOKEN_FILE, Token, TokenError};
use crate::api::rates::Rates;
use crate::api::server::Access;
use crate::api::tls::{Identity, TlsError};
use crate::api::views::Status;
use crate::api::{self, ApiSettings};
use crate::paths::{Kind, Registered, RunningNode, register};
use cairn_p2p::NodeId;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long whoever holds a port has to say who it is.
const HOLDER_TIME_MAX: Duration = Duration::from_millis(500);
/// How many connections may wait to be taken; the system may hold fewer.
const WAITING_MAX: i32 = 4096;
/// The most bytes of such an answer.
const HOLDER_BYTES_MAX: u64 = 64 * 1024;
/// The exit status after a second signal, as shells have it for SIGINT.
const FORCED_STATUS: i32 = 130;

/// What a node with an interface is started with.
#[derive(Debug)]
pub struct ServiceSettings {
    /// The node.
    pub node: NodeSettings,
    /// The node's own name.
    pub name: String,
    /// What it does: `full` or `miner`.
    pub role: String,
    /// Where the interface listens, and how others reach it.
    pub exposure: Exposure,
    /// Where the file with the token goes.
    pub token_directory: PathBuf,
    /// What gives coins away; none but on a development network.
    pub faucet: Option<Faucet>,
    /// How it meets other nodes; none where it meets nobody.
    pub links: Option<LinkSettings>,
    /// The register of running nodes.
    pub runtime_directory: PathBuf,
}

/// Where an interface listens, and how others reach it. Where they can, it speaks TLS and wants its token
/// with every request.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// Where it listens.
    pub bind: SocketAddr,
    /// The names under which others ask it.
    pub names: Vec<String>,
    /// The files with its certificate and the key to that; it makes one itself where it needs one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How much one client of another machine may ask.
    pub rates: Rates,
}

impl Exposure {
    /// An interface for this machine alone.
    pub fn on_loopback(bind: SocketAddr) -> Self {
        Self { bind, names: Vec::new(), certificate: None, rates: Rates::default() }
    }

    /// Who may ask, now that `address` is known.
    fn access(&self, address: SocketAddr, token: &Token, directory: &Path) -> Result<Access, TlsError> {
        let is_open = !address.ip().to_canonical().is_loopback();
        let access = self.public_access(address, directory)?;
        Ok(Access { token: is_open.then(|| token.clone()), ..access })
    }

    /// The same for what tells nothing but what everybody may know: no token is wanted.
    pub(crate) fn public_access(&self, address: SocketAddr, directory: &Path) -> Result<Access, TlsError> {
        let is_open = !address.ip().to_canonical().is_loopback();
        let identity = match &self.certificate {
            Some((certificate, key)) => Some(Identity::load(certificate, key)?),
            None if is_open => Some(Identity::keep(directory, &self.certified_names(address))?),
            None => None,
        };
        let scheme = if identity.is_some() { Scheme::Tls } else { Scheme::Plain };
        Ok(Access {
            hosts: Hosts::new(scheme, address, &self.names),
            identity,
            token: None,
            rates: self.rates,
        })
    }

    /// The names that a certificate of our own is made for.
    fn certified_names(&self, address: SocketAddr) -> Vec<String> {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_canonical().to_string());
        }
        names.extend(self.names.iter().map(|name| match name.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => name.clone(),
        }));
        names
    }
}

/// The address under which this machine reaches an interface.
pub(crate) fn url(access: &Access, address: SocketAddr) -> String {
    url_of(if access.identity.is_some() { Scheme::Tls } else { Scheme::Plain }, address)
}

fn url_of(scheme: Scheme, address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("{}{}", scheme.prefix(), SocketAddr::new(ip, address.port()))
}

/// What the nodes of one process share: the threads that answer requests, and the word to stop.
#[derive(Debug)]
pub struct Host {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    supervisor: Option<Arc<Supervisor>>,
    /// The token of each directory that has one.
    tokens: BTreeMap<PathBuf, Token>,
}

/// A node that runs with its interface.
#[derive(Debug)]
pub struct Service {
    running: Running,
    links: Option<Links>,
    server: tokio::task::JoinHandle<()>,
    /// The entry in the register of running nodes, which goes with it.
    _registered: Registered,
    ready: Ready,
    name: String,
    started: Instant,
}

/// A node that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Where the interface listens.
    pub address: SocketAddr,
    /// The address of the interface.
    pub api: String,
    /// The file that holds the token.
    pub token_file: PathBuf,
    /// By what its certificate is known; none where it speaks plain HTTP.
    pub fingerprint: Option<String>,
    /// Where it accepts connections of other nodes.
    pub p2p: Vec<SocketAddr>,
    /// Who it is to other nodes; none where it meets nobody.
    pub id: Option<NodeId>,
}

/// A node could not be started with its interface.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The node could not be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The links with other nodes could not be set up.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// The certificate of the interface cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port is taken.
    #[error("{address} is in use by {holder}")]
    PortInUse {
        /// Where it was to listen.
        address: SocketAddr,
        /// Who holds it.
        holder: Holder,
    },
    /// The interface cannot listen.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// The token could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The node could not be entered into the register of running nodes.
    #[error("cannot write the register of running nodes in {}", path.display())]
    Register {
        /// The directory of the register.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// The threads that answer requests could not be started.
    #[error("cannot start the threads of the interface")]
    Threads(#[source] io::Error),
}

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A node of Cairn.
    Node {
        /// Its name.
        name: String,
        /// The name of its network.
        network: String,
    },
    /// Something else, or a node that does not answer.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { name, network } => write!(f, "the Cairn node {name} of network {network}"),
            Self::Unknown => f.write_str("another program"),
        }
    }
}

/// Takes a port for the interface.
///
/// # Errors
///
/// [`ServiceError::PortInUse`] or [`ServiceError::Bind`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServiceError::PortInUse { address, holder: find_holder(address) },
        _ => ServiceError::Bind { address, source },
    })?;
    // Where many come at once, those who are not taken yet wait and need not come again.
    rustix::net::listen(&listener, WAITING_MAX)
        .map_err(|error| ServiceError::Bind { address, source: error.into() })?;
    listener.set_nonblocking(true).map_err(|source| ServiceError::Bind { address, source })?;
    Ok(listener)
}

/// Runs a node with its interface until it is told to stop: by SIGINT, SIGTERM, or over the
/// interface. A second signal ends the program at once. `ready` hears when requests are answered.
///
/// # Errors
///
/// [`ServiceError`] if it could not be started.
pub fn run(
    settings: ServiceSettings,
    progress: impl FnMut(Progress),
    ready: impl FnOnce(&Ready, &NodeHandle),
) -> Result<(), ServiceError> {
    let mut host = Host::new()?;
    let service = host.start(settings, progress)?;
    ready(service.ready(), service.handle());
    host.run(vec![service]);
    Ok(())
}

impl Host {
    /// Threads that answer requests, and an ear for signals: SIGINT and SIGTERM stop the nodes, a second one
    /// ends the program at once.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Threads`].
    pub fn new() -> Result<Self, ServiceError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(ServiceError::Threads)?;
        let (stop, stopped) = watch::channel(false);
        watch_signals(&runtime, stop.clone()).map_err(ServiceError::Threads)?;
        let supervisor = Supervisor::of_process().map(Arc::new);
        Ok(Self { runtime, stop, stopped, supervisor, tokens: BTreeMap::new() })
    }

    /// Starts a node; when this returns, its interface answers.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]; then nothing of it runs.
    pub fn start(
        &mut self,
        settings: ServiceSettings,
        progress: impl FnMut(Progress),
    ) -> Result<Service, ServiceError> {
        let ServiceSettings { node, name, role, exposure, token_directory, faucet, links, runtime_directory } =
            settings;
        let listener = bind(exposure.bind)?;
        let address =
            listener.local_addr().map_err(|source| ServiceError::Bind { address: exposure.bind, source })?;
        let started = Instant::now();
        let directory = node.directory.clone();
        let running = Running::start(node, progress)?;
        let opened = self.token(&token_directory).map_err(ServiceError::from).and_then(|token| {
            let access = exposure.access(address, &token, &token_directory)?;
            let mut ready = Ready {
                address,
                api: url(&access, address),
                token_file: token_directory.join(TOKEN_FILE),
                fingerprint: access.identity.as_ref().map(|identity| identity.fingerprint().to_string()),
                p2p: Vec::new(),
                id: None,
            };
            let handle = running.handle();
            tell_start(handle, &directory, address, &name, &role);
            let registered = register(&runtime_directory, &record_of(handle, &name, &directory, &ready))
                .map_err(|source| ServiceError::Register { path: runtime_directory, source })?;
            let listener = {
                let _entered = self.runtime.enter();
                tokio::net::TcpListener::from_std(listener)
                    .map_err(|source| ServiceError::Bind { address, source })?
            };
            let links = links
                .map(|links| self.runtime.block_on(Links::start(handle.clone(), &directory, links)))
                .transpose()?;
            ready.p2p = links.as_ref().map_or_else(Vec::new, |links| links.listening().to_vec());
            ready.id = links.as_ref().map(|links| links.network().id());
            let stop = self.stop.clone();
            let settings =
                ApiSettings { node: handle.clone(), name: name.clone(), role, token, access, faucet, stop };
            let server = self.runtime.spawn(api::serve(listener, settings));
            Ok((links, server, registered, ready))
        });
        match opened {
            Ok((links, server, registered, ready)) => {
                Ok(Service { running, links, server, _registered: registered, ready, name, started })
            }
            Err(error) => {
                running.stop();
                Err(error)
            }
        }
    }

    /// Runs nodes until they are told to stop.
    pub fn run(self, services: Vec<Service>) {
        if let (Some(supervisor), Some(first)) = (&self.supervisor, services.first()) {
            let handle = first.running.handle().clone();
            let network = &handle.genesis().section().network.name;
            let height = handle.reader().tip();
            supervisor.tell_ready(&format!("{network} at height {height}, {}", first.ready.address));
            let supervisor = Arc::clone(supervisor);
            self.runtime.spawn(async move { supervisor.tell_alive(handle).await });
        }
        let mut stopped = self.stopped.clone();
        self.runtime.block_on(async {
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell_stopping();
        }
        self.stop(services);
    }

    /// Stops nodes, the last first.
    pub fn stop(self, services: Vec<Service>) {
        self.stop.send_replace(true);
        for service in services.into_iter().rev() {
            let stopping = Instant::now();
            self.runtime.block_on(async {
                if let Some(links) = &service.links {
                    links.stop().await;
                }
                // A server that panicked has nothing left to finish.
                let _ = service.server.await;
            });
            let reader = service.running.handle().reader().clone();
            service.running.stop();
            let took_ms = u64::try_from(stopping.elapsed().as_millis()).unwrap_or(u64::MAX);
            let up_s = service.started.elapsed().as_secs();
            tracing::info!(name = service.name, height = reader.tip().0, up_s, took_ms, "node stopped");
        }
        for directory in self.tokens.keys() {
            Token::remove(directory);
        }
        self.runtime.shutdown_background();
    }

    /// The token of a directory, which the nodes that have it share.
    fn token(&mut self, directory: &Path) -> Result<Token, TokenError> {
        if let Some(token) = self.tokens.get(directory) {
            return Ok(token.clone());
        }
        let token = Token::create(directory)?;
        self.tokens.insert(directory.to_owned(), token.clone());
        Ok(token)
    }
}

impl Service {
    /// Where it can be reached.
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Speaks to it.
    pub const fn handle(&self) -> &NodeHandle {
        self.running.handle()
    }
}

/// What the register of running nodes says about a node.
fn record_of(node: &NodeHandle, name: &str, directory: &Path, ready: &Ready) -> RunningNode {
    RunningNode {
        kind: Kind::Node,
        pid: std::process::id(),
        name: name.to_owned(),
        api: ready.api.clone(),
        network: node.genesis().section().network.name.clone(),
        identity: node.genesis().identity().to_string(),
        data_dir: directory.to_owned(),
        token_file: ready.token_file.clone(),
        fingerprint: ready.fingerprint.clone(),
    }
}

/// The first line of the log: which node this is, and where it stands.
fn tell_start(node: &NodeHandle, directory: &Path, api: SocketAddr, name: &str, role: &str) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("CAIRN_COMMIT"),
        network = %node.genesis().section().network.name,
        identity = %node.genesis().identity(),
        data_dir = %directory.display(),
        height = node.reader().tip().0,
        name,
        role,
        %api,
        "node started"
    );
}

/// Tells of the first signal; the second one ends the program.
pub(crate) fn watch_signals(runtime: &Runtime, stop: watch::Sender<bool>) -> io::Result<()> {
    let _entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    runtime.spawn(async move {
        let mut is_second = false;
        loop {
            let reason = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if is_second {
                std::process::exit(FORCED_STATUS);
            }
            is_second = true;
            tracing::info!(reason, "node stops");
            stop.send_replace(true);
        }
    });
    Ok(())
}

/// Asks whoever holds a port who it is.
fn find_holder(address: SocketAddr) -> Holder {
    let status = ask_status(address);
    status.map_or(Holder::Unknown, |status| Holder::Node { name: status.name, network: status.network })
}

fn ask_status(address: SocketAddr) -> Option<Status> {
    let mut stream = TcpStream::connect_timeout(&address, HOLDER_TIME_MAX).ok()?;
    stream.set_read_timeout(Some(HOLDER_TIME_MAX)).ok()?;
    stream.set_write_timeout(Some(HOLDER_TIME_MAX)).ok()?;
    write!(stream, "GET /v1/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(HOLDER_BYTES_MAX).read_to_end(&mut answer).ok()?;
    let text = String::from_utf8(answer).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_encrypted_and_wants_the_token() {
        let directory = tempfile::tempdir().unwrap();
        let token = Token::create(directory.path()).unwrap();
        let access = |address: &str| {
            let address = address.parse().unwrap();
            Exposure::on_loopback(address).access(address, &token, directory.path()).unwrap()
        };
        for address in ["0.0.0.0:1", "192.168.1.1:1", "[::]:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            let open = access(address);
            assert!(open.identity.is_some() && open.token.is_some(), "{address}");
        }
        for address in ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let own = access(address);
            assert!(own.identity.is_none() && own.token.is_none(), "{address}");
        }
    }

    #[test]
    fn this_machine_reaches_an_interface_for_all_under_a_loopback_name() {
        assert_eq!(url_of(Scheme::Tls, "0.0.0.0:7780".parse().unwrap()), "https://127.0.0.1:7780");
        assert_eq!(url_of(Scheme::Plain, "[::1]:7780".parse().unwrap()), "http://[::1]:7780");
    }

    #[test]
    fn a_busy_port_names_its_holder() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let refused = bind(address).unwrap_err();
        assert_eq!(refused.to_string(), format!("{address} is in use by another program"));
    }
}
