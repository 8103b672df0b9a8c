//! `cairn wallet unlock` and `lock`: a process that keeps a wallet open for a while, and signs for it.
//!
//! It listens on a socket that only its user can reach, and hands out signatures, never keys. When
//! its time is over, when it is told to lock, or when the clock goes back, it wipes the keys and ends.

use super::open::{WalletChoice, harden};
use crate::cli::account::now_ms;
use crate::cli::context::Context;
use crate::failure::CliError;
use crate::output;
use crate::values::parse_duration;
use cairn_core::codec::{Decode, Encode as _, decode_exact};
use cairn_core::hash::BlockId;
use cairn_core::numbers::Timestamp;
use cairn_core::signature::Witness;
use cairn_core::transaction::{Transaction, TransactionBody};
use cairn_wallet::{Name, Session, UNLOCK_MS_DEFAULT, UNLOCK_MS_MAX, Wallet, sign_message};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// The longest request or answer, in bytes: a transaction in hexadecimal digits, and a text.
const LINE_BYTES_MAX: u64 = 512 * 1024;
/// How many callers may wait.
const CALLERS_MAX: usize = 16;
/// How long a caller may take for its request, and for reading the answer.
const CALLER_WITHIN: Duration = Duration::from_secs(2);
/// How often the time is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct UnlockArguments {
    /// For how long, at most 15m [default: 5m].
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<String>,
    /// Stay in front instead of leaving a process behind.
    #[arg(long)]
    foreground: bool,
}

/// What a command asks of the process that keeps a wallet open.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    Sign { account: String, identity: String, body: String },
    SignText { account: String, identity: String, text: String },
    Status,
    Lock,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// A witness, in hexadecimal digits.
    Witness(String),
    /// For so many milliseconds more.
    Open(u64),
    Locked,
    Refused(String),
}

/// What the process tells the one that started it.
#[derive(Debug, Serialize, Deserialize)]
struct Started {
    open_ms: u64,
}

/// A wallet that another process keeps open.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: PathBuf,
}

/// The process that keeps a wallet open, if there is one.
pub(super) fn connect(wallet: &Wallet, context: &Context) -> Option<Connection> {
    let connection = Connection { socket: socket_of(wallet, context) };
    (connection.left_ms()? > 0).then_some(connection)
}

/// For how many milliseconds more a wallet is open; none if it is locked.
pub(super) fn left_ms(wallet: &Wallet, context: &Context) -> Option<u64> {
    Connection { socket: socket_of(wallet, context) }.left_ms()
}

impl Connection {
    /// Has a transaction signed.
    pub(super) fn sign(
        &self,
        account: &Name,
        body: &TransactionBody,
        identity: &BlockId,
    ) -> Result<Transaction, CliError> {
        let witness = self.witness(&Request::Sign {
            account: account.to_string(),
            identity: identity.to_string(),
            body: const_hex::encode(body.to_bytes()),
        })?;
        let witness = decode_hex::<Witness>(&witness).ok_or_else(locked)?;
        Ok(Transaction { body: body.clone(), witness })
    }

    /// Has a text signed.
    pub(super) fn sign_text(
        &self,
        account: &Name,
        text: &str,
        identity: &BlockId,
    ) -> Result<String, CliError> {
        self.witness(&Request::SignText {
            account: account.to_string(),
            identity: identity.to_string(),
            text: text.to_owned(),
        })
    }

    fn witness(&self, request: &Request) -> Result<String, CliError> {
        match self.ask(request).map_err(|error| locked().because(&error))? {
            Answer::Witness(witness) => Ok(witness),
            Answer::Refused(why) => {
                Err(CliError::failed("not-signed", format!("the open wallet refuses: {why}")))
            }
            Answer::Open(_) | Answer::Locked => Err(locked()),
        }
    }

    fn left_ms(&self) -> Option<u64> {
        match self.ask(&Request::Status).ok()? {
            Answer::Open(left) => Some(left),
            Answer::Witness(_) | Answer::Locked | Answer::Refused(_) => None,
        }
    }

    fn ask(&self, request: &Request) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        // Signing waits for nobody, so an answer that does not come soon never will.
        stream.set_read_timeout(Some(CALLER_WITHIN * 2))?;
        stream.set_write_timeout(Some(CALLER_WITHIN))?;
        write_line(&mut stream, request)?;
        read_line(stream)
    }
}

fn locked() -> CliError {
    CliError::failed("wallet-locked", "the wallet was locked meanwhile")
        .help("try it again with the password")
}

/// Keeps a wallet open, in another process unless it is to stay in front.
pub(super) fn unlock(
    arguments: &UnlockArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let open_ms = open_ms(arguments)?;
    let wallet = choice.open(context)?;
    if arguments.foreground {
        return keep_open(&wallet, choice, context, open_ms);
    }
    let failed = |error: &io::Error| {
        CliError::failed("not-unlocked", "no process can be started that keeps the wallet open")
            .because(error)
    };
    // The other process asks for the password itself, so this one never knows it.
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command.args(["wallet", "unlock", "--foreground", "--json", "--for", &format!("{open_ms}ms")]);
    command.args(["--wallet", wallet.name().as_str()]);
    command.env("CAIRN_WALLET_DIR", super::open::directory(context));
    if context.settings.file().exists() {
        command.arg("--config").arg(context.settings.file());
    }
    if let Some(file) = &choice.password_file {
        command.arg("--password-file").arg(file);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it was asked for");
    BufReader::new(stdout.take(LINE_BYTES_MAX)).read_line(&mut line).map_err(|error| failed(&error))?;
    let Ok(Started { open_ms }) = serde_json::from_str(&line) else {
        let _ = child.wait();
        return Err(refused(&line));
    };
    let name = wallet.name();
    if context.json {
        output::print_json(&json!({ "wallet": name.as_str(), "open_ms": open_ms, "pid": child.id() }));
    } else {
        let time = output::time_text(Duration::from_millis(open_ms));
        output::note(&format!("{name} is open for {time}; `cairn wallet lock` closes it at once"));
    }
    Ok(())
}

/// The failure that the other process wrote as JSON.
fn refused(line: &str) -> CliError {
    let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let text = |key: &str| value["error"][key].as_str().unwrap_or_default().to_owned();
    match text("code") {
        code if code.is_empty() => CliError::failed("not-unlocked", "the wallet was not unlocked"),
        code if code == "wrong-password" => CliError::failed(code, text("message")).help(text("help")),
        code => CliError::usage(code, text("message")).help(text("help")),
    }
}

fn open_ms(arguments: &UnlockArguments) -> Result<u64, CliError> {
    let Some(text) = &arguments.duration else { return Ok(UNLOCK_MS_DEFAULT) };
    let wrong = |why: String| CliError::usage("wrong-value", format!("--for is \"{text}\": {why}"));
    let asked = parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    match u64::try_from(asked.as_millis()) {
        Ok(open_ms) if (1..=UNLOCK_MS_MAX).contains(&open_ms) => Ok(open_ms),
        _ => Err(wrong("a wallet stays open for at most 15m".to_owned())),
    }
}

/// Locks the wallet that is meant, or all of them.
pub(super) fn lock(choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let mut locked = Vec::new();
    for wallet in choice.all(context)? {
        let connection = Connection { socket: socket_of(&wallet, context) };
        if connection.left_ms().is_some() && connection.ask(&Request::Lock).is_ok() {
            locked.push(wallet.name().to_string());
        }
    }
    if context.json {
        output::print_json(&json!({ "locked": locked }));
    } else if locked.is_empty() {
        output::note("no wallet was open");
    } else {
        output::note(&format!("locked: {}", locked.join(", ")));
    }
    Ok(())
}

/// Ends the process that keeps a wallet open, if there is one.
pub(super) fn lock_one(wallet: &Wallet, context: &Context) {
    // Where none is left there is nothing to end.
    let _ = Connection { socket: socket_of(wallet, context) }.ask(&Request::Lock);
}

/// Unlocks a wallet and serves its signatures until its time is over.
fn keep_open(
    wallet: &Wallet,
    choice: &WalletChoice,
    context: &Context,
    open_ms: u64,
) -> Result<(), CliError> {
    harden();
    if left_ms(wallet, context).is_some() {
        let message = format!("wallet {} is open already", wallet.name());
        return Err(CliError::usage("already-unlocked", message).help("lock it first: `cairn wallet lock`"));
    }
    let unlocked = choice.unlock(wallet, context)?;
    let mut session = Session::locked();
    session
        .unlock(unlocked, Timestamp(now_ms()), open_ms)
        .map_err(|error| CliError::usage("wrong-value", error.to_string()))?;
    let socket = socket_of(wallet, context);
    let listener = listen(&socket, context).map_err(|error| {
        CliError::failed("not-unlocked", format!("{} cannot be listened on", socket.display()))
            .because(&error)
    })?;
    let taken_away = TakenAway(socket);
    if context.json {
        output::print_json(&Started { open_ms });
        leave_terminal();
    } else {
        output::note(&format!("{} is open; Ctrl-C closes it", wallet.name()));
    }
    let (hand_over, callers) = sync_channel(CALLERS_MAX);
    std::thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            if hand_over.send(caller).is_err() {
                return;
            }
        }
    });
    serve(&mut session, &callers);
    drop(taken_away);
    Ok(())
}

/// Answers callers until the session is locked.
fn serve(session: &mut Session, callers: &Receiver<UnixStream>) {
    loop {
        match callers.recv_timeout(LOOK_EVERY) {
            // Whoever breaks off or sends garbage ends nobody's session but its own.
            Ok(caller) => drop(answer(session, caller)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => session.lock(),
        }
        if session.left_ms(Timestamp(now_ms())) == 0 {
            return;
        }
    }
}

fn answer(session: &mut Session, mut caller: UnixStream) -> io::Result<()> {
    caller.set_read_timeout(Some(CALLER_WITHIN))?;
    caller.set_write_timeout(Some(CALLER_WITHIN))?;
    let request = read_line(caller.try_clone()?)?;
    let now = Timestamp(now_ms());
    let answer = match request {
        Request::Status => match session.left_ms(now) {
            0 => Answer::Locked,
            left => Answer::Open(left),
        },
        Request::Lock => {
            session.lock();
            Answer::Locked
        }
        Request::Sign { account, identity, body } => match decode_hex::<TransactionBody>(&body) {
            Some(body) => with_key(session, &account, &identity, |key, identity| {
                Answer::Witness(const_hex::encode(key.sign(&body, identity).witness.to_bytes()))
            }),
            None => Answer::Refused("this is no transaction".to_owned()),
        },
        Request::SignText { account, identity, text } => {
            with_key(session, &account, &identity, |key, identity| match sign_message(key, identity, &text) {
                Ok(signature) => Answer::Witness(signature),
                Err(error) => Answer::Refused(error.to_string()),
            })
        }
    };
    write_line(&mut caller, &answer)
}

fn with_key(
    session: &mut Session,
    account: &str,
    identity: &str,
    sign: impl FnOnce(&cairn_wallet::SigningKey, &BlockId) -> Answer,
) -> Answer {
    let Ok(unlocked) = session.unlocked(Timestamp(now_ms())) else { return Answer::Locked };
    let (Ok(account), Ok(identity)) = (account.parse::<Name>(), identity.parse::<BlockId>()) else {
        return Answer::Refused("this names no account, or no network".to_owned());
    };
    match unlocked.signing_key(&account) {
        Ok(key) => sign(&key, &identity),
        Err(error) => Answer::Refused(error.to_string()),
    }
}

fn decode_hex<T: Decode>(text: &str) -> Option<T> {
    decode_exact(&const_hex::decode(text).ok()?).ok()
}

fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: serde::de::DeserializeOwned>(stream: UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// The socket of a wallet: named after the file of its keys, since wallets in two directories may
/// have one name.
fn socket_of(wallet: &Wallet, context: &Context) -> PathBuf {
    let path = wallet.keystore_path();
    let path = std::path::absolute(&path).unwrap_or(path);
    let mut digest = cairn_hash::Sha256::new();
    digest.update(path.as_os_str().as_encoded_bytes());
    let name: String = const_hex::encode(digest.finish()).chars().take(16).collect();
    context.directories.runtime.join(format!("wallet-{name}.sock"))
}

/// Listens where only this user can call. A socket that nobody listens on any more gives way.
fn listen(socket: &std::path::Path, context: &Context) -> io::Result<UnixListener> {
    crate::paths::create_private_directory(&context.directories.runtime)?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The mode of a socket is what the mask leaves; who cannot write to it cannot call.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    UnixListener::bind(socket)
}

/// Takes the socket away when dropped.
struct TakenAway(PathBuf);

impl Drop for TakenAway {
    fn drop(&mut self) {
        // A socket that stays behind answers nobody, and the next one takes its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Lets go of the terminal and of the pipes of whoever started this process.
fn leave_terminal() {
    // Where it cannot be done the process ends with its terminal, and the wallet is locked the sooner.
    let _ = rustix::process::setsid();
    if let Ok(nothing) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&nothing);
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
}
