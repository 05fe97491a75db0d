//! `farebox`: the binary.

use std::net::SocketAddr;
use std::path::Path;

use engine::random::Random;
use engine::seal::Seal;
use engine::{Engine, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = store::Database::open(Path::new("farebox.db"), true)?;
    let settings = Settings {
        seal: Seal::none(),
        random: Random::System,
        public_url: "http://127.0.0.1:7070".to_owned(),
    };
    let engine = Engine::start(database, settings)?;
    let scope = engine.ensure_tenant("Development").await?;
    engine.ensure_key(scope, "fbx_dev").await?;
    let app = server::app::App::new(engine);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 7070))).await?;
    axum::serve(listener, server::http::router(app)).await?;
    Ok(())
}
