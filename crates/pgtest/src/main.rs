//! A cluster for a person to try things on: `cargo run -p pacioli-pgtest` prints its URL and keeps it until its input ends.

use std::io::Read;
use std::process::ExitCode;

// The URL is what it is run for.
#[expect(clippy::print_stdout, reason = "it is a command line tool that reports on standard output")]
fn main() -> ExitCode {
    let cluster = pacioli_pgtest::shared();
    println!("{}", cluster.url("postgres"));
    eprintln!("PostgreSQL {} runs until the input ends: press Ctrl-D, or Ctrl-C", cluster.binaries().version());
    match std::io::stdin().read_to_end(&mut Vec::new()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot read the input: {error}");
            ExitCode::FAILURE
        }
    }
}
