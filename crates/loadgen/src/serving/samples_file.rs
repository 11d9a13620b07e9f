//! A file of the samples of every request: what is too much for memory and needed afterwards (gaps of each stream, texts).
//!
//! The thread that times requests fills a buffer and hands it over; another thread writes. Layout: the eight bytes `LLMBSPL1`,
//! then for each request that ended with an answer, in the order of their ends: its length in bytes and the entry itself, all
//! numbers as in [`super::varint`]: number of the request in the run, bytes of the gap list, the gap list, bytes of the list of the server's stamps,
//! that list, bytes of the text, the text as JSON string contents.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::reply::Reply;
use super::varint;

const MAGIC: &[u8; 8] = b"LLMBSPL1";

/// Bytes that are handed over at once.
const BUFFER: usize = 256 << 10;

/// The longest entry that is read back, bytes.
const LONGEST: u64 = 256 << 20;

/// Writes a samples_file.
#[derive(Debug)]
pub struct SamplesFile {
    path: PathBuf,
    buffer: Vec<u8>,
    entry: Vec<u8>,
    hand_over: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<io::Result<()>>>,
}

impl SamplesFile {
    /// Makes the file.
    ///
    /// # Errors
    /// When the file cannot be made or the thread not be started.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(MAGIC)?;
        let (hand_over, buffers) = channel::<Vec<u8>>();
        let writer = std::thread::Builder::new().name("samples_file".to_owned()).spawn(move || {
            for buffer in buffers {
                file.write_all(&buffer)?;
            }
            file.flush()
        })?;
        Ok(Self {
            path: path.to_owned(),
            buffer: Vec::with_capacity(BUFFER + BUFFER / 4),
            entry: Vec::new(),
            hand_over: Some(hand_over),
            writer: Some(writer),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends what is kept of a reply.
    pub(super) fn add(&mut self, request: u64, reply: &Reply) {
        self.entry.clear();
        varint::put(&mut self.entry, request);
        for list in [&reply.gaps, &reply.written, &reply.text] {
            varint::put(&mut self.entry, list.len() as u64);
            self.entry.extend_from_slice(list);
        }
        varint::put(&mut self.buffer, self.entry.len() as u64);
        self.buffer.extend_from_slice(&self.entry);
        if self.buffer.len() >= BUFFER {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(BUFFER + BUFFER / 4));
        if let Some(hand_over) = &self.hand_over {
            // A writer that failed says why at the end.
            let _ = hand_over.send(full);
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When writing failed at any time.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        self.pass_on();
        self.hand_over = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result?,
            Some(Err(_)) => return Err(io::Error::other("the thread that writes samples panicked")),
            None => {}
        }
        Ok(self.path.clone())
    }
}

/// What a samples_file holds of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Index of its record.
    pub request: u64,
    /// From each chunk with content to the next, ns.
    pub gaps_ns: Vec<u64>,
    /// The mock's stamps, ns.
    pub written_ns: Vec<u64>,
    /// JSON string contents.
    pub text: Vec<u8>,
}

/// Calls `on` for every entry of a samples_file; a tail that is cut off is passed over.
///
/// # Errors
/// A file that cannot be read or is no samples_file.
pub fn read(path: &Path, mut on: impl FnMut(Entry)) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(io::Error::other(format!("{} is no file of samples", path.display())));
    }
    let mut bytes = Vec::new();
    while let Some(length) = length(&mut file)?.filter(|length| *length <= LONGEST) {
        bytes.clear();
        if (&mut file).take(length).read_to_end(&mut bytes)? < length as usize {
            break;
        }
        match entry(&bytes) {
            Some(entry) => on(entry),
            None => break,
        }
    }
    Ok(())
}

fn length(file: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut bytes = Vec::with_capacity(10);
    for byte in file.by_ref().bytes().take(10) {
        let byte = byte?;
        bytes.push(byte);
        if byte < 0x80 {
            break;
        }
    }
    Ok(varint::take(&mut bytes.as_slice()))
}

fn entry(mut bytes: &[u8]) -> Option<Entry> {
    let request = varint::take(&mut bytes)?;
    let mut list = || {
        let length = usize::try_from(varint::take(&mut bytes)?).ok()?;
        let (list, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some(list)
    };
    let (gaps, written, text) = (list()?, list()?, list()?);
    let mut at = 0_u64;
    let written_ns = varint::iter(written).map(|more| {
        at = at.saturating_add(more);
        at
    });
    Some(Entry {
        request,
        written_ns: written_ns.collect(),
        gaps_ns: varint::iter(gaps).collect(),
        text: text.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples");
        let mut samples_file = SamplesFile::create(&path).unwrap();
        let mut reply = Reply::default();
        for gap in [5, 1_000_000, 0] {
            varint::put(&mut reply.gaps, gap);
        }
        for more in [1000, 50] {
            varint::put(&mut reply.written, more);
        }
        reply.text = vec![b'x'; 100_000];
        for request in 0..10 {
            samples_file.add(request, &reply);
        }
        assert_eq!(samples_file.finish().unwrap(), path);
        let mut entries = Vec::new();
        read(&path, |entry| entries.push(entry)).unwrap();
        assert_eq!(entries.len(), 10);
        assert_eq!(
            (entries[9].request, &entries[9].gaps_ns[..], &entries[9].written_ns[..]),
            (9, &[5, 1_000_000, 0][..], &[1000, 1050][..])
        );
        assert_eq!(entries[9].text.len(), 100_000);
        // Cut in the middle of the last entry.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut count = 0;
        read(&path, |_| count += 1).unwrap();
        assert_eq!(count, 9);
        std::fs::write(&path, b"something else").unwrap();
        assert!(read(&path, |_| {}).is_err());
    }
}
