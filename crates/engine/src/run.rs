//! The engine itself, and the two ways in: `change` through the writer, `read` through a reader.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use domain::id::{Mint, RequestId};
use domain::scope::Scope;
use domain::time::Timestamp;
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use store::deliveries::Handed;
use store::keys::StoredKey;
use store::paywalls::Stored as StoredPaywall;
use store::writer::{Committed, Kind, Times, job};
use store::{Database, Read, Tx, Writer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clocks, real_now};
use crate::error::Error;
use crate::proxy::leases::Leases;
use crate::proxy::replay::AtWork;
use crate::random::Random;
use crate::seal::Seal;
use crate::steps::books::Checks;
use crate::steps::pulse::Pulse;
use crate::test_clock::Sends;

/// Keys, paywalls and identities that stay in memory.
const CACHED_MAX: usize = 100_000;
const REQUEST_SEED_SALT: u64 = 0x5245_5155_4553_5453;

/// What an engine is made from.
pub struct Settings {
    pub seal: Seal,
    pub random: Random,
    /// Base of the links that are handed out, without a slash at the end.
    pub public_url: String,
}

pub struct Engine {
    pub(crate) database: Database,
    pub(crate) writer: Writer,
    pub clocks: Arc<Clocks>,
    pub random: Random,
    pub seal: Seal,
    pub public_url: String,
    requests: Mutex<Mint>,
    /// Keys by the hash of their text. Ends with a change of the key, before it is answered.
    pub(crate) keys: Cache<[u8; 32], Arc<StoredKey>>,
    /// Paywalls by their number.
    pub(crate) paywalls: Cache<i64, Arc<StoredPaywall>>,
    /// Connections and price rows of a paywall, by its number.
    pub(crate) offers: Cache<i64, Arc<crate::offers::Offer>>,
    /// (paywall, external user) → wallet number.
    pub(crate) sights: Cache<(i64, String), crate::users::Sight>,
    /// Totals of a wallet up to an entry, so that only newer entries are added up.
    pub(crate) totals: Cache<i64, crate::users::TotalsAt>,
    /// Rises with every forgetting, so that what was read before it is not remembered after it.
    forgets: AtomicU64,
    /// Deliveries that commits leased to this process; taken once by the delivery step.
    handovers: Mutex<Option<mpsc::UnboundedReceiver<Vec<Handed>>>>,
    /// Idempotency keys of proxied requests under way.
    pub(crate) at_work: AtWork,
    /// Number of the newest durable commit, for whoever waits for one.
    commits: watch::Sender<u64>,
    /// Wallets' money that this process may promise.
    pub(crate) leases: Leases,
    /// The books, checked while the engine works.
    pub(crate) checks: Checks,
    /// Whether the writer gets anywhere.
    pub(crate) pulse: Pulse,
    /// The last turn of the database's writers that this node has followed.
    pub(crate) followed: AtomicI64,
    /// Deliveries taken over from processes that ended without a word.
    pub(crate) leases_expired: AtomicUsize,
    /// Held while a test clock moves.
    pub(crate) moving: tokio::sync::Mutex<()>,
    /// Who sends webhooks in this process, for test clocks.
    pub(crate) sends: RwLock<Option<Arc<dyn Sends>>>,
}

impl Engine {
    /// Opens the writer on `database` and loads the clocks.
    pub fn start(database: Database, settings: Settings) -> Result<Arc<Engine>, Error> {
        let clocks = Arc::new(Clocks::default());
        for environment in database.read(store::tenants::environments)? {
            let clock = environment.clock.and_then(|text| serde_json::from_str(&text).ok());
            clocks.set(environment.scope.env, clock);
            if clock.is_none() {
                let last = |read: Read<'_>| store::books::last_at(read, &environment.scope);
                let env = environment.scope.env;
                clocks.not_before(env, database.read(last)?.plus_ms(1));
            }
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let (commits, _) = watch::channel(0);
        let seed = u64::from_be_bytes(settings.random.bytes());
        let writer =
            Writer::start(&database, clocks.clone(), seed, on_commit(sender, commits.clone()))?;
        let leases_expired = AtomicUsize::new(writer.leases_voided());
        Ok(Arc::new(Engine {
            at_work: AtWork::new(database.is_shared()),
            database,
            writer,
            clocks,
            requests: Mutex::new(Mint::new(seed ^ REQUEST_SEED_SALT)),
            random: settings.random,
            seal: settings.seal,
            public_url: settings.public_url,
            keys: Cache::new(CACHED_MAX),
            paywalls: Cache::new(CACHED_MAX),
            offers: Cache::new(CACHED_MAX),
            sights: Cache::new(CACHED_MAX),
            totals: Cache::new(CACHED_MAX),
            forgets: AtomicU64::new(0),
            handovers: Mutex::new(Some(receiver)),
            commits,
            leases: Leases::default(),
            checks: Checks::default(),
            pulse: Pulse::default(),
            followed: AtomicI64::new(0),
            leases_expired,
            moving: tokio::sync::Mutex::new(()),
            sends: RwLock::new(None),
        }))
    }

    /// Runs a command in the writer's transaction; see `store::writer::Job` for what it may do.
    pub async fn change<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(scope, Kind::Change, work).await
    }

    /// As `change`, for work that no caller waits for: beside theirs it has a share of the time.
    pub(crate) async fn change_aside<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(scope, Kind::Aside, work).await
    }

    /// As `change`, for a command that only moves money and decides before it posts.
    pub async fn movement<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(scope, Kind::Movement, work).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        scope: Scope,
        kind: Kind,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.pulse.is_stuck() {
            return Err(Error::Store(store::Error::Unavailable));
        }
        let (sender, receiver) = oneshot::channel();
        self.writer.submit(job(scope, kind, work, move |result| {
            // The caller may have gone away; what was committed stays.
            drop(sender.send(result));
        }));
        receiver.await.unwrap_or(Err(Error::Store(store::Error::Unavailable)))
    }

    /// Reads one snapshot on a thread that may block; answers when what it read is durable.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(Read<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || database.read(work)).await;
        self.durable().await;
        done.unwrap_or(Err(Error::Store(store::Error::Unavailable)))
    }

    /// As `read`, for lists and reports, that may come from a replica: it has what this node has
    /// committed or learned of others. What decides a change reads the database itself.
    pub async fn read_aside<T: Send + 'static>(
        &self,
        work: impl Fn(Read<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || database.read_aside(work)).await;
        self.durable().await;
        done.unwrap_or(Err(Error::Store(store::Error::Unavailable)))
    }

    /// Waits until everything that could be read before is on disk: no answer tells of what a power
    /// cut could take back.
    pub async fn durable(&self) {
        let seen = self.writer.committed();
        if *self.commits.borrow() < seen {
            // An error means that the writer is gone, and then nothing changes any more.
            drop(self.commits.subscribe().wait_for(|durable| *durable >= seen).await);
        }
    }

    /// Reads on this thread; for look-ups by key that take microseconds. Who answers with what it
    /// read waits for `durable`, as all GET routes do.
    pub fn read_now<T>(&self, work: impl FnOnce(Read<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.database.read(work)
    }

    /// To be taken before a read whose result `remember` shall keep.
    pub(crate) fn forgets(&self) -> u64 {
        self.forgets.load(Ordering::SeqCst)
    }

    /// Keeps what was read, unless something was forgotten since: it may be that.
    pub(crate) fn remember<K: Hash + Eq + Clone, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        seen: u64,
        (key, value): (K, V),
    ) {
        cache.insert(key.clone(), value);
        if self.forgets() != seen {
            cache.remove(&key);
        }
    }

    /// Another node may have changed anything that is kept here beside the ledger.
    pub(crate) fn forget_all(&self) {
        self.forget();
        self.keys.clear();
        self.paywalls.clear();
        self.offers.clear();
        self.sights.clear();
    }

    /// Sets the clocks as they are stored.
    pub(crate) fn reload_clocks(&self) -> Result<(), Error> {
        let all = self.database.read(store::tenants::environments)?;
        let stored = all.into_iter().map(|one| (one.scope.env, one.clock));
        self.clocks.reload(stored.collect());
        Ok(())
    }

    /// Lets those look again who wait for a commit.
    pub(crate) fn wake_commits(&self) {
        self.commits.send_modify(|_| ());
    }

    /// To be called before a value is taken out of memory because it changed.
    pub(crate) fn forget(&self) {
        self.forgets.fetch_add(1, Ordering::SeqCst);
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn now(&self, scope: &Scope) -> Timestamp {
        self.clocks.now(scope.env)
    }

    pub fn real_now(&self) -> Timestamp {
        real_now()
    }

    /// World time that never goes back, for what is compared with an earlier reading.
    pub fn steady_now(&self) -> Timestamp {
        self.clocks.steady_now()
    }

    pub fn request_id(&self) -> RequestId {
        RequestId(self.requests.lock().next(self.steady_now()))
    }

    /// The stream of deliveries for the sender of this process. `None` when it was taken before.
    pub fn take_handovers(&self) -> Option<mpsc::UnboundedReceiver<Vec<Handed>>> {
        self.handovers.lock().take()
    }

    /// Changes with every commit.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Every environment of the database.
    pub fn scopes(&self) -> Result<Vec<Scope>, Error> {
        let all = self.database.read(store::tenants::environments)?;
        Ok(all.into_iter().map(|environment| environment.scope).collect())
    }

    /// Runs what waits and ends the writer.
    pub fn close(&self) {
        self.writer.close();
    }

    /// Jobs that wait for the writer now.
    pub fn writer_waiting(&self) -> usize {
        self.writer.waiting()
    }
}

fn on_commit(
    sender: mpsc::UnboundedSender<Vec<Handed>>,
    commits: watch::Sender<u64>,
) -> Arc<dyn Fn(Committed) + Send + Sync> {
    Arc::new(move |committed: Committed| {
        let number = committed.number;
        if !committed.handovers.is_empty() {
            // Without a sender in this process the leases run out and a sweep takes them.
            drop(sender.send(committed.handovers));
        }
        commits.send_modify(|durable| *durable = number.max(*durable));
    })
}
