//! A peer-to-peer cryptocurrency in one program.
fn main() {}
