//! SSH keys and signatures against OpenSSH's own program, both ways, and every way in which one must not count.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{
    HardwareWord, KeyError, KeyKind, PublicKey, SSH_NAMESPACE, SealingKey, Signature, SignatureFault,
    SigningKey, SshPrivate,
};

use crate::vocab::authenticator::{Authenticator, TOUCHED, VERIFIED};

struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A key that ssh-keygen made.
    fn make(&self, name: &str, words: &[&str]) -> PathBuf {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-C", "a comment", "-f"]).arg(self.at(name)).args(words);
        assert!(keygen.stdin(Stdio::null()).status().unwrap().success());
        self.at(name)
    }

    /// What ssh-keygen signs with it.
    fn sign(&self, key: &Path, namespace: &str, message: &[u8], more: &[&str]) -> Signature {
        let file = self.at("message");
        std::fs::write(&file, message).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key).args(more).arg(&file);
        assert!(keygen.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let text = std::fs::read_to_string(self.at("message.sig")).unwrap();
        std::fs::remove_file(self.at("message.sig")).unwrap();
        Signature::parse(&text).unwrap()
    }

    /// Whether ssh-keygen takes a signature of ours.
    fn takes(&self, line: &str, message: &[u8], signature: &Signature) -> bool {
        std::fs::write(self.at("allowed"), format!("ada {line}\n")).unwrap();
        std::fs::write(self.at("sig"), signature.bytes()).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Y", "verify", "-I", "ada", "-n", SSH_NAMESPACE, "-f"]).arg(self.at("allowed"));
        keygen
            .arg("-s")
            .arg(self.at("sig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = keygen.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), message).unwrap();
        child.wait().unwrap().success()
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn software(path: &Path) -> SigningKey {
    match SshPrivate::parse(&text(path)).unwrap() {
        SshPrivate::Software(key) => key,
        SshPrivate::Hardware(key) => panic!("{key:?} is not in hardware"),
    }
}

#[test]
fn software_keys_sign_here_and_there_and_each_takes_the_others_signature() {
    for (kind, words) in [
        (KeyKind::SshEd25519, &["-t", "ed25519", "-N", ""][..]),
        (KeyKind::SshP256, &["-t", "ecdsa", "-b", "256", "-N", ""]),
    ] {
        let keys = Keys::new();
        let path = keys.make("k", words);
        let line = text(&keys.at("k.pub"));
        let public = PublicKey::parse(&line).unwrap();
        assert_eq!((public.kind(), software(&path).public() == public), (kind, true));
        assert!(line.starts_with(&public.to_text()) && !public.to_text().contains("comment"));
        assert_eq!(PublicKey::parse(&public.to_text()).unwrap(), public);
        // Many times: a number of a signature is now and then shorter than the others.
        for n in 0..40_u8 {
            let (message, key) = ([b"message ", &[n][..]].concat(), software(&path));
            let ours = key.sign(&message).unwrap();
            assert_eq!(public.check(&message, &ours), Ok(()));
            assert_eq!(public.check(b"other", &ours), Err(SignatureFault::Altered));
            assert_eq!(ours.made_with().kind, kind);
            assert!(n > 2 || keys.takes(&line, &message, &ours), "{kind:?}");
            assert!(n > 0 || !keys.takes(&line, b"other", &ours), "{kind:?}");
        }
        for more in [&[][..], &["-O", "hashalg=sha256"]] {
            let theirs = keys.sign(&path, SSH_NAMESPACE, b"message", more);
            assert_eq!(public.check(b"message", &theirs), Ok(()), "{kind:?} {more:?}");
            assert_eq!(public.check(b"messagf", &theirs), Err(SignatureFault::Altered));
        }
        let elsewhere = keys.sign(&path, "file", b"message", &[]);
        assert_eq!(public.check(b"message", &elsewhere), Err(SignatureFault::Namespace("file".to_owned())));
    }
}

#[test]
fn hardware_keys_count_with_a_person_at_them_and_their_word_is_read() {
    for key in [Authenticator::ed25519(), Authenticator::p256()] {
        let (keys, public) = (Keys::new(), PublicKey::parse(&key.line()).unwrap());
        assert!(public.kind().is_hardware());
        for (flags, counter) in [(TOUCHED, 7), (TOUCHED | VERIFIED, 0xffff_fffe)] {
            let signature = Signature::parse(&key.sign(SSH_NAMESPACE, b"yes", flags, counter)).unwrap();
            assert_eq!(public.check(b"yes", &signature), Ok(()));
            assert!(keys.takes(&key.line(), b"yes", &signature), "OpenSSH takes it as well");
            assert_eq!(public.check(b"no", &signature), Err(SignatureFault::Altered));
            let word = HardwareWord { user_present: true, user_verified: flags & VERIFIED != 0, counter };
            assert_eq!(signature.made_with().hardware, Some(word));
        }
        let untouched = Signature::parse(&key.sign(SSH_NAMESPACE, b"yes", VERIFIED, 7)).unwrap();
        assert_eq!(public.check(b"yes", &untouched), Err(SignatureFault::Presence));
        assert!(!public.verifies(b"yes", &untouched));
        let elsewhere = Signature::parse(&key.sign("git", b"yes", TOUCHED, 7)).unwrap();
        assert!(matches!(public.check(b"yes", &elsewhere), Err(SignatureFault::Namespace(_))));
    }
}

/// The bytes inside of the armour, changed one at a time.
#[test]
fn every_changed_byte_of_a_signature_is_noticed() {
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519", "-N", ""]);
    let token = Authenticator::p256();
    let signed = [
        (PublicKey::parse(&text(&keys.at("k.pub"))).unwrap(), software(&path).sign(b"yes").unwrap()),
        (
            PublicKey::parse(&token.line()).unwrap(),
            Signature::parse(&token.sign(SSH_NAMESPACE, b"yes", TOUCHED, 1)).unwrap(),
        ),
    ];
    for (public, good) in signed {
        let armour = String::from_utf8(good.bytes().to_vec()).unwrap();
        assert!(public.verifies(b"yes", &Signature::parse(&armour).unwrap()), "as it is, it holds");
        let body = armour.find("-----\n").unwrap() + 6..armour.rfind("\n-----END").unwrap();
        for at in body {
            let mut changed = armour.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let Ok(text) = String::from_utf8(changed) else { continue };
            // A flag's spare bits apart, which are signed as well.
            let counts = Signature::parse(&text).is_ok_and(|signature| public.verifies(b"yes", &signature));
            assert!(!counts, "byte {at}");
        }
    }
}

#[test]
fn another_key_or_another_kind_never_counts() {
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519", "-N", ""]);
    keys.make("other", &["-t", "ed25519", "-N", ""]);
    let (own, other) = (text(&keys.at("k.pub")), text(&keys.at("other.pub")));
    let (own, other) = (PublicKey::parse(&own).unwrap(), PublicKey::parse(&other).unwrap());
    let signature = software(&path).sign(b"yes").unwrap();
    assert_eq!(own.check(b"yes", &signature), Ok(()));
    assert_eq!(other.check(b"yes", &signature), Err(SignatureFault::AnotherKey));
    let token = Authenticator::ed25519();
    let touched = Signature::parse(&token.sign(SSH_NAMESPACE, b"yes", TOUCHED, 1)).unwrap();
    assert_eq!(own.check(b"yes", &touched), Err(SignatureFault::AnotherKey));
    // A hardware key's 32 bytes, claimed as a software key: the touch would not be asked for.
    let plain = SealingKey::generate().unwrap().sign(b"yes");
    assert_eq!(
        PublicKey::parse(&token.line()).unwrap().check(b"yes", &plain),
        Err(SignatureFault::AnotherKey)
    );
}

#[test]
fn one_ed25519_key_is_one_key_in_both_dresses() {
    let keys = Keys::new();
    let path = keys.make("k", &["-t", "ed25519", "-N", ""]);
    let line = PublicKey::parse(&text(&keys.at("k.pub"))).unwrap();
    let pem = PublicKey::from_pem(&line.to_pem()).unwrap();
    assert_eq!((pem.kind(), line.kind()), (KeyKind::Ed25519, KeyKind::SshEd25519));
    assert_eq!((pem.key_id(), &pem), (line.key_id(), &line));
    let signature = software(&path).sign(b"yes").unwrap();
    assert!(pem.verifies(b"yes", &signature) && pem.is_same_secret(&line));
    let token = Authenticator::ed25519();
    let token = PublicKey::parse(&token.line()).unwrap();
    assert!(!token.is_same_secret(&line) && token.to_pem() == token.to_text());
}

#[test]
fn what_is_not_accepted_says_why() {
    let keys = Keys::new();
    keys.make("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    keys.make("big", &["-t", "ecdsa", "-b", "384", "-N", ""]);
    keys.make("good", &["-t", "ed25519", "-N", ""]);
    keys.make("locked", &["-t", "ed25519", "-N", "a passphrase"]);
    let public = |name: &str| PublicKey::parse(&text(&keys.at(name)));
    assert!(public("good.pub").is_ok() && public("locked.pub").is_ok());
    assert_eq!(public("rsa.pub"), Err(KeyError::Rsa));
    assert!(matches!(public("big.pub"), Err(KeyError::Algorithm(name)) if name.contains("384")));
    let good = text(&keys.at("good.pub"));
    let mut bad = vec![
        format!("command=\"x\" {good}"),
        good.replace("ssh-ed25519 A", "ssh-ed25519 B"),
        format!("{good}{good}"),
        good.split(' ').take(1).collect(),
        String::new(),
        format!("{} {}", good.trim(), "x".repeat(5000)),
    ];
    bad.push(good.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"));
    for text in bad {
        assert!(PublicKey::parse(&text).is_err(), "{text}");
    }
    let private = |name: &str| SshPrivate::parse(&text(&keys.at(name))).map(|_| ());
    assert_eq!(private("good"), Ok(()));
    assert_eq!(private("locked"), Err(KeyError::Encrypted));
    assert_eq!(private("rsa"), Err(KeyError::Rsa));
    assert_eq!(private("good.pub"), Err(KeyError::SshPrivateKey));
    assert!(KeyError::Encrypted.to_string().contains("FILE.pub"));
    assert!(!format!("{:?}", software(&keys.at("good"))).contains("seed"));
    // An Ed25519 key of small order would verify anything.
    let weak = [&11_u32.to_be_bytes()[..], b"ssh-ed25519", &32_u32.to_be_bytes(), &[1], &[0; 31]].concat();
    let weak = ssh_key::PublicKey::from_bytes(&weak).unwrap().to_openssh().unwrap();
    assert_eq!(PublicKey::parse(&weak), Err(KeyError::SshPublicKey));
}
