//! Listeners, TLS, the pump that drives any `Conversation`, clock, shutdown.
