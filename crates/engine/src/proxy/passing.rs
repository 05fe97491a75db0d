//! Questions to a provider that cost nothing, such as a count of tokens: where they go, and who may
//! not ask. No hold, no charge, no event of the proxy.

use std::sync::Arc;

use domain::paywall::ExternalUser;
use domain::proxy::reason::Reason;
use domain::scope::{Cause, Scope};
use store::paywalls::Stored;

use super::aim::aim_at;
use super::{Blocked, Target};
use crate::error::Error;
use crate::run::Engine;

impl Engine {
    /// Where a free question about a model goes, or why it is not passed on. A user need not be
    /// named; one who is, is seen.
    pub async fn passing(
        &self,
        scope: Scope,
        (paywall, user): (&Arc<Stored>, Option<&ExternalUser>),
        model: &str,
        cause: &Cause,
    ) -> Result<Result<Arc<Target>, Box<Blocked>>, Error> {
        let offer = self.offer(&scope, paywall)?;
        let aim = aim_at(&offer, (paywall, model), self.now(&scope))?;
        let no = |reason| Ok(Err(Box::new(Blocked::for_reason(reason))));
        if paywall.paywall.is_archived() {
            return no(Reason::PaywallArchived);
        }
        if let Some(user) = user
            && self.sight(scope, paywall, user, cause).await?.suspended
        {
            return no(Reason::UserSuspended);
        }
        Ok(aim.map_err(|reason| Box::new(Blocked::for_reason(reason))))
    }
}
