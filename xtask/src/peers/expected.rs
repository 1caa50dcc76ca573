//! What the works should give: computed in f64 by PyTorch.

use std::collections::HashMap;
use std::path::Path;

/// How far a number may be off, as a share of the largest number expected of the work.
const ALLOWED: f64 = 1e-4;

/// The numbers of each work: a line holds its name and them.
pub fn read(path: &Path) -> Result<HashMap<String, Vec<f64>>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .map(|line| {
            let (name, numbers) = line.split_once(' ').unwrap_or((line, ""));
            let numbers: Result<Vec<f64>, _> = numbers.split(' ').map(str::parse).collect();
            numbers.map(|numbers| (name.to_owned(), numbers)).map_err(|error| format!("{name}: {error}"))
        })
        .collect()
}

/// Holds the numbers that a program shows against the expected ones.
pub fn check(shown: &[f64], expected: &[f64]) -> Result<(), String> {
    if shown.len() != expected.len() {
        return Err(format!("it shows {} numbers, not {}", shown.len(), expected.len()));
    }
    let largest = expected.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= ALLOWED * largest;
    match shown.iter().zip(expected).position(|pair| !near(pair)) {
        Some(i) => Err(format!("number {i} is {} and should be {}", shown[i], expected[i])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_near_numbers_pass() {
        let expected = [1.0, -100.0];
        assert!(check(&[1.009, -99.991], &expected).is_ok());
        assert!(check(&[1.011, -100.0], &expected).is_err());
        assert!(check(&[1.0, f64::NAN], &expected).is_err());
        assert!(check(&[1.0], &expected).is_err());
    }
}
