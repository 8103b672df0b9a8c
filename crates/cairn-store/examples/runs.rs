//! Measures the sorted runs: CPU time and bytes an entry, and look-ups a second.
//!
//! `cargo run --release -p cairn-store --example runs -- [ENTRIES] [RUN]`

use std::time::Instant;

use cairn_store::backend::{DatabaseFile, Disk, RealDisk};
use cairn_store::runs::Runs;
use cairn_store::testing::Random;
use redb::ReadableDatabase;

/// The length of an entry: 20 bytes of address, 8 of height, 4 of place, as an address index has.
const ENTRY_BYTES: usize = 32;
const RUNS: Runs<ENTRY_BYTES> = Runs::new("measured");
const LOOKUPS: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let entries: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let run: usize = arguments.next().map_or(Ok(250_000), |text| text.parse())?;
    let directory = tempfile::tempdir_in(".")?;
    let disk = RealDisk::open(directory.path())?;
    let file = DatabaseFile::open(&disk, "runs.redb")?;
    let database = redb::Database::builder().set_cache_size(64 << 20).create_with_backend(file)?;

    let mut random = Random::new(1);
    let mut known = Vec::new();
    let (mut sorting, mut adding, mut committing, mut slowest) = (0.0, 0.0, 0.0, 0.0_f64);
    for _ in 0..entries / run {
        let mut batch = vec![[0; ENTRY_BYTES]; run];
        batch.iter_mut().for_each(|entry| random.fill(entry));
        known.extend(batch.iter().step_by(1000).copied());
        let start = cpu_seconds();
        batch.sort_unstable();
        let sorted = cpu_seconds();
        let transaction = database.begin_write()?;
        RUNS.add_run(&transaction, &batch)?;
        let added = cpu_seconds();
        let wall = Instant::now();
        transaction.commit()?;
        sorting += sorted - start;
        adding += added - sorted;
        committing += cpu_seconds() - added;
        slowest = slowest.max(added - sorted + wall.elapsed().as_secs_f64());
    }
    let micros = |seconds: f64| seconds * 1e6 / entries as f64;
    println!("{entries} entries of {ENTRY_BYTES} bytes in runs of {run}, CPU us an entry:");
    println!(
        "  sort {:.3}  add {:.3}  commit {:.3}  slowest run {slowest:.2} s",
        micros(sorting),
        micros(adding),
        micros(committing)
    );
    println!(
        "  bytes in the file an entry: {:.1}",
        disk.open("runs.redb")?.length()? as f64 / entries as f64
    );
    println!("  bytes written an entry: {:.1}", bytes_written()? as f64 / entries as f64);

    let transaction = database.begin_read()?;
    for (name, hit) in [("present", true), ("absent", false)] {
        let start = Instant::now();
        for n in 0..LOOKUPS {
            let mut prefix = known[n as usize % known.len()];
            prefix[19] ^= u8::from(!hit);
            let found = RUNS.lookup_prefix(&transaction, &prefix[..20], 10)?;
            assert_eq!(found.len(), usize::from(hit));
        }
        println!("  look-ups a second, {name}: {:.0}", f64::from(LOOKUPS) / start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The CPU time of this process so far, all threads and the kernel's part included.
fn cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// The bytes that this process gave to the operating system to write, on Linux.
fn bytes_written() -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.ok_or("no such counter")?.parse()?)
}
