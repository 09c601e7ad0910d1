//! The program `cto`: hands over to the library's command line and ends with its exit code.

fn main() -> std::process::ExitCode {
    cto_harness::cli::main()
}
