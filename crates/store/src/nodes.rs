//! Nodes that share a database: each has a lease of its own and renews it. What a node leases
//! (deliveries, requests under way) is its own for as long as that lives; afterwards another node
//! takes it over, and tells so in the turn that does. A node that was only slow reads that turn
//! before its next transaction, and ends.

use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::sql::params;
use crate::turns::Recall;
use crate::tx::{Tx, Write};
use crate::value::Millis;

impl Tx<'_> {
    /// This run of this node.
    pub fn node(&self) -> i64 {
        self.desk.node
    }

    /// The node is given up: whatever it still tries to write is refused.
    pub fn end_node(&mut self, node: i64) -> Result<(), Error> {
        self.desk.end_node(node);
        let write = self.write()?;
        write.connection.execute("DELETE FROM nodes WHERE node = ?1", [node])?;
        Ok(())
    }

    /// Asks the other nodes to give back what they have leased and not promised. It travels with
    /// this change; an embedded database has no other nodes.
    pub fn recall(&mut self, recall: Recall) {
        self.desk.recall(recall);
    }
}

/// Prolongs the lease of this node, or begins it.
pub fn renew(write: Write<'_>, expires_at: Timestamp) -> Result<(), Error> {
    write.connection.execute(
        "INSERT INTO nodes (node, expires_at) VALUES (?1, ?2)
         ON CONFLICT (node) DO UPDATE SET expires_at = excluded.expires_at",
        params![write.node, Millis(expires_at)],
    )?;
    Ok(())
}

/// Nodes whose lease has ended.
pub fn ended(read: Read<'_>, now: Timestamp) -> Result<Vec<i64>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT node FROM nodes WHERE expires_at < ?1 ORDER BY node")?;
    let rows = select.query_map([Millis(now)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many nodes live.
pub fn count(read: Read<'_>, now: Timestamp) -> Result<i64, Error> {
    let select = "SELECT COUNT(*) FROM nodes WHERE expires_at >= ?1";
    Ok(read.connection.query_row(select, [Millis(now)], |row| row.get(0))?)
}

/// What turns of other nodes may have changed of what a node keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The last turn.
    pub turn: i64,
    /// Keys, paywalls, settings, receivers or clocks may be others now.
    pub changes: bool,
    /// What is to be given back.
    pub recalls: Vec<Recall>,
}

/// What happened after turn `seen`, as `node` has to know it; `None` where nothing did.
pub fn news(read: Read<'_>, (seen, node): (i64, i64)) -> Result<Option<News>, Error> {
    let select = "SELECT turn FROM writer_turn WHERE no = 1";
    let turn: i64 = read.connection.query_row(select, [], |row| row.get(0))?;
    if turn == seen {
        return Ok(None);
    }
    let told = crate::turns::since(read.connection, seen)?;
    let is_whole = told.first().is_some_and(|first| first.no == seen + 1);
    let changes = !is_whole || told.iter().any(|turn| turn.told.changes);
    let of_others = told.into_iter().filter(|turn| turn.node != node);
    let recalls = of_others.flat_map(|turn| turn.told.recalls).collect();
    Ok(Some(News { turn, changes, recalls }))
}
