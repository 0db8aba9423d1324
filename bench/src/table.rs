//! Tables on a terminal.

use comfy_table::{CellAlignment, Table, presets};

use crate::estimate::Estimate;

/// An empty table; all columns but the first are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A mean and its interval, in two cells.
pub fn cells(value: Estimate, digits: usize, unit: &str) -> [String; 2] {
    let [low, high] = value.ci95;
    [
        format!("{:.digits$}{unit}", value.estimate),
        format!("[{low:.digits$}, {high:.digits$}]"),
    ]
}
