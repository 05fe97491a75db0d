//! Measures what Farebox promises about speed and size, beside PostgreSQL and nginx on the same
//! machine.
//!
//! `cargo run --release -p farebox-benches -- all` runs everything on loopback and in temporary
//! folders, prints tables and leaves nothing behind. Each rate is the median of three runs.

mod ground;
mod growth;
mod http;
mod load;
mod memory;
mod postgres;
mod proxy;
mod report;
mod server;
mod server_ledger;
mod webhooks;
mod writer;

use std::time::Duration;

use clap::{Parser, ValueEnum};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Topic {
    All,
    /// Charges through the writer inside this process.
    Writer,
    /// Charges over HTTP against a server process, beside pgbench.
    Http,
    /// A hundred charges a call, over HTTP.
    Batch,
    /// Charges after many entries against charges after few.
    Growth,
    /// Memory of a server, and how long it takes to start.
    Memory,
    /// Charges through the writer on a PostgreSQL server, from one node and from two.
    Postgres,
    /// As `growth`, on a PostgreSQL server.
    PostgresGrowth,
    /// Deliveries of webhooks to a receiver on this machine, from either database.
    Webhooks,
    /// Calls and streams through the proxy, beside nginx.
    Proxy,
}

#[derive(Parser)]
#[command(about = "Measures Farebox beside PostgreSQL and nginx on this machine")]
struct Args {
    #[arg(value_enum, default_value = "all")]
    topics: Vec<Topic>,
    /// Length of one run
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// Entries of the grown ledger
    #[arg(long, default_value = "5000000")]
    entries: u64,
    /// Measure LiteLLM's proxy too; installs it from PyPI into a temporary folder
    #[arg(long)]
    litellm: bool,
    /// Leave Farebox out of the proxy's topic: what nginx and the load can do
    #[arg(long)]
    without_farebox: bool,
    /// Tables of the proxy's topic; all, unless some are named
    #[arg(long, value_enum)]
    table: Vec<proxy::Table>,
    /// Parts of the webhooks' topic; all, unless some are named
    #[arg(long, value_enum)]
    part: Vec<webhooks::Part>,
}

/// How long and how often everything is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub run: Duration,
    pub warm: Duration,
    pub runs: usize,
    pub entries: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let plan = Plan {
        run: Duration::from_secs(args.seconds),
        warm: Duration::from_secs(1),
        runs: 3,
        entries: args.entries,
    };
    let asks = |topic| args.topics.contains(&topic) || args.topics.contains(&Topic::All);
    report::machine()?;
    if asks(Topic::Writer) {
        writer::measure(&plan).await?;
    }
    if asks(Topic::Http) {
        http::measure(&plan).await?;
    }
    if asks(Topic::Batch) {
        http::measure_batches(&plan).await?;
    }
    if asks(Topic::Growth) {
        growth::measure(&plan).await?;
    }
    if asks(Topic::Memory) {
        memory::measure(&plan).await?;
    }
    if asks(Topic::Postgres) {
        server_ledger::measure(&plan).await?;
    }
    if asks(Topic::PostgresGrowth) {
        growth::measure_on_server(&plan).await?;
    }
    if asks(Topic::Webhooks) {
        webhooks::measure(&plan, &args.part).await?;
    }
    if asks(Topic::Proxy) {
        let asked = proxy::Asked {
            farebox: !args.without_farebox,
            litellm: args.litellm,
            tables: args.table,
        };
        proxy::measure(plan, asked).await?;
    }
    Ok(())
}
