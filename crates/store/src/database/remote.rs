//! A PostgreSQL server, or an engine that speaks its protocol: connections that are set as the
//! writer and its readers need them.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;

use crate::error::Error;
use crate::sql::{Connection, Io, Session};

/// A server that does not answer within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A writer that stands still in its transaction is cut off by the server after this, so that a
/// node that hangs does not hold up the others.
const WRITER_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s';
    SET lock_timeout = '30s'; SET application_name = 'farebox writer'";
const READER_SETTINGS: &str = "SET default_transaction_isolation = 'repeatable read';
    SET default_transaction_read_only = on; SET application_name = 'farebox reader'";

pub(crate) struct Server {
    config: Config,
    io: Arc<Io>,
}

impl Server {
    pub(crate) fn new(url: &str) -> Result<Server, Error> {
        let mut config: Config =
            url.parse().map_err(|error| Error::Open(format!("the database's URL: {error}")))?;
        config.connect_timeout(CONNECT_TIMEOUT);
        Ok(Server { config, io: Arc::new(Io::start()?) })
    }

    pub(crate) fn connect_writer(&self) -> Result<Connection, Error> {
        self.connect(Some(self.io.clone()), WRITER_SETTINGS)
    }

    /// A writer's connection that moves its own bytes: for the writer's thread alone.
    pub(crate) fn connect_writing_thread(&self) -> Result<Connection, Error> {
        self.connect(None, WRITER_SETTINGS)
    }

    pub(crate) fn connect_reader(&self) -> Result<Connection, Error> {
        self.connect(Some(self.io.clone()), READER_SETTINGS)
    }

    fn connect(&self, io: Option<Arc<Io>>, settings: &str) -> Result<Connection, Error> {
        let session = Session::connect(&self.config, io)?;
        session.batch(settings)?;
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
