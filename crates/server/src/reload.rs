//! Files that are read again when they change: certificates, identities. A bad new file is logged, and the old one stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are looked at. Their content is compared, not their time: a mounted secret is swapped by a symbolic link,
/// and a file that is written twice in a second has one time.
const LOOK: Duration = Duration::from_secs(1);

/// Makes a value of the contents of files, or says what is wrong with which file.
pub(crate) type Read<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// Files, and what is made of them.
pub(crate) struct Source<T> {
    /// For the log: `certificates`.
    pub what: &'static str,
    /// Read in this order.
    pub paths: Vec<PathBuf>,
    /// What is made of them.
    pub read: Read<T>,
}

/// What the files say now.
#[derive(Debug)]
pub(crate) struct Current<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Current<T> {
    /// The latest good value.
    pub fn get(&self) -> Arc<T> {
        self.0.borrow().clone()
    }

    /// Waits until there is a newer value than the last that was waited for. Never ends when the files are not followed.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Follows the files of a source.
pub(crate) struct Follower<T> {
    source: Source<T>,
    seen: Vec<Vec<u8>>,
    value: watch::Sender<Arc<T>>,
    /// What was last complained about: said once.
    fault: Option<String>,
}

impl<T> std::fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The contents may be keys.
        f.debug_struct("Follower").field("what", &self.source.what).field("paths", &self.source.paths).finish()
    }
}

impl<T> Follower<T> {
    /// Reads the files for the first time; a fault is the caller's.
    pub fn load(source: Source<T>) -> Result<Self, String> {
        let mut seen = Vec::new();
        for path in &source.paths {
            seen.push(std::fs::read(path).map_err(|error| unreadable(path, &error))?);
        }
        let (value, _) = watch::channel(Arc::new((source.read)(&seen)?));
        Ok(Self { source, seen, value, fault: None })
    }

    /// What the files say now, and later.
    pub fn current(&self) -> Current<T> {
        Current(self.value.subscribe())
    }

    /// Looks at the files for as long as it is polled.
    pub async fn follow(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let mut found = Vec::new();
        for path in &self.source.paths {
            match tokio::fs::read(path).await {
                Ok(content) => found.push(content),
                Err(error) => return self.complain(unreadable(path, &error)),
            }
        }
        if found == self.seen {
            return;
        }
        match (self.source.read)(&found) {
            Ok(value) => {
                self.fault = None;
                self.value.send_replace(Arc::new(value));
                tracing::info!(what = self.source.what, "read again: the files changed");
            }
            Err(fault) => self.complain(fault),
        }
        self.seen = found;
    }

    fn complain(&mut self, fault: String) {
        if self.fault.as_ref() != Some(&fault) {
            tracing::error!(
                what = self.source.what,
                fault,
                "the changed files can't be used; the old ones stay in force"
            );
            self.fault = Some(fault);
        }
    }
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> String {
    format!("{}: can't be read: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(path: &std::path::Path) -> Source<i64> {
        let read = |contents: &[Vec<u8>]| {
            let text = String::from_utf8_lossy(&contents[0]).into_owned();
            text.trim().parse().map_err(|error| format!("{text:?}: {error}"))
        };
        Source { what: "numbers", paths: vec![path.to_owned()], read: Box::new(read) }
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_and_a_bad_or_missing_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(Follower::load(numbers(&path)).unwrap_err().contains("can't be read"));
        std::fs::write(&path, "1").unwrap();
        let mut follower = Follower::load(numbers(&path)).unwrap();
        let current = follower.current();
        assert_eq!(*current.get(), 1);
        std::fs::write(&path, "one").unwrap();
        follower.look().await;
        assert_eq!(*current.get(), 1);
        assert!(follower.fault.is_some());
        std::fs::remove_file(&path).unwrap();
        follower.look().await;
        assert_eq!(*current.get(), 1);
        std::fs::write(&path, "2").unwrap();
        follower.look().await;
        assert_eq!(*current.get(), 2);
        assert_eq!(follower.fault, None);
    }
}
