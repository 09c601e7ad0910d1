//! A caller's file as a payload's standard stream: a pipe, and a thread that copies.
//!
//! Who has a file's descriptor can change its mode, times and attributes, if the file is his: and where the payload's uid is
//! the caller's, it is. So a file is never handed in itself. What is copied ends with the tree: nobody inside can hold
//! the other end beyond it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

/// The copies of a payload's output, which are waited for once the tree is dead.
#[derive(Debug, Default)]
pub struct Copies(Vec<JoinHandle<io::Result<u64>>>);

impl Copies {
    /// What the payload reads instead of `file`. Copying ends with the file, or when nobody reads any more.
    pub fn input(file: File) -> io::Result<PipeReader> {
        let (read, write) = io::pipe()?;
        // Nobody waits for it: a payload need not read its input to the end, and a file need not end.
        let copy = move || io::copy(&mut { file }, &mut { write });
        std::thread::Builder::new().name("input".to_owned()).spawn(copy)?;
        Ok(read)
    }

    /// What the payload writes to instead of `file`.
    pub fn output(&mut self, file: OwnedFd) -> io::Result<PipeWriter> {
        let (read, write) = io::pipe()?;
        let copy = move || io::copy(&mut { read }, &mut File::from(file));
        self.0.push(std::thread::Builder::new().name("output".to_owned()).spawn(copy)?);
        Ok(write)
    }

    /// Waits until everything is written; the first of the errors.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let died = |_| Err(io::Error::other("the thread that copies output died"));
        let written: Vec<io::Result<u64>> =
            self.0.drain(..).map(|copy| copy.join().unwrap_or_else(died)).collect();
        written.into_iter().try_for_each(|one| one.map(drop))
    }
}
