//! A second cluster that follows a first, and takes its place.

use crate::{Cluster, signals};

impl Cluster {
    /// A standby that streams from this one, in a folder of its own.
    ///
    /// # Panics
    ///
    /// When it can't be made, or does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let primary = self.place.folder.clone();
        Self::made(
            self.settings,
            |_| Vec::new(),
            |place, binaries| {
                let mut backup = place.command(&binaries.join("pg_basebackup"));
                backup.args(["--username=postgres", "--host"]).arg(primary);
                backup.args([
                    "--checkpoint=fast",
                    "--wal-method=stream",
                    "--write-recovery-conf",
                    "--no-sync",
                    "--pgdata",
                ]);
                backup.arg(place.data());
                backup
            },
        )
    }

    /// From now on nothing is acknowledged that a standby has not on its disk. Standbys that are made of this one ask for the
    /// same when they are promoted.
    pub async fn synchronous(&self) {
        self.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        signals::send("HUP", &[self.server.lock().expect("nobody failed with it").id()]);
    }

    /// Makes a standby the primary, and waits until it is.
    pub async fn promote(&self) {
        self.run("postgres", "DO $$ BEGIN ASSERT pg_promote(), 'not promoted in time'; END $$").await;
    }
}
