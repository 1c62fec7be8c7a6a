//! One connection to one broker: transport, authentication, framing, versions, timeouts.
