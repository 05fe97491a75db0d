//! Which core a process runs on, and how much of it it used. Linux only, by `taskset` and `/proc`.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// What is measured runs alone.
pub const PROXY: usize = 0;
/// The provider and the load share the other.
pub const LOAD: usize = 1;

/// A command that runs on one core; the process keeps the id of the child.
pub fn command(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Keeps the calling thread, and what it starts, on one core.
pub fn pin_this_thread(core: usize) -> anyhow::Result<()> {
    let link = std::fs::read_link("/proc/thread-self")?;
    let thread = link.file_name().context("this thread has no number")?;
    let mut taskset = Command::new("taskset");
    let output = taskset.arg("-cp").arg(core.to_string()).arg(thread).output();
    let output = output.context("taskset is missing: apt-get install util-linux")?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "two cores are needed: {error}");
    Ok(())
}

/// User and system time of a process so far, in microseconds.
pub fn used_us(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program may hold blanks, and ends with the last bracket.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of stat")?;
    let mut ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let mut next = || anyhow::Ok(ticks.next().context("no times")??);
    Ok((next()? + next()?) * (1_000_000 / ticks_a_second()?))
}

fn ticks_a_second() -> anyhow::Result<u64> {
    let output = Command::new("getconf").arg("CLK_TCK").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// Time that the host of a virtual machine kept from both cores so far, in microseconds.
pub fn stolen_us() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("no line for all cores")?;
    let ticks: u64 = all.split_whitespace().nth(8).context("no time stolen")?.parse()?;
    Ok(ticks * (1_000_000 / ticks_a_second()?))
}

/// Keeps both cores from halting: something of the lowest priority runs on each, which gives way to
/// everything else at once. The host of a virtual machine may wake a halted core late, by
/// milliseconds, and that is no property of what is measured.
pub struct Awake(Vec<Child>);

impl Awake {
    pub fn start() -> anyhow::Result<Awake> {
        let mut awake = Awake(Vec::new());
        for core in [PROXY, LOAD] {
            let mut command = command(core, "chrt");
            command.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
            awake.0.push(command.stdin(Stdio::null()).spawn()?);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
