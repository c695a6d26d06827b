//! How a projection is, as a server told it: the JSON for programs, and what people want to see of it.

use std::collections::BTreeMap;
use std::io::Write;

use pacioli_client::http::Ask;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::picture;
use crate::failure::Failure;
use crate::output::Form;
use crate::read_models::{ReadModelsDoor, encoded};

/// One projection, as its JSON and understood.
pub(super) struct Told {
    pub(super) json: Box<RawValue>,
    pub(super) status: Status,
}

/// What is understood of a status. What an older server does not say is as it mostly is.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) name: String,
    pub(super) version: Option<u32>,
    pub(super) building: Option<u32>,
    pub(super) state: String,
    #[serde(default)]
    pub(super) mode: String,
    pub(super) checkpoint: String,
    #[serde(default)]
    pub(super) lag_events: u64,
    #[serde(default)]
    pub(super) lag_seconds: f64,
    #[serde(default)]
    pub(super) events_per_second: f64,
    pub(super) eta_seconds: Option<f64>,
    pub(super) progress: Option<f64>,
    pub(super) error: Option<Error>,
    pub(super) waits_for: Option<String>,
    #[serde(default)]
    pub(super) passed_over: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) stalled: bool,
    #[serde(default)]
    pub(super) stalled_seconds: f64,
    #[serde(default)]
    pub(super) tables: Vec<String>,
    pub(super) kept: Option<u32>,
    pub(super) runner: Option<String>,
    #[serde(default)]
    pub(super) materialized: BTreeMap<String, Option<f64>>,
    pub(super) verified: Option<Verified>,
}

/// Where and why it stopped.
#[derive(Deserialize)]
pub(super) struct Error {
    pub(super) place: String,
    pub(super) error: String,
    pub(super) version: u32,
}

/// What the last check found.
#[derive(Deserialize)]
pub(super) struct Verified {
    pub(super) at: String,
    pub(super) rows: u64,
    pub(super) different: u64,
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Told, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let status = serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?;
        Ok(Told { json, status })
    }
}

/// The path of a projection, and what stands below it.
pub(super) fn path(name: &str, below: &str) -> String {
    format!("/v1/projections/{}{below}", encoded(name))
}

/// How one projection is, or all of them.
pub(super) async fn ask(door: &ReadModelsDoor, name: Option<&str>) -> Result<Vec<Told>, Failure> {
    match name {
        Some(name) => Ok(vec![door.json(Ask::get(path(name, ""))).await?]),
        None => door.json(Ask::get("/v1/projections")).await,
    }
}

/// Prints what a command left behind: the JSON, or a line for a person.
pub(super) fn print(told: &Told, form: Form) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match form {
        Form::Json => writeln!(out, "{}", told.json)?,
        Form::Table => writeln!(out, "{}", picture::lines(std::slice::from_ref(told)).join("\n"))?,
    }
    Ok(out.flush()?)
}
