//! `trust.toml`: whose seals and approvals count when a bundle is verified. Trust never comes from a bundle.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{self, Existing};
use super::{Home, HomeError};
use crate::vocab::PublicKey;

/// A public key and the name that it goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// For people; for an approver the principal's name.
    pub name: String,
    /// SPKI PEM.
    pub key: PublicKey,
}

/// The trusted keys. Empty lists trust nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Keys whose seals count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealing: Vec<TrustedKey>,
    /// Keys whose approvals count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approver: Vec<TrustedKey>,
}

const HEADER: &str = "# Whose seals ([[sealing]]) and approvals ([[approver]]) count for `cto verify`.\n\
                      # Made on first use with this machine's own sealing key; add the keys of others by hand.\n\n";

impl Trust {
    /// Parses the text of `path` (used in messages only).
    pub fn parse(path: &Path, text: &str) -> Result<Self, HomeError> {
        toml::from_str(text).map_err(|error| {
            // Without the line itself: somebody may have put a private key where the public one belongs.
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or("");
            let problem = format!("line {}: {}", before.matches('\n').count() + 1, error.message());
            HomeError::Syntax { path: path.to_owned(), problem }
        })
    }

    /// Reads the trust file at `path`; an absent file is an error.
    pub fn load(path: &Path) -> Result<Self, HomeError> {
        match file::read_checked(path)? {
            Some(found) => Self::parse(path, &found.text),
            None => {
                Err(HomeError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() })
            }
        }
    }

    /// The file's text.
    pub(super) fn render(&self, path: &Path) -> Result<String, HomeError> {
        let body = toml::to_string(self)
            .map_err(|error| HomeError::Render { path: path.to_owned(), problem: error.to_string() })?;
        Ok(format!("{HEADER}{body}"))
    }

    /// Whether seals by `key` count.
    #[must_use]
    pub fn trusts_seal_of(&self, key: &PublicKey) -> bool {
        self.sealing.iter().any(|trusted| trusted.key == *key)
    }

    /// The names under which approvals by `key` count.
    pub fn approvers_with(&self, key: &PublicKey) -> impl Iterator<Item = &str> {
        self.approver.iter().filter(move |trusted| trusted.key == *key).map(|trusted| trusted.name.as_str())
    }
}

impl Home {
    /// The default trust file. When there is none it is made, with this machine's own sealing key.
    pub fn trust(&self) -> Result<Trust, HomeError> {
        let path = self.trust_path();
        if let Some(found) = file::read_checked(&path)? {
            return Trust::parse(&path, &found.text);
        }
        let own = TrustedKey { name: "this-machine".into(), key: self.sealing_key()?.public() };
        let trust = Trust { sealing: vec![own], approver: Vec::new() };
        if file::publish(&path, trust.render(&path)?.as_bytes(), Existing::Keep)? {
            Ok(trust)
        } else {
            Trust::load(&path)
        }
    }

    /// Adds a key whose seals count from now on. Nothing changes when it is there.
    pub(super) fn trust_seal(&self, key: TrustedKey) -> Result<(), HomeError> {
        let mut trust = self.trust()?;
        if trust.trusts_seal_of(&key.key) {
            return Ok(());
        }
        trust.sealing.push(key);
        let path = self.trust_path();
        file::publish(&path, trust.render(&path)?.as_bytes(), Existing::Replace).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::SealingKey;

    #[test]
    fn the_default_trusts_this_machine_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let trust = home.trust().unwrap();
        assert!(trust.trusts_seal_of(&home.sealing_key().unwrap().public()));
        assert!(!trust.trusts_seal_of(&SealingKey::generate().unwrap().public()));
        assert!(trust.approver.is_empty());
        assert_eq!(home.trust().unwrap(), trust, "what was written reads back");
    }

    #[test]
    fn a_private_key_in_place_of_a_public_one_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        home.sealing_key().unwrap();
        let text = std::fs::read_to_string(home.sealing_key_path()).unwrap();
        let secret = text.lines().nth(1).unwrap();
        let entry = format!("[[sealing]]\nname = 'a'\nkey = {}\n", serde_json::json!(text));
        let said = Trust::parse(Path::new("/t"), &entry).unwrap_err().to_string();
        assert!(!said.contains(secret) && said.contains("line 3"), "{said}");
    }

    #[test]
    fn an_existing_file_is_never_widened() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        std::fs::write(home.trust_path(), "# nobody\n").unwrap();
        assert_eq!(home.trust().unwrap(), Trust::default());
        std::fs::write(home.trust_path(), "sealer = []\n").unwrap();
        assert!(home.trust().unwrap_err().to_string().contains("sealer"));
    }
}
