//! Links as an owner sees them, over sockets and in memory, with peers that mean well and others.

#[cfg(feature = "autonat")]
mod autonat;
mod bulk;
mod defence;
mod encryption;
mod links;
mod support;
mod vectors;
mod yamux;
