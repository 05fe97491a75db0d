//! The `customer` object of events and answers, and the `customer.*` events.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::customer::Customer;
use crate::id::{EnvironmentId, TenantId};
use crate::ledger::log::Telling;
use crate::scope::Scope;

/// A customer as every surface shows it: its fields and where it lives.
#[derive(Serialize)]
pub struct CustomerView<'a> {
    #[serde(flatten)]
    pub customer: &'a Customer,
    pub environment_id: EnvironmentId,
    pub tenant_id: TenantId,
    pub integrations: [(); 0],
}

pub fn view<'a>(scope: &Scope, customer: &'a Customer) -> CustomerView<'a> {
    CustomerView {
        customer,
        environment_id: scope.environment,
        tenant_id: scope.tenant,
        integrations: [],
    }
}

#[derive(Serialize)]
struct Keys<'a> {
    customer: CustomerView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_attributes: Option<&'a Map<String, Value>>,
}

/// `customer.created`, `.updated` (with the old values), `.deleted`.
pub fn render(
    telling: &Telling,
    customer: &Customer,
    previous: Option<&Map<String, Value>>,
) -> Vec<u8> {
    let keys = Keys { customer: view(&telling.scope, customer), previous_attributes: previous };
    super::billing::render(telling, &format!("customer:{}", customer.id), &keys)
}
