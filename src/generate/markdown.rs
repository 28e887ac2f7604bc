// SPDX-License-Identifier: Apache-2.0

//! Tables in Markdown.

/// Text in the font of code.
pub(super) fn code(text: &str) -> String {
    let text = cell(text.trim_matches('"'));
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

/// Text that is safe in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', r"\|").replace('\n', " ")
}
