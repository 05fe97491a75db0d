//! Scripts: a story as text, played by the same machine. `command -> answer`; lines that begin with
//! `&` run at once, `crash` is a crash, `deliver` sends what is due, and `#` begins a remark.

use super::line::Line;
use super::run::{Failure, World};

/// Plays a script; `Err` tells the line that went otherwise.
pub fn play(text: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(1).await;
        match tell(&mut world, text).await {
            Ok(()) => {
                world.end();
                Ok(())
            }
            Err(problem) => Err(world.fail(0, problem)),
        }
    })
}

async fn tell(world: &mut World, text: &str) -> Result<(), String> {
    let lines =
        (1..).zip(text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()));
    let mut waiting: Vec<(Line, Option<String>)> = Vec::new();
    for (number, text) in lines.filter(|(_, line)| !line.is_empty()) {
        let (beside, text) = match text.strip_prefix('&') {
            Some(text) => (true, text.trim()),
            None => (false, text),
        };
        if !beside {
            play_all(world, std::mem::take(&mut waiting)).await?;
        }
        let (command, answer) = match text.split_once("->") {
            Some((command, answer)) => (command.trim(), Some(answer.trim().to_owned())),
            None => (text, None),
        };
        let n = answer.as_deref().and_then(|answer| made(world, answer)).unwrap_or(1_000 + number);
        let line = Line::parse(n, command).map_err(|error| format!("line {number}: {error}"))?;
        if line.verb == "crash" {
            let lines = std::mem::take(&mut waiting).into_iter().map(|(line, _)| line).collect();
            world.crash(lines).await?;
        } else {
            waiting.push((line, answer));
            if !beside {
                play_all(world, std::mem::take(&mut waiting)).await?;
            }
        }
    }
    play_all(world, waiting).await?;
    world.finish().await
}

/// The number in the first new name of an answer: `entry E7 balance 3` makes the command number 7.
fn made(world: &World, answer: &str) -> Option<u32> {
    let new = |word: &&str| word.starts_with(['E', 'H']) && world.names.id(word).is_none();
    let mut words = answer.split(' ');
    words.find_map(|word| {
        let digits = word.get(1..)?.split('.').next()?;
        digits.parse().ok().filter(|_| new(&word))
    })
}

async fn play_all(world: &mut World, all: Vec<(Line, Option<String>)>) -> Result<(), String> {
    if all.is_empty() {
        return Ok(());
    }
    let begun = world.journal.len();
    let lines = all.iter().map(|(line, _)| line.clone()).collect();
    world.play(lines).await?;
    for ((line, answer), written) in all.iter().zip(&world.journal[begun..]) {
        let said = written.split(" -> ").nth(1).unwrap_or_default();
        let said = said.split("    #").next().unwrap_or_default();
        if let Some(answer) = answer
            && world.names.shown(said) != *answer
        {
            let said = world.names.shown(said);
            return Err(format!("{line}\n  answered {said}\n  the script says {answer}"));
        }
    }
    Ok(())
}
