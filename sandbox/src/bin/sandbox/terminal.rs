// SPDX-License-Identifier: Apache-2.0

//! What the person at the terminal sees.

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use anyhow::Result;

/// One line of a report. A reader that has gone away is no reason to stop: cleaning up comes first.
pub(crate) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// One line about what is going on.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "sandbox: {text}");
}

/// Runs one step, with a line when it starts to take long and one when it is done.
pub(crate) async fn step<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            () = tokio::time::sleep(Duration::from_secs(5)) => {
                progress(&format!("  … {what}, {} s", start.elapsed().as_secs()));
            }
        }
    };
    match &outcome {
        Ok(_) => progress(&format!("✓ {what} ({:.1} s)", start.elapsed().as_secs_f32())),
        Err(_) => progress(&format!("✗ {what} ({:.1} s)", start.elapsed().as_secs_f32())),
    }
    outcome
}

pub(crate) fn heading(text: &str) {
    line(&format!("\n{text}"));
}

/// Rows in aligned columns, the first row being their names.
pub(crate) fn table<const COLUMNS: usize>(names: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    let mut widths = names.map(|name| name.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: [&str; COLUMNS]| {
        let cells: Vec<_> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        line(&format!("  {}", cells.join("  ").trim_end()));
    };
    print(names);
    for row in rows {
        print(row.each_ref().map(String::as_str));
    }
}
