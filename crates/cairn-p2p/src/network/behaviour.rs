//! What the swarm is made of: the streams, and beside them what a feature adds.

use super::LinkKey;
use super::settings::Settings;
use super::shared::Shared;
use crate::limits::Gate;
use crate::streams::Streams;
use crate::transport::SetUps;
use std::sync::Arc;
#[cfg(feature = "autonat")]
use {
    crate::autonat::{Asks, DialsBack},
    crate::streams::StreamEvent,
    libp2p_swarm::NetworkBehaviour,
    libp2p_swarm::behaviour::toggle::Toggle,
};

/// The streams alone.
#[cfg(not(feature = "autonat"))]
pub(crate) type Behaviour = Streams;

/// The streams, and both sides of AutoNAT where the owner wants them.
#[cfg(feature = "autonat")]
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude", to_swarm = "StreamEvent")]
pub(crate) struct Behaviour {
    // The first: it counts a connection before the others see it.
    pub(crate) streams: Streams,
    pub(crate) asks: Toggle<Asks>,
    pub(crate) dials_back: Toggle<DialsBack>,
}

impl super::driver::Driver {
    pub(super) fn streams(&mut self) -> &mut Streams {
        let behaviour = self.swarm.behaviour_mut();
        #[cfg(feature = "autonat")]
        let behaviour = &mut behaviour.streams;
        behaviour
    }
}

/// What a network with these settings is made of.
pub(super) fn build(settings: &Settings, set_ups: SetUps, shared: &Arc<Shared>) -> Behaviour {
    let links = Arc::clone(shared);
    let is_greeted = move |connection| links.is_linked(LinkKey::Swarm(connection));
    let gate = Gate::new(settings.limits, shared.id, is_greeted);
    let streams = Streams::new(&settings.identity, gate, set_ups, Arc::clone(shared));
    #[cfg(feature = "autonat")]
    let streams = Behaviour {
        streams,
        asks: settings.features.autonat.then(|| Asks::new(Arc::clone(shared))).into(),
        dials_back: settings.features.autonat.then(|| DialsBack::new(Arc::clone(shared))).into(),
    };
    streams
}
