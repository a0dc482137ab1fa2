//! Sees the configuration change on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Editors write in several steps: they are taken as one.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches one file, through its folder: editors and configuration managers replace files rather than write them.
pub struct Watched {
    changed: Arc<Notify>,
    _watcher: RecommendedWatcher,
}

impl Watched {
    /// Begins to watch.
    pub fn begin(file: &Path) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let name = file.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may hide a change: then it is looked at once too often.
            let is_ours = event.map_or(true, |event| {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| path.file_name() == name.as_deref())
            });
            if is_ours {
                tell.notify_one();
            }
        })?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Self { changed, _watcher: watcher })
    }

    /// Resolves once the file has changed and come to rest.
    pub async fn changed(&self) {
        self.changed.notified().await;
        while tokio::time::timeout(SETTLE, self.changed.notified()).await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than a change takes to be seen, so that only a change that is never seen takes it.
    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_file_written_or_replaced_is_seen_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "one").expect("written");
        let watched = Watched::begin(&file).expect("watched");
        std::fs::write(&file, "two").expect("written");
        tokio::time::timeout(SOON, watched.changed()).await.expect("a write is seen");
        let beside = folder.path().join("config.toml.new");
        std::fs::write(&beside, "three").expect("written");
        std::fs::rename(&beside, &file).expect("renamed");
        tokio::time::timeout(SOON, watched.changed()).await.expect("a replacement is seen");
        std::fs::write(folder.path().join("other.toml"), "four").expect("written");
        let unseen = tokio::time::timeout(3 * SETTLE, watched.changed()).await;
        assert!(unseen.is_err(), "another file is not ours");
    }
}
