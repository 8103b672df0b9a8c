//! What a build may have beyond what every node needs, and what of it an operator has asked for.

/// What to do that a node does only if it is built for it and told to: nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Whether it looks for nodes in the local network, and tells them of itself.
    #[cfg(feature = "mdns")]
    pub mdns: bool,
    /// Whether it asks a router to forward the port that it listens on.
    #[cfg(feature = "upnp")]
    pub upnp: bool,
    /// Whether it asks others to dial it, to learn whether it can be reached, and dials back for those who ask.
    #[cfg(feature = "autonat")]
    pub autonat: bool,
}

impl Features {
    /// All that there are, each with whether this build has it.
    pub const ALL: [(&str, bool); 3] = [
        ("mdns", cfg!(feature = "mdns")),
        ("upnp", cfg!(feature = "upnp")),
        ("autonat", cfg!(feature = "autonat")),
    ];
}
