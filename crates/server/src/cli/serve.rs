//! `farebox serve`: the server.

use super::{Context, Failure, block_on, out};
use crate::logs;
use crate::node::{Node, stop_signal};

/// Run the server
#[derive(clap::Args)]
#[command(after_help = "Example: FAREBOX_API_KEY=fbx_my_first_key farebox serve")]
pub struct Args {
    /// Do not apply pending migrations; the server is not ready while one is pending
    #[arg(long)]
    no_migrate: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let config = &context.config;
    if config.webhook_proxy.is_some() {
        let message = "webhook_proxy: webhooks through a proxy are not built yet; unset it";
        return Err(Failure::Usage(message.to_owned()));
    }
    logs::start(&config.log, config.log_format, out::colour())?;
    block_on(async {
        let node = Node::open(config, !args.no_migrate).await?;
        node.ensure_first_key(config.api_key.as_deref()).await?;
        if config.encryption_key.is_none() {
            tracing::warn!("without FAREBOX_ENCRYPTION_KEY no secret of a webhook can be stored");
        }
        if config.otlp_endpoint.is_some() {
            tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces are not built yet");
        }
        if node.app.engine.is_without_people()? {
            let path = node.app.engine.sign_in_link(None).await?;
            out::say(&format!(
                "Nobody can sign in to the dashboard yet. This link lets the first person in, \
                 once, for a day:\n{}{path}",
                config.public_url
            ));
        }
        tracing::info!(address = %config.listen, public_url = config.public_url, "listening");
        Ok(node.serve(stop_signal()).await?)
    })
}
