//! Nodes of one database: each keeps its lease alive, follows what the others changed, and takes
//! over what a node left that did not come back. An embedded database has one node, and none of
//! this runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::id::{EnvironmentId, TenantId};
use domain::place::EnvNo;
use domain::scope::Scope;
use store::nodes;
use store::turns::Recall;

use crate::error::Error;
use crate::run::Engine;

/// So long a node may be silent before the others take over what it had.
pub const NODE_LEASE_MS: i64 = 10_000;

impl Engine {
    /// Prolongs this node's lease and takes over from nodes whose lease has ended. Returns how many
    /// those were.
    pub async fn keep_node(&self) -> Result<usize, Error> {
        if !self.database().is_shared() {
            return Ok(0);
        }
        let now = self.real_now();
        self.change(nowhere(), move |tx| {
            tx.is_routine();
            Ok(nodes::renew(tx.write()?, now.plus_ms(NODE_LEASE_MS))?)
        })
        .await?;
        let ended = self.read(move |read| Ok(nodes::ended(read, now)?)).await?;
        for node in &ended {
            self.take_over(*node).await?;
        }
        Ok(ended.len())
    }

    /// Deliveries whose sender ended without a word, which this process made due again.
    pub fn leases_expired(&self) -> usize {
        self.leases_expired.load(Ordering::Relaxed)
    }

    /// From the turn of the first change on, nothing that the other node writes is taken.
    async fn take_over(&self, node: i64) -> Result<(), Error> {
        let left = self.change(nowhere(), move |tx| {
            tx.end_node(node)?;
            store::claims::give_back_of(tx.write()?, node)?;
            Ok(store::deliveries::give_back_of(tx.write()?, node)?)
        });
        self.leases_expired.fetch_add(left.await?, Ordering::Relaxed);
        let mut settled = 0;
        for scope in self.scopes()? {
            settled += self.recover_requests(scope, Some(node)).await?;
        }
        tracing::warn!(node, settled, "took over from a node that was silent");
        Ok(())
    }

    /// This node ends by itself: the others need not wait for its lease.
    pub async fn leave(&self) -> Result<(), Error> {
        if self.database().is_shared() {
            self.change(nowhere(), |tx| {
                let node = tx.node();
                store::claims::give_back_of(tx.write()?, node)?;
                Ok(tx.end_node(node)?)
            })
            .await?;
        }
        Ok(())
    }

    /// Forgets what other nodes may have changed since the last call, and gives them what is free.
    pub async fn follow_nodes(self: &Arc<Self>) -> Result<(), Error> {
        self.give_keys_back().await?;
        let seen = self.followed.load(Ordering::Acquire);
        let node = self.writer.node();
        let news = self.read(move |read| Ok(nodes::news(read, (seen, node))?)).await?;
        let Some(news) = news else {
            return Ok(());
        };
        self.followed.store(news.turn, Ordering::Release);
        self.database().knows(news.turn);
        if news.changes {
            self.forget_all();
            self.reload_clocks()?;
        }
        // Feeds and streams look again.
        self.wake_commits();
        self.give_back(news.recalls);
        Ok(())
    }

    /// Beside what else there is to follow: a lease that is being settled takes its time.
    fn give_back(self: &Arc<Self>, recalls: Vec<Recall>) {
        if recalls.is_empty() {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            for recall in recalls {
                match recall {
                    Recall::Wallet(wallet) => drop(engine.recall(wallet).await),
                    Recall::Paywall(paywall) => engine.recall_paywall(paywall).await,
                }
            }
        });
    }
}

/// Work above all environments.
fn nowhere() -> Scope {
    Scope {
        env: EnvNo::default(),
        environment: EnvironmentId::default(),
        tenant: TenantId::default(),
        live: true,
    }
}
