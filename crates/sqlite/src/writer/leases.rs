//! Leases, which the writer keeps so that one transaction after the other decides them.

use std::time::Duration;

use rusqlite::params;

use pacioli_core::Timestamp;
use pacioli_core::lease::{self, Lease, LeaseOutcome};

use super::{Command, Writer};
use crate::error::{Error, Result};

impl Writer {
    pub(super) fn execute(&mut self, command: Command) {
        let now = self.shared.clock.now();
        let stopped = self.shared.stopped.get().map(|reason| Error::Store(reason.clone()));
        match command {
            Command::AcquireLease { name, owner, time_to_live, answer } => {
                let outcome = stopped.map_or_else(|| self.acquire_lease(&name, &owner, time_to_live, now), Err);
                let _ = answer.send(outcome);
            }
            Command::ReleaseLease { lease, answer } => {
                let outcome = stopped.map_or_else(|| self.release_lease(&lease, now), Err);
                let _ = answer.send(outcome);
            }
            Command::Projections(command) => self.execute_on_projections(command),
            Command::Registry(command) => self.execute_on_registry(command),
        }
    }

    fn acquire_lease(&mut self, name: &str, owner: &str, ttl: Duration, now: Timestamp) -> Result<LeaseOutcome> {
        let current = self.read_lease(name)?;
        let outcome = lease::decide(current.as_ref(), name, owner, ttl, now);
        if let LeaseOutcome::Held(lease) = &outcome {
            self.write_lease(lease)?;
        }
        Ok(outcome)
    }

    fn release_lease(&mut self, given_back: &Lease, now: Timestamp) -> Result<bool> {
        let Some(mut held) = self.read_lease(&given_back.name)? else { return Ok(false) };
        let released = lease::release(&mut held, given_back, now);
        if released {
            self.write_lease(&held)?;
        }
        Ok(released)
    }

    fn read_lease(&self, name: &str) -> Result<Option<Lease>> {
        let mut statement = self.conn.prepare_cached(sql!("read_lease"))?;
        let mut rows = statement.query([name])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let (owner, token, expires_at): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Some(Lease {
            name: name.to_owned(),
            owner,
            token: token as u64,
            expires_at: Timestamp::from_micros(expires_at),
        }))
    }

    fn write_lease(&self, lease: &Lease) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql!("write_lease"))?;
        let written =
            statement.execute(params![lease.name, lease.owner, lease.token as i64, lease.expires_at.as_micros()]);
        if let Err(error) = written {
            let error = Error::from(error);
            self.stop_if_in_doubt(&error);
            return Err(error);
        }
        Ok(())
    }
}
