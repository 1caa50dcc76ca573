//! Digits in the terminal.

use wgrad::data::{Digit, half_blocks};

/// The digits side by side, each over what it was taken for and how surely.
pub fn side_by_side(digits: &[Digit], read: &[u32], certainty: &[f32]) -> String {
    let pictures: Vec<String> = digits.iter().map(|digit| half_blocks(&digit.pixels)).collect();
    let mut rows: Vec<String> = Vec::new();
    for picture in &pictures {
        for (i, line) in picture.lines().enumerate() {
            if rows.len() <= i {
                rows.push(String::new());
            }
            rows[i].push_str(line);
        }
    }
    let captions: String = digits
        .iter()
        .zip(read.iter().zip(certainty))
        .map(|(digit, (read, certainty))| {
            let verdict = if u32::from(digit.label) == *read { "right" } else { "wrong" };
            format!("{:^28}", format!("read {read} ({:.1} %), {verdict}", 100.0 * certainty))
        })
        .collect();
    format!("{}\n{captions}\n", rows.join("\n"))
}
