//! A second cluster that follows a first, and takes its place.

use crate::Cluster;

impl Cluster {
    /// A standby that streams from this one, in a folder of its own.
    ///
    /// # Panics
    ///
    /// When it can't be made, or does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let primary = self.place.folder.clone();
        Self::made(self.settings, |place, binaries| {
            let mut backup = place.command(&binaries.join("pg_basebackup"));
            backup.args(["--username=postgres", "--host"]).arg(primary);
            backup.args(["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync", "--pgdata"]);
            backup.arg(place.data());
            backup
        })
    }

    /// From now on nothing is acknowledged that a standby has not on its disk. Standbys that are made of this one ask for the
    /// same when they are promoted.
    pub async fn synchronous(&self) {
        self.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        self.run("postgres", "SELECT pg_reload_conf()").await;
    }

    /// Makes a standby the primary, and waits until it is.
    pub async fn promote(&self) {
        self.run("postgres", "DO $$ BEGIN ASSERT pg_promote(), 'not promoted in time'; END $$").await;
    }

    /// Whether a standby streams from this one, and commits wait for it.
    pub async fn is_followed(&self) -> bool {
        let asked = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync')";
        self.asks("postgres", asked).await
    }
}
