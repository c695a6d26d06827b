//! Schemas that a run makes in somebody's database, and takes along when it ends.

use std::sync::{Arc, Mutex, PoisonError};

use pacioli_postgres::{Location, bench};
use pacioli_server::postgres_location;
use uuid::Uuid;

use super::{Common, note};
use crate::failure::Failure;

/// The schemas of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch(Arc<Mutex<Vec<Location>>>);

impl Scratch {
    /// Drops them all.
    pub(super) async fn clear(&self) -> Result<(), Failure> {
        let made = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut result = Ok(());
        for location in made {
            if let Err(error) = bench::drop_store(&location).await {
                let failure = Failure::failed(format!("could not drop schema {}: {error}", location.schema()));
                result = Err(failure.hint("Drop it yourself: it is of no use to anybody."));
            }
        }
        result
    }
}

/// The URL of a store in a new schema of the database that `url` names; it goes when the run ends, unless it is kept.
pub(super) fn new_store(common: &Common, url: &str) -> Result<String, Failure> {
    let schema = format!("{}{:08x}", bench::SCHEMA_PREFIX, Uuid::new_v4().as_fields().0);
    let url = with_schema(url, &schema);
    let Some(location) = postgres_location(&url)? else {
        return Err(Failure::usage("only a store on PostgreSQL has a schema"));
    };
    note(&format!("the data is in schema {schema}"));
    if !common.keep {
        common.scratch.0.lock().unwrap_or_else(PoisonError::into_inner).push(location);
    }
    Ok(url)
}

/// The same URL with this schema instead of the one it may name.
fn with_schema(url: &str, schema: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<&str> =
        query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("schema=")).collect();
    let schema = format!("schema={schema}");
    pairs.push(&schema);
    format!("{base}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_schema_of_a_url_changes() {
        assert_eq!(with_schema("postgres://u@h/d", "x"), "postgres://u@h/d?schema=x");
        assert_eq!(with_schema("postgres:///d?host=/a&schema=b&port=1", "x"), "postgres:///d?host=/a&port=1&schema=x");
    }
}
