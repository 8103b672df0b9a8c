//! What is kept: the block log and the state database.
