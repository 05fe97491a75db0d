//! One running server: database, engine, loops and listener, from start to a graceful end.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use axum::ServiceExt as _;
use axum::serve::ListenerExt as _;
use domain::webhook::address::AllowList;
use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Settings};
use store::Database;
use tokio::net::TcpListener;

use crate::app::App;
use crate::config::Config;
use crate::http;
use crate::lock::Lock;
use crate::sending::SendingThread;
use crate::unready;
use crate::workers::Workers;

/// Longest time that requests may still take when the process stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// And what outlives them: streams end and are settled.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the folder {folder} cannot be made: {error}")]
    Folder { folder: String, error: io::Error },
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen { address: String, error: io::Error },
    #[error("the listener failed: {0}")]
    Accept(io::Error),
    #[error("the thread that sends webhooks cannot be started: {0}")]
    Thread(io::Error),
    #[error("another process has {0} open; stop it, or choose another folder with --data-dir")]
    InUse(String),
    #[error("the other nodes gave this one up, because it was silent; start it again")]
    GivenUp,
    #[error("the lock of {database} cannot be taken: {error}")]
    Lock { database: String, error: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

pub struct Node {
    pub app: App,
    listener: TcpListener,
    in_flight_max: u32,
    retention_days: u32,
    stop_delay: Duration,
    /// Held where the database is a file of our own.
    _lock: Option<Lock>,
}

impl Node {
    /// Opens the database and the port. `migrate` applies pending migrations; without it the port
    /// answers that it is not ready for as long as one is pending.
    pub async fn open(config: &Config, migrate: bool) -> Result<Node, NodeError> {
        // The port first: a second server on the same folder stops here and touches nothing.
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| NodeError::Listen { address: config.listen.to_string(), error })?;
        make_folder(&config.data_dir)?;
        if !migrate && !unready::pending(config)?.is_empty() {
            let (waiting, kept) = doubled(listener).map_err(NodeError::Accept)?;
            unready::wait(config, waiting).await?;
            return Node::on(config, kept, false);
        }
        Node::on(config, listener, migrate)
    }

    fn on(config: &Config, listener: TcpListener, migrate: bool) -> Result<Node, NodeError> {
        let lock = take_lock(config)?;
        let mut database = open_database(config, migrate)?;
        if let Some(url) = &config.database_read {
            database = database.with_replica(url)?;
        }
        let seal = match &config.encryption_key {
            Some(text) => Seal::parse(text)?,
            None => Seal::none(),
        };
        let public_url = config.public_url.clone();
        let settings = Settings { seal, random: Random::System, public_url };
        let engine = Engine::start(database, settings)?;
        let app = App::new(engine).with_targets(targets(config));
        let in_flight_max = u32::try_from(config.webhook_max_in_flight).unwrap_or(u32::MAX);
        let stop_delay = config.stop_delay;
        let retention_days = config.webhook_retention_days;
        Ok(Node { app, listener, in_flight_max, retention_days, stop_delay, _lock: lock })
    }

    /// Makes the first tenant with the first key where `FAREBOX_API_KEY` names one.
    pub async fn ensure_first_key(&self, key: Option<&str>) -> Result<(), NodeError> {
        let Some(key) = key else { return Ok(()) };
        let scope = self.app.engine.ensure_tenant("Development").await?;
        Ok(self.app.engine.ensure_key(scope, key).await?)
    }

    /// Serves until `stop` comes; then finishes what runs, flushes and returns.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), NodeError> {
        let Node { app, listener, in_flight_max, retention_days, stop_delay, _lock } = self;
        settle_orphans(&app.engine).await?;
        let workers = Workers::start(&app, retention_days);
        let sending = SendingThread::start().map_err(NodeError::Thread)?;
        let deliverer = app.start_deliverer(in_flight_max, &sending);
        let listener = listener.tap_io(|stream| {
            // An answer in two writes must not wait for an acknowledgement.
            drop(stream.set_nodelay(true));
        });
        let mut stopping = app.stopping();
        let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        let entrance = http::entrance(app.clone()).into_make_service();
        let server = axum::serve(listener, entrance);
        let mut serving = std::pin::pin!(server.with_graceful_shutdown(stopped).into_future());
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = announced(stop, &app, stop_delay) => {
                tracing::info!("stopping: finishing what runs");
                app.stop();
                let rest = tokio::time::timeout(STOP_TIME_MAX, &mut serving).await;
                rest.unwrap_or_else(|_| {
                    tracing::warn!("some requests took too long and were cut off");
                    Ok(())
                })
            }
        };
        app.stop();
        if !app.tasks.end(SETTLE_TIME_MAX).await {
            tracing::warn!("some streams are not settled; the next start does it");
        }
        workers.end().await;
        app.engine.end_leases().await;
        deliverer.stop().await;
        let left = app.engine.leave().await;
        app.engine.close();
        if left.is_err_and(|error| error.is_given_up()) {
            return Err(NodeError::GivenUp);
        }
        tracing::info!("stopped");
        ended.map_err(NodeError::Accept)
    }
}

/// Waits for the word to stop, and then until balancers had their time to hear of it.
async fn announced(stop: impl Future<Output = ()>, app: &App, delay: Duration) {
    stop.await;
    app.leave();
    if !delay.is_zero() {
        tracing::info!(seconds = delay.as_secs(), "leaving: not ready any more, and still serving");
        tokio::time::sleep(delay).await;
    }
}

/// Requests of the proxy that an earlier process left open are settled before there are new ones.
async fn settle_orphans(engine: &Engine) -> Result<(), NodeError> {
    engine.keep_node().await?;
    if engine.database().is_shared() {
        // What other nodes have under way is theirs.
        return Ok(());
    }
    for scope in engine.scopes()? {
        let settled = engine.recover_requests(scope, None).await?;
        if settled > 0 {
            tracing::warn!(settled, "requests were under way when the last process ended");
        }
    }
    Ok(())
}

/// Where webhooks may go. What the operator allows by name wins over the rest.
fn targets(config: &Config) -> AllowList {
    AllowList {
        allow: config.allow_private_targets.clone(),
        deny: config.webhook_deny_targets.clone(),
        // `0.0.0.0` is no address that anyone names; the client knows the machine's others.
        own: Some(config.listen.ip()).filter(|ip| !ip.is_unspecified()).into_iter().collect(),
    }
}

/// Two handles of one port.
fn doubled(listener: TcpListener) -> io::Result<(TcpListener, TcpListener)> {
    let first = listener.into_std()?;
    let second = first.try_clone()?;
    Ok((TcpListener::from_std(first)?, TcpListener::from_std(second)?))
}

/// Says that this process owns the database, or that another one does.
pub fn take_lock(config: &Config) -> Result<Option<Lock>, NodeError> {
    config.database.path().map(lock_of).transpose()
}

/// As `take_lock`, for any file.
pub fn lock_of(path: &Path) -> Result<Lock, NodeError> {
    let database = path.display().to_string();
    match Lock::take(path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(NodeError::InUse(database)),
        Err(error) => Err(NodeError::Lock { database, error }),
    }
}

/// Makes the folder where it is missing, for this user alone.
pub fn make_folder(folder: &Path) -> Result<(), NodeError> {
    let failed = |error| NodeError::Folder { folder: folder.display().to_string(), error };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)
}

/// The database. A file is backed up beside itself before a migration changes it.
pub fn open_database(config: &Config, migrate: bool) -> Result<Database, NodeError> {
    make_folder(&config.data_dir)?;
    Ok(Database::open(&config.database, migrate)?)
}

/// Ends when the process is told to stop.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            drop(tokio::signal::ctrl_c().await);
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_listened_on_is_no_target_unless_it_is_any() {
        let own = |listen: &str| {
            let texts = crate::config::load(&[("listen", listen.to_owned())], None).unwrap();
            targets(&texts.parse().unwrap()).own
        };
        assert_eq!(own("192.0.2.7:80"), ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
        assert!(own("0.0.0.0:80").is_empty());
    }
}
