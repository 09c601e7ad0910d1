//! The program behind the engine `fixture`; all of it is `cto_harness::engine::fixture::player`.

fn main() -> std::process::ExitCode {
    cto_harness::engine::fixture::player::main()
}
