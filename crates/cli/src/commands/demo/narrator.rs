//! How the story looks: a sentence, the command it stands for, the answer below it.

use std::io::{Stdout, Write};

use crate::failure::Failure;
use crate::output::{Paint, plain};

/// Prints the story to standard output.
pub(super) struct Narrator {
    out: Stdout,
    paint: Paint,
    steps: u32,
}

impl Narrator {
    pub(super) fn new() -> Narrator {
        Narrator { out: std::io::stdout(), paint: Paint::stdout(), steps: 0 }
    }

    /// A sentence outside of the steps.
    pub(super) fn text(&mut self, sentence: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{}", self.paint.bold(sentence))?)
    }

    /// The sentence that begins a step.
    pub(super) fn step(&mut self, sentence: &str) -> Result<(), Failure> {
        self.steps += 1;
        Ok(writeln!(self.out, "{}", self.paint.bold(&format!("{}. {sentence}", self.steps)))?)
    }

    /// The command that the step stands for.
    pub(super) fn command(&mut self, command: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "   {} {}", self.paint.dim("$"), self.paint.cyan(command))?)
    }

    /// What the command prints.
    pub(super) fn answer(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "     {}", plain(line))?)
    }

    /// What the other terminal sees.
    pub(super) fn arrives(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "   {} {}", self.paint.green(">"), plain(line))?)
    }

    /// What the command says on a conflict.
    pub(super) fn conflict(&mut self, message: &str) -> Result<(), Failure> {
        let conflict = self.paint.yellow("conflict:");
        Ok(writeln!(self.out, "     {conflict} {}", plain(message))?)
    }

    /// What the command says on a refusal.
    pub(super) fn error(&mut self, message: &str) -> Result<(), Failure> {
        let error = self.paint.red("error:");
        Ok(writeln!(self.out, "     {error} {}", plain(message))?)
    }

    /// Commands with a remark each, aligned.
    pub(super) fn commands(&mut self, commands: &[(&str, &str)]) -> Result<(), Failure> {
        let width = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        for (command, remark) in commands {
            let padding = " ".repeat(width - command.chars().count());
            let remark = self.paint.dim(&format!("# {remark}"));
            writeln!(self.out, "   {} {}{padding}   {remark}", self.paint.dim("$"), self.paint.cyan(command))?;
        }
        Ok(())
    }

    /// An empty line between two steps.
    pub(super) fn gap(&mut self) -> Result<(), Failure> {
        writeln!(self.out)?;
        Ok(self.out.flush()?)
    }
}
