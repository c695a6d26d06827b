//! `pacioli doctor`: what a store's promises rest on, and whether it holds.

use std::io::Write;

use clap::Args;
use pacioli_postgres::doctor::{Finding, Severity, examine, examine_standby};
use pacioli_server::{OpenError, OpenOptions, data_directory, open_store_with, postgres_location};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Form, OutputArgs, Paint, plain};
use crate::target::StoreUrl;

/// Look at what a store's promises rest on, and say what to do where something does not hold
///
/// A line a finding: ok, warning or FAILURE, what was seen, and below it what to do. A failure makes it exit 1. On
/// PostgreSQL it looks at settings, the bus, slots, chunks, roles, sessions and clocks, and changes nothing; it needs no
/// store there yet. Of an embedded store it says whether the file is there, opens, and answers, which recovers it where
/// that is needed; one that a server has open is left alone.
///
/// With --standby it also says whether that server could take over from the primary now, and what would be lost.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli doctor --store postgres://owner@localhost/shop
  pacioli doctor --store postgres://owner@db1/shop --standby postgres://owner@db2/shop
  pacioli doctor --store postgres://owner@localhost/shop --reader postgres://analyst@localhost/shop
  pacioli doctor --store postgres://owner@localhost/shop --json
  pacioli doctor --store sqlite:./pacioli-data"#)]
pub(crate) struct Doctor {
    #[command(flatten)]
    store: StoreUrl,
    /// A standby of that database: could it take over now?
    #[arg(long, value_name = "URL")]
    standby: Option<String>,
    /// The login of queries in SQL: may it read, and no more?
    #[arg(long, value_name = "URL")]
    reader: Option<String>,
    /// One JSON object a finding; the same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A finding as it is told.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    severity: &'static str,
    says: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let url = self.store.url()?;
        let standby = match &self.standby {
            Some(url) => match postgres_location(url)? {
                None => return Err(Failure::usage("--standby is about a server of PostgreSQL")),
                standby => standby,
            },
            None => None,
        };
        let store = match (postgres_location(&url)?, &self.reader) {
            (None, Some(_)) => return Err(Failure::usage("--reader is about a store on PostgreSQL")),
            (Some(store), Some(reader)) => {
                let reader = postgres_location(reader)?;
                let reader = reader.ok_or_else(|| Failure::usage("--reader names a login of PostgreSQL"))?;
                Some(store.with_reader(reader).map_err(|error| Failure::usage(error.reason))?)
            }
            (store, None) => store,
        };
        let findings = match (store, standby) {
            (Some(location), standby) => {
                let mut findings = Box::pin(examine(&location)).await;
                if let Some(standby) = standby {
                    findings.extend(Box::pin(examine_standby(&location, &standby)).await);
                }
                findings
            }
            (None, Some(_)) => return Err(Failure::usage("--standby is about a store on PostgreSQL")),
            (None, None) => examine_embedded(&url).await?,
        };
        let form = if self.json { Form::Json } else { self.output.form() };
        print(&findings, form)?;
        match findings.iter().filter(|finding| finding.severity == Severity::Failure).count() {
            0 => Ok(()),
            1 => Err(Failure::failed("a promise does not hold here, or soon will not: see the failure")),
            many => {
                Err(Failure::failed(format!("promises do not hold here, or soon will not: see the {many} failures")))
            }
        }
    }
}

async fn examine_embedded(url: &str) -> Result<Vec<Finding>, Failure> {
    let Some(directory) = data_directory(url) else {
        return Err(Failure::usage("there is nothing to examine: name a store on PostgreSQL or in a directory"));
    };
    let finding = |name, severity, says: String, advice: Option<&str>| Finding {
        name,
        severity,
        says,
        advice: advice.map(str::to_owned),
    };
    let log = directory.join("log.db");
    if !log.exists() {
        let says = format!("{} is not there", log.display());
        let advice = "name the directory of a store; `pacioli serve` makes a new one";
        return Ok(vec![finding("file", Severity::Failure, says, Some(advice))]);
    }
    let mut findings = vec![finding("file", Severity::Ok, format!("{} is there", log.display()), None)];
    let opened = open_store_with(url, OpenOptions { must_exist: true, ..OpenOptions::default() }).await;
    match opened {
        Ok(opened) => {
            let says = "its format is known to this version, and it opens".to_owned();
            findings.push(finding("open", Severity::Ok, says, None));
            findings.push(match opened.store.head().await {
                Ok(head) => finding("head", Severity::Ok, format!("the log answers; its head is {head}"), None),
                Err(error) => finding("head", Severity::Failure, error.to_string(), Some("restore it from a backup")),
            });
        }
        Err(OpenError::Store(error)) if error.reason.contains("in use by another process") => {
            let says = "another process has it open, so it was not looked at further".to_owned();
            findings.push(finding("open", Severity::Ok, says, Some("ask that server: GET /readyz")));
        }
        Err(error) => findings.push(finding("open", Severity::Failure, error.to_string(), None)),
    }
    Ok(findings)
}

fn print(findings: &[Finding], form: Form) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let paint = Paint::stdout();
    for Finding { name, severity, says, advice } in findings {
        if form == Form::Json {
            let told = Told { name, severity: severity.word(), says, advice: advice.as_deref() };
            writeln!(out, "{}", pacioli_api::json::to_string(&told))?;
            continue;
        }
        // Words of one width, coloured after they were widened.
        let word = match severity {
            Severity::Ok => paint.green("ok     "),
            Severity::Warning => paint.yellow("warning"),
            Severity::Failure => paint.red("FAILURE"),
        };
        writeln!(out, "{word}  {name:<13} {}", plain(says))?;
        if let Some(advice) = advice {
            writeln!(out, "{:24}{}", "", paint.dim(&plain(advice)))?;
        }
    }
    Ok(out.flush()?)
}
