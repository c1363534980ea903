//! Reads the rows of a table in an SQLite database, the last ones first.
//!
//! Source: <https://www.sqlite.org/fileformat2.html>. Nothing is written, no lock is taken, and no more
//! than a page at a time is in memory.

mod record;

use std::{
    fs::File,
    io::ErrorKind,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::DiskCacheError;
use crate::files::Files;
use record::varint;
pub(super) use record::{Row, Value};

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
    /// Another one after each transaction.
    changes: [u8; 4],
}

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
        // 2 is a write-ahead log: what is in the file alone is not all.
        if header[18] != 1 || header[19] != 1 {
            return Err(DiskCacheError::Format("not with a rollback journal"));
        }
        if header[56..60] != [0, 0, 0, 1] {
            return Err(DiskCacheError::Format("not in UTF-8"));
        }
        let pages = metadata.len() / page_size as u64;
        let database = Self {
            files,
            file,
            path: path.to_owned(),
            page_size,
            usable,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            changes: changes(&header),
        };
        database.refuse_journal()?;
        Ok(database)
    }

    /// Whether what was read since [`Self::open`] is of one transaction.
    pub(super) fn is_unchanged(&self) -> Result<(), DiskCacheError> {
        self.refuse_journal()?;
        if changes(&header(&self.file)?) == self.changes {
            Ok(())
        } else {
            Err(DiskCacheError::Busy)
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
        let offset = u64::from(number - 1) * self.page_size as u64;
        Ok(self.file.read_exact_at(page, offset)?)
    }

    /// Nix empties its journal at the end of a transaction (`journal_mode = truncate`), SQLite itself
    /// removes it.
    fn refuse_journal(&self) -> Result<(), DiskCacheError> {
        let is_there = |end: &str| {
            let mut path = self.path.clone().into_os_string();
            path.push(end);
            match self.files.open(Path::new(&path)) {
                Ok(file) => Ok(file.metadata()?.len() > 0),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        if is_there("-journal")? || is_there("-wal")? {
            Err(DiskCacheError::Busy)
        } else {
            Ok(())
        }
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
