//! Figures in columns.

use crate::simulate::outcome::Outcome;

use super::Figure;

/// What stands in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The number.
    pub value: f64,
    /// Whether it means nothing because a queue grew for ever.
    pub endless: bool,
}

impl Cell {
    /// The mean of this figure over runs that differ in their seeds only.
    pub fn of(figure: Figure, outcomes: &[Outcome]) -> Self {
        let value = |outcome: &Outcome| match figure {
            Figure::Mean => outcome.mean,
            Figure::P99 => outcome.p99,
            Figure::Worst => outcome.worst,
            Figure::Moves => outcome.moves,
            Figure::Unanswered => outcome.unanswered,
        };
        let sum: f64 = outcomes.iter().map(value).sum();
        let endless =
            matches!(figure, Figure::Mean | Figure::P99) && outcomes.iter().any(|outcome| outcome.overloaded);
        Self { value: sum / outcomes.len().max(1) as f64, endless }
    }

    /// Its three leading digits; ∞ where it is without end.
    pub fn text(self) -> String {
        if self.endless { "∞".to_owned() } else { digits(self.value) }
    }
}

/// A number with three leading digits, and no more than three places.
pub fn digits(number: f64) -> String {
    let places = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{number:.places$}")
}

/// Rows of cells in columns: the first to the left, the others to the right.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            let gap = if column == 0 { "" } else { "  " };
            if column == 0 {
                line.push_str(&format!("{cell}{space}"));
            } else {
                line.push_str(&format!("{gap}{space}{cell}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown: Vec<String> = [0.1, 0.9999, 1.0, 9.994, 9.996, 23.46, 99.96, 1234.5].map(digits).into();
        assert_eq!(shown, ["0.100", "1.00", "1.00", "9.99", "10.0", "23.5", "100", "1234"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["rule", "1", "20"], ["a-rule", "10.2", "∞"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(columns(&rows), "rule       1  20\na-rule  10.2   ∞\n");
    }
}
