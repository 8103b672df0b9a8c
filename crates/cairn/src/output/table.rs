//! Tables and lists of facts, aligned by the widest cell of each column.

use super::{Style, colours_on_stdout, columns_of_stdout, print_text};

/// To which side a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Whole,
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

/// A column of ids or addresses, which are there to be copied: where the terminal is too narrow for
/// them, each goes on a line of its own under its row.
pub const fn whole(heading: &'static str) -> Column {
    Column { heading, side: Side::Whole }
}

/// Rows of cells under headings. A column in which every row has nothing is left out.
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
        print_text(&self.to_text(colours_on_stdout(), columns_of_stdout()));
    }

    /// The lines of the table, each ended; none is longer than `columns` because of an id.
    fn to_text(&self, colours: bool, columns: usize) -> String {
        let (beside, below) = self.arrange(columns);
        let widths: Vec<usize> = beside.iter().map(|place| self.width(*place)).collect();
        let heading =
            |place: usize| (Style::Faint, self.columns.get(place).map_or("", |column| column.heading));
        let headings: Vec<(Style, &str)> = beside.iter().map(|place| heading(*place)).collect();
        let mut text = self.line(&headings, &beside, &widths, colours);
        let name_width = below.iter().map(|place| columns_of(heading(*place).1)).max().unwrap_or(0);
        for row in &self.rows {
            let cell = |place: usize| row.get(place).map_or((Style::Plain, ""), |(style, it)| (*style, it));
            let cells: Vec<(Style, &str)> = beside.iter().map(|place| cell(*place)).collect();
            text.push_str(&self.line(&cells, &beside, &widths, colours));
            for place in &below {
                let ((style, value), (faint, name)) = (cell(*place), heading(*place));
                if !value.is_empty() {
                    let name = faint.paint(&format!("{name:<name_width$}"), colours);
                    text.push_str(&format!("  {name}  {}\n", style.paint(value, colours)));
                }
            }
        }
        text
    }

    /// The columns that stand side by side, and those whose cells go below their rows.
    fn arrange(&self, columns: usize) -> (Vec<usize>, Vec<usize>) {
        let has_text = |place: &usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(*place));
            self.rows.is_empty() || cells.any(|(_, text)| !text.is_empty())
        };
        let mut beside: Vec<usize> = (0..self.columns.len()).filter(has_text).collect();
        let mut below = Vec::new();
        let is_too_wide = |beside: &[usize]| {
            let gaps = 2 * beside.len().saturating_sub(1);
            beside.iter().map(|place| self.width(*place)).sum::<usize>() + gaps > columns
        };
        let is_whole =
            |place: &usize| self.columns.get(*place).is_some_and(|column| column.side == Side::Whole);
        while is_too_wide(&beside)
            && let Some(last) = beside.iter().rposition(is_whole)
        {
            below.insert(0, beside.remove(last));
        }
        (beside, below)
    }

    fn width(&self, place: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|(_, text)| columns_of(text));
        let heading = self.columns.get(place).map_or(0, |column| columns_of(column.heading));
        cells.fold(heading, usize::max)
    }

    fn line(&self, row: &[(Style, &str)], places: &[usize], widths: &[usize], colours: bool) -> String {
        let mut line = String::new();
        for (count, (((style, text), place), width)) in row.iter().zip(places).zip(widths).enumerate() {
            let side = self.columns.get(*place).map_or(Side::Left, |column| column.side);
            let blank = " ".repeat(width.saturating_sub(columns_of(text)));
            let painted = style.paint(text, colours);
            line.push_str(if count == 0 { "" } else { "  " });
            match side {
                Side::Left | Side::Whole if count + 1 == places.len() => line.push_str(&painted),
                Side::Left | Side::Whole => line.extend([painted, blank]),
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
        assert_eq!(table.to_text(false, 80), expected);
    }

    #[test]
    fn no_line_ends_in_blanks() {
        let mut table = Table::new(&[left("a"), left("")]);
        table.row([(Style::Plain, "long".to_owned()), (Style::Faint, "x".to_owned())]);
        table.row([(Style::Plain, "a".to_owned()), (Style::Faint, String::new())]);
        assert_eq!(table.to_text(false, 80), "a\nlong  x\na\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(&[left("a"), left("b")]);
        table.row([(Style::Good, "x".to_owned()), (Style::Plain, "y".to_owned())]);
        let bare = table.to_text(true, 80).replace("\u{1b}[32m", "").replace("\u{1b}[2m", "");
        assert_eq!(bare.replace("\u{1b}[0m", ""), table.to_text(false, 80));
    }

    #[test]
    fn a_column_without_any_text_is_left_out() {
        let mut table = Table::new(&[left("a"), left("data"), left("b")]);
        table.row([
            (Style::Plain, "x".to_owned()),
            (Style::Plain, String::new()),
            (Style::Plain, "y".to_owned()),
        ]);
        assert_eq!(table.to_text(false, 80), "a  b\nx  y\n");
    }

    #[test]
    fn ids_go_below_their_rows_where_the_terminal_is_narrow() {
        let mut table = Table::new(&[right("height"), whole("id"), whole("producer")]);
        let cells = [(Style::Strong, "7"), (Style::Plain, "0123456789"), (Style::Name, "alice")];
        table.row(cells.map(|(style, text)| (style, text.to_owned())));
        assert_eq!(table.to_text(false, 80), "height  id          producer\n     7  0123456789  alice\n");
        assert_eq!(table.to_text(false, 20), "height  id\n     7  0123456789\n  producer  alice\n");
        assert_eq!(table.to_text(false, 10), "height\n     7\n  id        0123456789\n  producer  alice\n");
    }

    #[test]
    fn facts_are_aligned() {
        let mut facts = Facts::default();
        facts.add("balance", "12").add("nonce", "3");
        assert_eq!(facts.to_text(false), "balance  12\nnonce    3\n");
    }
}
