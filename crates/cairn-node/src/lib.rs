//! What to do: the node as one deterministic state machine, without I/O.
