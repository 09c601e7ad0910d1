//! A caller's file as a payload's standard stream: a pipe, and a thread that copies.
//!
//! Who has a file's descriptor can change its mode, times and attributes, if the file is his: and where the payload's uid is
//! the caller's, it is. So a file is never handed in itself. What is copied ends with the tree: nobody inside can hold
//! the other end beyond it.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

/// Bytes, as many as a pipe holds.
const COPIED_AT_ONCE: usize = 64 * 1024;

/// The copies of a payload's output, which are waited for once the tree is dead.
#[derive(Debug, Default)]
pub struct Copies(Vec<JoinHandle<io::Result<()>>>);

impl Copies {
    /// What the payload reads instead of `file`. Copying ends with the file, or when nobody reads any more.
    pub fn input(file: File) -> io::Result<PipeReader> {
        let (read, write) = io::pipe()?;
        // Nobody waits for it: a payload need not read its input to the end, and a file need not end.
        let copy = move || copy(file, write);
        std::thread::Builder::new().name("input".to_owned()).spawn(copy)?;
        Ok(read)
    }

    /// What the payload writes to instead of `file`.
    pub fn output(&mut self, file: OwnedFd) -> io::Result<PipeWriter> {
        let (read, write) = io::pipe()?;
        let copy = move || copy(read, File::from(file));
        self.0.push(std::thread::Builder::new().name("output".to_owned()).spawn(copy)?);
        Ok(write)
    }

    /// Waits until everything is written; the first of the errors.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let died = |_| Err(io::Error::other("the thread that copies output died"));
        let written: Vec<io::Result<()>> =
            self.0.drain(..).map(|copy| copy.join().unwrap_or_else(died)).collect();
        written.into_iter().collect()
    }
}

/// Not `io::copy`: between files and pipes that is splice(2), which takes the file's position when it begins to wait and
/// sets it when it has written. Whoever else writes to the same file meanwhile (the other stream, the caller) would be
/// written over.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut room = vec![0; COPIED_AT_ONCE];
    loop {
        match from.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(got) => to.write_all(room.get(..got).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::time::{Duration, Instant};

    use super::*;

    /// Two streams and the caller write to one file in turns, as with `> file 2>&1`.
    #[test]
    fn nobody_writes_over_what_another_has_written() {
        let mut callers = tempfile::tempfile().unwrap();
        let mut copies = Copies::default();
        let mut stream = || copies.output(callers.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let mut streams = [stream(), stream()];
        let mut expected = String::new();
        let length = callers.try_clone().unwrap();
        let mut turn = |writer: &mut dyn Write, text: &str| {
            writer.write_all(text.as_bytes()).unwrap();
            expected.push_str(text);
            let all = u64::try_from(expected.len()).unwrap();
            let until = Instant::now() + Duration::from_secs(2);
            while length.metadata().unwrap().len() < all && Instant::now() < until {
                std::thread::yield_now();
            }
            // Both copies wait again, or nothing was there to be written over.
            std::thread::sleep(Duration::from_millis(10));
        };
        for round in 0..3 {
            for (index, stream) in streams.iter_mut().enumerate() {
                turn(stream, &format!("{round}: stream {index}\n"));
                turn(&mut callers, &format!("{round}: caller\n"));
            }
        }
        drop(streams);
        copies.finish().unwrap();
        let mut found = String::new();
        io::Seek::rewind(&mut callers).unwrap();
        callers.read_to_string(&mut found).unwrap();
        assert_eq!(found, expected);
    }
}
