//! A PostgreSQL server, or an engine that speaks its protocol: connections that are set as the
//! writer and its readers need them.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;

use crate::error::Error;
use crate::sql::{Connection, Io, Patience, Session, Tls};

/// A server that does not answer within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    config: Config,
    tls: Tls,
    io: Arc<Io>,
}

impl Server {
    pub(crate) fn new(url: &str) -> Result<Server, Error> {
        let unfit =
            |error: &dyn std::fmt::Display| Error::Open(format!("the database's URL: {error}"));
        let (rest, tls) = Tls::of_url(url).map_err(|error| unfit(&error))?;
        let mut config: Config = rest.parse().map_err(|error| unfit(&error))?;
        config.connect_timeout(CONNECT_TIMEOUT).ssl_mode(tls.mode());
        Ok(Server { config, tls, io: Arc::new(Io::start()?) })
    }

    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        self.connect(Some(self.io.clone()), Patience::Endless, "farebox writer")
    }

    /// A writer's connection that moves its own bytes: for the writer's thread alone.
    pub(crate) fn connect_writing_thread(&self) -> Result<Connection, Error> {
        self.connect(None, Patience::Endless, "farebox writer")
    }

    pub(crate) fn connect_reader(&self, patience: Patience) -> Result<Connection, Error> {
        self.connect(Some(self.io.clone()), patience, "farebox reader")
    }

    fn connect(
        &self,
        io: Option<Arc<Io>>,
        patience: Patience,
        name: &str,
    ) -> Result<Connection, Error> {
        let mut config = self.config.clone();
        config.application_name(name);
        let session = Session::connect((&config, &self.tls), io, patience)?;
        Ok(Connection::Postgres(Box::new(session)))
    }
}

/// A URL that may be shown.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres".to_owned() };
    let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
    let user = user.split(':').next().unwrap_or_default();
    let place = place.split('?').next().unwrap_or_default();
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let table = [
            ("postgres://me:secret@db:5432/farebox", "postgres://me@db:5432/farebox"),
            ("postgres://db/farebox?password=secret", "postgres://db/farebox"),
            ("postgres://me:se@cret@db/farebox", "postgres://me@db/farebox"),
        ];
        for (url, shown) in table {
            assert_eq!(without_password(url), shown);
        }
    }
}
