//! A program that is asked for numbers, line by line.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Program {
    /// What it says it is: name, version, device.
    pub title: String,
    /// The works that it knows.
    pub works: Vec<String>,
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it, and reads what it says of itself.
    pub fn start(mut command: Command) -> Result<Program, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no input or output".to_owned());
        };
        let answers = BufReader::new(answers).lines();
        let mut program = Program { title: String::new(), works: Vec::new(), child, questions, answers };
        program.title = program.line()?;
        program.works = program.line()?.split(' ').map(str::to_owned).collect();
        Ok(program)
    }

    pub fn knows(&self, work: &str) -> bool {
        self.works.iter().any(|known| known == work)
    }

    /// Asks, and waits for the numbers.
    pub fn ask(&mut self, question: &str) -> Result<Vec<f64>, String> {
        writeln!(self.questions, "{question}").map_err(|error| format!("{} has ended: {error}", self.title))?;
        let line = self.line()?;
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        numbers.map_err(|_| line)
    }

    fn line(&mut self) -> Result<String, String> {
        match self.answers.next() {
            Some(Ok(line)) => Ok(line),
            Some(Err(error)) => Err(format!("its answer cannot be read: {error}")),
            None => Err("it has ended, and what it said of that stands above".to_owned()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
