//! Whether a target is at some address.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{Context, Identity, builder, cache};
use crate::target::{SpecKind, TargetSpec};

/// What one target is known by, for as many addresses as there are: ssh_config, known_hosts and the
/// certificates of authorities are read once.
pub struct Identifier(Kind);

enum Kind {
    Builder(Box<builder::Identifier>),
    Cache(Box<cache::Identifier>),
}

impl Identifier {
    /// Of the target `spec`. It takes what asking ssh_config takes, which has a bound of its own.
    pub async fn new(spec: &TargetSpec, context: &Arc<Context>) -> Self {
        Self(match spec.kind {
            SpecKind::Builder(_) => {
                Kind::Builder(Box::new(builder::Identifier::new(spec, context).await))
            }
            SpecKind::Cache(_) => Kind::Cache(Box::new(cache::Identifier::new(spec, context))),
        })
    }

    /// The host and the port that the URI's own host stands for, where ssh_config has a say.
    pub fn leads_to(&self) -> Option<(&str, u16)> {
        match &self.0 {
            Kind::Builder(identifier) => identifier.leads_to(),
            Kind::Cache(_) => None,
        }
    }

    /// Whether the target is at `address`: one socket, closed before this returns. It takes no longer
    /// than `bound` and, from a builder that was proved, a good-bye of a quarter of a second; nothing
    /// where the target has no identity. Many may be asked at once.
    pub async fn identify(&self, address: SocketAddr, bound: Duration) -> Identity {
        match &self.0 {
            Kind::Builder(identifier) => identifier.identify(address, bound).await,
            Kind::Cache(identifier) => identifier.identify(address, bound).await,
        }
    }
}
