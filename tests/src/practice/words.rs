//! What the practice desktop can be told to do, and the laptop beside it.

use crate::{
    Result,
    fake::{Desktop, Fault},
    ground::{HERE, MOVED},
};

/// One thing to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Stops both services.
    Stop,
    /// Heals: starts them.
    Start,
    /// Hangs the machine.
    Freeze,
    /// Heals: lets it go on.
    Thaw,
    /// Takes the machine off the network.
    Vanish,
    /// Heals: puts it back.
    Appear,
    /// Gives it another address.
    Move,
    /// Gives it its old address.
    Back,
    /// Lets the laptop's Nix follow it.
    Steer,
    /// Lets the laptop's Nix go by its files again.
    Unsteer,
    /// Gives it another host key.
    SwapKey,
    /// Heals: gives it its old host key.
    OldKey,
    /// Takes the user's key out of `authorized_keys`.
    RefuseKey,
    /// Heals: puts it back.
    AcceptKey,
    /// Puts a login page in front of the cache.
    Portal,
    /// Lets the cache serve another store directory.
    WrongStore,
    /// Lets the cache answer 503.
    Error,
    /// Stops the nix-daemon behind sshd.
    StopNixDaemon,
    /// Heals: starts it again.
    StartNixDaemon,
    /// Takes the builder's user out of `trusted-users`.
    Untrust,
    /// Heals: puts it back.
    Trust,
    /// Takes Nix off the path.
    NoNix,
    /// Lets the user's profile print.
    EchoProfile,
    /// Forces another command on the user.
    ForceCommand,
    /// Installs a Nix of another age.
    OldNix,
    /// Lets it build for another system.
    WrongSystem,
    /// Takes `kvm` from its features.
    NoKvm,
    /// Lets the cache serve without a signature.
    Unsign,
    /// Lets the cache sign with another key.
    ForeignKey,
    /// Lets noise come out of both ports.
    Garbage,
    /// Cuts each connection as it is made.
    Cut,
    /// Lets answers drip, byte by byte.
    Slow,
    /// All healthy, at the old address.
    Reset,
}

impl Word {
    /// All of them, in the order in which a newcomer best meets them.
    pub const ALL: [Self; 33] = [
        Self::Stop,
        Self::Start,
        Self::Move,
        Self::Steer,
        Self::Back,
        Self::Unsteer,
        Self::Freeze,
        Self::Thaw,
        Self::SwapKey,
        Self::OldKey,
        Self::RefuseKey,
        Self::AcceptKey,
        Self::Portal,
        Self::WrongStore,
        Self::Error,
        Self::StopNixDaemon,
        Self::StartNixDaemon,
        Self::Untrust,
        Self::Trust,
        Self::NoNix,
        Self::EchoProfile,
        Self::ForceCommand,
        Self::OldNix,
        Self::WrongSystem,
        Self::NoKvm,
        Self::Unsign,
        Self::ForeignKey,
        Self::Garbage,
        Self::Cut,
        Self::Vanish,
        Self::Appear,
        Self::Slow,
        Self::Reset,
    ];

    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Vanish => "vanish",
            Self::Appear => "appear",
            Self::Move => "move",
            Self::Back => "back",
            Self::Steer => "steer",
            Self::Unsteer => "unsteer",
            Self::SwapKey => "swap-key",
            Self::OldKey => "old-key",
            Self::RefuseKey => "refuse-key",
            Self::AcceptKey => "accept-key",
            Self::Portal => "portal",
            Self::WrongStore => "wrong-store",
            Self::Error => "error",
            Self::StopNixDaemon => "stop-nix-daemon",
            Self::StartNixDaemon => "start-nix-daemon",
            Self::Untrust => "untrust",
            Self::Trust => "trust",
            Self::NoNix => "no-nix",
            Self::EchoProfile => "echo-profile",
            Self::ForceCommand => "force-command",
            Self::OldNix => "old-nix",
            Self::WrongSystem => "wrong-system",
            Self::NoKvm => "no-kvm",
            Self::Unsign => "unsign",
            Self::ForeignKey => "foreign-key",
            Self::Garbage => "garbage",
            Self::Cut => "cut",
            Self::Slow => "slow",
            Self::Reset => "reset",
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }

    /// What it does to the desktop or the laptop.
    pub const fn deed(self) -> &'static str {
        match self {
            Self::Stop => "stops the cache and sshd",
            Self::Start => "starts the cache and sshd again",
            Self::Freeze => "hangs the desktop: connections stand, and are silent",
            Self::Thaw => "lets it go on",
            Self::Vanish => "takes it off the network, without even a refusal",
            Self::Appear => "puts it back on the network",
            Self::Move => "moves it from 127.0.15.6 to 127.0.15.7",
            Self::Back => "moves it back to 127.0.15.6",
            Self::Steer => "lets the laptop's Nix follow it",
            Self::Unsteer => "lets Nix go by its own files again",
            Self::SwapKey => "gives it another host key, as after a reinstallation",
            Self::OldKey => "gives it its old host key again",
            Self::RefuseKey => "takes the laptop's key out of authorized_keys",
            Self::AcceptKey => "puts the laptop's key back",
            Self::Portal => "puts a hotel's login page in front of the cache",
            Self::WrongStore => "lets the cache serve another store than /nix/store",
            Self::Error => "lets the cache answer with status 503",
            Self::StopNixDaemon => "stops nix-daemon; sshd goes on",
            Self::StartNixDaemon => "starts nix-daemon again",
            Self::Untrust => "takes nix-builder out of trusted-users",
            Self::Trust => "puts nix-builder back into trusted-users",
            Self::NoNix => "takes Nix off the path that SSH gives",
            Self::EchoProfile => "lets the user's profile print a greeting",
            Self::ForceCommand => "forces another command on whoever logs in",
            Self::OldNix => "installs a Nix of another age",
            Self::WrongSystem => "lets it build for aarch64-linux instead",
            Self::NoKvm => "takes kvm out of its system-features",
            Self::Unsign => "lets the cache serve without signatures",
            Self::ForeignKey => "lets the cache sign with another key",
            Self::Garbage => "lets noise come out of both ports",
            Self::Cut => "resets each connection as soon as it is made",
            Self::Slow => "lets every answer drip, one byte at a time",
            Self::Reset => "mends everything, as it was at first",
        }
    }

    /// The fault that is in force afterwards; `None` where it stays what it is.
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::Move | Self::Back | Self::Steer | Self::Unsteer => None,
            Self::Start
            | Self::Thaw
            | Self::Appear
            | Self::OldKey
            | Self::AcceptKey
            | Self::StartNixDaemon
            | Self::Trust
            | Self::Reset => Some(Fault::Healthy),
            Self::Stop => Some(Fault::Refuse),
            Self::Freeze => Some(Fault::Silent),
            Self::Vanish => Some(Fault::BlackHole),
            Self::SwapKey => Some(Fault::SwappedHostKey),
            Self::RefuseKey => Some(Fault::RefusedKey),
            Self::Portal => Some(Fault::CaptivePortal),
            Self::WrongStore => Some(Fault::WrongStoreDir),
            Self::Error => Some(Fault::Status(503)),
            Self::StopNixDaemon => Some(Fault::NixDaemonDown),
            Self::Untrust => Some(Fault::Untrusted),
            Self::NoNix => Some(Fault::NoNix),
            Self::EchoProfile => Some(Fault::ProfileOutput),
            Self::ForceCommand => Some(Fault::NotNix),
            Self::OldNix => Some(Fault::OldNix),
            Self::WrongSystem => Some(Fault::SystemMissing),
            Self::NoKvm => Some(Fault::FeatureMissing),
            Self::Unsign => Some(Fault::Unsigned),
            Self::ForeignKey => Some(Fault::ForeignKey),
            Self::Garbage => Some(Fault::Garbage),
            Self::Cut => Some(Fault::Reset),
            Self::Slow => Some(Fault::SlowDrip),
        }
    }

    /// Whether it mends rather than breaks.
    pub const fn heals(self) -> bool {
        matches!(self.fault(), Some(Fault::Healthy))
            || matches!(self, Self::Back | Self::Steer | Self::Unsteer)
    }

    /// Whether the laptop's Nix follows the desktop afterwards; `None` where it stays as it is.
    pub const fn steers(self) -> Option<bool> {
        match self {
            Self::Steer => Some(true),
            Self::Unsteer | Self::Reset => Some(false),
            _ => None,
        }
    }

    /// The word that mends what this one breaks; itself where it mends.
    pub const fn remedy(self) -> Self {
        match self {
            Self::Stop => Self::Start,
            Self::Freeze => Self::Thaw,
            Self::Vanish => Self::Appear,
            Self::Move => Self::Back,
            Self::SwapKey => Self::OldKey,
            Self::RefuseKey => Self::AcceptKey,
            Self::StopNixDaemon => Self::StartNixDaemon,
            Self::Untrust => Self::Trust,
            Self::Portal
            | Self::WrongStore
            | Self::Error
            | Self::NoNix
            | Self::EchoProfile
            | Self::ForceCommand
            | Self::OldNix
            | Self::WrongSystem
            | Self::NoKvm
            | Self::Unsign
            | Self::ForeignKey
            | Self::Garbage
            | Self::Cut
            | Self::Slow => Self::Reset,
            healing => healing,
        }
    }

    /// Does to the desktop what there is to do to it.
    ///
    /// # Errors
    /// When an address can't be bound, because another program took it meanwhile.
    pub async fn apply(self, desktop: &Desktop) -> Result<()> {
        match self {
            Self::Move => desktop.move_to(MOVED).await?,
            Self::Back | Self::Reset => desktop.move_to(HERE).await?,
            _ => {}
        }
        match self.fault() {
            Some(fault) => desktop.set(fault).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::ground::free_address;

    #[test]
    fn every_word_reads_back_as_itself_and_has_a_remedy_that_heals() {
        for word in Word::ALL {
            assert_eq!(Word::parse(word.as_str()), Some(word));
            assert!(word.remedy().heals(), "{word:?}");
        }
        assert_eq!(Word::parse("explode"), None);
    }

    #[tokio::test]
    async fn words_change_the_desktop_and_reset_undoes_them_all() {
        let any = SocketAddr::new(HERE, 0);
        let desktop = Desktop::start(any, free_address().unwrap()).await.unwrap();
        for word in Word::ALL {
            word.apply(&desktop).await.unwrap();
            if let Some(fault) = word.fault() {
                assert_eq!(desktop.cache.fault(), fault);
                assert_eq!(desktop.ssh.fault(), fault);
            }
        }
        Word::Move.apply(&desktop).await.unwrap();
        Word::Stop.apply(&desktop).await.unwrap();
        assert_eq!(desktop.ssh.address().ip(), MOVED);
        Word::Reset.apply(&desktop).await.unwrap();
        assert_eq!(desktop.ssh.address().ip(), HERE);
        assert_eq!(desktop.cache.fault(), Fault::Healthy);
    }
}
