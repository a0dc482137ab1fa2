//! What syncctl and syncd say to each other: JSON-RPC 2.0, one object a line, over a Unix socket.
