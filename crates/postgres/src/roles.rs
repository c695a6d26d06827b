//! The roles of a store: who owns it, who appends, who reads. Their names carry the schema, because roles are the cluster's.
//!
//! | role | may |
//! | --- | --- |
//! | `{schema}_owner` | everything, as the owner; the functions that make chunks and periods run as it |
//! | `{schema}_appender` | what a server does: read, append, hold leases, move checkpoints, keep snapshots |
//! | `{schema}_reader` | read the log |
//! | `{schema}_projector` | that, move checkpoints, own read models and say which of them appends write |
//! | `{schema}_replicator` | read the commits, as logical replication does |
//! | `{schema}_sync` | run `sync` projections in appends; nobody is a member |
//!
//! Nobody may change or delete what is in the log: no role has the right, and the `append_only` triggers stop those who
//! need none.

use crate::connect::Session;
use crate::error::Result;

/// What stands behind `{schema}_` in the name of each role.
pub const ROLES: [&str; 6] = ["owner", "appender", "reader", "projector", "replicator", "sync"];

/// In the order in which they are run.
pub(crate) const STATEMENTS: [&str; 4] =
    [sql!("roles/create_roles"), sql!("roles/give_to_owner"), sql!("roles/give_run_sync"), sql!("roles/grant_rights")];

/// Does for a store that is up to date what was left out when somebody made it who may not create roles; says so if it was.
pub(crate) async fn complete(session: &Session, schema: &str) -> Result<Option<String>> {
    if is_divided(session, schema).await? {
        return Ok(None);
    }
    session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    session.execute(sql!("lock_migrations"), &[&schema]).await?;
    let said = establish(session, schema).await?;
    session.batch_execute("COMMIT").await?;
    Ok(is_divided(session, schema).await?.then_some(said))
}

/// Whether the store belongs to its own role.
async fn is_divided(session: &Session, schema: &str) -> Result<bool> {
    Ok(session.query_one(sql!("roles/read_owner"), &[&schema]).await?.try_get(1)?)
}

/// Makes the roles that are missing, gives them what is theirs, and says how it stands then.
pub(crate) async fn establish(session: &Session, schema: &str) -> Result<String> {
    for statement in STATEMENTS {
        session.batch_execute(&statement.replace("{schema}", schema)).await?;
    }
    let row = session.query_one(sql!("roles/read_owner"), &[&schema]).await?;
    let (owner, is_ours, me): (String, bool, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(if is_ours {
        format!(
            "gave rights to the roles {schema}_appender, {schema}_reader, {schema}_projector and {schema}_replicator; {owner} owns the store"
        )
    } else {
        format!("made no roles: {me} may not create them, so {owner} owns the store and its rights are not divided")
    })
}
