//! Changing what is set in the registry.

use pacioli_core::schemas::{RegistryChange, Setting, SettingScope};
use pacioli_core::{Category, EventId, EventType};
use serde_json::json;

use super::record;
use crate::catalogue::{Catalogue, Mode, RegistryMode, Rules, setting_name};
use crate::compat::Level;

/// A setting that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SettingError {
    /// The setting.
    pub name: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Changes settings, all or none; a value of `None` takes one away. Recorded by an event `SchemaSettingChanged` with this
/// id. Does nothing itself.
pub fn set(
    catalogue: &Catalogue,
    settings: &[Setting],
    by: Option<&str>,
    id: EventId,
) -> Result<RegistryChange, SettingError> {
    settings.iter().try_for_each(check)?;
    let told = settings.iter().map(|setting| {
        let (scope, of) = setting.scope.parts();
        json!({ "scope": scope, "of": of, "name": &*setting.name, "value": setting.value.as_deref() })
    });
    let data = json!({ "settings": told.collect::<Vec<_>>() });
    Ok(RegistryChange {
        expected: catalogue.generation(),
        settings: settings.to_vec(),
        record: vec![record(id, "SchemaSettingChanged", by, &data)],
        ..RegistryChange::default()
    })
}

fn check(setting: &Setting) -> Result<(), SettingError> {
    let Setting { scope, name, value } = setting;
    let refuse = |problem: String| Err(SettingError { name: name.to_string(), problem });
    let words = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    // 1. The name, its words, and whether it is set for types or for categories.
    let (is_of_types, is_word, words) = match &**name {
        setting_name::MODE => {
            let is_word = value.as_deref().is_none_or(|value| Mode::from_word(value).is_some());
            (false, is_word, words(Mode::ALL.iter().map(|mode| mode.word()).collect()))
        }
        setting_name::LEVEL => {
            let is_word = value.as_deref().is_none_or(|value| value.parse::<Level>().is_ok());
            (true, is_word, "`none`, `backward`, `forward`, `full`, the last three also with `_transitive`".to_owned())
        }
        setting_name::RULES => {
            let is_word = value.as_deref().is_none_or(|value| Rules::from_word(value).is_some());
            (true, is_word, words(Rules::ALL.iter().map(|rules| rules.word()).collect()))
        }
        setting_name::REGISTRY_MODE => {
            let is_word = value.as_deref().is_none_or(|value| RegistryMode::from_word(value).is_some());
            (true, is_word, words(RegistryMode::ALL.iter().map(|mode| mode.word()).collect()))
        }
        _ => {
            let all = [setting_name::MODE, setting_name::LEVEL, setting_name::RULES, setting_name::REGISTRY_MODE];
            return refuse(format!("there is no setting `{name}`; there are {}", words(all.to_vec())));
        }
    };
    // 2. The scope.
    match scope {
        SettingScope::Global => {}
        SettingScope::Type(of) if is_of_types => {
            EventType::new(&**of)
                .map_err(|error| SettingError { name: name.to_string(), problem: error.to_string() })?;
        }
        SettingScope::Category(of) if !is_of_types => {
            if of.starts_with('$') {
                return refuse(format!(
                    "the category `{of}` is the system's, whose events always pass; name another one"
                ));
            }
            Category::new(&**of)
                .map_err(|error| SettingError { name: name.to_string(), problem: error.to_string() })?;
        }
        SettingScope::Type(_) | SettingScope::Category(_) => {
            let of = if is_of_types { "an event type" } else { "a category" };
            return refuse(format!("`{name}` is set for {of} or for all"));
        }
    }
    // 3. The value.
    match value {
        Some(value) if !is_word => refuse(format!("`{name}` cannot be `{value}`; it is one of {words}")),
        _ => Ok(()),
    }
}
