//! Reaching the daemon.

use serde::de::DeserializeOwned;

use super::Context;
use super::failure::Failure;
use crate::agent::Paths;
use crate::control::{Client, Request};

impl Context {
    /// Where the files are.
    pub(super) fn paths(&self) -> Result<Paths, Failure> {
        Ok(Paths::find(self.config.clone(), self.data.clone())?)
    }

    /// Connects to the daemon.
    pub(super) async fn daemon(&self) -> Result<Client, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(Client::connect(socket).await?);
        }
        let paths = self.paths()?;
        match (Client::connect(&paths.data_socket()).await, paths.well_known_socket()) {
            (Err(_), Some(socket)) => Ok(Client::connect(&socket).await?),
            (connected, _) => Ok(connected?),
        }
    }

    /// Asks the daemon one thing.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        Ok(self.daemon().await?.call(request).await?)
    }
}
