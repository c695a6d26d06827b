//! Bearer tokens: a file with a line a token, `ROLE SHA256-HEX NAME`, of which the server keeps hashes only.
//!
//! ```text
//! # who may do what
//! read    2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae  reporting
//! append  fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9  checkout
//! admin   baa5a0964d3320fbc0c6a922140453c8513ea24ab8fd0577034804a967248096  ops
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::config::ServerError;

/// What a token allows; each role can do what the ones before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read and subscribe.
    Read,
    /// Append too.
    Append,
    /// Everything.
    Admin,
}

impl Role {
    /// The role as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Append => "append",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        [Role::Read, Role::Append, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{}` is no role; they are read, append and admin", pacioli_api::text::shown(text)))
    }
}

/// A new secret for `name` and the line that goes into the file of tokens. The secret is shown once and kept nowhere.
///
/// # Errors
/// The name has a control character or is empty, or the system gives no randomness.
pub fn new_token(role: Role, name: &str) -> Result<(String, String), ServerError> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(ServerError::Tokens("a token's name must have text and no control character".to_owned()));
    }
    let mut random = [0; 32];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| ServerError::Tokens("the system gives no randomness".to_owned()))?;
    let secret = format!("pacioli_{}", hex(&random));
    let line = format!("{role} {} {}", hex(&Sha256::digest(secret.as_bytes())), name.trim());
    Ok((secret, line))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) role: Role,
    pub(crate) name: String,
}

/// The tokens of a file, read again whenever it changes.
pub(crate) struct Tokens {
    path: PathBuf,
    state: RwLock<State>,
    /// Told when the file was read again.
    changed: watch::Sender<()>,
}

/// The token that let a call in, and the role it needed for that.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    hash: [u8; 32],
    needs: Role,
}

struct State {
    modified: Option<SystemTime>,
    tokens: Vec<Token>,
}

struct Token {
    hash: [u8; 32],
    bearer: Bearer,
}

impl Tokens {
    /// Reads the file.
    pub(crate) fn open(path: &Path) -> Result<Tokens, ServerError> {
        let (modified, tokens) = read(path)?;
        if tokens.is_empty() {
            tracing::warn!(file = %path.display(), "the file of tokens has none: nobody can do anything");
        }
        let state = RwLock::new(State { modified, tokens });
        Ok(Tokens { path: path.to_owned(), state, changed: watch::Sender::new(()) })
    }

    /// Reads the file again if it changed. A file that cannot be read leaves the tokens as they were.
    pub(crate) fn refresh(&self) {
        let modified = std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
        if modified.is_some() && modified == self.state.read().unwrap_or_else(PoisonError::into_inner).modified {
            return;
        }
        match read(&self.path) {
            Ok((modified, tokens)) => {
                tracing::info!(tokens = tokens.len(), "the file of tokens was read again");
                *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { modified, tokens };
                self.changed.send_replace(());
            }
            Err(error) => tracing::error!(%error, "the tokens stay as they were"),
        }
    }

    /// Who holds this secret. The time it takes tells nothing of how much of it is right.
    pub(crate) fn bearer(&self, secret: &str) -> Option<Bearer> {
        self.bearer_of(&Sha256::digest(secret.as_bytes()).into())
    }

    /// What to remember of a secret that let a call in which needs this role.
    pub(crate) fn used(secret: &str, needs: Role) -> Used {
        Used { hash: Sha256::digest(secret.as_bytes()).into(), needs }
    }

    /// Resolves when the token is no longer there, or no longer allows what it was used for.
    pub(crate) async fn revoked(self: Arc<Self>, used: Used) {
        let mut changed = self.changed.subscribe();
        while self.bearer_of(&used.hash).is_some_and(|bearer| bearer.role >= used.needs) {
            // The sender lives as long as the tokens, which are held here.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn bearer_of(&self, hash: &[u8; 32]) -> Option<Bearer> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for token in &state.tokens {
            if bool::from(token.hash.ct_eq(hash)) {
                found = Some(&token.bearer);
            }
        }
        found.cloned()
    }
}

fn read(path: &Path) -> Result<(Option<SystemTime>, Vec<Token>), ServerError> {
    let failed = |reason: &dyn fmt::Display| ServerError::Tokens(format!("{}: {reason}", path.display()));
    // The time first: a change in between is then seen as one at the next look.
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let token = parse(line).map_err(|problem| failed(&format_args!("line {}: {problem}", number + 1)))?;
        tokens.push(token);
    }
    Ok((modified, tokens))
}

/// Never shows the line: somebody may have put a secret there.
fn parse(line: &str) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let role = words.next().unwrap_or("").parse()?;
    let hash =
        words.next().and_then(unhex).ok_or("expected the SHA-256 of the token in 64 hex digits after the role")?;
    let name = words.collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err("expected a name after the hash".to_owned());
    }
    Ok(Token { hash, bearer: Bearer { role, name } })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_opens_what_its_line_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let (secret, line) = new_token(Role::Append, "checkout service").unwrap();
        assert!(!line.contains(&secret));
        std::fs::write(&path, format!("# who may do what\n\n{line}\n")).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        let bearer = Bearer { role: Role::Append, name: "checkout service".to_owned() };
        assert_eq!(tokens.bearer(&secret), Some(bearer));
        assert_eq!(tokens.bearer("pacioli_"), None);
        assert_ne!(new_token(Role::Append, "x").unwrap().0, secret);
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let (old, old_line) = new_token(Role::Read, "old").unwrap();
        let (new, new_line) = new_token(Role::Read, "new").unwrap();
        let write = |text: &str, second: u64| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
        };
        write(&old_line, 1);
        let tokens = Tokens::open(&path).unwrap();
        write("nonsense", 2);
        tokens.refresh();
        assert!(tokens.bearer(&old).is_some());
        write(&new_line, 3);
        tokens.refresh();
        assert!(tokens.bearer(&old).is_none() && tokens.bearer(&new).is_some());
    }

    #[test]
    fn a_wrong_line_is_named_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        for line in ["read secret-in-the-clear name", "owner 00 name", &format!("read {}", "0".repeat(64))] {
            std::fs::write(&path, format!("\n{line}")).unwrap();
            let error = Tokens::open(&path).err().unwrap().to_string();
            assert!(error.contains("line 2") && !error.contains("secret-in"), "{error}");
        }
    }
}
