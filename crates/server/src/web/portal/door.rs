//! In and out of the portal: the link with the token, which becomes a cookie, and leaving.

use axum::http::{Method, StatusCode};
use engine::Error;

use super::super::cookies;
use super::super::visit::redirect;
use super::frame;
use super::visit::{Pages, Shown, Visit, is_secure};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::route::{Access, Routes};
use crate::http::spec::Doc;

pub fn routes() -> Routes {
    let doc = Doc::new("Portal", "openPortal", "Follow a link into the portal");
    let open_at = (Method::GET, "/portal/open/{token}");
    let open = Routes::default().add(open_at, Access::Public, doc, open);
    open.merge(Pages::default().post("/portal/leave", leave).into_routes())
}

/// The address with the token is left at once, so that it is kept nowhere.
async fn open(app: App, call: Call) -> Result<Answer, Error> {
    let token: String = call.path("token", "link")?;
    match app.engine.portal_visitor(&token) {
        Ok(_) => {
            let to = redirect("/portal").with("referrer-policy", "no-referrer");
            Ok(cookies::with_portal(to, &token, is_secure(&app)))
        }
        Err(error) => Ok(frame::outside(&error)),
    }
}

async fn leave(visit: Visit) -> Result<Shown, Error> {
    visit.app.engine.leave_portal(&visit.visitor).await?;
    let page = frame::closed(StatusCode::OK, "You have left.", "The link opens nothing any more.");
    Ok(Shown::Raw(cookies::without_portal(page, visit.is_secure())))
}
