//! Why a movement of money is refused: a closed list, in the order in which rules are asked.

use crate::amount::Amount;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the wallet is stopped because its books do not balance")]
    WalletStopped,
    #[error("the wallet is closed")]
    WalletClosed,
    #[error("the wallet is frozen: it takes credits, but spends none")]
    WalletFrozen,
    #[error("the balance would leave the range that a wallet can hold (below 10^18)")]
    OutOfRange,
    #[error("the expiry {0} is not after now")]
    ExpiryInPast(Timestamp),
    #[error("the balance does not cover it: {required} needed, {available} available")]
    InsufficientBalance { required: Amount, available: Amount },
    #[error("there is no such hold on this wallet")]
    HoldNotFound,
    #[error("the hold is closed already")]
    HoldClosed,
    #[error("the hold has expired")]
    HoldExpired,
    #[error("the capture of {asked} exceeds the hold of {held}")]
    CaptureExceedsHold { asked: Amount, held: Amount },
    #[error("nothing of it is left to refund")]
    AlreadyRefunded,
    #[error("the refund of {asked} exceeds the {left} that are left of the charge")]
    RefundExceedsCharge { asked: Amount, left: Amount },
    #[error("{0} holds are open on this wallet: capture or release them first")]
    HoldsOpen(usize),
}
