//! Public keys of every kind that may sign here, and the one place where a signature is held against one.
//!
//! Guarantees: a signature counts for exactly the key, the message and, where it is an SSH signature, our own
//! namespace; of a hardware key only with a person at it. An Ed25519 key is the same key, with the same id, in PEM and
//! as an OpenSSH line. Does not tell whose key it is: that is for the file of principals and the trust file.

use std::fmt;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;
use super::sign::{Form, KeyError, Signature};
use super::ssh_public::SshPublic;

/// What kind of key a signature was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyKind {
    /// Ed25519 without SSH around it.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// Ed25519 of OpenSSH, in software.
    #[serde(rename = "ssh-ed25519")]
    SshEd25519,
    /// ECDSA over NIST P-256 of OpenSSH, in software.
    #[serde(rename = "ecdsa-sha2-nistp256")]
    SshP256,
    /// Ed25519 in hardware (FIDO).
    #[serde(rename = "sk-ssh-ed25519@openssh.com")]
    HardwareEd25519,
    /// ECDSA over NIST P-256 in hardware (FIDO).
    #[serde(rename = "sk-ecdsa-sha2-nistp256@openssh.com")]
    HardwareP256,
}

impl KeyKind {
    /// Its name, which is OpenSSH's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::SshEd25519 => "ssh-ed25519",
            Self::SshP256 => "ecdsa-sha2-nistp256",
            Self::HardwareEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::HardwareP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// Whether the private part lies in hardware.
    #[must_use]
    pub const fn is_hardware(self) -> bool {
        matches!(self, Self::HardwareEd25519 | Self::HardwareP256)
    }
}

/// What a hardware key signs along with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardwareWord {
    /// Somebody touched it.
    pub user_present: bool,
    /// It knew who: PIN or fingerprint.
    pub user_verified: bool,
    /// How many signatures it has made, as it counts.
    pub counter: u32,
}

/// With what a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedWith {
    /// The kind of key.
    pub kind: KeyKind,
    /// Of hardware keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<HardwareWord>,
}

impl SignedWith {
    pub(super) const fn plain() -> Self {
        Self { kind: KeyKind::Ed25519, hardware: None }
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// It is of a key of another kind, or of another key.
    #[error("the signature is by another key")]
    AnotherKey,
    /// It was made for something else.
    #[error("the signature was made for the namespace `{0}`, and here `cto-harness@cto.invalid` counts")]
    Namespace(String),
    /// Nobody touched the hardware key.
    #[error("the hardware key signed without anybody touching it (no user presence)")]
    Presence,
    /// Not over these bytes, or not in the one form.
    #[error("the signature does not hold: it was altered, or is over something else")]
    Altered,
}

/// A public key. Written as SPKI PEM or as an OpenSSH line, as it was read.
#[derive(Clone)]
pub struct PublicKey(Key);

#[derive(Clone)]
enum Key {
    Pem(VerifyingKey),
    Ssh(Box<SshPublic>),
}

impl PublicKey {
    /// From SPKI PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(pem).map(Self::of_ed25519).map_err(|_| KeyError::PublicKey)
    }

    /// From SPKI PEM, or an OpenSSH public key line.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.trim_start().starts_with("-----BEGIN") {
            return Self::from_pem(text);
        }
        SshPublic::parse(text).map(Self::of_ssh)
    }

    pub(super) const fn of_ed25519(key: VerifyingKey) -> Self {
        Self(Key::Pem(key))
    }

    pub(super) fn of_ssh(key: SshPublic) -> Self {
        Self(Key::Ssh(Box::new(key)))
    }

    /// SPKI PEM, or the OpenSSH line without its comment.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.0 {
            // INVARIANT: encoding 32 bytes into a fixed structure cannot fail; an empty text would verify nothing.
            Key::Pem(key) => key
                .to_public_key_pem(ed25519_dalek::pkcs8::spki::der::pem::LineEnding::LF)
                .unwrap_or_default(),
            Key::Ssh(key) => key.line().to_owned(),
        }
    }

    /// SPKI PEM; of a key that has none, its OpenSSH line.
    #[must_use]
    pub fn to_pem(&self) -> String {
        match &self.0 {
            Key::Ssh(key) if key.kind() == KeyKind::SshEd25519 => {
                key.ed25519().map_or_else(|| self.to_text(), |key| Self::of_ed25519(key).to_text())
            }
            Key::Pem(_) | Key::Ssh(_) => self.to_text(),
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Key::Pem(_) => KeyKind::Ed25519,
            Key::Ssh(key) => key.kind(),
        }
    }

    /// The bytes of the key itself: 32 of Ed25519 (RFC 8032), 65 of an uncompressed point of P-256.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Key::Pem(key) => key.as_bytes(),
            Key::Ssh(key) => key.point(),
        }
    }

    /// The name of the key in DSSE envelopes, trust files and approvals. Of Ed25519 in software SHA-256 of the 32 key
    /// bytes; of others SHA-256 of the SSH public key, which is what `ssh-keygen -l` shows in base64.
    #[must_use]
    pub fn key_id(&self) -> Digest {
        match &self.0 {
            Key::Ssh(key) if key.kind() != KeyKind::SshEd25519 => Digest::of(key.blob()),
            Key::Pem(_) | Key::Ssh(_) => Digest::of(self.bytes()),
        }
    }

    /// Whether both are the same secret, in whatever dress: one person must not count as two by writing it in two ways.
    #[must_use]
    pub fn is_same_secret(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }

    /// Whether `signature` is this key's over exactly `message` (strict).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.check(message, signature).is_ok()
    }

    /// Like [`PublicKey::verifies`], with the reason why not.
    pub fn check(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureFault> {
        match signature.form() {
            Form::Plain(bytes) => {
                let key = match &self.0 {
                    Key::Pem(key) => *key,
                    Key::Ssh(key) if key.kind() == KeyKind::SshEd25519 => {
                        key.ed25519().ok_or(SignatureFault::AnotherKey)?
                    }
                    Key::Ssh(_) => return Err(SignatureFault::AnotherKey),
                };
                let signature = ed25519_dalek::Signature::from_bytes(bytes);
                key.verify_strict(message, &signature).map_err(|_| SignatureFault::Altered)
            }
            Form::Ssh(ssh) => {
                let by = ssh.by();
                let same_kind = match self.kind() {
                    KeyKind::Ed25519 => by.kind() == KeyKind::SshEd25519,
                    kind => by.kind() == kind,
                };
                if !same_kind || Self::of_ssh(by.clone()).key_id() != self.key_id() {
                    return Err(SignatureFault::AnotherKey);
                }
                ssh.check(by, message)
            }
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key_id() == other.key_id()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind().as_str(), self.key_id())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PublicKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PublicKey".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "Ed25519 SPKI PEM, or an OpenSSH public key line"})
    }
}
