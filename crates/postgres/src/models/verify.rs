//! Compares a build with a fresh fold of the same events.

use std::sync::atomic::{AtomicU64, Ordering};

use pacioli_core::place::{Checkpoint, Partition, Position};
use pacioli_projection::engine::{BuildNumber, EngineError, Sample, Verified};
use pacioli_projection::file::{Makes, Name};

use super::check::engine_error;
use super::fold::{Fold, Original, Stand};
use super::home::Home;
use super::past::{keep_scratch, release};
use super::transaction::in_transaction;
use crate::connect::Session;
use crate::error::{Error, Result};

/// Rows of one table that are told in words, of each side.
const TOLD_MAX: i64 = 5;

/// Folds again, then compares in one look at both.
pub(super) async fn verify(
    home: &Home,
    name: &Name,
    number: BuildNumber,
    sample: Sample,
    progress: &(dyn Fn(f64) + Send + Sync),
) -> std::result::Result<Verified, EngineError> {
    let session = home.own_session().await.map_err(engine_error)?;
    let original = Original::read(home, &session, name, Some(number.0 as i32)).await?;
    let (of, part) = match sample {
        Sample::All => (1, 0),
        Sample::Streams { of, part } => (i32::from(of.max(1)), i32::from(part)),
    };
    if of > 1 && !original.projection.parallel_by_stream {
        return Err(EngineError::Refused(format!(
            "a sample of `{name}` cannot be compared: its file does not say `parallel-by: stream`, so rows may come from several \
             streams; verify all of it"
        )));
    }
    if part >= of {
        return Err(EngineError::Refused(format!(
            "there are {of} parts to sample, numbered from 0, and {part} is none of them"
        )));
    }
    // A worker of the build is `of` workers of the sample, one of which is folded.
    let sampled = |stand: Stand| Stand { worker: part * original.workers + stand.worker, ..stand };
    let laid = async {
        let (id, schema) = keep_scratch(home, &session).await.map_err(engine_error)?;
        let stands = original.stands(home, &session).await.map_err(engine_error)?;
        let stands = stands.into_iter().map(|stand| Stand { position: 0, ..sampled(stand) }).collect();
        let workers = original.workers * of;
        let fold = Fold { home, session: &session, original: &original, schema, workers, until: None, stands };
        fold.lay().await?;
        Ok::<_, EngineError>((id, fold))
    };
    let (id, mut fold) = in_transaction(&session, laid).await?;
    let found = compare_folded(&mut fold, of > 1, &sampled, progress).await;
    if let Err(error) = release(home, &session, id).await {
        tracing::debug!(%error, "a scratch schema could not be dropped yet");
    }
    found
}

async fn compare_folded(
    fold: &mut Fold<'_>,
    is_sample: bool,
    sampled: &(impl Fn(Stand) -> Stand + Sync),
    progress: &(dyn Fn(f64) + Send + Sync),
) -> std::result::Result<Verified, EngineError> {
    let (home, session, original) = (fold.home, fold.session, fold.original);
    let stands = original.stands(home, session).await.map_err(engine_error)?;
    let all: u64 = stands.iter().map(|stand| stand.position as u64).sum();
    let done = AtomicU64::new(0);
    let report = |passed: u64| {
        let done = done.fetch_add(passed, Ordering::Relaxed) + passed;
        progress((done as f64 / all.max(1) as f64).min(1.0) * 0.95);
    };
    // Most of it without a snapshot, which would keep the whole database from cleaning up.
    let target: Vec<Stand> = stands.into_iter().map(sampled).collect();
    fold.go_on(&target, report).await?;
    let compare = async {
        let repeatable = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        session.batch_execute(repeatable).await.map_err(|error| engine_error(error.into()))?;
        let stands = original.stands(home, session).await.map_err(engine_error)?;
        let target: Vec<Stand> = stands.iter().copied().map(sampled).collect();
        fold.go_on(&target, |_| {}).await?;
        let mut verified =
            Verified { checkpoint: least(home, &stands), rows: 0, differences: Vec::new(), different: 0 };
        for definition in &original.projection.definitions {
            if let Makes::Table(table) = &definition.makes {
                compare(session, &original.schema, &fold.schema, table, is_sample, &mut verified)
                    .await
                    .map_err(engine_error)?;
            }
        }
        Ok::<_, EngineError>(verified)
    };
    let verified = in_transaction(session, compare).await?;
    progress(1.0);
    Ok(verified)
}

fn least(home: &Home, stands: &[Stand]) -> Checkpoint {
    let store = home.store().shared();
    let mut positions = vec![u64::MAX; usize::from(store.partitions)];
    for stand in stands {
        let least = &mut positions[Partition(stand.part as u16).index()];
        *least = (*least).min(stand.position as u64);
    }
    Checkpoint::new(positions.into_iter().map(Position), store.recent.epoch())
}

/// Compares one table, row by row as text: so all types compare, and equal means equal to the last digit.
async fn compare(
    session: &Session,
    build: &str,
    again: &str,
    table: &str,
    is_sample: bool,
    verified: &mut Verified,
) -> Result<()> {
    let fill = |sql: &str| sql.replace("{build}", build).replace("{again}", again).replace("{table}", table);
    let of = if is_sample { again } else { build };
    let rows = session.query_one(&format!("SELECT count(*) FROM {of}.\"{table}\""), &[]).await?;
    verified.rows += rows.get::<_, i64>(0) as u64;
    let mut differ = 0;
    // Of a sample, the build has the rows of all the others too.
    let sides: &[(&str, &str, &str)] = &[
        (again, build, "the fold has {row}, and the read model has not"),
        (build, again, "the read model has {row}, and the fold has not"),
    ];
    for (has, has_not, words) in &sides[..if is_sample { 1 } else { 2 }] {
        let list = fill(sql!("models/fold/list_differences")).replace("{has}", has).replace("{has_not}", has_not);
        let rows = session.query(&list, &[&TOLD_MAX]).await?;
        let count = rows.first().map_or(0, |row| row.get::<_, i64>(1) as u64);
        // A row that was changed is missing on both sides, and is one row.
        differ = count.max(differ);
        let told = rows.iter().map(|row| format!("{table}: {}", words.replace("{row}", row.get(0))));
        verified.differences.extend(told);
    }
    verified.different += differ;
    Ok::<_, Error>(())
}
