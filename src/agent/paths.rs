//! Where the files are: the XDG folders, or what the command line says.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

const LOG_FILE: &str = "syncd.log";

/// The places of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub config: PathBuf,
    pub data: PathBuf,
    /// In `$XDG_STATE_HOME/mailtide`, or beside the data where those have a place of their own.
    pub log: PathBuf,
    /// `$XDG_RUNTIME_DIR/mailtide/control.sock`, where there is such a folder.
    pub runtime_socket: Option<PathBuf>,
    /// The data folder was named on the command line.
    data_is_named: bool,
}

/// Neither a home folder nor the options to do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no home folder; say --config FILE and --data DIR")]
pub struct NoHome;

impl Paths {
    /// Each place from its option, else from the environment.
    pub fn find(config: Option<PathBuf>, data: Option<PathBuf>) -> Result<Self, NoHome> {
        let folders = ProjectDirs::from("", "", "mailtide");
        let folders = folders.as_ref();
        let data_is_named = data.is_some();
        // What is shown of it (a certificate, a socket) is used from other folders.
        let named = data.map(|data| std::path::absolute(&data).unwrap_or(data));
        let state = folders.map(|folders| folders.state_dir().unwrap_or(folders.data_local_dir()).to_owned());
        Ok(Self {
            config: config.or_else(|| folders.map(|folders| folders.config_dir().join("config.toml"))).ok_or(NoHome)?,
            log: named.clone().or(state).ok_or(NoHome)?.join(LOG_FILE),
            data: named.or_else(|| folders.map(|folders| folders.data_dir().to_owned())).ok_or(NoHome)?,
            runtime_socket: folders
                .and_then(ProjectDirs::runtime_dir)
                .map(|folder| folder.join("control.sock"))
                .filter(|path| path.is_absolute()),
            data_is_named,
        })
    }

    /// Only what is under `data`, so that daemons started for a while do not take the user's own socket.
    pub fn within(config: PathBuf, data: PathBuf) -> Self {
        Self { config, log: data.join(LOG_FILE), data, runtime_socket: None, data_is_named: true }
    }

    /// The socket every daemon has beside its data: with `--data` alone syncctl finds the right daemon.
    pub fn data_socket(&self) -> PathBuf {
        self.data.join("control.sock")
    }

    /// Where syncctl looks for a daemon where none has these data, unless they were named: at its well-known place may be
    /// one with others.
    pub fn well_known_socket(&self) -> Option<PathBuf> {
        self.runtime_socket.clone().filter(|_| !self.data_is_named)
    }

    /// The password of the local servers, where the configuration names none.
    pub fn local_password(&self) -> PathBuf {
        self.data.join("local-password")
    }
}

/// The text of a file, or an error that names it.
pub fn read_to_string(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_data_folder_has_its_own_socket() {
        let named = |data: Option<&str>| Paths {
            config: PathBuf::from("/c/config.toml"),
            data: PathBuf::from(data.unwrap_or("/home/me/.local/share/mailtide")),
            log: PathBuf::new(),
            runtime_socket: Some(PathBuf::from("/run/user/1/mailtide/control.sock")),
            data_is_named: data.is_some(),
        };
        assert_eq!(named(None).data_socket(), Path::new("/home/me/.local/share/mailtide/control.sock"));
        assert_eq!(named(None).well_known_socket().as_deref(), Some(Path::new("/run/user/1/mailtide/control.sock")));
        assert_eq!(named(Some("/d")).data_socket(), Path::new("/d/control.sock"));
        assert_eq!(named(Some("/d")).well_known_socket(), None);
    }

    #[test]
    fn a_relative_data_folder_is_shown_whole() {
        let paths = Paths::find(Some("c.toml".into()), Some("d".into())).expect("both are given");
        assert!(paths.data.is_absolute());
        assert_eq!(paths.log, paths.data.join("syncd.log"), "it is not mixed with another daemon's");
        assert_eq!(paths.config, Path::new("c.toml"));
    }
}
