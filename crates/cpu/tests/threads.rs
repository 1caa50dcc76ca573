//! How many threads the CPU takes.

use std::process::Command;
use wgrad_cpu::Cpu;
use wgrad_plan::Backend;

/// In the environment of the child, which says what it found.
const CHILD: &str = "WGRAD_TEST_CHILD";

#[test]
fn the_environment_says_how_many() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os(CHILD).is_some() {
        println!("found {}", Cpu::new().describe().name);
        return Ok(());
    }
    let all = Cpu::with_threads(std::thread::available_parallelism()?.get()).describe().name.clone();
    for (asked, expected) in [("3", "CPU (3 threads)"), ("1", "CPU (1 thread)"), ("0", &all), ("many", &all)] {
        let mut child = Command::new(std::env::current_exe()?);
        let child = child.args(["--exact", "the_environment_says_how_many", "--nocapture"]);
        let output = child.env(CHILD, "1").env("RAYON_NUM_THREADS", asked).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("found {expected}\n")), "asked for {asked}: {said}");
    }
    Ok(())
}
