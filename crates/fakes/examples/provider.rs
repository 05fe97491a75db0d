//! Runs the fake LLM provider by itself, for clients in other languages: it prints its address and
//! serves until it is ended. `cargo run -p farebox-fakes --example provider -- 127.0.0.1:9000`

use std::error::Error;
use std::io::Write as _;

use fakes::provider::{Provider, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let provider = Provider::start(addr.parse()?, Settings::default()).await?;
    writeln!(std::io::stdout(), "{}", provider.addr())?;
    std::future::pending::<()>().await;
    Ok(())
}
