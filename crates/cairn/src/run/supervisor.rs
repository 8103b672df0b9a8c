//! What a supervisor is told: that the node is ready, that it still answers, that it stops.
//!
//! The protocol is that of sd_notify(3): datagrams of `NAME=value` lines to the socket that
//! `NOTIFY_SOCKET` names. Without a supervisor nothing is sent.

use super::NodeHandle;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The supervisor of this process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long the node may be silent before it counts as hanging; none if nobody watches.
    patience: Option<Duration>,
}

impl Supervisor {
    /// The supervisor that started this process; none if none did, or if it cannot be spoken to.
    pub(crate) fn of_process() -> Option<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let variable = |name: &str| std::env::var(name).ok();
        let patience = patience(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id());
        let found = address_of(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // A supervisor that does not read must not stop the node.
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address, patience })
        });
        found.inspect_err(|error| tracing::warn!(%error, "the supervisor cannot be told anything")).ok()
    }

    /// The node answers requests.
    pub(crate) fn tell_ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The node stops.
    pub(crate) fn tell_stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells, again and again, that the node thread answers: as long as it does.
    pub(crate) async fn tell_alive(&self, node: NodeHandle) {
        let Some(patience) = self.patience else { return };
        loop {
            let answers = tokio::time::timeout(patience / 2, node.ask(|_, _| ())).await;
            if matches!(answers, Ok(Ok(()))) {
                self.tell("WATCHDOG=1");
                tokio::time::sleep(patience / 4).await;
            } else {
                // It may only be busy: it is asked again soon, and often before patience ends.
                tokio::time::sleep(patience / 20).await;
            }
        }
    }

    fn tell(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::warn!(%error, untold = message, "the supervisor was not told");
        }
    }
}

/// The socket with a name: a path, or behind `@` a name of Linux' abstract namespace (unix(7)).
fn address_of(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', abstract_name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(abstract_name)
        }
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "NOTIFY_SOCKET is neither a path nor a name")),
    }
}

/// What `WATCHDOG_USEC` says, if it is said to this process.
fn patience(microseconds: Option<String>, pid: Option<String>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(name: &OsStr) -> Supervisor {
        let socket = UnixDatagram::unbound().unwrap();
        Supervisor { socket, address: address_of(name).unwrap(), patience: None }
    }

    fn hear(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_supervisor_behind_a_path_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        supervisor(path.as_os_str()).tell_ready("at height 7");
        assert_eq!(hear(&socket), "READY=1\nSTATUS=at height 7");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_supervisor_behind_an_abstract_name_is_told() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("cairn-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        supervisor(OsStr::new(&format!("@{name}"))).tell_stopping();
        assert_eq!(hear(&socket), "STOPPING=1");
    }

    #[test]
    fn a_supervisor_that_has_gone_stops_nothing() {
        supervisor(OsStr::new("/nonexistent/notify")).tell_stopping();
        assert!(address_of(OsStr::new("vsock:2:1234")).is_err());
    }

    #[test]
    fn only_the_watched_process_feels_watched() {
        let said = |text: &str| Some(text.to_owned());
        let ms = |count| Some(Duration::from_millis(count));
        assert_eq!(patience(said("2000"), None, 7), ms(2));
        assert_eq!(patience(said("2000"), said("7"), 7), ms(2));
        assert_eq!(patience(said("2000"), said("8"), 7), None);
        assert_eq!(patience(None, said("7"), 7), None);
        assert_eq!(patience(said("0"), None, 7), None);
        assert_eq!(patience(said("soon"), None, 7), None);
    }
}
