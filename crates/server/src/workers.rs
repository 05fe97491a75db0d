//! Loops around the engine's steps: when they run, and how they end. The steps know neither.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;

/// Longest time that a row which fell due waits for its step.
const TIMERS_EVERY: Duration = Duration::from_millis(500);
/// What a crash may forget of an open stream.
const CHECKPOINTS_EVERY: Duration = Duration::from_secs(5);
/// Leases are looked at so often, and when one is due before.
const LEASES_EVERY: Duration = Duration::from_millis(25);
/// A round of checks reads at most 1,500 rows: some milliseconds, whatever the size.
const BOOKS_EVERY: Duration = Duration::from_secs(1);
const PULSE_EVERY: Duration = Duration::from_secs(1);
/// A third of a node's lease at most, so that two renewals may fail.
const NODE_LEASE_EVERY: Duration = Duration::from_secs(2);
/// So long another node may go on with a key that was revoked here.
const OTHER_NODES_EVERY: Duration = Duration::from_millis(100);
/// Replays and backlogs go on so soon after a round that came further, and are looked at so often
/// else.
const REPLAYS_ON: Duration = Duration::from_millis(5);
const REPLAYS_EVERY: Duration = Duration::from_millis(100);
/// Between two chunks of old events, and when none is left.
const CHUNKS_EVERY: Duration = Duration::from_millis(25);
const RETENTION_EVERY: Duration = Duration::from_mins(10);
const USES_EVERY: Duration = Duration::from_mins(1);
/// The dashboard's sums are brought up when nothing was committed for so long.
const TALLIES_EVERY: Duration = Duration::from_secs(5);

/// The running loops. They end by themselves once the process stops.
pub struct Workers {
    loops: JoinSet<()>,
}

impl Workers {
    pub fn start(app: &App, retention_days: u32) -> Workers {
        let mut loops = JoinSet::new();
        loops.spawn(timers(app.clone()));
        loops.spawn(key_uses(app.clone()));
        loops.spawn(checkpoints(app.clone()));
        loops.spawn(leases(app.clone()));
        loops.spawn(books(app.clone()));
        loops.spawn(pulse(app.clone()));
        loops.spawn(tallies(app.clone()));
        loops.spawn(replays(app.clone()));
        loops.spawn(backlogs(app.clone()));
        loops.spawn(retention(app.clone(), retention_days));
        if app.engine.database().is_shared() {
            loops.spawn(node_lease(app.clone()));
            loops.spawn(other_nodes(app.clone()));
        }
        Workers { loops }
    }

    /// Waits until every loop has ended. `App::stop` comes first.
    pub async fn end(mut self) {
        while self.loops.join_next().await.is_some() {}
    }
}

/// Sleeps, or returns false when the process stops.
async fn rest(stopping: &mut watch::Receiver<bool>, time: Duration) -> bool {
    let stopped = stopping.wait_for(|stopping| *stopping);
    tokio::time::timeout(time, stopped).await.is_err()
}

/// A node that was given up cannot write any more: it stops, so that it is started again.
async fn node_lease(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, NODE_LEASE_EVERY).await {
        match app.engine.keep_node().await {
            Ok(_) => {}
            Err(error) if error.is_given_up() => return app.stop(),
            Err(error) => {
                tracing::warn!(%error, "this node's lease was not prolonged; trying again");
            }
        }
    }
}

async fn other_nodes(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, OTHER_NODES_EVERY).await {
        if let Err(error) = app.engine.follow_nodes().await {
            tracing::warn!(%error, "what other nodes changed is not known; trying again");
        }
    }
}

async fn timers(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, TIMERS_EVERY).await {
        let scopes = match app.engine.scopes() {
            Ok(scopes) => scopes,
            Err(error) => {
                tracing::warn!(%error, "the environments cannot be read; trying again");
                continue;
            }
        };
        for scope in scopes {
            if let Err(error) = app.engine.run_timers(scope).await {
                tracing::warn!(%error, "a timer did not run; trying again");
            }
        }
    }
}

async fn key_uses(app: App) {
    let mut stopping = app.stopping();
    let mut running = true;
    while running {
        running = rest(&mut stopping, USES_EVERY).await;
        if let Err(error) = app.flush_uses().await {
            tracing::warn!(%error, "the last uses of keys were not kept");
        }
    }
}

async fn books(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, BOOKS_EVERY).await {
        if let Err(error) = app.engine.check_books().await {
            tracing::warn!(%error, "the books were not checked; trying again");
        }
    }
}

async fn pulse(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, PULSE_EVERY).await {
        app.engine.feel_pulse();
    }
}

async fn leases(app: App) {
    let mut stopping = app.stopping();
    let mut running = true;
    while running {
        let early = app.engine.lease_is_due();
        running = tokio::select! {
            running = rest(&mut stopping, LEASES_EVERY) => running,
            () = early => true,
        };
        app.engine.settle_leases().await;
    }
}

/// Other work comes between two chunks.
async fn retention(app: App, days: u32) {
    let mut stopping = app.stopping();
    let mut wait = CHUNKS_EVERY;
    while rest(&mut stopping, wait).await {
        wait = match app.engine.purge_events(days).await {
            Ok(0) => RETENTION_EVERY,
            Ok(_) => CHUNKS_EVERY,
            Err(error) => {
                tracing::warn!(%error, "old events were not removed; trying again");
                RETENTION_EVERY
            }
        };
    }
}

async fn replays(app: App) {
    let mut stopping = app.stopping();
    let mut wait = REPLAYS_EVERY;
    while rest(&mut stopping, wait).await {
        wait = match app.engine.run_replays().await {
            Ok(0) => REPLAYS_EVERY,
            Ok(_) => REPLAYS_ON,
            Err(error) => {
                tracing::warn!(%error, "a replay did not go on; trying again");
                REPLAYS_EVERY
            }
        };
    }
}

async fn backlogs(app: App) {
    let mut stopping = app.stopping();
    let mut wait = REPLAYS_EVERY;
    while rest(&mut stopping, wait).await {
        wait = match app.engine.move_backlogs().await {
            Ok(0) => REPLAYS_EVERY,
            Ok(_) => REPLAYS_ON,
            Err(error) => {
                tracing::warn!(%error, "a backlog of webhooks did not move; trying again");
                REPLAYS_EVERY
            }
        };
    }
}

/// Adds up the log while nobody needs the writer; whoever opens the home page adds up the rest.
async fn tallies(app: App) {
    let mut stopping = app.stopping();
    let mut commits = app.engine.commits();
    let mut more = true;
    while rest(&mut stopping, TALLIES_EVERY).await {
        let is_quiet = !commits.has_changed().unwrap_or(false);
        commits.mark_unchanged();
        if !is_quiet {
            more = true;
            continue;
        }
        if !more {
            continue;
        }
        match app.engine.tally().await {
            Ok(waits) => more = waits,
            Err(error) => tracing::warn!(%error, "the sums were not brought up; trying again"),
        }
        // Its own commit is no reason to look again.
        commits.mark_unchanged();
    }
}

async fn checkpoints(app: App) {
    let mut stopping = app.stopping();
    while rest(&mut stopping, CHECKPOINTS_EVERY).await {
        let streams = app.under_way.delivered();
        if streams.is_empty() {
            continue;
        }
        if let Err(error) = app.engine.checkpoint(streams).await {
            tracing::warn!(%error, "open streams were not written down; trying again");
        }
    }
}
