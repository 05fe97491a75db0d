//! One running server: database, engine, loops and listener, from start to a graceful end.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

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
use crate::workers::Workers;

/// Longest time that requests may still take when the process stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the folder {folder} cannot be made: {error}")]
    Folder { folder: String, error: io::Error },
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen { address: String, error: io::Error },
    #[error("the listener failed: {0}")]
    Accept(io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

pub struct Node {
    pub app: App,
    listener: TcpListener,
}

impl Node {
    /// Opens the database and the port. `migrate` applies pending migrations.
    pub async fn open(config: &Config, migrate: bool) -> Result<Node, NodeError> {
        // The port first: a second server on the same folder stops here and touches nothing.
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| NodeError::Listen { address: config.listen.to_string(), error })?;
        let database = open_database(config, migrate)?;
        let seal = match &config.encryption_key {
            Some(text) => Seal::parse(text)?,
            None => Seal::none(),
        };
        let public_url = config.public_url.clone();
        let settings = Settings { seal, random: Random::System, public_url };
        let engine = Engine::start(database, settings)?;
        let app = App::new(engine).with_targets(targets(config));
        Ok(Node { app, listener })
    }

    /// Makes the first tenant with the first key where `FAREBOX_API_KEY` names one.
    pub async fn ensure_first_key(&self, key: Option<&str>) -> Result<(), NodeError> {
        let Some(key) = key else { return Ok(()) };
        let scope = self.app.engine.ensure_tenant("Development").await?;
        Ok(self.app.engine.ensure_key(scope, key).await?)
    }

    /// Serves until `stop` comes; then finishes what runs, flushes and returns.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), NodeError> {
        let Node { app, listener } = self;
        let workers = Workers::start(&app);
        let deliverer = app.start_deliverer();
        let listener = listener.tap_io(|stream| {
            // An answer in two writes must not wait for an acknowledgement.
            drop(stream.set_nodelay(true));
        });
        let mut stopping = app.stopping();
        let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        let server = axum::serve(listener, http::router(app.clone()));
        let mut serving = std::pin::pin!(server.with_graceful_shutdown(stopped).into_future());
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop => {
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
        workers.end().await;
        deliverer.stop().await;
        app.engine.close();
        tracing::info!("stopped");
        ended.map_err(NodeError::Accept)
    }
}

/// Where webhooks may go. What the operator allows by name wins over the rest.
fn targets(config: &Config) -> AllowList {
    AllowList {
        allow: config.allow_private_targets.clone(),
        deny: config.webhook_deny_targets.clone(),
        own: vec![config.listen.ip()],
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

/// The embedded database; backed up beside itself before a migration changes it.
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
