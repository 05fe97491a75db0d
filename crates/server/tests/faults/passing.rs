//! Other transactions are in the way: what PostgreSQL says then (40001, 40P01, 55P03) at any
//! statement costs nobody an answer. The batch runs again, whole.

use serde_json::json;
use testkit::postgres::Postgres;

use crate::load::House;
use crate::process::{KEY, Server};

/// Three of seven statements on these tables fail, one with each code.
const IN_THE_WAY: &str = "
    CREATE SEQUENCE turns_of_entries; CREATE SEQUENCE turns_of_customers;
    CREATE FUNCTION be_in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE turn BIGINT := nextval('turns_of_' || TG_TABLE_NAME);
    BEGIN
      IF turn % 7 < 3 THEN
        RAISE EXCEPTION 'in the way'
          USING ERRCODE = (ARRAY['40001', '40P01', '55P03'])[1 + turn % 7];
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER in_the_way AFTER INSERT ON entries EXECUTE FUNCTION be_in_the_way();
    CREATE TRIGGER in_the_way AFTER INSERT ON customers EXECUTE FUNCTION be_in_the_way();";

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_others_are_in_the_way_of_runs_again_and_nobody_notices() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let url = postgres.url();
    let server = Server::start_with(folder.path(), &[("FAREBOX_DATABASE_URL", &url)]);
    let house = House::open(&server).await;
    postgres.ask(IN_THE_WAY);
    let load = house.load(&server.base, "passing");
    for number in 0..20 {
        let body = json!({ "external_id": format!("customer-{number}"), "name": "Passing" });
        let url = format!("{}/v1/customers", server.base);
        let asked = house.client.post(url).header("x-api-key", KEY).json(&body);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unknown.is_empty(), "{:?}", told.refused);
    house.settle_up(&server.base, &told).await;
    let tried = postgres.ask("SELECT last_value FROM turns_of_entries");
    assert!(tried.parse::<u64>().unwrap() > 10, "{tried}");
}
