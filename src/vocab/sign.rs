//! Signatures and the keys that make them: Ed25519 (RFC 8032) in the PEM forms of openssl, and SSH signatures.
//!
//! Verification is strict: small-order keys and malleable Ed25519 signatures are refused. Private keys are wiped
//! from memory when dropped (those of ECDSA excepted, which the library underneath does not wipe) and are never
//! printed.

use std::fmt;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::public_key::{PublicKey, SignedWith};
use super::ssh_signature::SshSignature;

/// Why a key or signature could not be read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM-encoded Ed25519 private key.
    #[error(
        "not an Ed25519 private key in PKCS#8 PEM form: make one with `openssl genpkey -algorithm ed25519`"
    )]
    PrivateKey,
    /// Not a PEM-encoded Ed25519 public key.
    #[error("not an Ed25519 public key in PEM form: make one with `openssl pkey -in KEY -pubout`")]
    PublicKey,
    /// Not one line as in `id_ed25519.pub`.
    #[error("not an OpenSSH public key: one line as in `id_ed25519.pub`, without options before it")]
    SshPublicKey,
    /// Not a file as `ssh-keygen` writes it.
    #[error("not an OpenSSH private key as `ssh-keygen` writes it")]
    SshPrivateKey,
    /// RSA.
    #[error(
        "RSA keys are not accepted: their strength hangs on how they were made, and that cannot be seen; \
         make another with `ssh-keygen -t ed25519` or `-t ed25519-sk`"
    )]
    Rsa,
    /// Any other algorithm.
    #[error(
        "keys of type `{0}` are not accepted: ssh-ed25519, ecdsa-sha2-nistp256, sk-ssh-ed25519@openssh.com and \
         sk-ecdsa-sha2-nistp256@openssh.com are"
    )]
    Algorithm(String),
    /// It needs a passphrase.
    #[error(
        "the private key is encrypted: name its public half instead (FILE.pub beside it), and ssh-keygen asks for \
         the passphrase, or ssh-agent signs"
    )]
    Encrypted,
    /// Neither 128 hex digits nor an SSH signature.
    #[error("not a signature: 128 hex digits, or the text that `ssh-keygen -Y sign` writes")]
    Signature,
    /// The private key does not sign.
    #[error("the key could not sign")]
    Unusable,
    /// The kernel gave no randomness.
    #[error("the kernel gave no randomness")]
    Randomness,
}

/// A private key that signs. Not `Clone`, not `Serialize`; `Debug` shows only the key id.
pub struct SealingKey(ed25519_dalek::SigningKey);

impl SealingKey {
    /// A new key from the kernel's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *seed).map_err(|_| KeyError::Randomness)?;
        Ok(Self::of_seed(&seed))
    }

    /// From the 32 secret bytes of RFC 8032.
    pub(super) fn of_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// From PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| KeyError::PrivateKey)
    }

    /// PKCS#8 PEM; wiped when dropped.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0
            .to_pkcs8_pem(ed25519_dalek::pkcs8::spki::der::pem::LineEnding::LF)
            .map_err(|_| KeyError::PrivateKey)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::of_ed25519(self.0.verifying_key())
    }

    /// Signs exact bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(Form::Plain(self.0.sign(message).to_bytes()))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.public().key_id())
    }
}

/// A signature: 64 bytes of Ed25519, written as 128 hex digits, or an SSH signature, written as its own text.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Form);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Form {
    Plain([u8; 64]),
    Ssh(Box<SshSignature>),
}

impl Signature {
    /// The 64 bytes, or those of the SSH signature's text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Plain(bytes) => bytes,
            Form::Ssh(ssh) => ssh.text().as_bytes(),
        }
    }

    /// From 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(|bytes| Self(Form::Plain(bytes))).map_err(|_| KeyError::Signature)
    }

    /// From 128 hex digits, or the text that `ssh-keygen -Y sign` writes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.trim_start().starts_with("-----BEGIN") {
            return SshSignature::parse(text).map(Self::of_ssh);
        }
        Self::from_bytes(&super::digest::unhex(text).ok_or(KeyError::Signature)?)
    }

    pub(super) fn of_ssh(ssh: SshSignature) -> Self {
        Self(Form::Ssh(Box::new(ssh)))
    }

    pub(super) const fn form(&self) -> &Form {
        &self.0
    }

    /// With what kind of key it says that it was made, and what a hardware key said with it. Worth nothing before
    /// it verifies.
    #[must_use]
    pub fn made_with(&self) -> SignedWith {
        match &self.0 {
            Form::Plain(_) => SignedWith::plain(),
            Form::Ssh(ssh) => ssh.made_with(),
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Plain(bytes) => serializer.serialize_str(&super::digest::hex(bytes)),
            Form::Ssh(ssh) => serializer.serialize_str(ssh.text()),
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Signature {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Signature".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9a-f]{128}|-----BEGIN SSH SIGNATURE-----\\n[A-Za-z0-9+/=\\n]+-----END SSH SIGNATURE-----\\n)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_round_trips_and_a_changed_message_is_refused() {
        let key = SealingKey::generate().unwrap();
        let again = SealingKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let public = PublicKey::from_pem(&key.public().to_text()).unwrap();
        let signature = again.sign(b"yes");
        assert!(public.verifies(b"yes", &signature));
        assert!(!public.verifies(b"yes.", &signature));
        assert!(!SealingKey::generate().unwrap().public().verifies(b"yes", &signature));
    }
}
