-- Claims stay fast while somebody holds a snapshot for long. PostgreSQL then keeps every row version and every index entry since, and whoever
-- reads an index from its beginning, or looks for a row that is changed in place again and again, walks over all of them. So the hot paths begin
-- behind what they know to be over (see `floors.rs`), by tokens, which rise with every change of a task; and what is counted with almost every
-- commit is added as rows of its own, which are summed up and put together now and then (0014, 0015).
--
-- A table that was there for each migration: servers of the version before use them meanwhile, in orders of their own, and whoever has one
-- and waits for another meets them in a deadlock.

-- What an agent has, from a token on.
DROP INDEX tasks_leased;
CREATE INDEX tasks_leased ON tasks (namespace, agent, token) WHERE agent IS NOT NULL;

-- What became ready in a lane since a token, before a rank: all others are found by their ranks.
CREATE INDEX tasks_entered ON tasks (namespace, lane, token, rank) WHERE rank IS NOT NULL;
