//! `pacioli schema level` and `pacioli schema mode`: what is set for a type, a category or all.

use std::io::Write;

use clap::Args;
use pacioli_core::schemas::{Setting, SettingScope};
use pacioli_core::{Category, EventType};
use pacioli_schema::Level;
use pacioli_schema::catalogue::{Mode, Rules, setting_name};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Form, OutputArgs, plain};
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// Show or set which readers a new schema must not break
///
/// LEVEL is none, backward (what was stored before can be read by the new schema: the default), forward (who still reads by
/// the old schema can read what is stored now) or full (both), and the last three also with `_transitive`: not only the
/// version before is looked at, but all.
#[derive(Args, Debug)]
#[command(
    override_usage = "pacioli schema level [OPTIONS] TYPE [LEVEL]\n       pacioli schema level [OPTIONS] --global [LEVEL]"
)]
#[command(after_long_help = r#"Examples:
  pacioli schema level MoneyDeposited                  # what it is
  pacioli schema level MoneyDeposited full_transitive
  pacioli schema level MoneyDeposited --unset
  pacioli schema level --global forward"#)]
pub(super) struct LevelCommand {
    /// The event type (not with --global), and its level
    #[arg(value_name = "TYPE LEVEL", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    set: Set,
}

/// Show or set whether events are held against their schemas
///
/// MODE is off, warn (what is not as its schema says is counted, logged and stored all the same) or enforce. Where nothing is
/// set, a type that has a schema is enforced and the others pass. A category that is set to enforce takes no event whose
/// type has no schema.
#[derive(Args, Debug)]
#[command(
    override_usage = "pacioli schema mode [OPTIONS] CATEGORY [MODE]\n       pacioli schema mode [OPTIONS] --global [MODE]"
)]
#[command(after_long_help = r#"Examples:
  pacioli schema mode account                  # what is set for the category
  pacioli schema mode account enforce          # only events that have a schema
  pacioli schema mode account --unset
  pacioli schema mode --global warn"#)]
pub(super) struct ModeCommand {
    /// The category (not with --global), and its mode
    #[arg(value_name = "CATEGORY MODE", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    set: Set,
}

/// What both take.
#[derive(Args, Debug)]
struct Set {
    /// For all
    #[arg(long)]
    global: bool,
    /// Take the setting away, so that what is set for all counts, or the default
    #[arg(long)]
    unset: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is asked of a setting.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Show,
    Set(String),
    Unset,
}

impl LevelCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (of, wish) = self.set.wish(self.words, "a type and its level, like `MoneyDeposited full`")?;
        let scope = match of {
            None => SettingScope::Global,
            Some(name) => {
                let event_type = EventType::new(&*name).map_err(|error| Failure::usage(error.to_string()))?;
                SettingScope::Type(event_type.as_str().into())
            }
        };
        let wish = match wish {
            Wish::Set(level) => Wish::Set(level.parse::<Level>().map_err(Failure::usage)?.word().to_owned()),
            other => other,
        };
        self.set.run(scope, setting_name::LEVEL, Level::DEFAULT.word(), wish).await
    }
}

impl ModeCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (of, wish) = self.set.wish(self.words, "a category and its mode, like `account enforce`")?;
        let scope = match of {
            None => SettingScope::Global,
            Some(name) => {
                let category = Category::new(&*name).map_err(|error| Failure::usage(error.to_string()))?;
                SettingScope::Category(category.as_str().into())
            }
        };
        let wish = match wish {
            Wish::Set(mode) => {
                let known = Mode::from_word(&mode);
                let problem = || Failure::usage(format!("`{mode}` is no mode; there are off, warn and enforce"));
                Wish::Set(known.ok_or_else(problem)?.word().to_owned())
            }
            other => other,
        };
        self.set.run(scope, setting_name::MODE, "enforce for types with a schema", wish).await
    }
}

impl Set {
    /// Of what, and what.
    fn wish(&self, words: Vec<String>, example: &str) -> Result<(Option<String>, Wish), Failure> {
        let usage = |problem: &str| Failure::usage(problem).hint(format!("Give {example}, or --global."));
        let mut words = words.into_iter();
        let of = match self.global {
            true => None,
            false => Some(words.next().ok_or_else(|| usage("it is not said for what"))?),
        };
        let value = words.next();
        match (words.next(), value, self.unset) {
            (Some(_), ..) => Err(usage("there is a word too many")),
            (None, Some(_), true) => Err(usage("--unset takes no value")),
            (None, Some(value), false) => Ok((of, Wish::Set(value))),
            (None, None, true) => Ok((of, Wish::Unset)),
            (None, None, false) => Ok((of, Wish::Show)),
        }
    }

    async fn run(&self, scope: SettingScope, name: &str, default: &str, wish: Wish) -> Result<(), Failure> {
        let reads = wish == Wish::Show;
        let settings = ReadModelsDoor::with(&self.store, reads, async |door| {
            let schemas = door.schemas();
            let setting = |name: &str, value: Option<&str>| Setting {
                scope: scope.clone(),
                name: name.into(),
                value: value.map(Box::from),
            };
            let (settings, _) = schemas.settings().await?;
            let value = match &wish {
                Wish::Show => return Ok(settings),
                Wish::Set(value) => Some(value.as_str()),
                Wish::Unset => None,
            };
            // A level that is set here is kept by the rules of here, whoever set it before.
            let has_rules = settings.iter().any(|one| one.scope == scope && &*one.name == setting_name::RULES);
            if name == setting_name::LEVEL && has_rules {
                schemas.set(&setting(setting_name::RULES, None)).await?;
            }
            schemas.set(&setting(name, value)).await?;
            Ok(schemas.settings().await?.0)
        })
        .await?;
        let find = |scope: &SettingScope, name: &str| {
            let found = settings.iter().find(|one| one.scope == *scope && &*one.name == name);
            found.and_then(|one| one.value.as_deref())
        };
        let (value, set_for, set_in) = match (find(&scope, name), find(&SettingScope::Global, name)) {
            (Some(value), _) => (value, scope.parts().0, &scope),
            (None, Some(value)) => (value, "global", &SettingScope::Global),
            (None, None) => (default, "default", &SettingScope::Global),
        };
        // A level is kept by the rules that were set with it.
        let rules = (name == setting_name::LEVEL).then(|| {
            let rules = find(set_in, setting_name::RULES).and_then(Rules::from_word);
            rules.unwrap_or(Rules::Ours)
        });
        let (kind, of) = scope.parts();
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => {
                let of = (!of.is_empty()).then_some(of);
                let mut told = json!({ "scope": kind, "of": of, name: value, "set_for": set_for });
                if let Some(rules) = rules {
                    told[setting_name::RULES] = rules.word().into();
                }
                writeln!(out, "{told}")?;
            }
            Form::Table => {
                let of = match (of, kind) {
                    ("", _) if name == setting_name::LEVEL => "all types without one of their own".to_owned(),
                    ("", _) => "all categories without one of their own".to_owned(),
                    (of, kind) => format!("{kind} {}", plain(of)),
                };
                let by = match rules {
                    Some(Rules::Confluent) => ", by Confluent's rules",
                    _ => "",
                };
                let from = match set_for {
                    "default" => " (nothing is set)",
                    "global" if kind != "global" => " (set for all)",
                    _ => "",
                };
                writeln!(out, "the {name} of {of} is {value}{by}{from}")?;
            }
        }
        Ok(out.flush()?)
    }
}
