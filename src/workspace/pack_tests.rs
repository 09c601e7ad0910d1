//! Packs, read by stock git and by its library.

use std::collections::BTreeMap;
use std::path::Path;

use git2::Odb;

use super::super::tests_bed::Bed;
use super::*;

/// Where a pack lies in the target of a bed.
const FOLDER: &str = "target/.git/objects/pack";

/// Sizes around each change of form; each once of one letter, and once as bytes that hardly get smaller.
fn contents() -> Vec<Vec<u8>> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..300_000).map(|_| next()).collect();
    let sizes = [0, 1, 15, 16, 2_047, 2_048, 4_096, 262_143, 262_144, 300_000];
    sizes.iter().flat_map(|size| [vec![b'x'; *size], noise[..*size].to_vec()]).collect()
}

/// Writes all of [`contents`] into a pack, the fourth as if it lay `far` in it.
fn written(folder: &Path, far: bool) -> BTreeMap<Oid, Vec<u8>> {
    let id = |bytes: &[u8]| Oid::hash_object(ObjectType::Blob, bytes).unwrap();
    let known: BTreeMap<Oid, Vec<u8>> = contents().into_iter().map(|bytes| (id(&bytes), bytes)).collect();
    let new = |name: &str| File::create_new(folder.join(name)).unwrap();
    let mut pack = Pack::begin(new("pack-x.pack"), known.len()).unwrap();
    let mut compressor = Compressor::new();
    for (number, (id, bytes)) in known.iter().enumerate() {
        if far && number == 3 {
            pack.offset = FAR;
        }
        pack.add(&compressor.entry(ObjectType::Blob, *id, bytes).unwrap()).unwrap();
    }
    pack.end(new("pack-x.idx")).unwrap();
    known
}

#[test]
fn git_and_its_library_read_what_was_written() {
    let bed = Bed::new(":");
    let known = written(&bed.path(FOLDER), false);
    let said = bed.git(FOLDER, &["verify-pack", "-v", "pack-x.idx"]);
    assert!(known.keys().all(|id| said.contains(&id.to_string())), "{said}");
    let objects = Odb::new().unwrap();
    objects.add_disk_alternate(bed.path("target/.git/objects").to_str().unwrap()).unwrap();
    for (id, bytes) in known {
        assert_eq!(objects.read(id).unwrap().data(), bytes);
    }
    // A byte that is another one is seen by the sums.
    let path = bed.path(FOLDER).join("pack-x.pack");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(!bed.git_command(FOLDER, &["verify-pack", "pack-x.idx"]).output().unwrap().status.success());
}

#[test]
fn an_object_that_is_given_in_pieces_is_the_same_object() {
    let inflated = |entry: &Entry, head: usize| {
        let mut bytes = Vec::new();
        flate2::write::ZlibDecoder::new(&mut bytes).write_all(&entry.bytes[head..]).unwrap();
        bytes
    };
    for bytes in contents() {
        let mut begun = Vec::new();
        head(ObjectType::Blob, bytes.len(), &mut begun).unwrap();
        for piece in [1_000, 262_144, PIECE] {
            let mut compressor = Compressor { piece, ..Compressor::new() };
            let entry = compressor.entry(ObjectType::Blob, Oid::ZERO_SHA1, &bytes).unwrap();
            assert!(inflated(&entry, begun.len()) == bytes, "{} by {piece}", bytes.len());
        }
    }
}

#[test]
fn what_lies_beyond_two_gigabytes_has_its_place_in_the_index() {
    let bed = Bed::new(":");
    let known = written(&bed.path(FOLDER), true);
    let index = File::open(bed.path(FOLDER).join("pack-x.idx")).unwrap();
    let said = bed.git_command(FOLDER, &["show-index"]).stdin(index).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), known.len());
    let offset = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
    let mut far: Vec<u64> = said.lines().map(offset).filter(|offset| *offset >= FAR).collect();
    far.sort_unstable();
    assert_eq!((far.len(), far[0]), (known.len() - 3, FAR), "{said}");
}

#[test]
fn a_pack_that_is_not_whole_has_no_index() {
    let bed = Bed::new(":");
    let new = |name: &str| File::create_new(bed.path(FOLDER).join(name)).unwrap();
    let pack = Pack::begin(new("pack-x.pack"), 1).unwrap();
    assert!(pack.end(new("pack-x.idx")).is_err());
    assert_eq!(std::fs::metadata(bed.path(FOLDER).join("pack-x.idx")).unwrap().len(), 0);
}
