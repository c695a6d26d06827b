//! The analyst workload: questions over a long log and its read models, each again and again.

use std::time::Instant;

use serde::Serialize;

use crate::BenchError;
use crate::machine::Machine;
use crate::models::{Models, statement};
use crate::report::{Parameters, round};

/// How often each question is asked and measured, after once to warm up.
const TIMES: usize = 5;

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// What it asks for.
    pub what: &'static str,
    /// The statement's file.
    file: &'static str,
    /// Whether it reads Rewind.
    pub of_rewind: bool,
}

/// The questions, in the order they are asked.
pub const QUESTIONS: [Question; 5] = [
    Question {
        what: "an aggregate over a read model of a row a stream",
        file: include_str!("sql/questions/sum_accounts.sql"),
        of_rewind: false,
    },
    Question {
        what: "an aggregate over Rewind's states",
        file: include_str!("sql/questions/sum_states.sql"),
        of_rewind: true,
    },
    Question {
        what: "the count of one type in the log",
        file: include_str!("sql/questions/count_type.sql"),
        of_rewind: false,
    },
    Question {
        what: "the count of the log by type",
        file: include_str!("sql/questions/count_by_type.sql"),
        of_rewind: false,
    },
    Question {
        what: "a GROUP BY over the log with a sum of a JSON path",
        file: include_str!("sql/questions/sum_by_type.sql"),
        of_rewind: false,
    },
];

/// How long a question took.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// What was asked for.
    pub what: &'static str,
    /// In SQL.
    pub sql: String,
    /// Rows of the answer.
    pub rows: u64,
    /// The median of the times it took.
    pub median_ms: f64,
    /// The shortest of them.
    pub shortest_ms: f64,
    /// The longest of them.
    pub longest_ms: f64,
    /// The first time, before anything was warm.
    pub first_ms: f64,
}

/// All questions of a run, as they are told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each question.
    pub questions: Vec<Answered>,
    /// Events in the log.
    pub events: u64,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

/// Asks a question once, and then five times that count.
///
/// # Errors
/// [`BenchError`] where there is no answer, or one without rows.
pub async fn ask(models: &dyn Models, question: &Question) -> Result<Answered, BenchError> {
    let sql = statement(question.file);
    let mut millis = Vec::new();
    let mut rows = 0;
    for _ in 0..=TIMES {
        let began = Instant::now();
        rows = models.ask(&sql, None).await?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        if rows == 0 {
            return Err(BenchError::Outcome(format!("there was nothing to answer to `{sql}`")));
        }
    }
    let first_ms = round(millis.remove(0), 3);
    millis.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| round(millis[place], 3);
    Ok(Answered {
        what: question.what,
        sql,
        rows,
        median_ms: at(TIMES / 2),
        shortest_ms: at(0),
        longest_ms: at(TIMES - 1),
        first_ms,
    })
}
