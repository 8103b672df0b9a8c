//! Measures the log: appending with a sync a record, opening with and without a remembered end, and
//! reading in order.
//!
//! `cargo run --release -p cairn-store --example log -- [RECORDS] [RECORD_BYTES]`

use std::time::Instant;

use cairn_store::backend::{Disk, RealDisk};
use cairn_store::log::{Log, Settings};
use cairn_store::testing::Random;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: usize = arguments.next().map_or(Ok(400), |text| text.parse())?;
    let length: usize = arguments.next().map_or(Ok(900_000), |text| text.parse())?;
    let directory = tempfile::tempdir_in(".")?;
    let disk = RealDisk::open(directory.path())?.directory("blocks")?;
    let open = |known| Log::open(disk.clone(), "blocks", [1; 32], Settings::default(), known);
    let mut record = vec![0; length];
    Random::new(1).fill(&mut record);
    let megabytes = (records * length) as f64 / 1e6;

    let (mut log, _) = open(None)?;
    let start = Instant::now();
    for _ in 0..records {
        log.append(&record)?;
        log.sync()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "append and sync: {:.0} MB/s, {:.2} ms a record",
        megabytes / seconds,
        seconds * 1e3 / records as f64
    );
    let end = log.end();
    drop(log);

    for (name, known) in [("all checked", None), ("end remembered", Some(end))] {
        let start = Instant::now();
        let (log, _) = open(known)?;
        println!("open, {name}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let read: usize = log.scan(log.start()).map(|item| item.map_or(0, |(_, bytes)| bytes.len())).sum();
        assert_eq!(read, records * length);
        println!("read in order: {:.0} MB/s", megabytes / start.elapsed().as_secs_f64());
    }
    Ok(())
}
