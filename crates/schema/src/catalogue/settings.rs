//! What is set in the registry, read from its rows.

use std::collections::HashMap;

use pacioli_core::schemas::{Setting, SettingScope};

use crate::compat::{Change, Level};

/// The names of the settings there are.
pub mod setting_name {
    /// Whether events are held against schemas, of a category or of all: `off`, `warn`, `enforce`.
    pub const MODE: &str = "mode";
    /// What a new schema must not break, of a type or of all: the words of [`Level`](crate::Level).
    pub const LEVEL: &str = "level";
    /// By whose rules the level is kept, of a type or of all: `ours`, `confluent`.
    pub const RULES: &str = "rules";
    /// What the surface of a schema registry lets be done, of a type or of all: `READWRITE`, `READONLY`, `IMPORT` and others.
    pub const REGISTRY_MODE: &str = "registry_mode";
    /// The highest number that a text ever had, of all: none is given twice, even when its text is gone for good.
    pub const HIGHEST_ID: &str = "highest_id";
    /// The highest version that a type ever had: none is given twice, even when it is gone for good, because servers may
    /// still know it, and events may say it that were stored without a look at their schema.
    pub const HIGHEST_VERSION: &str = "highest_version";
}

/// Whether events are held against their schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are not looked at.
    Off,
    /// What is wrong is counted and logged, and stored all the same.
    Warn,
    /// What is wrong is refused; where it was set for a category, an event whose type has no schema, too.
    Enforce,
}

/// By whose rules a level of compatibility is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Those of this crate: readers ignore fields that they do not know.
    Ours,
    /// Those of Confluent's schema registry, for which the level was set through its surface.
    Confluent,
}

/// What the surface of a schema registry lets be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryMode {
    /// Everything.
    ReadWrite,
    /// Look-ups.
    ReadOnly,
    /// The same, and what says so for a type does not open it.
    ReadOnlyOverride,
    /// Registrations that bring their numbers along.
    Import,
}

/// The words of an enumeration, in both directions.
macro_rules! words {
    ($name:ident { $($variant:ident => $word:literal),* $(,)? }) => {
        impl $name {
            /// Every one.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word for it, as it is set and told.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word),*
                }
            }

            /// The one with this word, whatever its case.
            pub fn from_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.word().eq_ignore_ascii_case(word))
            }
        }
    };
}

impl Rules {
    /// Whether a change is refused at a level where no upcaster comes with it.
    pub fn forbid(self, level: Level, change: &Change) -> bool {
        match self {
            Rules::Confluent => level.forbids(change),
            // What breaks those who read what is stored needs an upcaster at every level but `none`.
            Rules::Ours => level.forbids(change) || change.breaks_backward && level != Level::NONE,
        }
    }
}

words!(Mode { Off => "off", Warn => "warn", Enforce => "enforce" });
words!(Rules { Ours => "ours", Confluent => "confluent" });
words!(RegistryMode {
    ReadWrite => "READWRITE",
    ReadOnly => "READONLY",
    ReadOnlyOverride => "READONLY_OVERRIDE",
    Import => "IMPORT",
});

/// What is set in one scope. A value that this build does not know counts as not set.
#[derive(Clone, Debug, Default)]
pub(super) struct Scoped {
    pub(super) mode: Option<Mode>,
    pub(super) level: Option<Level>,
    pub(super) rules: Option<Rules>,
    pub(super) registry_mode: Option<RegistryMode>,
}

/// All that is set.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) global: Scoped,
    pub(super) has_mode: bool,
    categories: HashMap<Box<str>, Scoped>,
    types: HashMap<Box<str>, Scoped>,
    nothing: Scoped,
}

impl Settings {
    pub(super) fn new(rows: &[Setting]) -> Settings {
        let mut settings = Settings::default();
        for row in rows {
            let Some(value) = row.value.as_deref() else { continue };
            let scoped = match &row.scope {
                SettingScope::Global => &mut settings.global,
                SettingScope::Category(name) => settings.categories.entry(name.clone()).or_default(),
                SettingScope::Type(name) => settings.types.entry(name.clone()).or_default(),
            };
            match &*row.name {
                setting_name::MODE => scoped.mode = Mode::from_word(value),
                setting_name::LEVEL => scoped.level = value.parse().ok(),
                setting_name::RULES => scoped.rules = Rules::from_word(value),
                setting_name::REGISTRY_MODE => scoped.registry_mode = RegistryMode::from_word(value),
                _ => {}
            }
            settings.has_mode |= *row.name == *setting_name::MODE;
        }
        settings
    }

    pub(super) fn category(&self, name: &str) -> &Scoped {
        self.categories.get(name).unwrap_or(&self.nothing)
    }

    pub(super) fn of_type(&self, name: &str) -> &Scoped {
        self.types.get(name).unwrap_or(&self.nothing)
    }
}
