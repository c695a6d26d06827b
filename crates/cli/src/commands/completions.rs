//! `pacioli completions`: the script that makes a shell complete our commands.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::failure::Failure;

/// Print the completion script of a shell
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli completions bash > /etc/bash_completion.d/pacioli
  pacioli completions zsh > ~/.zfunc/_pacioli
  pacioli completions fish > ~/.config/fish/completions/pacioli.fish"#)]
pub(crate) struct Completions {
    /// The shell: bash, zsh, fish, elvish or powershell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pacioli", &mut script);
        let mut out = std::io::stdout().lock();
        out.write_all(&script)?;
        Ok(out.flush()?)
    }
}
