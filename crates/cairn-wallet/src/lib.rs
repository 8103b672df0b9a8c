//! Who may spend: keys and signatures.
