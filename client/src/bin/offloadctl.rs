//! `offloadctl`: the status of the desktop, for people.

fn main() -> std::process::ExitCode {
    offload_client::cli::main()
}
