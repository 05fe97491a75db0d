//! Where a request comes in: a route whose path names nothing is found by one look-up, which is
//! what paywalled calls and charges are; `axum`'s router knows the others.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response};
use axum::routing::future::RouteFuture;
use tower::Service;

use super::route::{Known, Routes, router, serve};
use crate::app::App;

/// The HTTP service of this process; cloning it shares it.
#[derive(Clone)]
pub struct Entrance {
    app: App,
    /// Of the method POST, by path.
    exact: Arc<HashMap<&'static str, Known>>,
    others: Router,
}

/// A response under way.
pub enum Answering {
    Exact(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Routed(Box<RouteFuture<Infallible>>),
}

impl Entrance {
    pub fn new(routes: Routes, app: App) -> Entrance {
        let known: Vec<Known> = routes.all.into_iter().map(Known::of).collect();
        let exact = known
            .iter()
            .filter(|known| known.route.method == Method::POST && !known.route.path.contains('{'));
        let exact = exact.map(|known| (known.route.path, known.clone())).collect();
        let others = router(known, app.clone());
        Entrance { app, exact: Arc::new(exact), others }
    }
}

impl Service<Request> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As with the router: it is ready at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        let known = Some(request.method()).filter(|method| **method == Method::POST);
        match known.and_then(|_| self.exact.get(request.uri().path())) {
            Some(known) => {
                let (app, known) = (self.app.clone(), known.clone());
                let names = HashMap::new();
                Answering::Exact(Box::pin(serve(app, known, (names, request))))
            }
            None => Answering::Routed(Box::new(self.others.call(request))),
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answering::Exact(work) => work.as_mut().poll(context).map(Ok),
            Answering::Routed(routed) => Pin::new(routed.as_mut()).poll(context),
        }
    }
}
