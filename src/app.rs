//! Wires configuration, registry, loops and servers together, and takes them down in order.
