//! What part an arm plays in a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Role {
    /// Without the hook: the other arms are compared with it.
    #[serde(rename = "baseline")]
    Baseline,
    /// The baseline once more. What it differs by is no effect of a hook.
    #[serde(rename = "baseline-2")]
    Baseline2,
    /// With the hook.
    #[serde(rename = "hooked")]
    Hooked,
    /// Any other.
    #[serde(rename = "other")]
    Other,
}

impl Role {
    const ALL: [Self; 4] = [Self::Baseline, Self::Baseline2, Self::Hooked, Self::Other];

    /// Its name in files. Where a role is played once, its arm is called so too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Baseline2 => "baseline-2",
            Self::Hooked => "hooked",
            Self::Other => "other",
        }
    }

    /// The role of an arm of which nothing but its name is known.
    pub fn of_arm(name: &str) -> Self {
        let role = Self::ALL.into_iter().find(|role| role.name() == name);
        role.unwrap_or(Self::Other)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_one_name_everywhere() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
            assert_eq!(Role::of_arm(role.name()), role);
        }
        assert_eq!(Role::of_arm("arm-3"), Role::Other);
    }
}
