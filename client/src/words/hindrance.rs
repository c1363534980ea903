//! What keeps Nix away is a difference, and the reason of who passes its checks all the same.

use crate::{Kind, Reason, WarningCode};

impl Reason {
    /// The difference that it is, of a target that passes its checks while Nix does not go there.
    pub fn hindrance(self) -> Option<WarningCode> {
        let mut codes = WarningCode::ALL.iter().copied();
        codes.find(|code| code.hinders() == Some(self))
    }
}

impl WarningCode {
    /// The reason of a target that Nix does not go to because of this; of two, the lesser one explains
    /// more. `None` for what keeps Nix from nothing.
    pub const fn hinders(self) -> Option<Reason> {
        match self {
            Self::NixConfBroken => Some(Reason::NixConfBroken),
            Self::MachinesFileBroken => Some(Reason::MachinesFileBroken),
            Self::DaemonConfigStale => Some(Reason::DaemonConfigStale),
            Self::DaemonConfigUnknown => Some(Reason::DaemonConfigUnknown),
            Self::SubstitutionOff => Some(Reason::SubstitutionOff),
            Self::BuildersDisabled => Some(Reason::BuildersDisabled),
            Self::SshMissing => Some(Reason::SshMissing),
            Self::AddressMoved => Some(Reason::AddressMoved),
            Self::NotInNixConf => Some(Reason::NotInNixConf),
            Self::NixVersion => Some(Reason::NixVersion),
            Self::BuilderWithoutSlots => Some(Reason::BuilderWithoutSlots),
            Self::HostKeyNotKnown => Some(Reason::HostKeyNotKnown),
            Self::StoreElsewhere => Some(Reason::StoreElsewhere),
            Self::ForeignBuildHook => Some(Reason::ForeignBuildHook),
            Self::Unknown
            | Self::NotVisible
            | Self::NotWatchable
            | Self::TooManyBuilders
            | Self::SshOptionIgnored
            | Self::HostKeyDiffers
            | Self::TwoHostKeys
            | Self::KeyNotTrusted
            | Self::AddressMismatch
            | Self::SshConfigMismatch
            | Self::HostKeyMismatch
            | Self::OtherCache
            | Self::NegativeCacheStale
            | Self::PositiveCacheStale
            | Self::FallbackOff
            | Self::LanCacheLast
            | Self::NotSteered
            | Self::StoreNearlyFull
            | Self::OnlyMandatory
            | Self::ConfigRejected => None,
        }
    }

    /// The kind of target of which Nix uses none because of this, or all where it has no part in it.
    pub fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::MachinesFileBroken
            | Self::BuildersDisabled
            | Self::SshMissing
            | Self::ForeignBuildHook => kind == Kind::Builder,
            Self::SubstitutionOff => kind == Kind::Cache,
            _ => true,
        }
    }
}
