//! A markdown table.

/// `rows` under `head`, the columns as wide as their widest cell.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        let title = head.get(column).map_or(0, |title| title.chars().count());
        cells.chain([title, 3]).max().unwrap_or_default()
    };
    let line = |cell: &dyn Fn(usize) -> String| -> String {
        let cells = (0..head.len()).map(|column| format!(" {:<1$} |", cell(column), width(column)));
        format!("|{}\n", cells.collect::<String>())
    };
    let mut text = line(&|column| head.get(column).copied().unwrap_or_default().to_owned());
    text += &line(&|column| "-".repeat(width(column)));
    for row in rows {
        text += &line(&|column| row.get(column).cloned().unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["memory".into(), "3.1 MB".into()], vec!["cpu".into()]];
        assert_eq!(
            table(&["", "monit"], &rows),
            "|        | monit  |\n\
             | ------ | ------ |\n\
             | memory | 3.1 MB |\n\
             | cpu    |        |\n"
        );
    }
}
