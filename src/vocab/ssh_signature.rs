//! SSH signatures (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign` makes them, in software and hardware.
//!
//! Guarantees: one namespace counts; one text stands for one signature, so that no other spelling passes; a hardware
//! key's word (PROTOCOL.u2f: application, flags, counter) is part of what is verified, and user presence is demanded.
//! The numbers are verified by `ed25519-dalek` (strictly) and `ring`. Signatures are read and written here, because what
//! `ssh-key` 0.6 writes for hardware P-256 is not what OpenSSH reads, and its reader lets other lengths pass.

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use ssh_key::{HashAlg, Mpint};

use super::public_key::{HardwareWord, KeyKind, SignatureFault, SignedWith};
use super::sign::KeyError;
use super::ssh_public::SshPublic;
use super::{Digest, base64};

/// What every SSH signature for this program is made for: `ssh-keygen -Y sign -n cto-harness@cto.invalid`.
pub const SSH_NAMESPACE: &str = "cto-harness@cto.invalid";

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Characters of a line of the text, as OpenSSH writes it.
const COLUMNS: usize = 70;
/// Longest text of a signature, bytes.
const TEXT_MAX: usize = 8192;
/// Bit of the flags: somebody touched it.
const USER_PRESENT: u8 = 0x01;
/// Bit of the flags: it knew who.
const USER_VERIFIED: u8 = 0x04;

/// A signature as it was read: not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SshSignature {
    by: SshPublic,
    namespace: String,
    hash: HashAlg,
    numbers: Vec<u8>,
    /// Of hardware keys: flags and counter, as they were signed.
    word: Option<(u8, [u8; 4])>,
    text: String,
}

impl SshSignature {
    /// From its text; blanks around it and the ends of its lines are whatever a terminal made of them.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let body = |text: &str| -> Option<Vec<u8>> {
            let inner = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
            base64::decode(&inner.split_ascii_whitespace().collect::<String>())
        };
        if text.len() > TEXT_MAX {
            return Err(KeyError::Signature);
        }
        let blob = body(text).ok_or(KeyError::Signature)?;
        Self::read(&blob).ok_or(KeyError::Signature)
    }

    fn read(blob: &[u8]) -> Option<Self> {
        let rest = blob.strip_prefix(MAGIC)?.strip_prefix(&[0, 0, 0, 1])?;
        let (public, rest) = string(rest)?;
        let (namespace, rest) = string(rest)?;
        let (reserved, rest) = string(rest)?;
        let (hash, rest) = string(rest)?;
        let (signature, rest) = string(rest)?;
        let by = SshPublic::from_blob(public).ok()?;
        let (kind, word) = string(signature)?;
        let (numbers, word) = string(word)?;
        let word = match word.split_first() {
            Some((flags, counter)) if by.kind().is_hardware() => Some((*flags, counter.try_into().ok()?)),
            None if !by.kind().is_hardware() => None,
            _ => return None,
        };
        let hash = match hash {
            b"sha256" => HashAlg::Sha256,
            b"sha512" => HashAlg::Sha512,
            _ => return None,
        };
        // What is reserved means nothing yet, so nothing of ours can be there.
        if !rest.is_empty() || !reserved.is_empty() || kind != by.kind().as_str().as_bytes() {
            return None;
        }
        let namespace = str::from_utf8(namespace).ok()?.to_owned();
        Some(Self { by, namespace, hash, numbers: numbers.to_vec(), word, text: armour(blob) })
    }

    /// One in software, over `message`, with whatever makes the numbers.
    pub(super) fn make(
        by: &SshPublic,
        message: &[u8],
        numbers: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyError>,
    ) -> Result<Self, KeyError> {
        let hash = HashAlg::Sha512;
        let numbers = numbers(&to_sign(SSH_NAMESPACE, hash, message))?;
        let signature = strings(&[by.kind().as_str().as_bytes(), &numbers]);
        let rest = strings(&[by.blob(), SSH_NAMESPACE.as_bytes(), b"", hash.as_str().as_bytes(), &signature]);
        Self::read(&[MAGIC, &[0, 0, 0, 1], &rest].concat()).ok_or(KeyError::Unusable)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The key that it names.
    pub(super) const fn by(&self) -> &SshPublic {
        &self.by
    }

    pub(super) fn made_with(&self) -> SignedWith {
        let hardware = self.word.map(|(flags, counter)| HardwareWord {
            user_present: flags & USER_PRESENT != 0,
            user_verified: flags & USER_VERIFIED != 0,
            counter: u32::from_be_bytes(counter),
        });
        SignedWith { kind: self.by.kind(), hardware }
    }

    /// Whether `key`, which it names, signed exactly `message`.
    pub(super) fn check(&self, key: &SshPublic, message: &[u8]) -> Result<(), SignatureFault> {
        if self.namespace != SSH_NAMESPACE {
            return Err(SignatureFault::Namespace(super::shown(&self.namespace)));
        }
        let data = to_sign(SSH_NAMESPACE, self.hash, message);
        let holds = match (key.application(), self.word) {
            (None, None) => numbers_hold(key, &data, &self.numbers),
            (Some(application), Some((flags, counter))) => {
                let said = hardware_message(application, flags, counter, &data);
                let holds = numbers_hold(key, &said, &self.numbers);
                if holds && flags & USER_PRESENT == 0 {
                    return Err(SignatureFault::Presence);
                }
                holds
            }
            _ => false,
        };
        if holds { Ok(()) } else { Err(SignatureFault::Altered) }
    }
}

/// What is signed of a message.
fn to_sign(namespace: &str, hash: HashAlg, message: &[u8]) -> Vec<u8> {
    let digest = hash.digest(message);
    [MAGIC, &strings(&[namespace.as_bytes(), b"", hash.as_str().as_bytes(), &digest])].concat()
}

/// The text of a signature, as OpenSSH writes it.
fn armour(blob: &[u8]) -> String {
    let mut text = format!("{BEGIN}\n");
    for (n, letter) in base64::encode(blob).chars().enumerate() {
        if n > 0 && n % COLUMNS == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text + "\n" + END + "\n"
}

/// Each with its length before it, in four bytes.
fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        // INVARIANT: keys, names and digests are far shorter than 4 GiB; a wrong length would verify nowhere.
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

/// The first of them, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Two numbers of equal length, as SSH writes numbers.
pub(super) fn mpints(fixed: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = fixed.split_at_checked(fixed.len() / 2)?;
    let (r, s) = (Mpint::from_positive_bytes(r).ok()?, Mpint::from_positive_bytes(s).ok()?);
    Some(strings(&[r.as_bytes(), s.as_bytes()]))
}

/// What a hardware key signs (PROTOCOL.u2f): digest of what it is for, flags, counter, digest of the message.
fn hardware_message(application: &str, flags: u8, counter: [u8; 4], data: &[u8]) -> Vec<u8> {
    let (application, data) = (Digest::of(application.as_bytes()), Digest::of(data));
    [&application.bytes()[..], &[flags], &counter, &data.bytes()[..]].concat()
}

fn numbers_hold(key: &SshPublic, message: &[u8], signature: &[u8]) -> bool {
    match key.kind() {
        KeyKind::Ed25519 | KeyKind::SshEd25519 | KeyKind::HardwareEd25519 => {
            let (Some(key), Ok(bytes)) = (key.ed25519(), signature.try_into()) else { return false };
            key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(bytes)).is_ok()
        }
        KeyKind::SshP256 | KeyKind::HardwareP256 => fixed(signature).is_some_and(|fixed| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point()).verify(message, &fixed).is_ok()
        }),
    }
}

/// Both numbers of an ECDSA signature in 32 bytes each; nothing may follow them.
fn fixed(mut signature: &[u8]) -> Option<[u8; 64]> {
    let mut both = [0_u8; 64];
    for half in both.chunks_exact_mut(32) {
        let (number, rest) = string(signature)?;
        signature = rest;
        // Only in the one form: no zeros before it that are not needed.
        let number = Mpint::from_bytes(number).ok()?;
        let bytes = number.as_positive_bytes()?;
        let at = half.len().checked_sub(bytes.len())?;
        half.get_mut(at..)?.copy_from_slice(bytes);
    }
    signature.is_empty().then_some(both)
}
