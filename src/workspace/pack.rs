//! A pack of whole objects and its index, as git reads them (gitformat-pack(5)).
//!
//! libgit2 writes packs, too; but it opens each object four times for that and compares it with its neighbours, which
//! was most of the time that a base needs. Here an object is compressed by whoever has it at hand, and only put in line.
//! Guarantees: the pack holds what was added under the names that were given, and has as many objects as it says. What
//! this does not do: compute a name again, find differences between objects, read packs.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
use git2::{ObjectType, Oid};
use sha1::{Digest as _, Sha1};

/// The format of packs.
const PACK: [u8; 8] = *b"PACK\x00\x00\x00\x02";
/// The format of their indices.
const INDEX: [u8; 8] = *b"\xfftOc\x00\x00\x00\x02";
/// Offsets from here on stand in a table of their own.
const FAR: u64 = 1 << 31;
/// Room that is made for compressed bytes at a time.
const ROOM: usize = 1 << 16;
/// Bytes that are given to be compressed at a time.
const PIECE: usize = 1 << 30;

/// An object as it lies in a pack.
#[derive(Debug)]
pub(super) struct Entry {
    id: Oid,
    bytes: Vec<u8>,
}

impl Entry {
    /// Bytes that it takes.
    pub(super) const fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Makes entries of objects, quickly rather than small: a base is packed once, and read for one run or a few.
#[derive(Debug)]
pub(super) struct Compressor {
    zlib: Compress,
    /// Bytes that it is given at a time.
    piece: usize,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { zlib: Compress::new(Compression::fast(), true), piece: PIECE }
    }

    /// The entry of the object `id`.
    pub(super) fn entry(&mut self, kind: ObjectType, id: Oid, content: &[u8]) -> io::Result<Entry> {
        let mut bytes = Vec::with_capacity(content.len() / 2 + 64);
        head(kind, content.len(), &mut bytes)?;
        self.zlib.reset();
        let start = self.zlib.total_in();
        loop {
            let taken = usize::try_from(self.zlib.total_in() - start).map_err(io::Error::other)?;
            let rest = content.get(taken..).unwrap_or(&[]);
            // zlib counts in 32 bits, and would end a piece that it cannot count early.
            let (piece, flush) = match rest.get(..self.piece) {
                Some(piece) if rest.len() > self.piece => (piece, FlushCompress::None),
                _ => (rest, FlushCompress::Finish),
            };
            if self.zlib.compress_vec(piece, &mut bytes, flush)? == Status::StreamEnd {
                return Ok(Entry { id, bytes });
            }
            if bytes.len() == bytes.capacity() {
                bytes.reserve(ROOM);
            }
        }
    }
}

/// Kind and size: four bits of the size beside the kind, then seven in each byte, the lowest first.
fn head(kind: ObjectType, size: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let kind = match kind {
        ObjectType::Commit => 1_u8,
        ObjectType::Tree => 2,
        ObjectType::Blob => 3,
        _ => return Err(io::Error::other("no object of a base")),
    };
    let low = |size: usize, bits: u32| u8::try_from(size & ((1 << bits) - 1)).map_err(io::Error::other);
    let mut byte = kind << 4 | low(size, 4)?;
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low(rest, 7)?;
        rest >>= 7;
    }
    out.push(byte);
    Ok(())
}

/// What the index says of an object.
#[derive(Debug)]
struct Row {
    id: Oid,
    checksum: u32,
    offset: u64,
}

/// A pack that is being written.
#[derive(Debug)]
pub(super) struct Pack {
    out: Summed,
    count: u32,
    offset: u64,
    rows: Vec<Row>,
}

impl Pack {
    /// Begins a pack of `count` objects in a new file.
    pub(super) fn begin(file: File, count: usize) -> io::Result<Self> {
        let count = u32::try_from(count).map_err(io::Error::other)?;
        let mut out = Summed::over(file);
        out.write(&PACK)?;
        out.write(&count.to_be_bytes())?;
        let offset = u64::try_from(PACK.len() + size_of_val(&count)).map_err(io::Error::other)?;
        Ok(Self { out, count, offset, rows: Vec::new() })
    }

    /// Adds an object, which must not be there yet.
    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.out.write(&entry.bytes)?;
        let checksum = crc32fast::hash(&entry.bytes);
        self.rows.push(Row { id: entry.id, checksum, offset: self.offset });
        self.offset += u64::try_from(entry.bytes.len()).map_err(io::Error::other)?;
        Ok(())
    }

    /// Ends the pack, and writes its index into another new file.
    pub(super) fn end(mut self, index: File) -> io::Result<()> {
        if u32::try_from(self.rows.len()).ok() != Some(self.count) {
            return Err(io::Error::other("the pack has fewer objects or more than were announced"));
        }
        let sum = self.out.end()?;
        self.rows.sort_unstable_by_key(|row| row.id);
        let mut out = Summed::over(index);
        out.write(&INDEX)?;
        for first in 0..=u8::MAX {
            let begins = |row: &Row| row.id.as_bytes().first() <= Some(&first);
            let so_far = u32::try_from(self.rows.partition_point(begins)).map_err(io::Error::other)?;
            out.write(&so_far.to_be_bytes())?;
        }
        self.rows.iter().try_for_each(|row| out.write(row.id.as_bytes()))?;
        self.rows.iter().try_for_each(|row| out.write(&row.checksum.to_be_bytes()))?;
        let mut far = Vec::new();
        for row in &self.rows {
            let place = if row.offset < FAR {
                row.offset
            } else {
                far.push(row.offset);
                FAR | u64::try_from(far.len() - 1).map_err(io::Error::other)?
            };
            out.write(&u32::try_from(place).map_err(io::Error::other)?.to_be_bytes())?;
        }
        far.iter().try_for_each(|offset| out.write(&offset.to_be_bytes()))?;
        out.write(&sum)?;
        out.end().map(drop)
    }
}

/// A file that ends with the SHA-1 of all before.
#[derive(Debug)]
struct Summed {
    file: BufWriter<File>,
    sum: Sha1,
}

impl Summed {
    fn over(file: File) -> Self {
        Self { file: BufWriter::with_capacity(1 << 16, file), sum: Sha1::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    fn end(&mut self) -> io::Result<[u8; 20]> {
        let sum: [u8; 20] = self.sum.finalize_reset().into();
        self.file.write_all(&sum)?;
        self.file.flush()?;
        Ok(sum)
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
