//! The small program that becomes a sandbox; everything is in `cto_harness::sandbox::stub`.

fn main() -> std::process::ExitCode {
    cto_harness::sandbox::stub::main()
}
