//! OpenSSH public keys: which are accepted, and their parts.
//!
//! `ssh-key` reads the forms; what is done with the numbers is not its business. RSA is refused, and so is everything
//! that is not one of the four types.

use ed25519_dalek::VerifyingKey;
use ssh_key::public::{EcdsaPublicKey, KeyData};

use super::public_key::KeyKind;
use super::sign::KeyError;

/// Longest line, bytes: a comment may be there.
const LINE_MAX: usize = 4096;

/// A key of one of the four accepted types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SshPublic {
    data: KeyData,
    kind: KeyKind,
    point: Vec<u8>,
    blob: Vec<u8>,
    line: String,
}

impl SshPublic {
    /// From a line as in `id_ed25519.pub`; the comment is dropped.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let line = text.trim();
        if line.len() > LINE_MAX || line.contains(['\n', '\r', '\0']) {
            return Err(KeyError::SshPublicKey);
        }
        match ssh_key::PublicKey::from_openssh(line) {
            Ok(key) => Self::accept(key.key_data().clone()),
            Err(_) => Err(unreadable(line)),
        }
    }

    /// From the SSH wire form, in its one spelling.
    pub(super) fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let key = ssh_key::PublicKey::from_bytes(blob).map_err(|_| KeyError::SshPublicKey)?;
        Self::accept(key.key_data().clone())
            .and_then(|key| if key.blob == blob { Ok(key) } else { Err(KeyError::SshPublicKey) })
    }

    /// Takes a key that was read, if its type is accepted.
    pub(super) fn accept(data: KeyData) -> Result<Self, KeyError> {
        let (kind, point) = match &data {
            KeyData::Ed25519(key) => (KeyKind::SshEd25519, key.0.to_vec()),
            KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => (KeyKind::SshP256, point.as_bytes().to_vec()),
            KeyData::SkEd25519(key) => (KeyKind::HardwareEd25519, key.public_key().0.to_vec()),
            KeyData::SkEcdsaSha2NistP256(key) => (KeyKind::HardwareP256, key.ec_point().as_bytes().to_vec()),
            KeyData::Rsa(_) => return Err(KeyError::Rsa),
            other => return Err(KeyError::Algorithm(super::shown(other.algorithm().as_str()))),
        };
        let key = ssh_key::PublicKey::new(data.clone(), "");
        let line = key.to_openssh().map_err(|_| KeyError::SshPublicKey)?.trim_end().to_owned();
        let blob = key.to_bytes().map_err(|_| KeyError::SshPublicKey)?;
        let read = Self { data, kind, point, blob, line };
        let sound = match kind {
            KeyKind::SshEd25519 | KeyKind::HardwareEd25519 => read.ed25519().is_some(),
            // Uncompressed, X9.62: other spellings of a point would be other keys.
            _ => read.point.len() == 65 && read.point.first() == Some(&4),
        };
        if sound { Ok(read) } else { Err(KeyError::SshPublicKey) }
    }

    pub(super) const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// 32 bytes of Ed25519, or 65 of an uncompressed point.
    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    /// The SSH wire form.
    pub(super) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The line without a comment.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// The key of an Ed25519 type; none of small order.
    pub(super) fn ed25519(&self) -> Option<VerifyingKey> {
        let bytes: &[u8; 32] = self.point.as_slice().try_into().ok()?;
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
    }

    /// What a hardware key is for, as it signs it; `ssh:` unless somebody chose another.
    pub(super) fn application(&self) -> Option<&str> {
        match &self.data {
            KeyData::SkEd25519(key) => Some(key.application()),
            KeyData::SkEcdsaSha2NistP256(key) => Some(key.application()),
            _ => None,
        }
    }
}

/// Why a line does not read, as far as its first word tells.
fn unreadable(line: &str) -> KeyError {
    match line.split(' ').next() {
        Some("ssh-rsa") => KeyError::Rsa,
        Some(word) if word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-") => {
            let accepted =
                [KeyKind::SshEd25519, KeyKind::SshP256, KeyKind::HardwareEd25519, KeyKind::HardwareP256];
            if accepted.iter().any(|kind| kind.as_str() == word) {
                KeyError::SshPublicKey
            } else {
                KeyError::Algorithm(super::shown(word))
            }
        }
        _ => KeyError::SshPublicKey,
    }
}
