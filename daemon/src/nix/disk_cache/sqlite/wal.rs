//! The write-ahead log of an SQLite database: pages that are newer than those in its file.
//!
//! Source: <https://www.sqlite.org/fileformat2.html>, 4. Nothing is written, no lock is taken, and no more than a page at a
//! time is in memory.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt};

use super::{DiskCacheError, MAX_FILE};

const HEADER: usize = 32;
/// Before each page: its number, the size of the database where a transaction ends with it, the log's salt, a checksum.
const FRAME: usize = 24;
/// The first word; an odd one has checksums of words with their highest byte first.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// What has been committed to a log.
pub(super) struct Wal {
    header: [u8; HEADER],
    /// Where in the file the newest of each page begins.
    pages: BTreeMap<u32, u64>,
    /// How many pages the database has with them.
    pub(super) size: u32,
    /// Where the next frame goes, and the checksum of all before it.
    end: (u64, Sum),
}

impl Wal {
    /// What has been committed to the log in `file`, with pages of `page_size` bytes; `None` where that is nothing.
    pub(super) fn read(file: &File, page_size: usize) -> Result<Option<Self>, DiskCacheError> {
        if file.metadata()?.len() > MAX_FILE {
            return Err(DiskCacheError::Format("a log that is too large"));
        }
        let Some(header) = header(file)? else {
            return Ok(None);
        };
        if word(&header, 8) as usize != page_size {
            return Ok(None);
        }
        let start = Sum::new(&header);
        let mut wal = Self {
            end: (HEADER as u64, start.over(&header[..24])),
            header,
            pages: BTreeMap::new(),
            size: 0,
        };
        if wal.end.1.is_at(&wal.header, 24) {
            wal.take_in(file, page_size)?;
        }
        Ok((wal.size > 0).then_some(wal))
    }

    /// Reads the frames, up to the last that ends a transaction.
    fn take_in(&mut self, file: &File, page_size: usize) -> Result<(), DiskCacheError> {
        let mut frame = vec![0; FRAME + page_size];
        // Of a transaction that has not ended.
        let mut open = BTreeMap::new();
        let (mut at, mut sum) = self.end;
        while let Some(next) = self.next(file, at, sum, &mut frame)? {
            open.insert(word(&frame, 0), at + FRAME as u64);
            (at, sum) = (at + frame.len() as u64, next);
            let size = word(&frame, 4);
            if size > 0 {
                self.pages.append(&mut open);
                self.size = size;
                self.end = (at, sum);
            }
        }
        Ok(())
    }

    /// The checksum with the frame at `at`, which is read into `frame`; `None` where there is none of this log.
    fn next(
        &self,
        file: &File,
        at: u64,
        sum: Sum,
        frame: &mut [u8],
    ) -> Result<Option<Sum>, DiskCacheError> {
        if !is_there(file.read_exact_at(frame, at))? {
            return Ok(None);
        }
        let next = sum.over(&frame[..8]).over(&frame[FRAME..]);
        let is_ours = frame[8..16] == self.header[16..24] && next.is_at(frame, 16);
        Ok(is_ours.then_some(next))
    }

    /// Whether nothing was committed to it since.
    pub(super) fn is_unchanged(
        &self,
        file: &File,
        page_size: usize,
    ) -> Result<bool, DiskCacheError> {
        let mut frame = vec![0; FRAME + page_size];
        let (at, sum) = self.end;
        let is_same = header(file)? == Some(self.header);
        Ok(is_same && self.next(file, at, sum, &mut frame)?.is_none())
    }

    /// Where in the file the page `number` begins; `None` where it is not in the log.
    pub(super) fn page(&self, number: u32) -> Option<u64> {
        self.pages.get(&number).copied()
    }
}

fn header(file: &File) -> Result<Option<[u8; HEADER]>, DiskCacheError> {
    let mut header = [0; HEADER];
    let is_there = is_there(file.read_exact_at(&mut header, 0))?;
    let is_log = word(&header, 0) & !1 == MAGIC && word(&header, 4) == VERSION;
    Ok((is_there && is_log).then_some(header))
}

fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.copied().map_or(0, u32::from_be_bytes)
}

/// The checksum of all that came before.
#[derive(Clone, Copy)]
struct Sum {
    highest_first: bool,
    words: [u32; 2],
}

impl Sum {
    fn new(header: &[u8; HEADER]) -> Self {
        Self {
            highest_first: word(header, 0) & 1 == 1,
            words: [0; 2],
        }
    }

    fn over(mut self, bytes: &[u8]) -> Self {
        let [first, second] = &mut self.words;
        for pair in bytes.chunks_exact(8) {
            let [high, low] = [word(pair, 0), word(pair, 4)];
            let [high, low] = if self.highest_first {
                [high, low]
            } else {
                [high.swap_bytes(), low.swap_bytes()]
            };
            *first = first.wrapping_add(high).wrapping_add(*second);
            *second = second.wrapping_add(low).wrapping_add(*first);
        }
        self
    }

    fn is_at(self, bytes: &[u8], at: usize) -> bool {
        self.words == [word(bytes, at), word(bytes, at + 4)]
    }
}
