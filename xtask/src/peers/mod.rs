//! The same work in wgrad and in others, by turns, on this machine: `benches/peers/README.md`.

mod expected;
mod launch;
mod program;
mod report;

use launch::{Device, Launch, Peer};
use program::Program;
use report::{Cell, Report, Row};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the work is done.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Whom to ask beside wgrad, with commas between; without it all that know the device. Who cannot be built or found is
    /// left out, which is said.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Which works, with commas between; without it all that the device is fit for.
    #[arg(long, value_delimiter = ',')]
    works: Vec<String>,
    /// How often each gets its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many threads each may use; without it as many as there are processors.
    #[arg(long)]
    threads: Option<usize>,
    /// Compare the numbers with `benches/peers/expected.txt` and measure nothing.
    #[arg(long)]
    check: bool,
    /// The Python that has PyTorch and NumPy.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
}

/// A peer that has started.
struct Contender {
    launch: Launch,
    program: Program,
}

/// How many milliseconds one turn should take.
const TURN_MS: f64 = 300.0;

/// A work of another kind: to start.
const START: &str = "start";

/// What a program has done when it has started: made the gradient of a small product.
const SMALL: &str = "gradient";

/// Compares, and measures what gives the right numbers. The answer is whether all did.
pub fn compare(arguments: &Arguments) -> Result<bool, String> {
    let load = report::load();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("benches");
    let expected = expected::read(&folder.join("peers/expected.txt"))?;
    let caches = tempfile::tempdir().map_err(|error| format!("there is no place for caches: {error}"))?;
    let mut contenders = start(arguments, &folder.join("peers"), caches.path())?;
    let works = works(arguments, &contenders[0].program);

    let mut rows = Vec::new();
    for work in &works {
        let expected = expected.get(work).ok_or_else(|| format!("there is no work called {work}"))?;
        let cells = contenders.iter_mut().map(|contender| first(&mut contender.program, work, expected)).collect();
        rows.push(Row { work: work.clone(), cells });
    }
    if arguments.check {
        return Ok(all_right(&rows));
    }

    for row in &mut rows {
        eprintln!("{}", row.work);
        measure(row, &mut contenders, arguments.rounds);
    }
    if arguments.works.is_empty() || arguments.works.iter().any(|work| work == START) {
        rows.extend(starts(&contenders, arguments.rounds)?);
    }
    let titles = contenders.iter().map(|contender| contender.program.title.clone()).collect();
    let right = all_right(&rows);
    let threads = threads(arguments);
    let method = format!("{threads} threads each, {} rounds by turns, load average {load} before", arguments.rounds);
    let report = Report::new(titles, rows, method)?;
    println!("{report}");
    if arguments.works.is_empty() && arguments.peers.is_empty() {
        report.write(&folder.join("results"))?;
    }
    Ok(right)
}

fn all_right(rows: &[Row]) -> bool {
    !rows.iter().flat_map(|row| &row.cells).any(|cell| matches!(cell, Cell::Failed))
}

fn threads(arguments: &Arguments) -> usize {
    arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Builds and starts everyone, wgrad first.
fn start(arguments: &Arguments, folder: &Path, caches: &Path) -> Result<Vec<Contender>, String> {
    let asked = |peer: &Peer| arguments.peers.is_empty() || arguments.peers.contains(peer);
    let mut contenders = Vec::new();
    for peer in arguments.device.peers().iter().copied().filter(|peer| *peer == Peer::Wgrad || asked(peer)) {
        let launch = Launch::new(peer, arguments.device, folder, &arguments.python, threads(arguments));
        let started = launch.and_then(|launch| {
            let program = Program::start(launch.command(caches))?;
            eprintln!("{}", program.title);
            Ok(Contender { launch, program })
        });
        match started {
            Ok(contender) => contenders.push(contender),
            Err(error) if peer == Peer::Wgrad => return Err(format!("wgrad's program does not start: {error}")),
            Err(error) => eprintln!("\n{peer:?} IS LEFT OUT: {error}\n"),
        }
    }
    Ok(contenders)
}

/// The works asked for, or else those that the device is fit for.
fn works(arguments: &Arguments, wgrad: &Program) -> Vec<String> {
    match (&arguments.works[..], arguments.device) {
        ([], Device::Cpu) => wgrad.works.clone(),
        ([], Device::Vulkan) => vec!["mnist_cnn".to_owned()],
        (asked, _) => asked.iter().filter(|work| *work != START).cloned().collect(),
    }
}

/// Does a work for the first time and holds its numbers against the expected ones.
fn first(program: &mut Program, work: &str, expected: &[f64]) -> Cell {
    if !program.knows(work) {
        return Cell::Unknown;
    }
    let checked = program.ask(&format!("first {work}")).and_then(|numbers| match &numbers[..] {
        [first, shown @ ..] => expected::check(shown, expected).map(|()| *first),
        [] => Err("it says nothing".to_owned()),
    });
    match checked {
        Ok(first) => {
            eprintln!("{work}: {} gives the expected numbers", program.title);
            Cell::Timed { first: Some(first), runs: Vec::new() }
        }
        Err(error) => failed(work, &program.title, &error),
    }
}

/// Says aloud that a work is not measured.
fn failed(work: &str, title: &str, error: &str) -> Cell {
    eprintln!("\n{work}: {title} FAILS and is not measured: {error}\n");
    Cell::Failed
}

/// Asks everyone in turn, round by round.
fn measure(row: &mut Row, contenders: &mut [Contender], rounds: usize) {
    // How many runs of the work fill a turn: each found in a round of its own, which also warms up.
    let mut counts = vec![1; contenders.len()];
    for round in 0..=rounds {
        for ((Contender { program, .. }, cell), count) in contenders.iter_mut().zip(&mut row.cells).zip(&mut counts) {
            let Cell::Timed { runs, .. } = cell else { continue };
            // Until the threads of whoever had the turn before are asleep.
            std::thread::sleep(Duration::from_millis(20));
            match program.ask(&format!("time {} {count}", row.work)) {
                Ok(times) if round > 0 => runs.extend(times),
                Ok(times) => *count = ((TURN_MS / times.iter().sum::<f64>()) as usize).clamp(1, 100),
                Err(error) => *cell = failed(&row.work, &program.title, &error),
            }
        }
    }
}

/// From the start of a program to its first result, with caches that are empty, and once more with what that left.
fn starts(contenders: &[Contender], rounds: usize) -> Result<[Row; 2], String> {
    let mut rows = ["no caches", "again"].map(|how| {
        let cell = |contender: &Contender| match contender.program.knows(SMALL) {
            true => Cell::Timed { first: None, runs: Vec::new() },
            false => Cell::Unknown,
        };
        Row { work: format!("{START}, {how}"), cells: contenders.iter().map(cell).collect() }
    });
    for _ in 0..rounds {
        for (i, contender) in contenders.iter().enumerate() {
            let caches = tempfile::tempdir().map_err(|error| format!("there is no place for caches: {error}"))?;
            for Row { work, cells } in &mut rows {
                let Cell::Timed { runs, .. } = &mut cells[i] else { continue };
                let start = Instant::now();
                let program = Program::start(contender.launch.command(caches.path()));
                match program.and_then(|mut program| program.ask(&format!("first {SMALL}"))) {
                    Ok(_) => runs.push(start.elapsed().as_secs_f64() * 1e3),
                    Err(error) => cells[i] = failed(work, &contender.program.title, &error),
                }
            }
        }
    }
    Ok(rows)
}
