//! What is true: values, bytes and rules of the ledger, without I/O, clock or chance.
