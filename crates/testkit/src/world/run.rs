//! A run: steps of a seed, and what was found.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use domain::time::Timestamp;
use futures_util::future::join_all;

use super::chance::Chance;
use super::draw::{Draw, Wanted};
use super::feed::Feed;
use super::ground::{Ground, Mark};
use super::judge::{Played, Seen, judge};
use super::line::Line;
use super::mailbox::Mailbox;
use super::names::Names;
use super::oracle::receivers::State;
use super::oracle::{Extent, Oracle, Said};
use super::player::Player;
use super::process::{BEGINNING_MS, Process};

/// Commands at once.
const AT_ONCE_MAX: u64 = 4;
/// Lines that a failure shows.
const SHOWN_MAX: usize = 40;
const PROVE_EVERY: u32 = 16;
const KEYED_MAX: usize = 64;
/// Commands after which everything is looked at, and not only what moved.
const LOOK_EVERY: u64 = 8;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub commands: u64,
    pub crashes: u64,
    pub events: u64,
    pub deliveries: u64,
    /// How often a verb had an answer, by its first word.
    pub answers: BTreeMap<String, u64>,
}

impl Report {
    pub fn add(&mut self, other: &Report) {
        self.commands += other.commands;
        self.crashes += other.crashes;
        self.events += other.events;
        self.deliveries += other.deliveries;
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { commands, crashes, events, deliveries, .. } = self;
        write!(f, "{commands} commands, {crashes} crashes, {events} events, ")?;
        write!(f, "{deliveries} deliveries")
    }
}

/// A run that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub steps: u32,
    pub problem: String,
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, steps) = (self.seed, self.steps);
        writeln!(f, "seed {seed} failed; the last lines:")?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "{}", self.problem)?;
        write!(f, "again: cargo xtask simulate --seeds 1 --from {seed} --steps {steps}")
    }
}

/// Runs one seed.
pub fn run(seed: u64, steps: u32) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        match world.live(steps).await {
            Ok(()) => Ok(world.end()),
            Err(problem) => Err(world.fail(steps, problem)),
        }
    })
}

pub(super) struct World {
    seed: u64,
    pub(super) chance: Chance,
    ground: Ground,
    /// `None` only while a crash is under way.
    process: Option<Process>,
    mailbox: Arc<Mailbox>,
    pub(super) oracle: Oracle,
    pub(super) names: Names,
    feed: Feed,
    pub(super) journal: Vec<String>,
    keyed: Vec<Line>,
    n: u32,
    report: Report,
    after_crash: bool,
}

/// When a crash comes.
enum Trigger {
    /// After so many answers.
    Answers(usize),
    /// After so many commits became durable.
    Commits(u64),
    /// After so many turns.
    Turns(u64),
}

impl World {
    pub(super) async fn new(seed: u64) -> World {
        let ground = Ground::fresh();
        let mailbox = Arc::new(Mailbox::new(seed));
        let process = Process::start(&ground, &mailbox, seed).await;
        World {
            seed,
            chance: Chance::new(seed),
            ground,
            process: Some(process),
            mailbox,
            oracle: Oracle::new(BEGINNING_MS),
            names: Names::default(),
            feed: Feed::default(),
            journal: Vec::new(),
            keyed: Vec::new(),
            n: 0,
            report: Report::default(),
            after_crash: false,
        }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn next(&mut self) -> u32 {
        self.n += 1;
        self.n
    }

    fn draw(&mut self, wanted: Wanted) -> Line {
        let n = self.next();
        let (oracle, names, keyed) = (&self.oracle, &self.names, &self.keyed);
        let mut of = Draw { chance: &mut self.chance, oracle, names, keyed };
        of.line(n, wanted)
    }

    async fn live(&mut self, steps: u32) -> Result<(), String> {
        for wanted in [Wanted::Paywall, Wanted::Wallet, Wanted::Wallet, Wanted::Wallet] {
            let line = self.draw(wanted);
            self.play(vec![line]).await?;
        }
        for step in 0..steps {
            match self.chance.below(100) {
                0..7 => self.crash_under_way().await?,
                7..25 => {
                    let lines = self.at_once();
                    self.play(lines).await?;
                }
                _ => {
                    let line = self.draw(Wanted::Any);
                    self.play(vec![line]).await?;
                }
            }
            if step % PROVE_EVERY == PROVE_EVERY - 1 {
                self.prove().await?;
            }
        }
        self.finish().await
    }

    fn at_once(&mut self) -> Vec<Line> {
        let count = self.chance.within(2, AT_ONCE_MAX);
        let mut lines: Vec<Line> = (0..count).map(|_| self.draw(Wanted::Money)).collect();
        for line in &mut lines {
            // Without a key for the call its items do not run as one.
            if line.verb == "batch" && line.key.is_none() {
                line.key = Some(format!("k{}", line.n));
            }
        }
        lines
    }

    fn player(&self, line: &Line) -> Player {
        let process = self.process();
        let made = matches!(line.verb.as_str(), "capture" | "release" | "refund");
        let id = if made {
            self.names.id(&line.subject)
        } else {
            self.feed.wallets.get(&line.subject).map(String::as_str)
        };
        Player {
            engine: process.engine.clone(),
            scope: process.scope,
            id: id.map(str::to_owned),
            line: line.clone(),
            now: Timestamp::from_millis(self.oracle.book.now),
        }
    }

    /// Plays lines at once, and compares.
    pub(super) async fn play(&mut self, lines: Vec<Line>) -> Result<(), String> {
        let players: Vec<_> = lines.iter().map(|line| self.player(line).play()).collect();
        let said = join_all(players).await;
        if lines.iter().any(|line| line.verb == "deliver") {
            self.process().deliver().await;
        }
        let quiet = lines.iter().all(|line| matches!(line.verb.as_str(), "deliver" | "advance"));
        if quiet {
            self.mailbox.quiet();
        }
        let both = lines.into_iter().zip(said);
        let played = both.map(|(line, said)| Played { line, said: Some(said) }).collect();
        self.settle(played).map(drop)
    }

    /// Finds out how it went, and takes it over.
    fn settle(&mut self, played: Vec<Played>) -> Result<Vec<Option<Extent>>, String> {
        self.write_down(&played);
        self.report.commands += played.len() as u64;
        let process = self.process.as_ref().unwrap();
        let (engine, scope) = (process.engine.clone(), process.scope);
        let from = self.feed.read_on(&engine, scope)?;
        let whole = self.after_crash || self.report.commands.is_multiple_of(LOOK_EVERY);
        let seen = Seen::look((&engine, scope), (&self.feed, from), whole)?;
        let judged = judge(&self.oracle, &self.names, &played, &seen)?;
        (self.oracle, self.names) = (judged.oracle, judged.names);
        self.oracle.book.told.clear();
        for (index, kept) in self.feed.events.iter().enumerate().skip(from) {
            self.oracle.collect(index + 1, &kept.told.kind, &kept.told.stream);
        }
        for one in played.into_iter().filter(|one| one.line.key.is_some()) {
            self.keyed.push(one.line);
        }
        let old = self.keyed.len().saturating_sub(KEYED_MAX);
        self.keyed.drain(..old);
        Ok(judged.extents)
    }

    fn count(&mut self, played: &Played) {
        let Some(said) = &played.said else { return };
        let word = said.text.split(' ').next().unwrap_or_default();
        let again = if said.replayed { " again" } else { "" };
        let answer = format!("{} {word}{again}", played.line.verb);
        *self.report.answers.entry(answer).or_default() += 1;
    }

    fn write_down(&mut self, played: &[Played]) {
        for one in played {
            self.count(one);
            let beside = if played.len() > 1 { "& " } else { "" };
            let said = match &one.said {
                Some(said) => {
                    let again = if said.replayed { " (again)" } else { "" };
                    format!("{}{again}", self.names.shown(&said.text))
                }
                None => "?".to_owned(),
            };
            self.journal.push(format!("{beside}{} -> {said}    # {}", one.line, one.line.n));
        }
    }

    /// A crash while something runs, or while nothing does.
    async fn crash_under_way(&mut self) -> Result<(), String> {
        let lines = match self.chance.below(10) {
            0 => Vec::new(),
            1..3 => vec![self.draw(Wanted::Time)],
            3..5 => vec![self.single()],
            _ => self.at_once(),
        };
        self.crash(lines).await
    }

    /// A command that is one transaction, and may be repeated.
    fn single(&mut self) -> Line {
        loop {
            let line = self.draw(Wanted::Any);
            if !matches!(line.verb.as_str(), "default" | "bonus" | "advance" | "batch") {
                return line;
            }
        }
    }

    pub(super) async fn crash(&mut self, lines: Vec<Line>) -> Result<(), String> {
        let said = self.play_until_crash(&lines).await;
        self.mailbox.crashed();
        self.process.take().unwrap().end();
        self.ground.clear();
        self.report.crashes += 1;
        let seed = self.seed ^ (self.report.crashes << 32);
        self.process = Some(Process::start(&self.ground, &self.mailbox, seed).await);
        self.feed.compare(&self.process().engine, self.process().scope)?;
        let both = lines.into_iter().zip(said);
        let played: Vec<_> = both.map(|(line, said)| Played { line, said }).collect();
        self.journal.push("crash".to_owned());
        self.go_on(played).await
    }

    /// What was not answered is sent again, as a client would.
    async fn go_on(&mut self, played: Vec<Played>) -> Result<(), String> {
        if let [Played { line, said: None }] = &played[..]
            && line.verb == "advance"
        {
            return self.play(vec![line.clone()]).await;
        }
        let open: Vec<(usize, Line)> = (0..)
            .zip(&played)
            .filter(|(_, one)| one.said.is_none())
            .map(|(index, one)| (index, one.line.clone()))
            .collect();
        self.after_crash = true;
        let extents = self.settle(played)?;
        self.after_crash = false;
        for (index, line) in open {
            let happened = matches!(extents[index], Some(Extent::Whole | Extent::Lazy));
            if line.key.is_some() || !happened {
                self.play(vec![line]).await?;
            }
        }
        Ok(())
    }

    /// Plays until the moment of the crash, and leaves the database as it is then.
    async fn play_until_crash(&mut self, lines: &[Line]) -> Vec<Option<Said>> {
        let players: Vec<_> = lines.iter().map(|line| self.player(line).play()).collect();
        let trigger = self.trigger(lines.len());
        let share = self.chance.below(257);
        let answers = RefCell::new(vec![None; lines.len()]);
        let gauge = self.ground.gauge();
        let mark = Cell::new(gauge.mark());
        let playing = (0..).zip(players).map(async |(index, player): (usize, _)| {
            let said = player.await;
            answers.borrow_mut()[index] = Some(said);
            mark.set(gauge.mark());
        });
        let count = || answers.borrow().iter().flatten().count();
        let crash = self.wait_for(trigger, &count);
        tokio::select! {
            biased;
            () = crash => {}
            _ = join_all(playing) => {}
        }
        let kept: Mark = mark.get().max(self.mailbox.mark());
        self.ground.crash(kept, share);
        answers.into_inner()
    }

    fn trigger(&mut self, lines: usize) -> Trigger {
        match self.chance.below(3) {
            0 => Trigger::Answers(self.chance.index(lines + 1)),
            1 => Trigger::Commits(self.chance.below(2 * lines as u64 + 1)),
            _ => Trigger::Turns(self.chance.below(12)),
        }
    }

    async fn wait_for(&self, trigger: Trigger, answers: &impl Fn() -> usize) {
        match trigger {
            Trigger::Answers(count) => {
                while answers() < count {
                    tokio::task::yield_now().await;
                }
            }
            Trigger::Commits(count) => {
                let mut commits = self.process().engine.commits();
                let until = *commits.borrow() + count;
                drop(commits.wait_for(|number| *number >= until).await);
            }
            Trigger::Turns(count) => {
                for _ in 0..count {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The product's own proof of its books.
    async fn prove(&self) -> Result<(), String> {
        let process = self.process();
        let proof = process.engine.verify(process.scope).await;
        let proof = proof.map_err(|error| error.to_string())?;
        match proof.findings.first() {
            None => Ok(()),
            Some(finding) => Err(format!("verify: {} {}", finding.rule, finding.message)),
        }
    }

    /// Everything is sent in the end, and the books are proved once more.
    pub(super) async fn finish(&mut self) -> Result<(), String> {
        self.mailbox.heal();
        let asleep = self.oracle.receivers.iter().filter_map(|(name, one)| match one.state {
            State::Paused if one.of.is_none() => Some((name.clone(), "resume")),
            State::Disabled if one.of.is_none() => Some((name.clone(), "enable")),
            _ => None,
        });
        for (name, verb) in asleep.collect::<Vec<_>>() {
            let line = Line::new(self.next(), verb, &name);
            self.play(vec![line]).await?;
        }
        for (verb, subject) in [("deliver", ""), ("advance", "5h"), ("deliver", "")] {
            let line = Line::new(self.next(), verb, subject);
            self.play(vec![line]).await?;
        }
        self.prove().await?;
        self.check_deliveries()?;
        self.crash(Vec::new()).await?;
        self.prove().await
    }

    /// Each event came to each receiver that asked for it, in order where that was asked for.
    fn check_deliveries(&self) -> Result<(), String> {
        if let Some(doubled) = self.mailbox.doubled().first() {
            return Err(doubled.clone());
        }
        let events = (1..).zip(&self.feed.events);
        let places: std::collections::HashMap<String, usize> =
            events.map(|(position, kept)| (kept.id.to_string(), position)).collect();
        for kept in &self.feed.events {
            let kinds = self.mailbox.kinds(&kept.id.to_string());
            if kinds.iter().any(|kind| *kind != kept.told.kind) {
                return Err(format!("{:?} was told as {kinds:?}", kept.told));
            }
        }
        for (name, receiver) in &self.oracle.receivers {
            let taken = self.mailbox.taken(name);
            let taken: Vec<usize> =
                taken.iter().map(|id| places.get(id).copied().unwrap_or_default()).collect();
            let all: BTreeSet<usize> = taken.iter().copied().collect();
            if let Some(missing) = receiver.must.difference(&all).next() {
                let told = &self.feed.events[missing - 1].told;
                return Err(format!("{name} never got event {missing}: {told:?}"));
            }
            let asked =
                |place: &&usize| receiver.must.contains(place) || receiver.may.contains(place);
            if let Some(strange) = all.iter().find(|place| !asked(place)) {
                let told = self.feed.events.get(strange.wrapping_sub(1)).map(|kept| &kept.told);
                return Err(format!("{name} got event {strange}, not asked for: {told:?}"));
            }
            if receiver.ordered {
                self.check_order(name, &taken)?;
            }
        }
        Ok(())
    }

    fn check_order(&self, name: &str, taken: &[usize]) -> Result<(), String> {
        let mut last = std::collections::HashMap::new();
        for place in taken {
            let stream = &self.feed.events[place - 1].told.stream;
            let before = last.insert(stream, *place).unwrap_or_default();
            if before > *place {
                return Err(format!("{name} got event {place} of {stream} after event {before}"));
            }
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Report {
        self.report.events = self.feed.position() as u64;
        self.report.deliveries = self.mailbox.count();
        if let Some(process) = self.process.take() {
            process.end();
        }
        self.report
    }

    pub(super) fn fail(mut self, steps: u32, problem: String) -> Failure {
        let from = self.journal.len().saturating_sub(SHOWN_MAX);
        let lines = self.journal.split_off(from);
        if let Some(process) = self.process.take() {
            process.end();
        }
        Failure { seed: self.seed, steps, problem, lines }
    }
}
