//! Signed tree heads: C2SP `tlog-checkpoint` bodies in C2SP `signed-note` form, with Ed25519.
//!
//! One text for one head: what [`TreeHead::parse_all`] takes is exactly what [`TreeHead::signed`] writes. The
//! key's name and the origin are the same text, `cto-harness/<run id>`, so a head of one run is never a head of
//! another.

use crate::vocab::{Digest, PublicKey, RunId, SealingKey, Signature, base64};

/// The most heads that a file of checkpoints may hold.
const MAX_HEADS: usize = 1 << 20;
/// Lines of one signed head with the blank line that ends it.
const LINES: usize = 7;

/// A size and the root at that size, with the stage that had been reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// The stage reached, or `events` for one in between. One word.
    pub stage: String,
}

/// A head as it was read: not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// What it says.
    pub head: TreeHead,
    body: String,
    name: String,
    key_hash: [u8; 4],
    signature: Signature,
}

/// Why a file of checkpoints could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint {index} is not a signed tree head of this run")]
pub struct NoteError {
    /// From 1.
    pub index: usize,
}

impl TreeHead {
    /// Lines of one signed head.
    pub(super) const LINES: usize = LINES;

    /// The signed text, ending in a blank line.
    #[must_use]
    pub fn signed(&self, run: &RunId, key: &SealingKey) -> String {
        let name = origin(run);
        let body = self.body(&name);
        let mut signature = key_hash(&name, &key.public()).to_vec();
        signature.extend(key.sign(body.as_bytes()).bytes());
        format!("{body}\n\u{2014} {name} {}\n\n", base64::encode(&signature))
    }

    fn body(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\nstage {}\n", self.size, base64::encode(self.root.bytes()), self.stage)
    }

    /// All heads of `text`, in order. A cut-off last head is an error.
    pub fn parse_all(text: &str, run: &RunId) -> Result<Vec<SignedHead>, NoteError> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (blocks, rest) = lines.as_chunks::<LINES>();
        if !rest.is_empty() || blocks.len() > MAX_HEADS {
            return Err(NoteError { index: blocks.len() + 1 });
        }
        let name = origin(run);
        let parse = |(index, block)| parse_one(block, &name).ok_or(NoteError { index: index + 1 });
        blocks.iter().enumerate().map(parse).collect()
    }

    /// The whole heads at the start of `text`, for a file whose writer was killed.
    #[must_use]
    pub fn parse_prefix(text: &str, run: &RunId) -> Vec<SignedHead> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let name = origin(run);
        lines.as_chunks::<LINES>().0.iter().map_while(|block| parse_one(block, &name)).collect()
    }
}

impl SignedHead {
    /// Whether `key` signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.key_hash == key_hash(&self.name, key) && key.verifies(self.body.as_bytes(), &self.signature)
    }
}

fn parse_one(block: &[&str; LINES], name: &str) -> Option<SignedHead> {
    let [_, size, root, stage, _, signature, _] = block;
    let head = TreeHead {
        size: size.strip_suffix('\n')?.parse().ok()?,
        root: Digest::from_bytes(base64::decode(root.strip_suffix('\n')?)?.try_into().ok()?),
        stage: stage.strip_prefix("stage ")?.strip_suffix('\n')?.to_owned(),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if head.stage.is_empty() || !head.stage.chars().all(letters) {
        return None;
    }
    let signed =
        signature.strip_prefix("\u{2014} ")?.strip_prefix(name)?.strip_prefix(' ')?.strip_suffix('\n')?;
    let decoded = base64::decode(signed)?;
    let (key_hash, rest) = decoded.split_first_chunk::<4>()?;
    let body = head.body(name);
    // INVARIANT: other spellings (`01` for a size, a wrong origin, text in the blank lines) differ from ours.
    if format!("{body}\n{signature}\n") != block.concat() {
        return None;
    }
    let signature = Signature::from_bytes(rest).ok()?;
    Some(SignedHead { head, body, name: name.to_owned(), key_hash: *key_hash, signature })
}

fn origin(run: &RunId) -> String {
    format!("cto-harness/{run}")
}

/// C2SP signed-note: the first four bytes of SHA-256 over name, newline, algorithm 1 and the key.
fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let digest = Digest::of(&[name.as_bytes(), &[b'\n', 1], key.bytes()].concat());
    let [a, b, c, d, ..] = *digest.bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64) -> TreeHead {
        TreeHead { size, root: Digest::of(&size.to_be_bytes()), stage: "engine".into() }
    }

    #[test]
    fn heads_round_trip_and_name_their_signer() {
        let (key, run) = (SealingKey::generate().unwrap(), RunId::new());
        let text: String = (0..3).map(|size| head(size).signed(&run, &key)).collect();
        let heads = TreeHead::parse_all(&text, &run).unwrap();
        assert_eq!(heads.iter().map(|h| h.head.size).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(heads.iter().all(|h| h.is_signed_by(&key.public())));
        let other = SealingKey::generate().unwrap().public();
        assert!(!heads[0].is_signed_by(&other));
        assert!(TreeHead::parse_all(&text, &RunId::new()).is_err(), "another run's heads");
    }

    #[test]
    fn every_single_changed_byte_is_noticed() {
        let (key, run) = (SealingKey::generate().unwrap(), RunId::new());
        let text = head(12).signed(&run, &key);
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let believed = TreeHead::parse_all(&changed, &run)
                .is_ok_and(|heads| heads.len() == 1 && heads[0].is_signed_by(&key.public()));
            assert!(!believed, "byte {index}");
        }
        assert_eq!(TreeHead::parse_all(&text[..text.len() - 1], &run), Err(NoteError { index: 1 }));
        assert_eq!(TreeHead::parse_prefix(&format!("{text}{}", &text[..40]), &run).len(), 1);
    }
}
