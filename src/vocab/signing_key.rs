//! Private keys that a person hands in as a file: PEM, or OpenSSH without a passphrase.
//!
//! A key with a passphrase, in an agent or in hardware never comes here: `ssh-keygen` signs with it, and what it wrote
//! is read as a [`Signature`].

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use ssh_key::private::{EcdsaKeypair, KeypairData};

use super::public_key::PublicKey;
use super::sign::{KeyError, SealingKey, Signature};
use super::ssh_public::SshPublic;
use super::ssh_signature::{SshSignature, mpints};

/// A private key that signs here. Not `Clone`, not `Serialize`; `Debug` shows only the key id.
pub struct SigningKey(Box<Secret>);

enum Secret {
    Pem(SealingKey),
    Ed25519(SealingKey, SshPublic),
    P256(EcdsaKeyPair, SshPublic),
}

/// What a file with a private key of OpenSSH holds.
#[derive(Debug)]
pub enum SshPrivate {
    /// The key.
    Software(SigningKey),
    /// Only what tells a hardware key which one it is: whoever has that signs with `ssh-keygen`.
    Hardware(PublicKey),
}

impl SshPrivate {
    /// From the file's text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = ssh_key::PrivateKey::from_openssh(text).map_err(|_| KeyError::SshPrivateKey)?;
        let public = SshPublic::accept(key.public_key().key_data().clone())?;
        let signing = |secret| Ok(Self::Software(SigningKey(Box::new(secret))));
        match key.key_data() {
            _ if key.is_encrypted() => Err(KeyError::Encrypted),
            KeypairData::Ed25519(pair) => {
                let secret = SealingKey::of_seed(&pair.private.to_bytes());
                if secret.public().bytes() != public.point() {
                    return Err(KeyError::SshPrivateKey);
                }
                signing(Secret::Ed25519(secret, public))
            }
            KeypairData::Ecdsa(EcdsaKeypair::NistP256 { private, .. }) => {
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    private.as_slice(),
                    public.point(),
                    &SystemRandom::new(),
                );
                signing(Secret::P256(pair.map_err(|_| KeyError::SshPrivateKey)?, public))
            }
            KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => {
                Ok(Self::Hardware(PublicKey::of_ssh(public)))
            }
            _ => Err(KeyError::SshPrivateKey),
        }
    }
}

impl From<SealingKey> for SigningKey {
    fn from(key: SealingKey) -> Self {
        Self(Box::new(Secret::Pem(key)))
    }
}

impl SigningKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match &*self.0 {
            Secret::Pem(key) => key.public(),
            Secret::Ed25519(_, public) | Secret::P256(_, public) => PublicKey::of_ssh(public.clone()),
        }
    }

    /// Signs exact bytes; with a key of OpenSSH as `ssh-keygen -Y sign` does.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let made = match &*self.0 {
            Secret::Pem(key) => return Ok(key.sign(message)),
            Secret::Ed25519(key, public) => {
                SshSignature::make(public, message, |data| Ok(key.sign(data).bytes().to_vec()))
            }
            Secret::P256(pair, public) => SshSignature::make(public, message, |data| {
                let made = pair.sign(&SystemRandom::new(), data).map_err(|_| KeyError::Unusable)?;
                mpints(made.as_ref()).ok_or(KeyError::Unusable)
            }),
        };
        made.map(Signature::of_ssh)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().key_id())
    }
}
