//! What the responder says, asked without a message around it.
