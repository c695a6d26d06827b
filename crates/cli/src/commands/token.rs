//! `pacioli token`: tokens for a server that asks for them.

use std::io::Write;

use clap::{Args, Subcommand};
use pacioli_server::tokens::{self, Role};

use crate::failure::Failure;
use crate::output::{Form, OutputArgs};

/// Make bearer tokens for a server that asks for them
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli token new --role append --name checkout
  pacioli serve --tokens tokens"#)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    New(New),
}

/// Make a token: its secret, shown once, and the line with its hash for the server's file of tokens
///
/// The secret is kept nowhere. The server reads the file again when it changes.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli token new --role read --name reporting
  pacioli token new --role append --name checkout --output json"#)]
struct New {
    /// What it allows: read, append (and read), or admin (everything)
    #[arg(long, value_name = "read|append|admin")]
    role: Role,
    /// Whom it is for; the server's log names it
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Action::New(new) = self.action;
        let (secret, line) =
            tokens::new_token(new.role, &new.name).map_err(|error| Failure::usage(error.to_string()))?;
        let mut out = std::io::stdout().lock();
        match new.output.form() {
            Form::Json => writeln!(out, "{}", serde_json::json!({ "token": secret, "line": line }))?,
            Form::Table => {
                writeln!(out, "The token, which is shown this once:\n  {secret}\n")?;
                writeln!(out, "The line for the server's file of tokens (pacioli serve --tokens FILE):\n  {line}")?;
            }
        }
        Ok(out.flush()?)
    }
}
