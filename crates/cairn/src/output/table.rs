//! Tables and lists of facts, aligned by the widest cell of each column.

use super::{Style, colours_on_stdout, print_text};

/// To which side a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A column: its heading and its side.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    side: Side,
}

/// A column of texts.
pub const fn left(heading: &'static str) -> Column {
    Column { heading, side: Side::Left }
}

/// A column of numbers.
pub const fn right(heading: &'static str) -> Column {
    Column { heading, side: Side::Right }
}

/// Rows of cells under headings.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has one cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [(Style, String); N]) {
        debug_assert_eq!(N, self.columns.len(), "one cell for each column");
        self.rows.push(cells.into());
    }

    /// Whether it has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table to stdout.
    pub fn print(&self) {
        print_text(&self.to_text(colours_on_stdout()));
    }

    /// The lines of the table, each ended.
    fn to_text(&self, colours: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|place| self.width(place)).collect();
        let headings: Vec<(Style, String)> =
            self.columns.iter().map(|column| (Style::Faint, column.heading.to_owned())).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.line(row, &widths, colours)).collect()
    }

    fn width(&self, place: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|(_, text)| columns_of(text));
        let heading = self.columns.get(place).map_or(0, |column| columns_of(column.heading));
        cells.fold(heading, usize::max)
    }

    fn line(&self, row: &[(Style, String)], widths: &[usize], colours: bool) -> String {
        let mut line = String::new();
        let cells = row.iter().zip(&self.columns).zip(widths);
        for (place, (((style, text), column), width)) in cells.enumerate() {
            let blank = " ".repeat(width.saturating_sub(columns_of(text)));
            let painted = style.paint(text, colours);
            line.push_str(if place == 0 { "" } else { "  " });
            match column.side {
                Side::Left if place + 1 == self.columns.len() => line.push_str(&painted),
                Side::Left => line.extend([painted, blank]),
                Side::Right => line.extend([blank, painted]),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Names and values of one thing.
#[derive(Debug, Default)]
pub struct Facts {
    facts: Vec<(&'static str, Style, String)>,
}

impl Facts {
    /// Adds a fact.
    pub fn add(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.styled(name, Style::Plain, value)
    }

    /// Adds a fact that stands out.
    pub fn styled(&mut self, name: &'static str, style: Style, value: impl Into<String>) -> &mut Self {
        self.facts.push((name, style, value.into()));
        self
    }

    /// Writes the facts to stdout, one a line.
    pub fn print(&self) {
        print_text(&self.to_text(colours_on_stdout()));
    }

    fn to_text(&self, colours: bool) -> String {
        let width = self.facts.iter().map(|(name, ..)| columns_of(name)).max().unwrap_or(0);
        let line = |(name, style, value): &(&'static str, Style, String)| {
            let name = format!("{name:<width$}");
            format!("{}  {}\n", Style::Faint.paint(&name, colours), style.paint(value, colours))
        };
        self.facts.iter().map(line).collect()
    }
}

/// How many columns a text takes; the texts here have no wide characters.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[right("height"), left("id"), left("made")]);
        table.row([
            (Style::Strong, "7".to_owned()),
            (Style::Plain, "abc…def".to_owned()),
            (Style::Plain, "now".to_owned()),
        ]);
        table.row([
            (Style::Strong, "1,000,000".to_owned()),
            (Style::Plain, "x".to_owned()),
            (Style::Plain, "then".to_owned()),
        ]);
        let expected = "   height  id       made\n        7  abc…def  now\n1,000,000  x        then\n";
        assert_eq!(table.to_text(false), expected);
    }

    #[test]
    fn no_line_ends_in_blanks() {
        let mut table = Table::new(&[left("a"), left("")]);
        table.row([(Style::Plain, "long".to_owned()), (Style::Faint, String::new())]);
        assert_eq!(table.to_text(true), "\u{1b}[2ma\u{1b}[0m\nlong\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(&[left("a"), left("b")]);
        table.row([(Style::Good, "x".to_owned()), (Style::Plain, "y".to_owned())]);
        let bare = table.to_text(true).replace("\u{1b}[32m", "").replace("\u{1b}[2m", "");
        assert_eq!(bare.replace("\u{1b}[0m", ""), table.to_text(false));
    }

    #[test]
    fn facts_are_aligned() {
        let mut facts = Facts::default();
        facts.add("balance", "12").add("nonce", "3");
        assert_eq!(facts.to_text(false), "balance  12\nnonce    3\n");
    }
}
