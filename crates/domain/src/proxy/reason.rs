//! Why a request is blocked, and how each reason is told (paywalls 19.1, 19.2).
//!
//! The list is closed. What is written is in `blocked`.

use super::template::Template;
use super::usage::Protocol;
use crate::paywall::{Block, BlockStyle};

/// A reason, with the two kinds of `rate_limited` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    AuthorizationRequired,
    InsufficientBalance,
    /// Requests of a calendar day are used up: `rate_limited`.
    QuotaReached,
    /// Too many in a second or minute: `rate_limited`.
    RateLimited,
    ConcurrencyLimited,
    SpendCapReached,
    ModelNotAllowed,
    MaxCostExceeded,
    PolicyViolation,
    PaywallArchived,
    UserSuspended,
    ProviderNotConfigured,
    InvalidRequest,
}

/// Where a user can cure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    None,
    Consent,
    TopUp,
}

impl Reason {
    pub const ALL: [Reason; 13] = [
        Reason::AuthorizationRequired,
        Reason::InsufficientBalance,
        Reason::QuotaReached,
        Reason::RateLimited,
        Reason::ConcurrencyLimited,
        Reason::SpendCapReached,
        Reason::ModelNotAllowed,
        Reason::MaxCostExceeded,
        Reason::PolicyViolation,
        Reason::PaywallArchived,
        Reason::UserSuspended,
        Reason::ProviderNotConfigured,
        Reason::InvalidRequest,
    ];

    /// Where several refuse, the smallest rank is told (16.2).
    pub const fn rank(self) -> u8 {
        match self {
            Reason::InvalidRequest => 0,
            Reason::PaywallArchived => 1,
            Reason::UserSuspended => 2,
            Reason::ModelNotAllowed => 3,
            Reason::PolicyViolation => 4,
            Reason::ProviderNotConfigured => 5,
            Reason::AuthorizationRequired => 6,
            Reason::InsufficientBalance => 7,
            Reason::RateLimited => 8,
            Reason::ConcurrencyLimited => 9,
            Reason::QuotaReached => 10,
            Reason::SpendCapReached => 11,
            Reason::MaxCostExceeded => 12,
        }
    }

    /// The name in headers, events and the `paywall` object.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::AuthorizationRequired => "authorization_required",
            Reason::InsufficientBalance => "insufficient_balance",
            Reason::QuotaReached | Reason::RateLimited => "rate_limited",
            Reason::ConcurrencyLimited => "concurrency_limited",
            Reason::SpendCapReached => "spend_cap_reached",
            Reason::ModelNotAllowed => "model_not_allowed",
            Reason::MaxCostExceeded => "max_cost_exceeded",
            Reason::PolicyViolation => "policy_violation",
            Reason::PaywallArchived => "paywall_archived",
            Reason::UserSuspended => "user_suspended",
            Reason::ProviderNotConfigured => "provider_not_configured",
            Reason::InvalidRequest => "invalid_request",
        }
    }

    /// HTTP status of the error style.
    pub const fn status(self) -> u16 {
        match self {
            Reason::InsufficientBalance | Reason::SpendCapReached | Reason::MaxCostExceeded => 402,
            Reason::QuotaReached | Reason::RateLimited | Reason::ConcurrencyLimited => 429,
            Reason::ProviderNotConfigured => 503,
            Reason::InvalidRequest => 400,
            Reason::AuthorizationRequired
            | Reason::ModelNotAllowed
            | Reason::PolicyViolation
            | Reason::PaywallArchived
            | Reason::UserSuspended => 403,
        }
    }

    /// `error.code`
    pub const fn code(self) -> &'static str {
        if self.status() == 429 { "rate_limit_exceeded" } else { self.name() }
    }

    /// `error.type` of the protocol.
    pub const fn error_type(self, protocol: Protocol) -> &'static str {
        match (self.status(), protocol) {
            (402, Protocol::Messages) => "billing_error",
            (402, _) => "insufficient_quota",
            (403, _) => "permission_error",
            (429, _) => "rate_limit_error",
            (503, _) => "api_error",
            _ => "invalid_request_error",
        }
    }

    /// The text of the message style; `None` where the reason is always told as an error.
    pub const fn template(self) -> Option<Template> {
        match self {
            Reason::AuthorizationRequired => Some(Template::AuthorizationRequired),
            Reason::InsufficientBalance => Some(Template::InsufficientFunds),
            Reason::QuotaReached | Reason::SpendCapReached => Some(Template::LimitReached),
            Reason::ModelNotAllowed => Some(Template::ModelUnavailable),
            _ => None,
        }
    }

    pub const fn link(self) -> Link {
        match self {
            Reason::AuthorizationRequired => Link::Consent,
            Reason::InsufficientBalance | Reason::QuotaReached => Link::TopUp,
            _ => Link::None,
        }
    }

    /// How it is told: what the request wants, else what the paywall wants. Embeddings have no
    /// text to put a message in.
    pub fn style(
        self,
        protocol: Protocol,
        wanted: Option<BlockStyle>,
        block: &Block,
    ) -> BlockStyle {
        if self.template().is_none() || protocol == Protocol::Embeddings {
            return BlockStyle::Error;
        }
        let is_limit = matches!(self, Reason::QuotaReached | Reason::SpendCapReached);
        let of_limits = if is_limit { block.limit_style } else { None };
        wanted.or(of_limits).unwrap_or(block.style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_reasons() {
        use Template::{AuthorizationRequired, InsufficientFunds, LimitReached, ModelUnavailable};
        let table: [(&str, Option<Template>, u16, &str, Link); 13] = [
            (
                "authorization_required",
                Some(AuthorizationRequired),
                403,
                "authorization_required",
                Link::Consent,
            ),
            (
                "insufficient_balance",
                Some(InsufficientFunds),
                402,
                "insufficient_balance",
                Link::TopUp,
            ),
            ("rate_limited", Some(LimitReached), 429, "rate_limit_exceeded", Link::TopUp),
            ("rate_limited", None, 429, "rate_limit_exceeded", Link::None),
            ("concurrency_limited", None, 429, "rate_limit_exceeded", Link::None),
            ("spend_cap_reached", Some(LimitReached), 402, "spend_cap_reached", Link::None),
            ("model_not_allowed", Some(ModelUnavailable), 403, "model_not_allowed", Link::None),
            ("max_cost_exceeded", None, 402, "max_cost_exceeded", Link::None),
            ("policy_violation", None, 403, "policy_violation", Link::None),
            ("paywall_archived", None, 403, "paywall_archived", Link::None),
            ("user_suspended", None, 403, "user_suspended", Link::None),
            ("provider_not_configured", None, 503, "provider_not_configured", Link::None),
            ("invalid_request", None, 400, "invalid_request", Link::None),
        ];
        for (reason, row) in Reason::ALL.into_iter().zip(table) {
            let got =
                (reason.name(), reason.template(), reason.status(), reason.code(), reason.link());
            assert_eq!(got, row, "{reason:?}");
        }
        let mut ranks = Reason::ALL.map(Reason::rank);
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "no two are told at once");
    }

    #[test]
    fn styles_go_from_the_request_over_the_limits_to_the_paywall() {
        use BlockStyle::{Error, Message};
        let block = |style, limit_style| Block { style, limit_style, ..Block::default() };
        let table = [
            (Reason::InsufficientBalance, None, block(Message, Some(Error)), Message),
            (Reason::InsufficientBalance, Some(Error), block(Message, None), Error),
            (Reason::QuotaReached, None, block(Message, Some(Error)), Error),
            (Reason::QuotaReached, Some(Message), block(Error, Some(Error)), Message),
            (Reason::SpendCapReached, None, block(Error, None), Error),
            (Reason::RateLimited, Some(Message), block(Message, None), Error),
            (Reason::PaywallArchived, Some(Message), block(Message, None), Error),
        ];
        for (reason, wanted, block, style) in table {
            assert_eq!(reason.style(Protocol::Chat, wanted, &block), style, "{reason:?}");
        }
        let embeddings = Reason::InsufficientBalance.style(
            Protocol::Embeddings,
            Some(Message),
            &Block::default(),
        );
        assert_eq!(embeddings, Error);
    }
}
