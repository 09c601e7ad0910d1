//! A hardware key of FIDO in software: signs as one does (PROTOCOL.u2f), with whatever flags and counter a test wants.
//!
//! It shares nothing with the code under test: its own encoding, and `ring` for the numbers.

use ring::digest::{SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// Somebody touched it.
pub(crate) const TOUCHED: u8 = 0x01;
/// And it knew who.
pub(crate) const VERIFIED: u8 = 0x04;

enum Chip {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

pub(crate) struct Authenticator {
    chip: Chip,
    application: &'static str,
}

impl Authenticator {
    pub(crate) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { chip: Chip::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()), application: "ssh:" }
    }

    pub(crate) fn p256() -> Self {
        let (which, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(which, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(which, pkcs8.as_ref(), &random).unwrap();
        Self { chip: Chip::P256(pair), application: "ssh:" }
    }

    fn name(&self) -> &'static str {
        match self.chip {
            Chip::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Chip::P256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn public_blob(&self) -> Vec<u8> {
        let parts: [&[u8]; 4] = match &self.chip {
            Chip::Ed25519(pair) => {
                [self.name().as_bytes(), pair.public_key().as_ref(), self.application.as_bytes(), b""]
            }
            Chip::P256(pair) => {
                [self.name().as_bytes(), b"nistp256", pair.public_key().as_ref(), self.application.as_bytes()]
            }
        };
        let count = if matches!(self.chip, Chip::Ed25519(_)) { 3 } else { 4 };
        parts.iter().take(count).flat_map(|part| string(part)).collect()
    }

    /// The line of its `.pub` file.
    pub(crate) fn line(&self) -> String {
        format!("{} {} a token", self.name(), base64(&self.public_blob()))
    }

    /// What `ssh-keygen -Y sign` would write with it.
    pub(crate) fn sign(&self, namespace: &str, message: &[u8], flags: u8, counter: u32) -> String {
        let hash = digest(&SHA512, message);
        let data = [
            b"SSHSIG".to_vec(),
            string(namespace.as_bytes()),
            string(b""),
            string(b"sha512"),
            string(hash.as_ref()),
        ]
        .concat();
        let said = [
            digest(&SHA256, self.application.as_bytes()).as_ref(),
            &[flags],
            &counter.to_be_bytes(),
            digest(&SHA256, &data).as_ref(),
        ]
        .concat();
        let numbers = match &self.chip {
            Chip::Ed25519(pair) => pair.sign(&said).as_ref().to_vec(),
            Chip::P256(pair) => {
                let fixed = pair.sign(&SystemRandom::new(), &said).unwrap();
                let (r, s) = fixed.as_ref().split_at(32);
                [number(r), number(s)].concat()
            }
        };
        let signature =
            [string(self.name().as_bytes()), string(&numbers), vec![flags], counter.to_be_bytes().to_vec()]
                .concat();
        let blob = [
            b"SSHSIG".to_vec(),
            1_u32.to_be_bytes().to_vec(),
            string(&self.public_blob()),
            string(namespace.as_bytes()),
            string(b""),
            string(b"sha512"),
            string(&signature),
        ]
        .concat();
        let text = base64(&blob);
        let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A positive number as SSH writes it: no zeros before it, but one where its first bit is set.
fn number(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let zero: &[u8] = if bytes[first] & 0x80 == 0 { b"" } else { b"\0" };
    string(&[zero, &bytes[first..]].concat())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all =
            chunk.iter().enumerate().fold(0_u32, |all, (n, byte)| all | u32::from(*byte) << (16 - 8 * n));
        for n in 0..4 {
            let letter = char::from(LETTERS[(all >> (18 - 6 * n) & 63) as usize]);
            text.push(if n <= chunk.len() { letter } else { '=' });
        }
    }
    text
}
