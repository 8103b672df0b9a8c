//! A peer-to-peer cryptocurrency in one program.

fn main() -> std::process::ExitCode {
    cairn::main()
}
