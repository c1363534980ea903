//! The tables of a database, and what they call their columns.

use std::ops::ControlFlow;

use super::{
    DiskCacheError,
    sqlite::{Database, Row, Value},
};

/// The page that the table of tables begins on, and its columns: `type`, `name`, `tbl_name`, `rootpage`,
/// `sql` (fileformat2.html, 2.6).
const SCHEMA_PAGE: u32 = 1;
/// More columns than any of Nix's tables has.
const MAX_COLUMNS: usize = 64;
/// A longer statement is none of Nix's.
const MAX_STATEMENT: usize = 4096;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// The page that it begins on.
    pub root: u32,
    columns: Vec<String>,
}

impl Table {
    /// Looks for the table called `name`.
    pub(super) fn find(database: &Database, name: &'static str) -> Result<Self, DiskCacheError> {
        let mut found = None;
        database.rows(SCHEMA_PAGE, &mut |row: &Row<'_>| {
            found = row.values().and_then(|values| table(&values, name));
            match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        found.ok_or(DiskCacheError::Missing(name))
    }

    /// The place of the column called `name` in a row.
    pub(super) fn column(&self, name: &'static str) -> Result<usize, DiskCacheError> {
        let place = self.columns.iter().position(|column| column == name);
        place.ok_or(DiskCacheError::Missing(name))
    }
}

fn table(values: &[Value<'_>], wanted: &str) -> Option<Table> {
    let [
        Value::Text(kind),
        Value::Text(name),
        _,
        root,
        Value::Text(statement),
        ..,
    ] = values
    else {
        return None;
    };
    if (*kind, *name) != (b"table".as_slice(), wanted.as_bytes()) {
        return None;
    }
    Some(Table {
        root: root.unsigned()?.try_into().ok()?,
        columns: columns(std::str::from_utf8(statement).ok()?)?,
    })
}

/// The columns of a `CREATE TABLE`, as Nix writes one: in parentheses, a comma between two, the name
/// first, then what is said of the table as a whole. `None` for a table without row numbers.
fn columns(statement: &str) -> Option<Vec<String>> {
    const OF_THE_TABLE: [&str; 5] = ["primary", "foreign", "unique", "check", "constraint"];
    if statement.len() > MAX_STATEMENT {
        return None;
    }
    let lines = statement.lines();
    let code: Vec<&str> = lines
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    let code = code.join(" ");
    let (_, inside) = code.split_once('(')?;
    let (inside, after) = inside.rsplit_once(')')?;
    if after.to_ascii_lowercase().contains("without") {
        return None;
    }
    let mut depth = 0_usize;
    let definitions = inside.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let names = definitions.filter_map(|definition| definition.split_whitespace().next());
    let names = names
        .map(|name| name.trim_matches(['"', '`', '[', ']']).to_owned())
        .take_while(|name| !OF_THE_TABLE.contains(&name.to_ascii_lowercase().as_str()));
    Some(names.take(MAX_COLUMNS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_columns_of_a_statement_are_found() {
        let nix = "CREATE TABLE Realisations (\n    cache integer not null,\n    \"outputId\" text not null,\n    \
                   content blob, -- Json, or null\n    size decimal(1, 2),\n    timestamp integer,\n    \
                   primary key (cache, outputId),\n    foreign key (cache) references BinaryCaches(id)\n)";
        let expected = ["cache", "outputId", "content", "size", "timestamp"];
        assert_eq!(columns(nix).unwrap(), expected);
        assert_eq!(columns("CREATE TABLE a(b,c)").unwrap(), ["b", "c"]);
        assert_eq!(columns("CREATE TABLE a(b,c) WITHOUT ROWID"), None);
        assert_eq!(columns("CREATE TABLE a AS SELECT 1"), None);
    }

    proptest! {
        #[test]
        fn any_statement_is_read(text in "(\\PC|[(),\n-])*") {
            let _ = columns(&text);
        }
    }
}
