//! TLS to the database: what is encrypted, and which certificates are believed.

use store::{Database, Error, Location};
use testkit::postgres::Postgres;

/// Opens the database and reads; says how many of our sessions are encrypted.
fn opened(postgres: &Postgres, url: String) -> Result<String, Error> {
    let database = Database::open(&Location::Server(url), true)?;
    database.read(store::tenants::environments)?;
    Ok(postgres.ask(
        "SELECT string_agg(DISTINCT s.ssl::TEXT, ',') FROM pg_stat_ssl s
         JOIN pg_stat_activity a ON a.pid = s.pid WHERE a.application_name = 'farebox reader'",
    ))
}

#[test]
fn a_connection_is_encrypted_and_verified_as_far_as_its_url_says() {
    let postgres = Postgres::start_with_tls();
    let (by_name, by_address) = (postgres.url_by_name(), postgres.url());
    let roots = format!("sslrootcert={}", postgres.authority().display());
    let encrypted = [
        by_address.clone(),
        format!("{by_address}?sslmode=prefer"),
        format!("{by_address}?sslmode=require"),
        format!("{by_address}?sslmode=verify-ca&{roots}"),
        format!("{by_name}?sslmode=verify-full&{roots}"),
    ];
    for url in encrypted {
        assert_eq!(opened(&postgres, url.clone()).unwrap(), "true", "{url}");
    }
    let plain = format!("{by_address}?sslmode=disable");
    assert_eq!(opened(&postgres, plain).unwrap(), "false");
    let refused = [
        (format!("{by_address}?sslmode=verify-full&{roots}"), "not valid for name"),
        (format!("{by_name}?sslmode=verify-full"), "UnknownIssuer"),
        (format!("{by_name}?sslmode=verify-ca&sslrootcert=system"), "UnknownIssuer"),
        (format!("{by_name}?sslmode=verify-ca&sslrootcert=/no/such/file"), "/no/such/file"),
        (format!("{by_name}?sslmode=always"), "verify-full"),
    ];
    for (url, why) in refused {
        let error = opened(&postgres, url.clone()).unwrap_err().to_string();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn a_server_without_tls_is_refused_by_who_requires_it() {
    let postgres = Postgres::start();
    assert_eq!(opened(&postgres, postgres.url()).unwrap(), "false");
    let error = opened(&postgres, format!("{}?sslmode=require", postgres.url())).unwrap_err();
    assert!(error.to_string().contains("does not support TLS"), "{error}");
}
