//! Sees the configuration change on disk.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Editors write in several steps: they are taken as one.
const SETTLE: Duration = Duration::from_millis(100);

/// Links on the way to the file: Linux follows no more of them either.
const LINKS_MAX: usize = 40;

/// Watches one file, through its folder: editors and configuration managers replace files rather than write them. Where it
/// is a link, what it leads to is watched as well.
pub struct Watched {
    file: PathBuf,
    changed: Arc<Notify>,
    /// Of the file and of what it leads to.
    names: Arc<Mutex<BTreeSet<OsString>>>,
    watching: Mutex<Watching>,
}

struct Watching {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Watched {
    /// Begins to watch.
    pub fn begin(file: &Path) -> notify::Result<Self> {
        let (changed, names) = (Arc::new(Notify::new()), Arc::<Mutex<BTreeSet<OsString>>>::default());
        let (tell, wanted) = (Arc::clone(&changed), Arc::clone(&names));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may hide a change: then it is looked at once too often.
            let is_ours = event.map_or(true, |event| {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().filter_map(|path| path.file_name()).any(|name| locked(&wanted).contains(name))
            });
            if is_ours {
                tell.notify_one();
            }
        })?;
        let watching = Mutex::new(Watching { watcher, folders: BTreeSet::new() });
        let watched = Self { file: file.to_owned(), changed, names, watching };
        watched.watch().map(|()| watched)
    }

    /// Resolves once the file has changed and come to rest.
    pub async fn changed(&self) {
        self.changed.notified().await;
        while tokio::time::timeout(SETTLE, self.changed.notified()).await.is_ok() {}
        // It may lead elsewhere now. What is there is read after this.
        if let Err(error) = self.watch() {
            tracing::warn!("changes of {} may not be seen: {error}", self.file.display());
        }
    }

    /// Watches where the file is now, and nothing else.
    fn watch(&self) -> notify::Result<()> {
        let places = places(&self.file);
        *locked(&self.names) = places.iter().filter_map(|place| place.file_name().map(OsStr::to_owned)).collect();
        let folders: BTreeSet<PathBuf> = places.iter().map(|place| folder_of(place).to_owned()).collect();
        let mut watching = locked(&self.watching);
        let Watching { watcher, folders: watched } = &mut *watching;
        for left in watched.difference(&folders) {
            // One that is gone is watched no more by itself.
            let _ = watcher.unwatch(left);
        }
        watched.retain(|folder| folders.contains(folder));
        for folder in folders {
            if !watched.contains(&folder) {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
                watched.insert(folder);
            }
        }
        Ok(())
    }
}

/// The file, and where it is a link, what that leads to, and so on.
fn places(file: &Path) -> Vec<PathBuf> {
    let mut places = vec![file.to_owned()];
    while let Some(target) = places.last().and_then(|place| Some(folder_of(place).join(place.read_link().ok()?)))
        && places.len() <= LINKS_MAX
    {
        places.push(target);
    }
    places
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it panics half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test]
    async fn a_file_that_links_lead_to_is_seen_wherever_they_lead_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = |name: &str| folder.path().join(name);
        for name in ["here", "one", "two"] {
            std::fs::create_dir(place(name)).expect("a folder");
        }
        std::fs::write(place("one/config"), "one").expect("written");
        std::fs::write(place("two/config"), "two").expect("written");
        std::os::unix::fs::symlink("../one/config", place("one/link")).expect("a link");
        let file = place("here/config.toml");
        std::os::unix::fs::symlink("../one/link", &file).expect("a link");
        let watched = Watched::begin(&file).expect("watched");
        std::fs::write(place("one/config"), "three").expect("written");
        tokio::time::timeout(SOON, watched.changed()).await.expect("what the links lead to is written");
        std::fs::remove_file(place("one/link")).expect("removed");
        std::os::unix::fs::symlink(place("two/config"), place("one/link")).expect("a link");
        tokio::time::timeout(SOON, watched.changed()).await.expect("a link leads elsewhere");
        std::fs::write(place("two/config"), "four").expect("written");
        tokio::time::timeout(SOON, watched.changed()).await.expect("what it leads to now is written");
    }
}
