//! Reaching the daemon.

use std::path::PathBuf;

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
        Ok(Client::connect(&self.socket_path()?).await?)
    }

    /// Asks the daemon one thing.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Failure> {
        Ok(self.daemon().await?.call(request).await?)
    }

    fn socket_path(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.paths()?.client_socket()),
        }
    }
}
