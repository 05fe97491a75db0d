//! The client of one request: it waits for the head of its answer, then reads a stream, and may
//! leave at any time. Nothing is kept for it: whoever sends waits until it has read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use engine::Error;
use hyper::body::Frame;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::http::answer::Answer;

/// Reads that wait for the client.
const READS_MAX: usize = 4;

type Outcome = Result<Answer, Error>;

pub enum Client {
    Waiting(oneshot::Sender<Outcome>),
    Reading(mpsc::Sender<Sent>),
    Gone(Instant),
}

/// What is sent at once.
pub enum Sent {
    Piece(Bytes),
    Trailers(HeaderMap),
}

/// The body of a stream's answer.
struct Relayed {
    receiver: mpsc::Receiver<Sent>,
}

impl Client {
    pub fn is_waiting(&self) -> bool {
        matches!(self, Client::Waiting(_))
    }

    /// Since when it is gone.
    pub fn gone_at(&self) -> Option<Instant> {
        match self {
            Client::Gone(at) => Some(*at),
            Client::Waiting(_) | Client::Reading(_) => None,
        }
    }

    pub fn is_gone(&self) -> bool {
        match self {
            Client::Waiting(sender) => sender.is_closed(),
            Client::Reading(sender) => sender.is_closed(),
            Client::Gone(_) => true,
        }
    }

    pub fn leave(&mut self) {
        if self.gone_at().is_none() {
            *self = Client::Gone(Instant::now());
        }
    }

    /// Ends when the client leaves; never, once it has left.
    pub async fn left(&mut self) {
        match self {
            Client::Waiting(sender) => sender.closed().await,
            Client::Reading(sender) => sender.closed().await,
            Client::Gone(_) => std::future::pending().await,
        }
    }

    /// What the work gives, unless the client leaves and so much time goes by.
    pub async fn unless_left<T>(
        &mut self,
        drain: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let left = async {
            self.left().await;
            sleep(drain).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = left => None,
        }
    }

    /// The whole answer, to a client that waits for it.
    pub fn answer(self, outcome: Outcome) {
        if let Client::Waiting(sender) = self {
            drop(sender.send(outcome));
        }
    }

    /// The head of a stream's answer; pieces follow.
    pub fn begin(&mut self, head: Response<()>) {
        let (sender, receiver) = mpsc::channel(READS_MAX);
        let before = std::mem::replace(self, Client::Reading(sender));
        let body = Relayed { receiver };
        before.answer(Ok(Answer::Raw(Box::new(head.map(|()| Body::new(body))))));
    }

    /// Waits until there is room; a client that has not read by the end of `patience` has left.
    pub async fn send(&mut self, sent: Sent, patience: impl Future<Output = ()>) {
        let Client::Reading(sender) = self else { return };
        let sent = match sender.try_send(sent) {
            Ok(()) => return,
            Err(TrySendError::Closed(_)) => return self.leave(),
            Err(TrySendError::Full(sent)) => sent,
        };
        let was_sent = tokio::select! {
            biased;
            done = sender.send(sent) => done.is_ok(),
            () = patience => false,
        };
        if !was_sent {
            self.leave();
        }
    }
}

impl hyper::body::Body for Relayed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = |sent| match sent {
            Sent::Piece(piece) => Ok(Frame::data(piece)),
            Sent::Trailers(trailers) => Ok(Frame::trailers(trailers)),
        };
        self.receiver.poll_recv(context).map(|sent| sent.map(frame))
    }
}
