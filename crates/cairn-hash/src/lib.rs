//! How bytes are hashed: SHA-256, one and many at a time, and the search for work.
