//! What the parsers share.
