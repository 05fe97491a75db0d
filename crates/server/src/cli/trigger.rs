//! `farebox trigger`: makes an event really happen in a sandbox, through the API like any client.

use serde_json::{Value, json};

use super::client::Client;
use super::{Context, Failure, block_on, out};

/// Make an event really happen in a development environment
#[derive(clap::Args)]
#[command(after_help = "Example: farebox trigger wallet.credit_balance.dropped")]
pub struct Args {
    /// Such as customer.created; without one the events that can be made are listed
    event: Option<String>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What is done, in order. `{customer}`, `{wallet}` and `{key}` are what earlier steps made.
#[derive(Clone, Copy, Debug)]
enum Step {
    Customer,
    RenameCustomer,
    DeleteCustomer,
    /// A wallet of 60 credits that warns below 50.
    Wallet,
    RenameWallet,
    TopUp,
    Debit,
    Terminate,
    Paywall,
    Deposit,
    Charge,
    /// All that there is.
    ChargeAll,
    /// More than there is.
    ChargeTooMuch,
}

use Step::{
    Charge, ChargeAll, ChargeTooMuch, Customer, Debit, DeleteCustomer, Deposit, Paywall,
    RenameCustomer, RenameWallet, Terminate, TopUp, Wallet,
};

const RECIPES: &[(&str, &[Step])] = &[
    ("customer.created", &[Customer]),
    ("customer.updated", &[Customer, RenameCustomer]),
    ("customer.deleted", &[Customer, DeleteCustomer]),
    ("wallet.created", &[Customer, Wallet]),
    ("wallet.updated", &[Customer, Wallet, RenameWallet]),
    ("wallet.transaction.created", &[Customer, Wallet, TopUp]),
    ("wallet.credit_balance.dropped", &[Customer, Wallet, Debit]),
    ("wallet.credit_balance.recovered", &[Customer, Wallet, Debit, TopUp]),
    ("wallet.ongoing_balance.dropped", &[Customer, Wallet, Debit]),
    ("wallet.ongoing_balance.recovered", &[Customer, Wallet, Debit, TopUp]),
    ("wallet.terminated", &[Customer, Wallet, Terminate]),
    ("paywall.created", &[Paywall]),
    ("paywall.balance.deposit.created", &[Paywall, Deposit]),
    ("paywall.balance.charge.created", &[Paywall, Deposit, Charge]),
    ("paywall.balance.charge.completed", &[Paywall, Deposit, Charge]),
    ("paywall.balance.depleted", &[Paywall, Deposit, ChargeAll]),
    ("paywall.balance.charge.failed", &[Paywall, Deposit, ChargeTooMuch]),
];

/// What the steps have made so far.
#[derive(Default)]
struct Made {
    customer: Option<String>,
    wallet: Option<String>,
    paywall_key: Option<String>,
}

pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let Some(event) = &args.event else {
        for (name, _) in RECIPES {
            out::line(name)?;
        }
        return Ok(());
    };
    let steps = RECIPES.iter().find(|(name, _)| name == event).map(|(_, steps)| *steps);
    let steps = steps.ok_or_else(|| {
        let message = format!("{event:?} cannot be made; `farebox trigger` lists what can");
        Failure::Usage(message)
    })?;
    let made = block_on(Box::pin(async {
        let client = Client::new(context)?;
        must_be_sandbox(&client).await?;
        let mut made = Made::default();
        for step in steps {
            take(&client, *step, &mut made).await?;
        }
        Ok(made)
    }))?;
    let report = json!({ "event": event, "customer_id": made.customer, "wallet_id": made.wallet });
    if args.json {
        return out::line(&report.to_string());
    }
    out::line(&format!("{event} has happened"))
}

/// Real customers must not be mixed with ours.
async fn must_be_sandbox(client: &Client) -> Result<(), Failure> {
    let clock = client.get("/v1/test-clock").await?;
    if clock.get("live") == Some(&Value::Bool(true)) {
        let message = "this is a production environment; trigger works in development ones";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(())
}

async fn take(client: &Client, step: Step, made: &mut Made) -> Result<(), Failure> {
    let unique = format!("trigger-{}", engine::clock::real_now().millis());
    let customer = made.customer.clone().unwrap_or_default();
    let wallet = made.wallet.clone().unwrap_or_default();
    match step {
        Customer => {
            let body = json!({ "external_id": unique, "name": "Triggered customer" });
            made.customer = id(&client.post("/v1/customers", body).await?, "id");
        }
        RenameCustomer => {
            let body = json!({ "name": "Triggered customer, renamed" });
            client.put(&format!("/v1/customers/{customer}"), body).await?;
        }
        DeleteCustomer => drop(client.delete(&format!("/v1/customers/{customer}")).await?),
        Wallet => made.wallet = id(&client.post("/v1/wallets", new_wallet(&customer)).await?, "id"),
        RenameWallet => {
            let body = json!({ "name": "Renamed" });
            client.put(&format!("/v1/wallets/{wallet}"), body).await?;
        }
        TopUp | Debit | Terminate => on_wallet(client, step, (&wallet, &unique)).await?,
        Paywall => {
            let body = json!({ "name": "Triggered paywall", "currency": "USD" });
            made.paywall_key = id(&client.post("/v1/paywalls", body).await?, "apiKey");
        }
        Deposit | Charge | ChargeAll | ChargeTooMuch => {
            let client = client.as_key(made.paywall_key.as_deref().unwrap_or_default());
            on_paywall(&client, step).await?;
        }
    }
    Ok(())
}

fn id(made: &Value, name: &str) -> Option<String> {
    made.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn new_wallet(customer: &str) -> Value {
    json!({
        "customer_id": customer,
        "currency": "USD",
        "initial_credits_to_load": "60",
        "alert_settings": {
            "alert_enabled": true,
            "critical": { "threshold": "50", "condition": "below" },
        },
    })
}

async fn on_wallet(
    client: &Client,
    step: Step,
    (wallet, unique): (&str, &str),
) -> Result<(), Failure> {
    let (action, body) = match step {
        TopUp => {
            let reason = "FREE_CREDIT_GRANT";
            ("top-up", json!({ "credits_to_add": "20", "transaction_reason": reason }))
        }
        Debit => {
            let reason = "MANUAL_BALANCE_DEBIT";
            let body = json!({
                "credits": "20", "transaction_reason": reason, "idempotency_key": unique,
            });
            ("debit", body)
        }
        _ => ("terminate", json!({})),
    };
    client.post(&format!("/v1/wallets/{wallet}/{action}"), body).await.map(drop)
}

async fn on_paywall(client: &Client, step: Step) -> Result<(), Failure> {
    let (path, amount) = match step {
        Deposit => ("/v1/user/balance/deposit", "10"),
        Charge => ("/v1/user/charge", "2.5"),
        ChargeAll => ("/v1/user/charge", "10"),
        _ => ("/v1/user/charge", "1000"),
    };
    let body = json!({ "user": "triggered-user", "amount": amount });
    client.post(path, body).await.map(drop)
}

#[cfg(test)]
mod tests {
    use domain::webhook::catalogue::EventType;

    use super::*;

    #[test]
    fn every_event_that_can_be_made_is_in_the_catalogue() {
        for (name, _) in RECIPES {
            assert!(EventType::parse(name).is_some(), "{name}");
        }
    }
}
