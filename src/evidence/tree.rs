//! The Merkle tree of RFC 6962 §2.1 over SHA-256, grown leaf by leaf.
//!
//! It keeps one digest for each bit of its size, so a log of any length costs a few hundred bytes. It hands out
//! roots; proofs of inclusion are not needed, because a bundle always holds the whole log.

use crate::vocab::{Digest, Hasher};

/// A tree that only grows.
#[derive(Clone, Default)]
pub struct MerkleTree {
    size: u64,
    /// Roots of the perfect subtrees, largest first: one for each set bit of `size`.
    peaks: Vec<Digest>,
}

impl MerkleTree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf: its exact bytes.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hasher = Hasher::new();
        hasher.update(&[0]);
        hasher.update(leaf);
        let mut node = hasher.finish();
        let mut carry = self.size;
        while carry & 1 == 1 {
            // INVARIANT: there is a peak for each set bit, and the lowest set bit's is the last.
            if let Some(left) = self.peaks.pop() {
                node = join(&left, &node);
            }
            carry >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tree head; for the empty tree the digest of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return Digest::of(b"") };
        peaks.fold(*smallest, |right, left| join(left, &right))
    }
}

fn join(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[1]);
    hasher.update(left.bytes());
    hasher.update(right.bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the reference test of Certificate Transparency (`merkle_tree_test`).
    #[test]
    fn the_published_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = MerkleTree::new();
        assert_eq!(tree.root(), Digest::of(b""));
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(leaf);
            assert_eq!(tree.root().hex(), root, "size {}", tree.size());
        }
    }

    #[test]
    fn equals_the_definition_for_many_sizes() {
        fn defined(leaves: &[Vec<u8>]) -> Digest {
            match leaves {
                [] => Digest::of(b""),
                [leaf] => Digest::of(&[&[0], leaf.as_slice()].concat()),
                _ => {
                    let split = leaves.len().next_power_of_two() / 2;
                    join(&defined(&leaves[..split]), &defined(&leaves[split..]))
                }
            }
        }
        let leaves: Vec<Vec<u8>> = (0..130_u32).map(|n| n.to_string().into_bytes()).collect();
        let mut tree = MerkleTree::new();
        for (index, leaf) in leaves.iter().enumerate() {
            tree.push(leaf);
            assert_eq!(tree.root(), defined(&leaves[..=index]));
        }
    }
}
