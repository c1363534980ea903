//! Reads the rows of a table in an SQLite database, the last ones first.
//!
//! Source: <https://www.sqlite.org/fileformat2.html>. Nothing is written, no lock is taken, and no more
//! than a page at a time is in memory.

mod record;
mod wal;

use std::{
    fs::File,
    io::ErrorKind,
    ops::ControlFlow,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::DiskCacheError;
use crate::files::Files;
use record::varint;
pub(super) use record::{Row, Value};
use wal::Wal;

/// A larger file is not read: Nix clears its own every day of what is too old.
const MAX_FILE: u64 = 64 << 20;
/// So many pages are read of one table.
const MAX_PAGES: usize = 8192;
/// So many rows are looked at of one table; a build of a whole system asks for some thousands of paths.
const MAX_ROWS: usize = 16_384;
/// So deep is no tree of a file of that size.
const MAX_DEPTH: usize = 12;
/// The header of the file, on its first page.
const HEADER: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// An open database.
pub(super) struct Database<'a> {
    files: &'a dyn Files,
    file: File,
    path: PathBuf,
    page_size: usize,
    /// The end of each page that is used by something else.
    usable: usize,
    pages: u32,
    written: Written,
}

/// How it is written, and what is different after each transaction.
enum Written {
    /// In its place; what was there before is in a journal meanwhile. The file change counter.
    InPlace([u8; 4]),
    /// To a log, from where it is copied later: the log, and what the system has of it and of the file.
    Ahead(Option<(File, Wal)>, [Stamp; 2]),
}

/// Which file it is, its length and when it was written.
#[derive(PartialEq, Eq)]
struct Stamp(Option<(u64, u64, i64, i64)>);

/// Called with a row; breaks off when it has enough.
pub(super) type Each<'a> = &'a mut dyn FnMut(&Row<'_>) -> ControlFlow<()>;

impl<'a> Database<'a> {
    /// Opens it where nobody writes it now.
    pub(super) fn open(files: &'a dyn Files, path: &Path) -> Result<Self, DiskCacheError> {
        let file = files.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(DiskCacheError::Format("not a file, or too large"));
        }
        let header = header(&file)?;
        let [high, low] = [header[16], header[17]].map(usize::from);
        // 1 stands for 65,536, which two bytes can't hold.
        let page_size = match high << 8 | low {
            1 => 65_536,
            size => size,
        };
        let usable = page_size.saturating_sub(header[20].into());
        if !page_size.is_power_of_two() || page_size < 512 || usable < 480 {
            return Err(DiskCacheError::Format("the size of a page"));
        }
        if header[56..60] != [0, 0, 0, 1] {
            return Err(DiskCacheError::Format("not in UTF-8"));
        }
        let mut database = Self {
            files,
            path: path.to_owned(),
            page_size,
            usable,
            pages: u32::try_from(metadata.len() / page_size as u64).unwrap_or(u32::MAX),
            written: Written::InPlace(changes(&header)),
            file,
        };
        match header[18..20] {
            [1, 1] => database.refuse_journal()?,
            [2, 2] => database.read_log()?,
            _ => return Err(DiskCacheError::Format("how it is written")),
        }
        Ok(database)
    }

    /// Whether what was read since [`Self::open`] is of one transaction.
    pub(super) fn is_unchanged(&self) -> Result<(), DiskCacheError> {
        let is_unchanged = match &self.written {
            Written::InPlace(before) => {
                self.refuse_journal()?;
                changes(&header(&self.file)?) == *before
            }
            Written::Ahead(log, stamps) => {
                let is_same = match log {
                    Some((file, log)) => log.is_unchanged(file, self.page_size)?,
                    None => true,
                };
                is_same && self.stamps()?.1 == *stamps
            }
        };
        if is_unchanged {
            Ok(())
        } else {
            Err(DiskCacheError::Busy)
        }
    }

    /// Nix writes so from 2.31 on. The last who has it open copies all into the file, and removes the log.
    fn read_log(&mut self) -> Result<(), DiskCacheError> {
        let (file, stamps) = self.stamps()?;
        let log = match file {
            Some(file) => Wal::read(&file, self.page_size)?.map(|log| (file, log)),
            None => None,
        };
        if let Some((_, log)) = &log {
            self.pages = log.size;
        }
        self.written = Written::Ahead(log, stamps);
        Ok(())
    }

    /// The log, and what the system has of it and of the file now.
    fn stamps(&self) -> Result<(Option<File>, [Stamp; 2]), DiskCacheError> {
        let log = self.beside("-wal")?;
        let stamps = [Stamp::of(Some(&self.file))?, Stamp::of(log.as_ref())?];
        Ok((log, stamps))
    }

    /// The file whose name ends with `end` beside it, where there is one.
    fn beside(&self, end: &str) -> Result<Option<File>, DiskCacheError> {
        match self.files.open(&super::beside(&self.path, end)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls `each` with the rows of the table that begins on the page `root`, the one with the highest
    /// number first.
    pub(super) fn rows(&self, root: u32, each: Each<'_>) -> Result<(), DiskCacheError> {
        let mut page = vec![0; self.page_size];
        let mut rows = 0;
        // The pages above, and how many of their children are still to be seen.
        let mut way: Vec<(u32, usize)> = vec![(root, usize::MAX)];
        for _ in 0..MAX_PAGES {
            let Some((number, left)) = way.pop() else {
                return Ok(());
            };
            self.read(number, &mut page)?;
            let tree = Tree::of(&page[..self.usable], number)?;
            if tree.is_leaf {
                for cell in (0..tree.cells).rev() {
                    // Cells may be the same over and over, and so may children.
                    if rows == MAX_ROWS || each(&tree.row(cell)?).is_break() {
                        return Ok(());
                    }
                    rows += 1;
                }
                continue;
            }
            // One child more than cells: the last is in the head of the page.
            let left = left.min(tree.cells + 1);
            let Some(next) = left.checked_sub(1) else {
                continue;
            };
            if way.len() + 2 > MAX_DEPTH {
                return Err(DiskCacheError::Format("too deep"));
            }
            if next > 0 {
                way.push((number, next));
            }
            way.push((tree.child(next)?, usize::MAX));
        }
        // What comes after so many is too old to matter.
        Ok(())
    }

    fn read(&self, number: u32, page: &mut [u8]) -> Result<(), DiskCacheError> {
        if number == 0 || number > self.pages {
            return Err(DiskCacheError::Format("a page outside of the file"));
        }
        if let Written::Ahead(Some((file, log)), _) = &self.written
            && let Some(offset) = log.page(number)
        {
            return Ok(file.read_exact_at(page, offset)?);
        }
        let offset = u64::from(number - 1) * self.page_size as u64;
        Ok(self.file.read_exact_at(page, offset)?)
    }

    /// Nix empties its journal at the end of a transaction (`journal_mode = truncate`), SQLite itself
    /// removes it.
    fn refuse_journal(&self) -> Result<(), DiskCacheError> {
        let journal = self.beside("-journal")?;
        let length = journal.map_or(Ok(0), |file| {
            Ok::<_, DiskCacheError>(file.metadata()?.len())
        });
        if length? > 0 {
            Err(DiskCacheError::Busy)
        } else {
            Ok(())
        }
    }
}

impl Stamp {
    fn of(file: Option<&File>) -> Result<Self, DiskCacheError> {
        let metadata = file.map(File::metadata).transpose()?;
        Ok(Self(metadata.map(|it| {
            (it.ino(), it.len(), it.mtime(), it.mtime_nsec())
        })))
    }
}

fn header(file: &File) -> Result<[u8; HEADER], DiskCacheError> {
    let mut header = [0; HEADER];
    let read = file.read_exact_at(&mut header, 0);
    if read.is_ok() && header.starts_with(MAGIC) {
        Ok(header)
    } else {
        Err(DiskCacheError::Format("the header"))
    }
}

/// The file change counter.
fn changes(header: &[u8; HEADER]) -> [u8; 4] {
    [header[24], header[25], header[26], header[27]]
}

/// A page of a table's tree (fileformat2.html, 1.6).
struct Tree<'a> {
    page: &'a [u8],
    is_leaf: bool,
    cells: usize,
    /// Where the list of cells begins.
    list: usize,
    /// Where the last child's number is.
    last: usize,
}

impl<'a> Tree<'a> {
    fn of(page: &'a [u8], number: u32) -> Result<Self, DiskCacheError> {
        let start = if number == 1 { HEADER } else { 0 };
        let is_leaf = match page.get(start) {
            Some(0x0d) => true,
            Some(0x05) => false,
            _ => return Err(DiskCacheError::Format("not a page of a table")),
        };
        Ok(Self {
            page,
            is_leaf,
            cells: short(page, start + 3)?,
            list: start + if is_leaf { 8 } else { 12 },
            last: start + 8,
        })
    }

    /// The page of a child; the one after all cells is the last.
    fn child(&self, at: usize) -> Result<u32, DiskCacheError> {
        let at = if at < self.cells {
            short(self.page, self.list + 2 * at)?
        } else {
            self.last
        };
        let bytes = self.page.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map(u32::from_be_bytes).ok_or(OUTSIDE)
    }

    fn row(&self, cell: usize) -> Result<Row<'a>, DiskCacheError> {
        let at = short(self.page, self.list + 2 * cell)?;
        let cell = self.page.get(at..).ok_or(OUTSIDE)?;
        let (size, rest) = varint(cell).ok_or(OUTSIDE)?;
        let (number, rest) = varint(rest).ok_or(OUTSIDE)?;
        // What is longer goes on on other pages.
        let whole = usize::try_from(size).ok();
        let whole = whole.filter(|size| *size <= self.page.len() - 35);
        let payload = match whole {
            Some(size) => Some(rest.get(..size).ok_or(OUTSIDE)?),
            None => None,
        };
        Ok(Row {
            number: number.cast_signed(),
            payload,
        })
    }
}

const OUTSIDE: DiskCacheError = DiskCacheError::Format("a cell outside of its page");

fn short(page: &[u8], at: usize) -> Result<usize, DiskCacheError> {
    let bytes = page.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .copied()
        .map(u16::from_be_bytes)
        .map(usize::from)
        .ok_or(OUTSIDE)
}
