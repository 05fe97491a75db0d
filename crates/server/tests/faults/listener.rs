//! A receiver of webhooks that keeps what came, in its order, and answers as it is told. Faster
//! than the fake sink, and without a bound on what it keeps.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::EventId;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Longer than any sender waits.
const HANGS: Duration = Duration::from_secs(20);

/// What a sender meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Fails(u16),
    /// 429, with so many seconds of `retry-after`.
    AsksForRest(u32),
    /// The connection ends in the middle of a 200.
    Closes,
    Hangs,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number in its path.
    pub endpoint: usize,
    pub event: EventId,
    pub sequence: u64,
    pub attempt: u32,
    pub at: Instant,
    /// Port of the node that sent it, where its body is thin.
    pub node: u16,
    /// Of its body.
    pub digest: u64,
    /// It was answered with success.
    pub taken: bool,
}

/// Says how the request is answered, and after how long.
pub type Decide = dyn FnMut(usize) -> (Mood, Duration) + Send;

/// Ends with the value.
pub struct Listener {
    pub base: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    decide: Mutex<Box<Decide>>,
}

impl Listener {
    pub async fn start(decide: Box<Decide>) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let shared = Arc::new(Shared { seen: seen.clone(), decide: Mutex::new(decide) });
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while open.try_join_next().is_some() {}
                open.spawn(converse(stream, shared.clone()));
            }
        });
        Listener { base, seen, accepting }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = read(&mut stream).await? {
        let (mood, took) = shared.receive(&head, &body);
        tokio::time::sleep(took).await;
        let answer = match mood {
            Mood::Well => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
            Mood::Fails(status) => format!("HTTP/1.1 {status} Bad\r\ncontent-length: 0\r\n\r\n"),
            Mood::AsksForRest(seconds) => {
                let lines = format!("retry-after: {seconds}\r\ncontent-length: 0");
                format!("HTTP/1.1 429 Rest\r\n{lines}\r\n\r\n")
            }
            Mood::Closes => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok".to_owned(),
            Mood::Hangs => String::new(),
        };
        stream.get_mut().write_all(answer.as_bytes()).await?;
        match mood {
            Mood::Closes => return Ok(()),
            Mood::Hangs => {
                tokio::time::sleep(HANGS).await;
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

/// `None` when the sender has closed the connection between two requests.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let length = header(&head, "content-length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some((head, body)))
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
    assert!(found.is_some(), "no {name} in {head}");
    found.unwrap().1
}

impl Shared {
    fn receive(&self, head: &str, body: &[u8]) -> (Mood, Duration) {
        let path = head.split(' ').nth(1).unwrap();
        let endpoint = path.trim_start_matches('/').parse().unwrap();
        let (mood, took) = (self.decide.lock())(endpoint);
        let mut seen = Seen {
            endpoint,
            event: header(head, "webhook-id").parse().unwrap(),
            sequence: header(head, "webhook-sequence").parse().unwrap(),
            attempt: header(head, "webhook-attempt").parse().unwrap(),
            at: Instant::now(),
            node: node_of(body),
            digest: BuildHasherDefault::<DefaultHasher>::default().hash_one(body),
            taken: mood == Mood::Well,
        };
        let mut all = self.seen.lock();
        seen.at = Instant::now();
        all.push(seen);
        (mood, took)
    }
}

/// A thin body says where the whole event can be read: at the node that sent it.
fn node_of(body: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(body);
    let port = text.split("\"url\":\"http://127.0.0.1:").nth(1);
    port.and_then(|rest| rest.split('/').next()?.parse().ok()).unwrap_or(0)
}
