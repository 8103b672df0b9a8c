//! The bytes of `docs/spec/11-wire.md`, as another program wrote them from that page.
