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

    /// A standby hears nothing more of its primary: neither what comes, nor what is on its way.
    pub async fn lose_sight(&self) {
        self.run("postgres", "ALTER SYSTEM SET primary_conninfo = ''").await;
        signals::send("HUP", &[self.server.lock().expect("nobody failed with it").id()]);
        self.run("postgres", &until("NOT FOUND", "FROM pg_stat_wal_receiver")).await;
    }

    /// Waits until a commit waits for a synchronous standby, and cancels that wait, as an administrator may: the commit is seen from then on.
    pub async fn show_what_waits(&self) {
        // In this order: it must not cancel itself.
        let cancelled =
            "FROM pg_stat_activity WHERE CASE WHEN wait_event = 'SyncRep' THEN pg_cancel_backend(pid) ELSE false END";
        self.run("postgres", &until("FOUND", cancelled)).await;
    }

    /// Makes a standby the primary, and waits until it is.
    pub async fn promote(&self) {
        self.run("postgres", "DO $$ BEGIN ASSERT pg_promote(), 'not promoted in time'; END $$").await;
    }
}

/// A statement that ends when such rows are there (`FOUND`), or are not (`NOT FOUND`), and fails in the end.
fn until(outcome: &str, rows: &str) -> String {
    format!(
        "DO $$ BEGIN FOR i IN 1..6000 LOOP PERFORM pg_stat_clear_snapshot(); PERFORM {rows}; IF {outcome} THEN RETURN; END IF; \
         PERFORM pg_sleep(0.01); END LOOP; RAISE 'not in time'; END $$"
    )
}
