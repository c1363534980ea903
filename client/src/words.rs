//! The closed vocabularies of the bus.
//!
//! Each is an enum here and a kebab-case word on the bus and in JSON. A reader that meets a word
//! it does not know (a newer daemon) reads it as the vocabulary's first, neutral word.
//!
//! Programs read these words; sentences for people are apart from them (`reasons`, `warnings`).

mod closed;
mod hindrance;

pub(crate) use self::closed::words;

words! {
    /// What is watched: the two things a desktop offers to Nix.
    pub enum Kind {
        /// A binary cache, over HTTP.
        Cache = "cache",
        /// A machine that builds, over SSH.
        Builder = "builder",
    }
}

words! {
    /// Whose vocabulary the code of a root cause is from.
    pub enum CauseKind {
        /// [`TargetState`]'s: no reason is known.
        State = "state",
        /// [`Reason`]'s.
        Reason = "reason",
        /// [`WarningCode`]'s.
        Warning = "warning",
    }
}

words! {
    /// The verdict over one target.
    pub enum TargetState {
        /// Not judged since start, resume or a change of the network; or what would tell is done for
        /// who asks alone (`redirected`).
        Unknown = "unknown",
        /// Nix could use it now.
        Ready = "ready",
        /// It answers, but Nix could not make full use of it.
        Degraded = "degraded",
        /// It does not answer.
        Down = "down",
        /// This machine is on no network that reaches it.
        Away = "away",
        /// Nobody looks, because somebody asked for that.
        Paused = "paused",
    }
}

words! {
    /// The verdict over all targets, or over all of one kind.
    pub enum OverallState {
        /// Not judged yet, or nothing to judge.
        Unknown = "unknown",
        /// All are ready.
        Ready = "ready",
        /// Some are ready, or one answers without being of full use.
        Degraded = "degraded",
        /// None is ready.
        Offline = "offline",
        /// This machine is on no network that reaches any.
        Away = "away",
        /// Nobody looks, because somebody asked for that.
        Paused = "paused",
    }
}

words! {
    /// How far a check came: the stage that failed, or the last one that passed.
    pub enum Stage {
        /// Nothing was tried yet.
        None = "",
        /// The name becomes addresses (and, for a builder, what ssh_config says of it).
        Resolve = "resolve",
        /// A TCP connection, or the proxy command's pipe.
        Connect = "connect",
        /// Cache: the TLS handshake.
        Tls = "tls",
        /// Cache: a well-formed HTTP answer with status 200.
        Http = "http",
        /// Cache: `nix-cache-info` as Nix would accept it.
        CacheInfo = "cache-info",
        /// Cache: the signature over a path this machine knows.
        Signature = "signature",
        /// Builder: the SSH identification line.
        Banner = "banner",
        /// Builder: the key exchange and the host key.
        HostKey = "host-key",
        /// Builder: authentication with the key Nix would use.
        Auth = "auth",
        /// Builder: Nix's own protocol on the other side.
        Handshake = "handshake",
        /// Builder: the remote Nix trusts the user.
        Trust = "trust",
        /// Builder: it builds for the systems and features promised.
        System = "system",
        /// Builder: a test build.
        Build = "build",
    }
}

words! {
    /// Why a state is what it is: one code per cause that can be told apart.
    ///
    /// [`crate::reasons`] has the words for people.
    pub enum Reason {
        /// Nothing is wrong, or the word is a newer daemon's.
        None = "",
        /// Nothing to watch: neither Nix nor offloadd is configured to use a desktop.
        NotConfigured = "not-configured",
        /// The name has no address, or the resolver did not answer.
        DnsFailed = "dns-failed",
        /// The machine answered that nothing listens on that port, or cut the connection.
        Refused = "refused",
        /// Nothing came back in time.
        TimedOut = "timed-out",
        /// This machine has no route to that address.
        NoRoute = "no-route",
        /// A router, or the missing ARP answer, says that the machine is not there.
        HostUnreachable = "host-unreachable",
        /// The connection was cut in the middle of an exchange.
        ConnectionLost = "connection-lost",
        /// This machine lacked what the check takes: files, threads or memory. No target is down for it.
        OutOfResources = "out-of-resources",
        /// The TLS handshake failed: certificate, name or version.
        TlsFailed = "tls-failed",
        /// The answer is not HTTP.
        NotHttp = "not-http",
        /// The HTTP status is not 200.
        HttpStatus = "http-status",
        /// The cache sends on to another host, which is not followed unasked.
        Redirected = "redirected",
        /// A file that offloadd may not read, and Nix may, would change what was answered.
        NotVisible = "not-visible",
        /// A page came back instead of `nix-cache-info`.
        CaptivePortal = "captive-portal",
        /// `nix-cache-info` can't be read: too large, or its lines are not Nix's.
        CacheInfoInvalid = "cache-info-invalid",
        /// The cache serves another store directory.
        StoreDirMismatch = "store-dir-mismatch",
        /// What answers is not an SSH server.
        NotSsh = "not-ssh",
        /// The two sides share no algorithm, or the exchange broke the protocol.
        SshProtocol = "ssh-protocol",
        /// No host key is known for this builder.
        HostKeyUnknown = "host-key-unknown",
        /// Whether the host key is known stands in a file that offloadd may not read.
        KnownHostsUnreadable = "known-hosts-unreadable",
        /// The host key is not the one that is known.
        HostKeyMismatch = "host-key-mismatch",
        /// The server turns this machine away before it is asked anything, for too many failed logins.
        TurnedAway = "turned-away",
        /// The builder does not accept the key.
        AuthRejected = "auth-rejected",
        /// The builder knows the key, and ends the login all the same.
        LoginRefused = "login-refused",
        /// The SSH key can't be read: missing, not permitted, encrypted or not a key.
        KeyUnreadable = "key-unreadable",
        /// The proxy command of ssh_config ended or could not be started.
        ProxyFailed = "proxy-failed",
        /// ssh_config, as it is, keeps ssh from doing what Nix asks of it.
        SshConfigPrevents = "ssh-config-prevents",
        /// Whether ssh would get there hangs on what offloadd does not do.
        SshConfigUnsupported = "ssh-config-unsupported",
        /// Nix's program is not on the builder, or not on the path of the user who logs in.
        NixMissing = "nix-missing",
        /// Nix is there, and its daemon does not answer it.
        NixDaemonDown = "nix-daemon-down",
        /// Something prints into the stream before Nix does: a shell profile.
        ProfileOutput = "profile-output",
        /// Another program answers in Nix's place: a forced command or a login shell.
        NotNix = "not-nix",
        /// Nix answers, and the two share no version of the protocol, or it breaks it.
        ProtocolMismatch = "protocol-mismatch",
        /// The builder's Nix does not trust the user who logs in.
        NotTrusted = "not-trusted",
        /// It does not build for a system that the machines entry promises.
        SystemMissing = "system-missing",
        /// It does not have a feature that the machines entry promises.
        FeatureMissing = "feature-missing",
        /// The cache's narinfo can't be read: too large, or its lines are not Nix's.
        NarinfoInvalid = "narinfo-invalid",
        /// The cache has a narinfo whose NAR it has not, or not as that says.
        NarMissing = "nar-missing",
        /// Nix itself says that it does not get there.
        NixDeclines = "nix-declines",
        /// What the cache serves carries no signature.
        Unsigned = "unsigned",
        /// What the cache serves is signed with a key that Nix does not trust, or wrongly.
        UntrustedSignature = "untrusted-signature",
        /// The builder's store has no room left.
        StoreFull = "store-full",
        /// A test build failed.
        BuildFailed = "build-failed",
        /// A test build ran on this machine.
        BuiltLocally = "built-locally",
        /// A test build ran on another builder than the one that was asked.
        BuiltElsewhere = "built-elsewhere",
        /// All of the builder's slots are in use, so that a test build could not begin.
        BuilderFull = "builder-full",
        /// Somebody paused the checks.
        Paused = "paused",
        // What keeps Nix from a target that passes its checks, in the order of what explains most.
        /// Nix refuses its nix.conf.
        NixConfBroken = "nix-conf-broken",
        /// Nix does all its work in another machine's store.
        StoreElsewhere = "store-elsewhere",
        /// Nix drops the whole list of builders.
        MachinesFileBroken = "machines-file-broken",
        /// nix-daemon goes by an older nix.conf, by which it does not use it.
        DaemonConfigStale = "daemon-config-stale",
        /// nix-daemon goes by an older nix.conf, and nobody knows what that said.
        DaemonConfigUnknown = "daemon-config-unknown",
        /// `substitute` is off: Nix uses no cache.
        SubstitutionOff = "substitution-off",
        /// `builders` is empty: Nix uses no builder.
        BuildersDisabled = "builders-disabled",
        /// Nix finds no ssh: it uses no builder.
        SshMissing = "ssh-missing",
        /// It answers at another address than the one that Nix goes to.
        AddressMoved = "address-moved",
        /// Nix is not configured to use it.
        NotInNixConf = "not-in-nix-conf",
        /// This machine's version of Nix does not read its entry as it is meant.
        NixVersion = "nix-version",
        /// Its entry gives it no jobs.
        BuilderWithoutSlots = "builder-without-slots",
        /// Nix's ssh would refuse it, because it knows no host key of it.
        HostKeyNotKnown = "host-key-not-known",
        /// Nix has another program say where builds go: only a test build shows whether they go there.
        ForeignBuildHook = "foreign-build-hook",
    }
}

words! {
    /// What becomes of a job.
    pub enum JobState {
        /// A newer daemon's word.
        Unknown = "unknown",
        /// It is under way.
        Running = "running",
        /// It came to its end, and did what it was for.
        Succeeded = "succeeded",
        /// It came to nothing; its reason says why.
        Failed = "failed",
        /// Somebody ended it.
        Cancelled = "cancelled",
    }
}

words! {
    /// Differences and faults that are no target's state.
    ///
    /// [`crate::warnings`] has the words for people.
    pub enum WarningCode {
        /// A newer daemon's warning.
        Unknown = "unknown",
        /// Nix itself would refuse its nix.conf, or it can't be read.
        NixConfBroken = "nix-conf-broken",
        /// One bad line makes Nix drop the whole list of builders.
        MachinesFileBroken = "machines-file-broken",
        /// `store` names another machine's store, in which Nix does all its work.
        StoreElsewhere = "store-elsewhere",
        /// `build-hook` names another program than Nix's own, which says where builds go.
        ForeignBuildHook = "foreign-build-hook",
        /// The builder's store has little room left.
        StoreNearlyFull = "store-nearly-full",
        /// Every builder takes only builds that ask for its mandatory features: ordinary ones stay here.
        OnlyMandatory = "only-mandatory",
        /// This account may not read a file that root's Nix reads: what stands there is not judged.
        NotVisible = "not-visible",
        /// This machine's version of Nix does not read what stands there as it is meant.
        NixVersion = "nix-version",
        /// `maxJobs` of a builder is 0: Nix never sends it a build.
        BuilderWithoutSlots = "builder-without-slots",
        /// A substituter or builder that can't be watched, and why.
        NotWatchable = "not-watchable",
        /// Nix is configured with more builders than are watched.
        TooManyBuilders = "too-many-builders",
        /// ssh_config asks for something that offloadd does not do.
        SshOptionIgnored = "ssh-option-ignored",
        /// Nix and offloadd's configuration name different host keys for one builder.
        HostKeyDiffers = "host-key-differs",
        /// Two lines of Nix's list of builders name different host keys for one builder.
        TwoHostKeys = "two-host-keys",
        /// offloadd's configuration names a signing key that Nix does not trust.
        KeyNotTrusted = "key-not-trusted",
        /// offloadd's configuration and Nix's name different addresses for one target.
        AddressMismatch = "address-mismatch",
        /// The desktop is at another address than the one Nix is configured with.
        AddressMoved = "address-moved",
        /// offloadd's configuration names a target that Nix does not use.
        NotInNixConf = "not-in-nix-conf",
        /// `builders` is empty, so that Nix uses none of those it was given.
        BuildersDisabled = "builders-disabled",
        /// Nix finds no ssh on its `PATH`, so that it reaches none of its builders.
        SshMissing = "ssh-missing",
        /// `substitute` is off, so that Nix uses none of the caches it was given.
        SubstitutionOff = "substitution-off",
        /// nix-daemon has an older nix.conf than the one that is there.
        DaemonConfigStale = "daemon-config-stale",
        /// nix-daemon has an older nix.conf than the one that is there, and nobody knows what that said.
        DaemonConfigUnknown = "daemon-config-unknown",
        /// ssh_config sends Nix's ssh elsewhere than the configuration says.
        SshConfigMismatch = "ssh-config-mismatch",
        /// Nix's ssh would refuse the builder, because it knows no host key of it.
        HostKeyNotKnown = "host-key-not-known",
        /// Another machine answers at an address of the builder; the builder itself is elsewhere.
        HostKeyMismatch = "host-key-mismatch",
        /// Something else answers at an address of the cache; the cache itself is elsewhere.
        OtherCache = "other-cache",
        /// Nix remembers that a path is not in the cache, and it is.
        NegativeCacheStale = "negative-cache-stale",
        /// Nix remembers that a path is in the cache, and it is not any more.
        PositiveCacheStale = "positive-cache-stale",
        /// `fallback` is off, and a cache of this network is used: its absence fails builds.
        FallbackOff = "fallback-off",
        /// A cache of this network is the last that Nix asks, so that its absence is fatal.
        LanCacheLast = "lan-cache-last",
        /// Steering is on, and Nix goes to this target by itself all the same.
        NotSteered = "not-steered",
        /// The configuration was changed but has an error: the old one is in force.
        ConfigRejected = "config-rejected",
    }
}

impl TargetState {
    /// Whether Nix could use the target now.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }
}

impl OverallState {
    /// Whether everything is ready.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }
}

#[cfg(test)]
mod tests;
