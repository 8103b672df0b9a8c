//! scratch
fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap();
    let mode = match args.next().as_deref() { Some("tx") => cairn_node::MiningMode::OnTransaction, Some("manual") => cairn_node::MiningMode::Manual, _ => cairn_node::MiningMode::Interval };
    let settings = cairn::devnet::DevnetSettings {
        nodes: None, consensus: None, block_time: None, mine: Some(mode), data_directory: dir.clone().into(), port_base: 7700,
        ephemeral: false, reset: false, runtime_directory: format!("{dir}-run").into(),
    };
    let t = std::time::Instant::now();
    let r = cairn::devnet::run(&settings, |p| eprintln!("{p:?}"), |ready| { println!("{}", serde_json::to_string(ready).unwrap()); eprintln!("ready after {:?}", t.elapsed()); });
    if let Err(e) = r { eprintln!("{e}: {:?}", e); std::process::exit(1) }
}
