//! Why a command failed, as it is told: `error: ...`, then `hint: ...`, then an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use pacioli_api::problem::{Kind, Problem};
use pacioli_bench::BenchError;
use pacioli_client::http::HttpError;
use pacioli_core::{AppendError, Conflict, ReadError, Refusal};
use pacioli_server::{OpenError, ServerError};

use crate::output::Paint;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// It was not done.
    Failed = 1,
    /// The command line or the input does not make sense.
    Usage = 2,
    /// The append does not fit what the log holds.
    Conflict = 3,
    /// There is no such stream, projection or table.
    NotFound = 4,
}

impl From<u8> for Code {
    fn from(code: u8) -> Code {
        match code {
            2 => Code::Usage,
            3 => Code::Conflict,
            4 => Code::NotFound,
            _ => Code::Failed,
        }
    }
}

/// The end of a command that was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None` where the reader of our output went away, which is told to nobody.
    code: Option<Code>,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with a code of its own. The message starts in lower case.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code: Some(code), message: message.into(), hint: None }
    }

    /// The system or the store failed.
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Code::Failed, message)
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    /// Adds what to do next, in full sentences.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn with_code(self, code: Code) -> Failure {
        Failure { code: Some(code), ..self }
    }

    /// What happened at `what`.
    pub(crate) fn io(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure::failed(format!("{what}: {error}"))
    }

    /// Tells standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let Some(code) = self.code else { return ExitCode::SUCCESS };
        let paint = Paint::stderr();
        // A conflict is an outcome, not an error.
        let word = if code == Code::Conflict { paint.yellow("conflict:") } else { paint.red("error:") };
        let mut text = format!("{word} {}\n", crate::output::plain(&self.message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{} {}\n", paint.cyan("hint:"), crate::output::plain(hint)));
        }
        // Where standard error is closed there is nobody left to tell.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(code as u8)
    }
}

/// Writing to our output failed: quiet where its reader went away, as `head` does.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure { code: None, message: String::new(), hint: None };
        }
        Failure::failed(format!("could not write the output: {error}"))
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Failure {
        match error {
            HttpError::Problem(problem) => problem.into(),
            HttpError::Lost(message) => Failure::failed(message),
        }
    }
}

/// The one error table gives the exit code, and what it says is what HTTP says.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let failure = Failure::new(Code::from(problem.exit_code()), problem.detail());
        match problem.kind() {
            Kind::StreamNotFound => failure.hint("`pacioli streams` lists the streams there are."),
            // It goes on by itself.
            Kind::Behind if problem.retry_after().is_some() => failure.hint(
                "Give it longer with --deadline; `pacioli projection status` says how far it is and how fast it goes.",
            ),
            Kind::QueryLate => failure.hint("Give it longer with --deadline."),
            Kind::Unauthenticated | Kind::Forbidden => {
                failure.hint("Give a token with --token or PACIOLI_TOKEN; `pacioli token new` makes one.")
            }
            Kind::UnknownOutcome => {
                failure.hint("Send it again with the same --id or --key; without one it could be stored twice.")
            }
            _ => failure,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        let failure = Failure::from(Problem::from(&error));
        match error {
            ReadError::Rewound { to } => {
                failure.hint(format!("Go on with `--after {to}`, and undo what came from after it."))
            }
            ReadError::Withheld(_) => failure.hint(
                "Say with --accept TYPE:RANGE what is understood, or pass over the rest with --on-newer skip; `pacioli schema \
                 show TYPE` shows the newer shape.",
            ),
            _ => failure,
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Failure {
        Problem::from(&error).in_one_stream(false).into()
    }
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Failure {
        Problem::from(&conflict).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Problem::from(&refusal).in_one_stream(false).into()
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Failure {
        let failure = Failure::failed(error.to_string());
        match error {
            ServerError::Listen { .. } => failure.hint("Name another address with --listen; port 0 takes a free one."),
            _ => failure,
        }
    }
}

/// A URL that names no store is a mistake in the command line; a store that does not open is not.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        match error {
            OpenError::Url(problem) => Failure::usage(problem),
            OpenError::Store(error) => Failure::failed(error.reason),
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        match error {
            BenchError::Usage(message) => Failure::usage(message),
            BenchError::Read(error) => error.into(),
            other => Failure::failed(other.to_string()),
        }
    }
}
