//! The limits that hold for a session: the policy's, and the client secret's where those are tighter.

use std::time::Duration;

use crate::secret::claims::Limits;

/// Who set a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetBy {
    /// The configuration.
    Policy,
    /// Whoever minted the client secret.
    Secret,
}

/// A limit that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound<T> {
    /// The most that is allowed.
    pub value: T,
    /// Whose it is; the policy's where both say the same.
    pub set_by: SetBy,
}

/// The limits that hold for a session; `None` is unlimited.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// How long it may last.
    pub max_duration: Option<Bound<Duration>>,
    /// How many tokens it may use.
    pub max_tokens: Option<Bound<u64>>,
    /// What it may cost, in millionths of a US dollar.
    pub max_cost_micro_usd: Option<Bound<u64>>,
}

impl Bounds {
    /// The tighter of each two limits: a secret's can lower the policy's, never raise it.
    pub fn tightest(policy: &Limits, secret: &Limits) -> Self {
        Self {
            max_duration: tighter(policy.max_duration, secret.max_duration),
            max_tokens: tighter(policy.max_tokens, secret.max_tokens),
            max_cost_micro_usd: tighter(policy.max_cost_micro_usd, secret.max_cost_micro_usd),
        }
    }
}

fn tighter<T: Ord>(policy: Option<T>, secret: Option<T>) -> Option<Bound<T>> {
    match (policy, secret) {
        (Some(policy), Some(secret)) if secret < policy => Some(Bound { value: secret, set_by: SetBy::Secret }),
        (Some(value), _) => Some(Bound { value, set_by: SetBy::Policy }),
        (None, Some(value)) => Some(Bound { value, set_by: SetBy::Secret }),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_can_only_tighten() {
        let (by_policy, by_secret) = (
            |value| Some(Bound { value, set_by: SetBy::Policy }),
            |value| Some(Bound { value, set_by: SetBy::Secret }),
        );
        for (policy, secret, want) in [
            (None, None, None),
            (Some(5), None, by_policy(5)),
            (None, Some(5), by_secret(5)),
            (Some(5), Some(4), by_secret(4)),
            (Some(5), Some(5), by_policy(5)),
            (Some(5), Some(6), by_policy(5)),
        ] {
            assert_eq!(tighter(policy, secret), want, "{policy:?} {secret:?}");
        }
    }

    #[test]
    fn each_limit_is_compared_with_its_own_kind() {
        let limits = |seconds, max_tokens, max_cost_micro_usd| Limits {
            max_duration: Some(Duration::from_secs(seconds)),
            max_tokens: Some(max_tokens),
            max_cost_micro_usd: Some(max_cost_micro_usd),
        };
        let bounds = Bounds::tightest(&limits(10, 200, 3000), &limits(20, 100, 3000));
        assert_eq!(bounds.max_duration, Some(Bound { value: Duration::from_secs(10), set_by: SetBy::Policy }));
        assert_eq!(bounds.max_tokens, Some(Bound { value: 100, set_by: SetBy::Secret }));
        assert_eq!(bounds.max_cost_micro_usd, Some(Bound { value: 3000, set_by: SetBy::Policy }));
    }
}
