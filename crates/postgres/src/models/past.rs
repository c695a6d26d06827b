//! The past: the cut of a moment, and folds up to it into tables that are thrown away.

use pacioli_core::place::{Checkpoint, Position};
use pacioli_core::{EventStore, StoreError, Timestamp};
use pacioli_projection::engine::{EngineError, Moment};
use pacioli_projection::file::Name;

use super::check::engine_error;
use super::copies;
use super::fold::{Fold, Original, at, start};
use super::home::Home;
use super::transaction::in_transaction;
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::row;
use crate::shared::reader;

/// Tables as they were at a moment, for one question.
pub(crate) struct Scratch {
    /// The schemas to put in front of the search path, in this order: one with `events` as the log was, and one for each
    /// projection with its tables. The reader's role may read them.
    pub(crate) schemas: Vec<String>,
    ids: Vec<i64>,
    /// Holds the locks that keep them: they go with it, whoever forgets to discard.
    session: Session,
}

impl Scratch {
    /// Drops them. What is left behind by a process that ended is dropped at the next opening.
    pub(crate) async fn discard(self, home: &Home) {
        for id in &self.ids {
            if let Err(error) = release(home, &self.session, *id).await {
                tracing::debug!(%error, "a scratch schema could not be dropped yet");
                return;
            }
        }
    }
}

/// Makes the name of a schema that is thrown away, and keeps it as long as the session lives. In the session's transaction.
pub(super) async fn keep_scratch(home: &Home, session: &Session) -> Result<(i64, String)> {
    let row = session.query_one(&home.fill(sql!("models/scratch/insert_scratch")), &[&""]).await?;
    let id: i64 = row.get(0);
    session.query(sql!("models/scratch/lock_scratch"), &[&home.catalogue(), &id]).await?;
    let schema = format!("{}_scratch_{id}", home.schema());
    session.execute(&home.fill(sql!("models/scratch/name_scratch")), &[&id, &schema]).await?;
    Ok((id, schema))
}

/// Lets a schema go and drops it.
pub(super) async fn release(home: &Home, session: &Session, id: i64) -> Result<()> {
    session.query(sql!("models/scratch/unlock_scratch"), &[&home.catalogue(), &id]).await?;
    super::scratch::drop_one(home, session, id).await
}

impl Home {
    /// Folds the serving builds of these projections up to a moment.
    pub(crate) async fn fold_scratch(
        &self,
        names: &[Name],
        moment: &Moment,
    ) -> std::result::Result<Scratch, EngineError> {
        let cut = cut(self, moment).await.map_err(EngineError::Store)?;
        let head = self.store().head().await.map_err(|error| EngineError::Store(StoreError::new(error.to_string())))?;
        if cut.partitions() != head.partitions() || !head.covers(&cut) {
            return Err(EngineError::Refused(format!("the log is at {head} and has not come to {cut} yet")));
        }
        let until = match moment {
            Moment::Occurred(until) => Some(*until),
            Moment::Recorded(_) | Moment::At(_) => None,
        };
        let session = self.own_session().await.map_err(engine_error)?;
        let mut scratch = Scratch { schemas: Vec::new(), ids: Vec::new(), session };
        let log = async {
            let (id, schema) = keep_scratch(self, &scratch.session).await.map_err(engine_error)?;
            lay_log(self, &scratch.session, &schema, &cut, until).await.map_err(engine_error)?;
            Ok::<_, EngineError>((id, schema))
        };
        let (id, schema) = in_transaction(&scratch.session, log).await?;
        scratch.ids.push(id);
        scratch.schemas.push(schema);
        for name in names {
            let (id, schema) = fold_one(self, &scratch.session, name, &cut, until).await?;
            scratch.ids.push(id);
            scratch.schemas.push(schema);
        }
        Ok(scratch)
    }
}

async fn fold_one(
    home: &Home,
    session: &Session,
    name: &Name,
    cut: &Checkpoint,
    until: Option<Timestamp>,
) -> std::result::Result<(i64, String), EngineError> {
    let original = Original::read(home, session, name, None).await?;
    let workers = original.workers;
    let partitions = cut.partitions();
    let laid = async {
        let (id, schema) = keep_scratch(home, session).await.map_err(engine_error)?;
        let stands = start(workers, partitions);
        let mut fold = Fold { home, session, original: &original, schema, workers, until, stands };
        fold.lay().await?;
        // What occurred by then may have been recorded at any time, so it is folded from the start.
        if until.is_none() {
            copies::load_nearest(&mut fold, cut).await.map_err(engine_error)?;
        }
        Ok::<_, EngineError>((id, fold))
    };
    let (id, mut fold) = in_transaction(session, laid).await?;
    fold.go_on(&at(cut, workers), |_| {}).await?;
    let finish = async {
        let schema = &fold.schema;
        for view in fold.original.projection.definitions.iter().filter_map(|definition| match &definition.makes {
            pacioli_projection::file::Makes::MaterializedView { name, .. } => Some(name),
            _ => None,
        }) {
            session.batch_execute(&format!("REFRESH MATERIALIZED VIEW {schema}.\"{view}\"")).await?;
        }
        Ok::<_, Error>(
            session.batch_execute(&home.fill(sql!("models/fold/grant_scratch")).replace("{build}", schema)).await?,
        )
    };
    finish.await.map_err(engine_error)?;
    Ok((id, fold.schema))
}

/// The relation `events` as it was.
async fn lay_log(
    home: &Home,
    session: &Session,
    schema: &str,
    cut: &Checkpoint,
    until: Option<Timestamp>,
) -> Result<()> {
    let within =
        cut.iter().map(|place| format!("partition = {} AND position <= {}", place.partition.0, place.position.0));
    let mut condition = format!("({})", within.collect::<Vec<_>>().join(" OR "));
    if let Some(until) = until {
        condition += &format!(" AND occurred_at <= to_timestamp(0) + interval '{} us'", until.as_micros());
    }
    let read = home.read_schema();
    session
        .batch_execute(&format!(
            "CREATE SCHEMA {schema}; CREATE VIEW {schema}.events AS SELECT * FROM {read}.events WHERE {condition}"
        ))
        .await?;
    Ok(session.batch_execute(&home.fill(sql!("models/fold/grant_scratch")).replace("{build}", schema)).await?)
}

/// The last position of each partition that was recorded by a moment.
pub(super) async fn cut(home: &Home, moment: &Moment) -> std::result::Result<Checkpoint, StoreError> {
    let head = || async { home.store().head().await.map_err(|error| StoreError::new(error.to_string())) };
    let time = match moment {
        Moment::At(checkpoint) => return Ok(checkpoint.clone()),
        Moment::Occurred(_) => return head().await,
        Moment::Recorded(time) => *time,
    };
    let find = async {
        let epoch = home.store().shared().recent.epoch();
        let session = reader(home.store().pool()).await?;
        let rows =
            session.within(async { Ok(session.query(sql!("models/fold/read_cut"), &[&row::Moment(time)]).await?) });
        let positions = rows.await?.iter().map(|row| Position(row.get::<_, i64>(0) as u64)).collect::<Vec<_>>();
        Ok::<_, Error>(Checkpoint::new(positions, epoch))
    };
    find.await.map_err(Error::into_store_error)
}
