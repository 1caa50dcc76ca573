//! Puts kernels together: fills regions, and appends the library functions that a text calls.

use crate::library;

/// Replaces the content of the region `//{ name` .. `//}`. The text comes back unchanged where it has no such region.
pub fn fill(text: &str, name: &str, content: &str) -> String {
    let mut out = String::with_capacity(text.len() + content.len());
    let mut inside = false;
    for line in text.lines() {
        if !inside {
            if line.trim_start().strip_prefix("//{ ").is_some_and(|found| found.trim() == name) {
                inside = true;
                out.push_str(content.trim_end_matches('\n'));
                out.push('\n');
            } else {
                out.push_str(line);
                out.push('\n');
            }
        } else if line.trim() == "//}" {
            inside = false;
        }
    }
    out
}

/// The text with every library function that it calls, directly or through another one, appended once.
pub fn link(text: &str) -> String {
    let functions = library_functions();
    let mut out = text.to_owned();
    let mut linked: Vec<&str> = functions_defined(text).collect();
    let mut open = vec![text];
    while let Some(part) = open.pop() {
        for word in words(part) {
            let Some(function) = functions.iter().find(|function| function.name == word) else { continue };
            if !linked.contains(&function.name) {
                linked.push(function.name);
                open.push(function.text);
                out.push('\n');
                out.push_str(function.text);
            }
        }
    }
    out
}

/// A library function.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its definition.
    pub text: &'a str,
}

/// Every function of the library.
pub fn library_functions() -> Vec<Function<'static>> {
    library().flat_map(|(_, file)| functions(file)).collect()
}

/// The functions of a file: from `fn` at a line's start to the closing brace at a line's start.
fn functions(file: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut rest = file;
    while let Some(start) = find_line(rest, "fn ") {
        let Some(end) = find_line(&rest[start..], "}").map(|at| start + at + 2) else { break };
        let text = &rest[start..end.min(rest.len())];
        found.push(Function { name: name_of(text), text });
        rest = &rest[end.min(rest.len())..];
    }
    found
}

fn functions_defined(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with("fn ")).map(name_of)
}

fn name_of(definition: &str) -> &str {
    words(definition.trim_start_matches("fn ")).next().unwrap_or_default()
}

/// Where the first line that starts with `prefix` starts.
fn find_line(text: &str, prefix: &str) -> Option<usize> {
    if text.starts_with(prefix) {
        return Some(0);
    }
    text.match_indices('\n').map(|(at, _)| at + 1).find(|&at| text[at..].starts_with(prefix))
}

/// The identifiers of a text, comments left out.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_what_is_called_and_what_that_calls() {
        let linked = link("fn main() { let x = tanh_safe(1.0); }\n");
        assert_eq!(linked.matches("fn expm1(").count(), 1);
        assert_eq!(linked.matches("fn tanh_safe(").count(), 1);
        assert!(!linked.contains("fn erf("));
        assert_eq!(link(&linked), linked);
    }

    #[test]
    fn fills_a_region_only() {
        let text = "a\n//{ b\nold\n//}\nc\n";
        assert_eq!(fill(text, "b", "new"), "a\nnew\nc\n");
        assert_eq!(fill(text, "x", "new"), text);
    }
}
