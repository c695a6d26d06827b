//! The connections that queries run on, and how one is given back as it was taken.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool::managed::{self, Metrics, RecycleResult};
use tokio_postgres::{CancelToken, Statement};

use super::decode::Reading;
use super::plain::quote_name;
use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::shared::Shared;

/// Statements of point reads that one session keeps.
const PREPARED_MAX: usize = 200;

/// Makes the connections of queries.
pub(super) struct Sessions {
    connector: Connector,
    /// The store in the same database, which knows where the primary is.
    store: Option<Arc<Shared>>,
}

/// A connection for queries.
pub(super) struct Seat {
    session: Session,
    /// The schema that people query.
    reads: String,
    /// The role to step down to before a query.
    role: Option<String>,
    /// What the session must look like when it is given back.
    looks: String,
    look: Statement,
    /// Where this login may.
    unlock: Option<Statement>,
    /// Point reads, by their text.
    prepared: HashMap<String, Arc<Prepared>>,
}

/// A prepared point read.
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) reading: Reading,
}

impl std::ops::Deref for Seat {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Sessions {
    pub(super) fn new(connector: Connector, store: Option<Arc<Shared>>) -> Sessions {
        Sessions { connector, store }
    }

    /// Whether a session leads to the database of the store: not to another, nor to the primary of before a failover.
    fn leads_home(&self, session: &Session) -> bool {
        self.store.as_ref().is_none_or(|store| store.leads_to(session))
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }
}

impl managed::Manager for Sessions {
    type Type = Seat;
    type Error = Error;

    async fn create(&self) -> Result<Seat> {
        // To connect takes a large future, which every query would carry along.
        let seat = Box::pin(seat(&self.connector)).await?;
        if !self.leads_home(&seat.session) {
            return Err(Error::Unreachable(
                "the login of queries leads to another database than that of the store: name the same servers in both URLs; \
                 if the primary just changed, ask again"
                    .to_owned(),
            ));
        }
        Ok(seat)
    }

    async fn recycle(&self, seat: &mut Seat, _: &Metrics) -> RecycleResult<Error> {
        if seat.session.is_over() || !self.leads_home(&seat.session) {
            return Err(managed::RecycleError::message("the connection is of no use any more"));
        }
        Ok(())
    }
}

async fn seat(connector: &Connector) -> Result<Seat> {
    let session = connector.connect(Purpose::Query).await?;
    let row = session.query_one(sql!("models/look_at_reader"), &[&connector.location().schema()]).await?;
    let (role, may_bound_files, may_unlock): (Option<String>, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if may_bound_files {
        session.batch_execute("SET temp_file_limit = '4GB'").await?;
    }
    let look = session.prepare(sql!("models/read_session")).await?;
    let unlock = if may_unlock { Some(session.prepare(sql!("models/unlock_session")).await?) } else { None };
    let looks = session.query_one(&look, &[]).await?.try_get(0)?;
    let reads = format!("{}_read", connector.location().schema());
    Ok(Seat { session, reads, role, looks, look, unlock, prepared: HashMap::new() })
}

impl Seat {
    /// The schema that people query.
    pub(super) fn reads(&self) -> &str {
        &self.reads
    }

    /// What stops what it is doing, from another connection.
    pub(super) fn token(&self) -> CancelToken {
        self.session.cancel_token()
    }

    /// What begins the transaction of a query: it may not write, its names lead to `schemas`, and the server ends it after
    /// `milliseconds`.
    pub(super) fn begin(&self, schemas: &[String], milliseconds: u128) -> String {
        let schemas: String = schemas.iter().map(|schema| format!("{}, ", quote_name(schema))).collect();
        // PostgreSQL's own functions come before whatever else has their name.
        let mut begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL search_path = pg_catalog, {schemas}pg_temp; \
             SET LOCAL statement_timeout = {milliseconds}"
        );
        if let Some(role) = &self.role {
            begin.push_str("; SET LOCAL ROLE ");
            begin.push_str(&quote_name(role));
        }
        begin
    }

    /// Ends the transaction and sees whether the session is as it was made. One that is not must not be used again.
    pub(super) async fn tidy(&self) -> bool {
        let unlock = async {
            match &self.unlock {
                Some(unlock) => self.session.execute(unlock, &[]).await.map(|_| ()),
                None => Ok(()),
            }
        };
        let (ended, unlocked, looks) =
            futures::join!(self.session.batch_execute("ROLLBACK"), unlock, self.session.query_one(&self.look, &[]));
        let looks = looks.ok().and_then(|row| row.try_get::<_, String>(0).ok());
        let is_clean = ended.is_ok() && unlocked.is_ok() && looks.as_deref() == Some(self.looks.as_str());
        if !is_clean {
            tracing::warn!(
                was = self.looks,
                now = looks,
                "a session of queries was left otherwise than it was taken: it is closed"
            );
        }
        is_clean
    }

    /// A point read that was prepared before.
    pub(super) fn prepared(&self, text: &str) -> Option<Arc<Prepared>> {
        self.prepared.get(text).cloned()
    }

    /// Keeps a prepared point read.
    pub(super) fn keep(&mut self, text: String, prepared: &Arc<Prepared>) {
        // Who asks for ever other columns must not fill the memory of both sides.
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(text, Arc::clone(prepared));
    }

    /// Forgets them all, since what they read is another one now.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
    }
}
