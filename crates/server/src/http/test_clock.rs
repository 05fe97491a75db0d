//! `/v1/test-clock`: a development environment's clock, read and moved.

use axum::http::Method;
use domain::id::EnvironmentId;
use domain::role::Entity;
use domain::time::{Timestamp, parse_distance_ms};
use engine::Error;
use engine::clock::TestClock;
use engine::test_clock::Standing;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::call::Call;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Test clock";

pub fn routes() -> Routes {
    let (path, moves) = ("/v1/test-clock", "/v1/test-clock/advance");
    Routes::default()
        .add(
            (Method::GET, path),
            reads(Entity::Clock),
            Doc::new(TAG, "getTestClock", "How the environment's clock stands"),
            get,
        )
        .add(
            (Method::POST, path),
            writes(Entity::Clock),
            Doc::new(TAG, "createTestClock", "Attach a test clock"),
            attach,
        )
        .add(
            (Method::POST, moves),
            writes(Entity::Clock),
            Doc::new(TAG, "advanceTestClock", "Move the clock and run what falls due on the way"),
            advance,
        )
        .add(
            (Method::DELETE, path),
            writes(Entity::Clock),
            Doc::new(TAG, "deleteTestClock", "Return to the world's clock"),
            remove,
        )
}

#[derive(Serialize)]
struct View {
    environment_id: EnvironmentId,
    /// `real`, `running` or `frozen`.
    mode: &'static str,
    now: Timestamp,
    next_due_at: Option<Timestamp>,
    /// A production environment; it has no test clock.
    live: bool,
}

fn view(call: &Call, standing: &Standing) -> View {
    View {
        environment_id: call.scope.environment,
        mode: match standing.clock {
            None => "real",
            Some(TestClock::Running { .. }) => "running",
            Some(TestClock::Frozen { .. }) => "frozen",
        },
        now: standing.now,
        next_due_at: standing.next_due,
        live: call.scope.live,
    }
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let standing = app.engine.clock_standing(&call.scope)?;
    Ok(Answer::ok(&view(&call, &standing)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachBody {
    at: Option<Timestamp>,
    #[serde(default)]
    frozen: bool,
}

async fn attach(app: App, call: Call) -> Result<Answer, Error> {
    let body: AttachBody = call.body()?;
    let plan = (body.at, body.frozen);
    let standing = app.engine.attach_clock(call.scope, call.cause(), plan).await?;
    Ok(Answer::created(&view(&call, &standing)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceBody {
    to: Option<Timestamp>,
    by: Option<String>,
}

async fn advance(app: App, call: Call) -> Result<Answer, Error> {
    let body: AdvanceBody = call.body()?;
    let standing = match (body.to, body.by) {
        (Some(to), None) => app.engine.set_clock(call.scope, call.cause(), to).await?,
        (None, Some(by)) => {
            let by_ms = parse_distance_ms(&by)
                .map_err(|error| Error::invalid("by", format!("by {error}")))?;
            app.engine.advance_clock(call.scope, call.cause(), by_ms).await?
        }
        _ => return Err(Error::invalid("to", "give either to, a time, or by, such as \"1d\"")),
    };
    Ok(Answer::ok(&view(&call, &standing)))
}

async fn remove(app: App, call: Call) -> Result<Answer, Error> {
    app.engine.remove_clock(call.scope, call.cause()).await?;
    Ok(Answer::nothing())
}
