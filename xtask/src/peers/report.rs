//! The table of ratios.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// A work, and how it went for each peer.
pub struct Row {
    pub work: String,
    pub cells: Vec<Cell>,
}

pub enum Cell {
    /// The peer does not know the work.
    Unknown,
    /// The numbers were others than expected, or there were none.
    Failed,
    /// Milliseconds: of the first run in its process, where that was apart, and of those that count.
    Timed { first: Option<f64>, runs: Vec<f64> },
}

pub struct Report {
    processor: String,
    date: String,
    commit: String,
    /// What the programs say they are, wgrad first.
    titles: Vec<String>,
    rows: Vec<Row>,
    /// How it was measured.
    method: String,
}

impl Report {
    /// Of what the programs with these titles did, in the order of the titles.
    pub fn new(titles: Vec<String>, rows: Vec<Row>, method: String) -> Result<Report, String> {
        let date = output("date", &["+%F"])?;
        let commit = output("git", &["describe", "--always", "--dirty", "--exclude=*"])?;
        Ok(Report { processor: processor(), date, commit, titles, rows, method })
    }

    /// What wgrad ran on: it says `wgrad on DEVICE`.
    fn device(&self) -> &str {
        self.titles.first().and_then(|title| title.split_once(" on ")).map_or("", |(_, device)| device)
    }

    /// Writes it into a file of `folder` that is named for the machine and the day.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let words = format!("{} {} {}", self.date, self.processor, self.device()).to_lowercase();
        let words: Vec<&str> =
            words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let path = folder.join(words.join("-")).with_extension("md");
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, self.to_string()));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("written to {}", path.display());
        Ok(())
    }

    fn table<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        rows: impl IntoIterator<Item = &'a Row>,
        text: impl Fn(&Row, usize) -> String,
    ) -> fmt::Result {
        let names = self.titles.iter().map(|title| title.split(" on ").next().unwrap_or(title));
        writeln!(f, "\n| | {} |", names.collect::<Vec<_>>().join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(self.titles.len()))?;
        for row in rows {
            let cells: Vec<String> = (0..row.cells.len()).map(|peer| text(row, peer)).collect();
            writeln!(f, "| {} | {} |", row.work, cells.join(" | "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# wgrad and its peers: {}, {}, {}\n", self.processor, self.device(), self.date)?;
        writeln!(f, "At commit {}, {}.", self.commit, self.method)?;
        let legend = "wgrad's median time divided by the peer's, and the peer's median. Below 1, wgrad is faster.";
        writeln!(f, "{legend}\n`benches/peers/README.md` says what the works are.")?;
        self.table(f, &self.rows, |row, peer| match (&row.cells[peer], row.cells[peer].median()) {
            (Cell::Unknown, _) => "–".to_owned(),
            (Cell::Failed, _) => "fails".to_owned(),
            (_, None) => "not measured".to_owned(),
            (_, Some(time)) => match row.cells[0].median() {
                Some(wgrad) if peer > 0 => format!("**{}** ({} ms)", digits(wgrad / time), digits(time)),
                _ => format!("{} ms", digits(time)),
            },
        })?;
        writeln!(f, "\nThe first run of each work in its process:")?;
        let apart = |row: &&Row| row.cells.iter().any(|cell| matches!(cell, Cell::Timed { first: Some(_), .. }));
        self.table(f, self.rows.iter().filter(apart), |row, peer| match row.cells[peer] {
            Cell::Timed { first: Some(first), .. } => format!("{} ms", digits(first)),
            _ => "–".to_owned(),
        })
    }
}

impl Cell {
    fn median(&self) -> Option<f64> {
        let Cell::Timed { runs, .. } = self else { return None };
        let mut runs = runs.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }
}

/// With three digits that count.
fn digits(number: f64) -> String {
    let places = 2 - (number.log10().floor() as i32).clamp(-2, 2);
    format!("{number:.*}", places as usize)
}

/// The model of the processor, where the system tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown processor", |(_, model)| model).to_owned()
}

/// How many programs wanted a processor in the last minute, where the system tells it.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

/// What a command prints.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn three_digits_count() {
        let shown = [0.0, 0.012_34, 0.1234, 1.234, 12.34, 123.4, 1234.0].map(digits);
        assert_eq!(shown, ["0.0000", "0.0123", "0.123", "1.23", "12.3", "123", "1234"]);
    }
}
