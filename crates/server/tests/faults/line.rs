//! A line between nodes and their database that a test makes slow, or silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testkit::postgres::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const PIECE_BYTES: usize = 64 * 1_024;
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    delay_ms: AtomicU64,
    is_silent: AtomicBool,
}

pub struct Line {
    port: u16,
    state: Arc<State>,
}

impl Line {
    pub async fn to(postgres: &Postgres) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, state) = (postgres.port(), Arc::<State>::default());
        let line = Line { port, state: state.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry(from_client, to_server, state.clone(), true));
                tokio::spawn(carry(from_server, to_client, state.clone(), false));
            }
        });
        line
    }

    pub fn url(&self) -> String {
        format!("postgres://farebox@127.0.0.1:{}/postgres", self.port)
    }

    /// What goes to the server arrives so much later: the time of a round trip.
    pub fn set_delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Nothing arrives, in either direction, and nothing is lost; connections stay open.
    pub fn set_silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<State>,
    is_delayed: bool,
) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if is_delayed {
            let delay_ms = state.delay_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        while state.is_silent.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
