//! A directory that can be opened as a node would, while nothing on the disk changes: what is written
//! stays in memory.

use cairn_store::backend::{Disk, File};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The piece in which changes are remembered, in bytes.
const PIECE_BYTES: usize = 4096;
const PIECE: u64 = PIECE_BYTES as u64;

/// A directory under a layer of memory.
#[derive(Debug)]
pub(super) struct UntouchedDisk {
    path: PathBuf,
    layer: Mutex<DirectoryLayer>,
}

/// What is open or changed of a directory.
#[derive(Debug, Default)]
struct DirectoryLayer {
    files: BTreeMap<String, Arc<UntouchedFile>>,
    removed: BTreeSet<String>,
    directories: BTreeMap<String, Arc<UntouchedDisk>>,
}

/// A file under a layer of memory.
struct UntouchedFile {
    /// The file on the disk; none where it exists in memory only.
    below: Option<fs::File>,
    layer: Mutex<FileLayer>,
}

struct FileLayer {
    length: u64,
    /// How much of the file on the disk still counts, in bytes.
    below: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl UntouchedDisk {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, layer: Mutex::default() }
    }

    fn file(&self, name: &str, may_create: bool) -> io::Result<Arc<dyn File>> {
        let mut layer = lock(&self.layer);
        if let Some(file) = layer.files.get(name) {
            return Ok(Arc::clone(file) as Arc<dyn File>);
        }
        let below = if layer.removed.contains(name) {
            Err(io::ErrorKind::NotFound.into())
        } else {
            fs::File::open(self.path.join(name))
        };
        let file = match below {
            Ok(file) => UntouchedFile::over(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => UntouchedFile::empty(),
            Err(error) => return Err(error),
        };
        let file = Arc::new(file);
        layer.files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for UntouchedDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let layer = lock(&self.layer);
        let mut names: BTreeSet<String> = layer.files.keys().cloned().collect();
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    let name = entry.file_name().into_string().ok();
                    let is_file = entry.file_type()?.is_file();
                    names.extend(name.filter(|name| is_file && !layer.removed.contains(name)));
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, false)
    }

    fn open_or_create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name, true)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut layer = lock(&self.layer);
        layer.files.remove(name);
        layer.removed.insert(name.to_owned());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let mut layer = lock(&self.layer);
        let new = || Arc::new(Self::new(self.path.join(name)));
        let directory = layer.directories.entry(name.to_owned()).or_insert_with(new);
        Ok(Arc::clone(directory) as Arc<dyn Disk>)
    }

    fn draw_salt(&self) -> u64 {
        // What is written here is read by nobody else.
        0
    }
}

impl UntouchedFile {
    fn over(file: fs::File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let layer = FileLayer { length, below: length, pieces: BTreeMap::new() };
        Ok(Self { below: Some(file), layer: Mutex::new(layer) })
    }

    const fn empty() -> Self {
        let layer = FileLayer { length: 0, below: 0, pieces: BTreeMap::new() };
        Self { below: None, layer: Mutex::new(layer) }
    }

    /// The bytes of a piece, with zeros behind the end.
    fn piece(&self, layer: &FileLayer, number: u64) -> io::Result<Vec<u8>> {
        if let Some(piece) = layer.pieces.get(&number) {
            return Ok(piece.clone());
        }
        let mut bytes = vec![0; PIECE_BYTES];
        let start = number * PIECE;
        let there = usize::try_from(layer.below.saturating_sub(start)).unwrap_or(PIECE_BYTES);
        if let (Some(file), Some(there)) = (&self.below, bytes.get_mut(..there.min(PIECE_BYTES))) {
            file.read_exact_at(there, start)?;
        }
        Ok(bytes)
    }

    /// Calls `work` for each piece that a range touches: its number, the place in it, and the place in
    /// the range.
    fn pieces_of(
        offset: u64,
        length: usize,
        mut work: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        let mut at = offset;
        while done < length {
            let inside = usize::try_from(at % PIECE).expect("a piece is small");
            let count = (PIECE_BYTES - inside).min(length - done);
            work(at / PIECE, inside..inside + count, done..done + count)?;
            done += count;
            at += u64::try_from(count).expect("a piece is small");
        }
        Ok(())
    }
}

impl File for UntouchedFile {
    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.layer).length)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let layer = lock(&self.layer);
        if end_of(offset, bytes.len())? > layer.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::pieces_of(offset, bytes.len(), |number, inside, outside| {
            let piece = self.piece(&layer, number)?;
            bytes[outside].copy_from_slice(&piece[inside]);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut layer = lock(&self.layer);
        let end = end_of(offset, bytes.len())?;
        Self::pieces_of(offset, bytes.len(), |number, inside, outside| {
            let mut piece = self.piece(&layer, number)?;
            piece[inside].copy_from_slice(&bytes[outside]);
            layer.pieces.insert(number, piece);
            Ok(())
        })?;
        layer.length = layer.length.max(end);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut layer = lock(&self.layer);
        layer.below = layer.below.min(length);
        layer.pieces.retain(|number, _| number * PIECE < length);
        if let Some(piece) = layer.pieces.get_mut(&(length / PIECE)) {
            let kept = usize::try_from(length % PIECE).expect("a piece is small");
            piece[kept..].fill(0);
        }
        layer.length = length;
        Ok(())
    }
}

impl fmt::Debug for UntouchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntouchedFile").field("below", &self.below).finish_non_exhaustive()
    }
}

fn end_of(offset: u64, length: usize) -> io::Result<u64> {
    let end = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
    end.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn lock<T>(layer: &Mutex<T>) -> MutexGuard<'_, T> {
    // A layer is whole between two calls, whoever panicked beside it.
    layer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One call on a file.
    #[derive(Clone, Debug)]
    enum Call {
        Write(u64, Vec<u8>),
        Resize(u64),
    }

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let write = (0..20_000u64, proptest::collection::vec(any::<u8>(), 0..6_000));
        let call = prop_oneof![
            write.prop_map(|(offset, bytes)| Call::Write(offset, bytes)),
            (0..20_000u64).prop_map(Call::Resize)
        ];
        proptest::collection::vec(call, 0..12)
    }

    proptest! {
        #[test]
        fn a_file_reads_as_if_it_had_been_written_and_the_disk_keeps_its_bytes(
            before in proptest::collection::vec(any::<u8>(), 0..10_000),
            calls in calls(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            fs::write(&path, &before).unwrap();
            let disk = UntouchedDisk::new(directory.path().to_owned());
            let file = disk.open("file").unwrap();
            let mut expected = before.clone();
            for call in calls {
                match call {
                    Call::Write(offset, bytes) => {
                        file.write_all_at(&bytes, offset).unwrap();
                        let start = usize::try_from(offset).unwrap();
                        let end = start + bytes.len();
                        expected.resize(expected.len().max(end), 0);
                        expected[start..end].copy_from_slice(&bytes);
                    }
                    Call::Resize(length) => {
                        file.set_length(length).unwrap();
                        expected.resize(usize::try_from(length).unwrap(), 0);
                    }
                }
            }
            let mut found = vec![0; usize::try_from(file.length().unwrap()).unwrap()];
            disk.open_or_create("file").unwrap().read_exact_at(&mut found, 0).unwrap();
            prop_assert!(found == expected);
            prop_assert!(file.read_exact_at(&mut [0], file.length().unwrap()).is_err());
            prop_assert!(fs::read(&path).unwrap() == before);
        }
    }

    #[test]
    fn files_and_folders_come_and_go_in_memory_only() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("old"), "old").unwrap();
        let disk = UntouchedDisk::new(directory.path().to_owned());
        disk.open_or_create("new").unwrap();
        disk.remove("old").unwrap();
        disk.directory("inner").unwrap().open_or_create("deep").unwrap();
        assert_eq!(disk.list().unwrap(), ["new"]);
        assert!(disk.open("old").is_err());
        assert_eq!(disk.open_or_create("old").unwrap().length().unwrap(), 0);
        assert_eq!(disk.directory("inner").unwrap().list().unwrap(), ["deep"]);
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["old"]);
    }
}
