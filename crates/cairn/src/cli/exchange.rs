//! `cairn export` and `cairn import`: a whole chain in one file.
//!
//! The file is `"cairn/blocks\0" ‖ version 1 as u32 ‖ identity`, then for each block from height 1
//! on its length as `u32` and its canonical bytes with the seal; integers are little-endian. Block 0
//! is not in it: who imports has the genesis. An import trusts nothing and checks everything.

use super::context::Context;
use super::local::{Local, LocalArguments};
use super::network::Network;
use super::verify::draw_seed;
use crate::api::views::{BlockView, Status};
use crate::client::Client;
use crate::failure::CliError;
use crate::output::{self, Progress, Style, plural};
use crate::pipeline::{check_in_order, default_threads};
use crate::run::NodeHandle;
use cairn_core::block::{BLOCK_BYTES_MAX, BlockError, CheckedBlock, check};
use cairn_core::hash::BlockId;
use cairn_core::numbers::Height;
use cairn_core::signature::{Batching, KeyCache};
use cairn_node::chain::{BlockRefusal, Imported};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What such a file begins with.
const MAGIC: &[u8] = b"cairn/blocks\0";
/// The version of the format.
const VERSION: u32 = 1;
/// The bytes before the first block.
const HEAD_BYTES: usize = MAGIC.len() + 4 + 32;
/// How many blocks go to the node at once, so that they share one sync of the disk.
const BLOCKS_AT_ONCE: usize = 64;
/// How often a chain that takes other branches meanwhile is written again.
const EXPORT_ATTEMPTS: usize = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn export mycoin.blocks
  cairn export mycoin.blocks --data-dir ~/.local/share/cairn/mycoin

A running node is asked; with --data-dir, or where none runs, the chain is read from its directory.")]
pub(crate) struct ExportArguments {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    local: LocalArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn import mycoin.blocks --genesis mycoin.toml

No node may run on the directory meanwhile.")]
pub(crate) struct ImportArguments {
    /// A file that `cairn export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    local: LocalArguments,
}

pub(crate) fn export(arguments: ExportArguments, mut context: Context) -> Result<(), CliError> {
    let file = &arguments.file;
    if file.exists() {
        return Err(CliError::failed("file-exists", format!("{} exists already", file.display()))
            .help("give another name, or remove the file first"));
    }
    // An unfinished file never has the name that was asked for.
    let mut unfinished = file.clone().into_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let is_named = arguments.local.data_dir.is_some() || arguments.local.genesis.is_some();
    let written = match if is_named { None } else { Some(context.client()) } {
        Some(Ok(client)) => export_node(&client, &context, &unfinished),
        None => {
            let local = Local::find(arguments.local, &mut context)?;
            export_directory(local, &context, &unfinished)
        }
        // Where no node runs, the only network on this machine is meant.
        Some(Err(no_node)) => match Local::find(arguments.local, &mut context) {
            Ok(local) if no_node.code() == "no-node" => export_directory(local, &context, &unfinished),
            _ => Err(no_node),
        },
    };
    let written = written.and_then(|blocks| {
        std::fs::rename(&unfinished, file).map_err(|error| unwritable(file, &error))?;
        Ok(blocks)
    });
    let blocks = written.inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    })?;
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    if context.json {
        output::print_json(&json!({ "file": file, "blocks": blocks, "bytes": bytes }));
    } else {
        let size = output::bytes_text(bytes);
        output::print_line(&format!("{} written to {} ({size})", plural(blocks, "block"), file.display()));
    }
    Ok(())
}

/// Writes the chain of a directory; returns how many blocks.
fn export_directory(local: Local, context: &Context, file: &Path) -> Result<u64, CliError> {
    let running = local.open(context)?;
    let written = export_kept(running.handle(), file);
    running.stop();
    written
}

fn export_kept(handle: &NodeHandle, file: &Path) -> Result<u64, CliError> {
    let reader = handle.reader();
    let tip = reader.tip().0;
    let mut writer = begin(file, handle.genesis().identity())?;
    let mut progress = Progress::new("blocks written", tip);
    for height in 1..=tip {
        let block = reader.block_at(Height(height)).map_err(|error| {
            CliError::failed("damaged", format!("block {height} cannot be read")).because(&error)
        })?;
        let block = block.ok_or_else(|| missing(height))?;
        write_block(&mut writer, &block.bytes).map_err(|error| unwritable(file, &error))?;
        progress.set(height);
    }
    progress.finish();
    finish(writer, file)?;
    Ok(tip)
}

/// Writes the chain of a running node; returns how many blocks.
///
/// Blocks are asked for by height, so a reorganisation meanwhile would mix two branches. The file holds
/// one if the block that was the tip at the start is on the chain at the end: then so are all below it.
fn export_node(client: &Client, context: &Context, file: &Path) -> Result<u64, CliError> {
    context.block_on(async {
        for _ in 0..EXPORT_ATTEMPTS {
            let (network, status) = Network::ask(client).await?;
            let blocks = write_chain(client, &network, &status, file).await?;
            let there: BlockView = client.get(&format!("/v1/blocks/{}", status.height)).await?;
            if there.id == status.tip {
                return Ok(blocks);
            }
            output::note("the chain took another branch meanwhile: once more from the start");
        }
        Err(CliError::failed("chain-moves", "the chain took another branch again and again")
            .help("try again later; or stop the node first: `cairn stop`"))
    })
}

/// Writes the blocks up to the tip that a status names; returns how many.
async fn write_chain(
    client: &Client,
    network: &Network,
    status: &Status,
    file: &Path,
) -> Result<u64, CliError> {
    let mut writer = begin(file, &network.identity())?;
    let mut progress = Progress::new("blocks written", status.height);
    for height in 1..=status.height {
        let bytes = client.get_bytes(&format!("/v1/blocks/{height}/raw")).await?;
        write_block(&mut writer, &bytes).map_err(|error| unwritable(file, &error))?;
        progress.set(height);
    }
    progress.finish();
    finish(writer, file)?;
    Ok(status.height)
}

fn begin(file: &Path, identity: &BlockId) -> Result<BufWriter<File>, CliError> {
    let open = File::create(file).map_err(|error| unwritable(file, &error))?;
    let mut writer = BufWriter::new(open);
    let head = [MAGIC, &VERSION.to_le_bytes(), identity.as_bytes()].concat();
    writer.write_all(&head).map_err(|error| unwritable(file, &error))?;
    Ok(writer)
}

fn write_block(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(bytes)
}

fn finish(writer: BufWriter<File>, file: &Path) -> Result<(), CliError> {
    let open = writer.into_inner().map_err(|error| unwritable(file, error.error()))?;
    open.sync_all().map_err(|error| unwritable(file, &error))
}

fn unwritable(file: &Path, error: &io::Error) -> CliError {
    CliError::failed("unwritable-file", format!("{} cannot be written", file.display())).because(error)
}

fn missing(height: u64) -> CliError {
    CliError::failed("damaged", format!("block {height} is missing"))
}

pub(crate) fn import(arguments: ImportArguments, mut context: Context) -> Result<(), CliError> {
    let local = Local::find(arguments.local, &mut context)?;
    let file = &arguments.file;
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    let bytes = opened.metadata().map_err(|error| unreadable(file, &error))?.len();
    let mut blocks = BlockFile { reader: BufReader::new(opened), file, height: 0, is_broken: false };
    blocks.read_head(local.genesis.identity())?;
    let running = local.open(&context)?;
    let (Counts { taken, known }, outcome) = import_all(running.handle(), blocks, bytes, &context);
    let tip = running.handle().reader().tip();
    running.stop();
    // What came before a broken block is good and stays, and whoever imports must know how far that is.
    let also = if known > 0 { format!(", {known} were known") } else { String::new() };
    outcome.map_err(|error| match taken + known {
        0 => error,
        _ => error.after(&format!("{} imported{also}", plural(taken, "block"))),
    })?;
    if context.json {
        output::print_json(&json!({ "imported": taken, "known": known, "height": tip.0 }));
        return Ok(());
    }
    let mark = Style::Good.paint("imported", output::colours_on_stdout());
    output::print_line(&format!("{} {mark}{also}; the tip is block {tip}", plural(taken, "block")));
    Ok(())
}

/// What came of the blocks of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    taken: u64,
    known: u64,
}

/// Imports what can be imported; the counts hold also where something is wrong then.
fn import_all(
    handle: &NodeHandle,
    blocks: BlockFile<'_>,
    bytes: u64,
    context: &Context,
) -> (Counts, Result<(), CliError>) {
    let consensus = Arc::clone(handle.consensus());
    let mut counts = Counts::default();
    let seed = match draw_seed() {
        Ok(seed) => seed,
        Err(error) => return (counts, Err(error)),
    };
    let keys = KeyCache::default();
    let batching = Batching::from_seed(seed).with_keys(&keys);
    let mut progress = Progress::new("bytes imported", bytes);
    let mut waiting: Vec<(u64, CheckedBlock)> = Vec::with_capacity(BLOCKS_AT_ONCE);
    let mut done = HEAD_BYTES as u64;
    let checked = check_in_order(
        blocks,
        default_threads(),
        |bytes| check(bytes, &consensus, batching),
        |(height, length), checked: Result<CheckedBlock, BlockError>| {
            let block = checked.map_err(|error| invalid(height, &error))?;
            waiting.push((height, block));
            done += length;
            if waiting.len() == BLOCKS_AT_ONCE {
                hand_over(handle, std::mem::take(&mut waiting), &mut counts, context)?;
                progress.set(done);
            }
            Ok(())
        },
    );
    let rest = hand_over(handle, waiting, &mut counts, context);
    progress.finish();
    (counts, checked.and(rest))
}

/// Gives blocks to the node, all at once so that they share one sync, and judges each answer.
fn hand_over(
    handle: &NodeHandle,
    blocks: Vec<(u64, CheckedBlock)>,
    counts: &mut Counts,
    context: &Context,
) -> Result<(), CliError> {
    context.block_on(async {
        // Tasks of one thread begin in the order in which they are spawned, so the blocks stay in order.
        let tasks: Vec<_> = blocks
            .into_iter()
            .map(|(height, block)| {
                let handle = handle.clone();
                (height, tokio::spawn(async move { handle.import(block).await }))
            })
            .collect();
        for (height, task) in tasks {
            let answer = task.await.map_err(|error| stopped(&error))?.map_err(|error| stopped(&error))?;
            match answer {
                Ok(Imported::Known) => counts.known += 1,
                Ok(Imported::Extended | Imported::Side | Imported::Reorganised { .. }) => counts.taken += 1,
                Ok(Imported::Held { .. }) => {
                    let message = format!("block {height} of the file is from the future");
                    return Err(CliError::failed("block-from-future", message).help("is the clock right?"));
                }
                Ok(Imported::Unconnected { .. }) => {
                    let message = format!("block {height} of the file follows from no known block");
                    return Err(CliError::failed("unconnected-block", message));
                }
                Err(BlockRefusal::DiskFull) => {
                    return Err(CliError::failed("disk-full", "the disk is full")
                        .help("make room, then import again"));
                }
                Err(BlockRefusal::Invalid { error, .. }) => return Err(invalid(height, &error)),
                Err(refusal) => return Err(invalid_block(height).because(&refusal)),
            }
        }
        Ok(())
    })
}

fn invalid(height: u64, error: &BlockError) -> CliError {
    invalid_block(height).broken_by(error)
}

fn invalid_block(height: u64) -> CliError {
    CliError::failed("invalid-block", format!("block {height} of the file breaks a rule")).help(
        "the file was changed, or is of a chain that another program made: the blocks before stay imported",
    )
}

fn stopped(error: &dyn std::error::Error) -> CliError {
    CliError::failed("node-stopped", "the node stopped").because(error)
}

fn unreadable(file: &Path, error: &io::Error) -> CliError {
    CliError::failed("unreadable-file", format!("{} cannot be read", file.display())).because(error)
}

/// The blocks of a file, one after the other, each with its number and its length in the file.
struct BlockFile<'a> {
    reader: BufReader<File>,
    file: &'a Path,
    height: u64,
    /// Whether a block could not be read: what follows means nothing.
    is_broken: bool,
}

impl BlockFile<'_> {
    fn read_head(&mut self, expected: &BlockId) -> Result<(), CliError> {
        let mut head = [0; HEAD_BYTES];
        let name = self.file.display();
        let foreign = || CliError::failed("bad-file", format!("{name} is no file of `cairn export`"));
        self.reader.read_exact(&mut head).map_err(|_| foreign())?;
        let rest = head.strip_prefix(MAGIC).ok_or_else(foreign)?;
        let (version, identity) = rest.split_at(4);
        if version != VERSION.to_le_bytes() {
            return Err(CliError::failed("newer-format", format!("{name} is of another version"))
                .help("a newer cairn wrote it: use that one"));
        }
        if identity != expected.as_bytes() {
            let found = const_hex::encode(identity);
            let message = format!("{name} is of network {found}, the genesis is {expected}");
            return Err(CliError::failed("wrong-network", message).help("name its genesis: `--genesis FILE`"));
        }
        Ok(())
    }

    /// The next block; none at the end of the file.
    fn read_block(&mut self) -> Result<Option<Arc<[u8]>>, CliError> {
        let name = self.file.display();
        let (height, cut) = (self.height + 1, |at: &io::Error| {
            let message = format!("{name} ends in the middle of block {}", self.height + 1);
            let failure = CliError::failed("truncated-file", message);
            let is_end = at.kind() == io::ErrorKind::UnexpectedEof;
            let failure = if is_end { failure } else { failure.because(at) };
            failure.help("get the whole file and import it again: it goes on where this one ended")
        });
        let mut length = [0; 4];
        match self.reader.read(&mut length).map_err(|error| unreadable(self.file, &error))? {
            0 => return Ok(None),
            some => {
                let rest = length.get_mut(some..).unwrap_or_default();
                self.reader.read_exact(rest).map_err(|error| cut(&error))?;
            }
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > BLOCK_BYTES_MAX {
            let message =
                format!("block {height} of {name} has {length} bytes, at most {BLOCK_BYTES_MAX} can be");
            return Err(CliError::failed("bad-file", message));
        }
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).map_err(|error| cut(&error))?;
        self.height = height;
        Ok(Some(bytes.into()))
    }
}

impl Iterator for BlockFile<'_> {
    type Item = Result<((u64, u64), Arc<[u8]>), CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        let block = self.read_block().transpose()?;
        self.is_broken = block.is_err();
        Some(block.map(|bytes| ((self.height, bytes.len() as u64 + 4), bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Blocks = Vec<Result<Arc<[u8]>, CliError>>;

    fn blocks_of(bytes: &[u8]) -> (Result<(), CliError>, Blocks) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let reader = BufReader::new(File::open(file.path()).unwrap());
        let mut blocks = BlockFile { reader, file: file.path(), height: 0, is_broken: false };
        let head = blocks.read_head(&BlockId([7; 32]));
        let rest = if head.is_ok() {
            blocks.map(|it| it.map(|(_, bytes)| bytes)).take(10).collect()
        } else {
            vec![]
        };
        (head, rest)
    }

    fn example() -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = begin(file.path(), &BlockId([7; 32])).unwrap();
        write_block(&mut writer, b"one").unwrap();
        write_block(&mut writer, b"").unwrap();
        write_block(&mut writer, b"three").unwrap();
        finish(writer, file.path()).unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn blocks_come_back_in_order() {
        let (head, blocks) = blocks_of(&example());
        head.unwrap();
        let blocks: Vec<Vec<u8>> = blocks.into_iter().map(|block| block.unwrap().to_vec()).collect();
        assert_eq!(blocks, [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_says_so() {
        let whole = example();
        let ends = [HEAD_BYTES, HEAD_BYTES + 7, HEAD_BYTES + 11];
        for length in 0..whole.len() {
            let (head, blocks) = blocks_of(&whole[..length]);
            if length < HEAD_BYTES {
                assert_eq!(head.unwrap_err().code(), "bad-file", "{length}");
            } else if ends.contains(&length) {
                assert!(blocks.iter().all(Result::is_ok), "{length}");
            } else {
                let last = blocks.into_iter().find_map(Result::err).unwrap();
                assert_eq!(last.code(), "truncated-file", "{length}");
            }
        }
    }

    #[test]
    fn foreign_files_and_other_networks_are_told_apart() {
        let mut other = example();
        other[MAGIC.len() + 4] ^= 1;
        assert_eq!(blocks_of(&other).0.unwrap_err().code(), "wrong-network");
        let mut newer = example();
        newer[MAGIC.len()] = 2;
        assert_eq!(blocks_of(&newer).0.unwrap_err().code(), "newer-format");
        assert_eq!(blocks_of(b"[network]\nname = 1\n").0.unwrap_err().code(), "bad-file");
        let mut huge = example();
        huge[HEAD_BYTES..HEAD_BYTES + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(blocks_of(&huge).1.pop().unwrap().unwrap_err().code(), "bad-file");
    }
}
