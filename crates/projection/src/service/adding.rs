//! Registering files: what a file means for what there is already, and beginning a build of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::catalogue::{Builds, Family};
use crate::engine::{Build, BuildNumber, Role, State};
use crate::file::{Finding, Makes, Mode, Name, Projection, Severity, check_paths};

use super::commands::title;
use super::record::{Command, record};
use super::{Added, Adding, CommandError, ReadModels};

/// How long the directory's new `sync` projections are waited for at start.
const LOAD_PATIENCE: Duration = Duration::from_secs(10);

/// What a file is to what there is already.
enum Rule {
    /// It is known: nothing is to be done, but perhaps something to be said.
    Known(Option<String>),
    /// It is new.
    New,
}

impl ReadModels {
    /// Registers a file. The same file again does nothing; the same version with another text is refused; a higher version
    /// is filled beside the one that serves and takes over by itself. Returns at once, but a `sync` projection's first
    /// build is waited for, since it can be relied on only then.
    ///
    /// # Errors
    /// Findings of the check; a version that does not go on from what there is; a table that another projection owns.
    pub async fn add(&self, file: &str, text: &str, by: Option<&str>) -> Result<Added, CommandError> {
        let (added, begun) = self.begin(file, text, by).await?;
        if let Some(number) = begun {
            self.wait_until_it_serves(&added.name, number).await?;
        }
        Ok(added)
    }

    /// Registers the files of a directory, `(name, text)` each, in the order of their names. What became of each stands
    /// beside its name; a bad file does not stop the others. New `sync` projections are waited for, but not for long:
    /// what is not filled by then goes on by itself.
    pub async fn load(&self, files: Vec<(String, String)>) -> Vec<(String, Result<Added, CommandError>)> {
        let mut files = files;
        files.sort();
        let mut seen: BTreeMap<Name, String> = BTreeMap::new();
        let (mut loaded, mut waited_for) = (Vec::new(), Vec::new());
        for (file, text) in files {
            let outcome = match Projection::parse(&file, &text) {
                Ok(projection) if seen.contains_key(&projection.name) => Err(CommandError::File(vec![error_in(
                    &file,
                    format!(
                        "`{}` is the projection of `{}` already: a directory has one file a projection, with its newest \
                         version",
                        projection.name, seen[&projection.name]
                    ),
                )])),
                Ok(projection) => {
                    seen.insert(projection.name, file.clone());
                    self.begin(&file, &text, None).await.map(|(added, begun)| {
                        waited_for.extend(begun.map(|number| (added.name.clone(), number)));
                        added
                    })
                }
                Err(findings) => Err(CommandError::File(findings)),
            };
            loaded.push((file, outcome));
        }
        let deadline = Instant::now() + LOAD_PATIENCE;
        for (name, number) in waited_for {
            match tokio::time::timeout_at(deadline, self.wait_until_it_serves(&name, number)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(projection = name.as_str(), "{error}"),
                Err(_) => tracing::info!(
                    projection = name.as_str(),
                    "the `sync` projection `{name}` is still being filled; its tables are there once it is"
                ),
            }
        }
        loaded
    }

    /// Checks a file and begins a build of it where it is new. Returns the build's number where it is to be waited for.
    async fn begin(
        &self,
        file: &str,
        text: &str,
        by: Option<&str>,
    ) -> Result<(Added, Option<BuildNumber>), CommandError> {
        let projection = Projection::parse(file, text).map_err(CommandError::File)?;
        let by = by.map(str::to_owned);
        self.detached(move |this| async move { this.begin_parsed(projection, by.as_deref()).await }).await
    }

    async fn begin_parsed(
        &self,
        projection: Projection,
        by: Option<&str>,
    ) -> Result<(Added, Option<BuildNumber>), CommandError> {
        let shared = self.shared();
        let builds = shared.catalogue.reload().await?;
        if let Rule::Known(hint) = rule(&builds, &projection)? {
            return Ok((unchanged(&projection, hint), None));
        }
        if projection.mode == Mode::Sync && !shared.engine.abilities().sync {
            return Err(CommandError::File(vec![error_in(
                &projection.file,
                "`mode: sync` cannot be here, because the read models are not in the log's own database: appends could \
                 not hold both. Write `-- mode: async`, and read with `at_least`"
                    .to_owned(),
            )]));
        }
        let workers = self.workers(&projection, None)?;
        let warnings = self.check(&projection).await?;
        self.exclusively(async {
            // Another server may have begun it since.
            let builds = shared.catalogue.reload().await?;
            if let Rule::Known(hint) = rule(&builds, &projection)? {
                return Ok((unchanged(&projection, hint), None));
            }
            check_owners(&builds, &projection)?;
            let family = builds.family(&projection.name);
            // One fills at a time, so what fills already makes room. The file was checked: it is the one to go on with.
            let outrun: Vec<_> = family.iter().flat_map(Family::filling).cloned().collect();
            for outrun in outrun {
                shared.engine.drop_build(&projection.name, outrun.number).await?;
            }
            let begun = shared.engine.begin(&projection, workers).await;
            let _ = shared.catalogue.reload().await;
            let build = begun?;
            let command = Command::Added {
                version: projection.version,
                build: build.number,
                file: projection.file.clone(),
                hash: projection.hash.clone(),
                mode: match projection.mode {
                    Mode::Async => "async",
                    Mode::Sync => "sync",
                },
            };
            record(shared, &projection.name, command, by).await;
            let is_first = family.is_none_or(|family| family.serving.is_none());
            let added = Added {
                name: projection.name.clone(),
                version: projection.version,
                outcome: if is_first { Adding::Created } else { Adding::Rebuilding },
                warnings,
            };
            let is_waited_for = is_first && build.role == Role::Filling;
            Ok((added, is_waited_for.then_some(build.number)))
        })
        .await
    }

    /// What the engine and the log say of a file: warnings, or the errors among the findings with them.
    async fn check(&self, projection: &Projection) -> Result<Vec<Finding>, CommandError> {
        let mut findings = self.shared().engine.check(projection).await?;
        let shared = self.shared();
        let gate = shared.engine.gate();
        let checked = check_paths(projection, &*shared.store, gate.as_deref()).await;
        findings.extend(checked.map_err(CommandError::Store)?);
        findings.sort_by_key(|finding| (finding.severity == Severity::Warning, finding.line));
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(CommandError::File(findings));
        }
        Ok(findings)
    }

    /// Waits until a build serves.
    async fn wait_until_it_serves(&self, name: &Name, number: BuildNumber) -> Result<(), CommandError> {
        let mut catalogue = self.shared().catalogue.subscribe();
        loop {
            let builds = std::sync::Arc::clone(&catalogue.borrow_and_update());
            let build = builds.iter().find(|build| build.projection.name == *name && build.number == number);
            let Some(build) = build else {
                // What is known may be older than the build.
                let builds = self.shared().catalogue.reload().await?;
                if builds.iter().any(|build| build.projection.name == *name && build.number == number) {
                    continue;
                }
                return Err(CommandError::State(format!("`{name}` was cancelled before it was filled")));
            };
            if build.role == Role::Serving {
                return Ok(());
            }
            match &build.state {
                State::Running => {}
                State::Paused => {
                    return Err(CommandError::State(format!(
                        "{} was paused before it was filled; `pacioli projection resume {name}` lets it go on",
                        title(build)
                    )));
                }
                State::Failed(failed) => {
                    return Err(CommandError::State(format!(
                        "{} stopped at the event {}: {}. Mend what is wrong and run `pacioli projection retry {name}`, \
                         pass over the event with `pacioli projection skip {name} --reason …`, or give it up with \
                         `pacioli projection cancel {name}`",
                        title(build),
                        failed.place,
                        failed.error
                    )));
                }
            }
            if catalogue.changed().await.is_err() {
                return Err(CommandError::State(format!("the server stops; `{name}` is filled by the next one")));
            }
        }
    }
}

/// What a file is to the builds there are.
fn rule(builds: &Builds, projection: &Projection) -> Result<Rule, CommandError> {
    let (name, version) = (&projection.name, projection.version);
    let Some(family) = builds.family(name) else { return Ok(Rule::New) };
    if let Some(known) = family.iter().find(|build| build.projection.hash == projection.hash) {
        let hint = |how: &str| format!("version {version} of `{name}` is known and {how}");
        return Ok(Rule::Known(match known.role {
            Role::Kept => Some(hint(&format!(
                "was replaced; `pacioli projection rollback {name}` lets it serve again, a higher version another text"
            ))),
            Role::Serving if family.filling.as_ref().is_some_and(|filling| filling.projection.version > version) => {
                Some(hint("a newer one is being filled"))
            }
            Role::Serving | Role::Filling => None,
        }));
    }
    let refused = |problem: String| Err(CommandError::File(vec![error_in(&projection.file, problem)]));
    if let Some(same) = family.iter().find(|build| build.projection.version == version) {
        return refused(format!(
            "version {version} of `{name}` is known with another text (of `{}`); write `-- version: {}` for the new one",
            same.projection.file,
            next_version(&family.newest().map_or(version, |newest| newest.projection.version))
        ));
    }
    if let Some(newest) = family.newest().filter(|newest| newest.projection.version > version) {
        let newest = newest.projection.version;
        return refused(format!(
            "version {version} of `{name}` is older than version {newest}, which is known already; write `-- version: {}` \
             to replace that, or go back to the version before with `pacioli projection rollback {name}`",
            next_version(&newest)
        ));
    }
    Ok(Rule::New)
}

fn next_version(version: &u32) -> u32 {
    version.saturating_add(1)
}

/// Tables are never shared: queries name them without the projection.
fn check_owners(builds: &Builds, projection: &Projection) -> Result<(), CommandError> {
    let mut findings = Vec::new();
    for definition in &projection.definitions {
        let Some(relation) = relation(&definition.makes) else { continue };
        let owns = |build: &&std::sync::Arc<Build>| {
            let other = &build.projection;
            other.name != projection.name && other.relations().any(|owned| owned.eq_ignore_ascii_case(relation))
        };
        if let Some(owner) = builds.iter().find(owns) {
            findings.push(Finding {
                severity: Severity::Error,
                file: projection.file.clone(),
                line: definition.line,
                problem: format!(
                    "`{relation}` belongs to the projection `{}` already; a table has one owner, so give it another name",
                    owner.projection.name
                ),
            });
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(CommandError::File(findings)) }
}

fn relation(makes: &Makes) -> Option<&str> {
    match makes {
        Makes::Table(name) | Makes::VirtualTable(name) | Makes::View(name) => Some(name),
        Makes::MaterializedView { name, .. } => Some(name),
        Makes::Index { .. } => None,
    }
}

fn unchanged(projection: &Projection, hint: Option<String>) -> Added {
    let warning = |problem| Finding { severity: Severity::Warning, file: projection.file.clone(), line: 1, problem };
    Added {
        name: projection.name.clone(),
        version: projection.version,
        outcome: Adding::Unchanged,
        warnings: hint.into_iter().map(warning).collect(),
    }
}

fn error_in(file: &str, problem: String) -> Finding {
    Finding { severity: Severity::Error, file: file.to_owned(), line: 1, problem }
}
