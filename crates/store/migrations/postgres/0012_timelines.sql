-- A standby that is promoted may lack the last that its primary showed. So that the numbers of that are not given once more, tokens and the
-- places of messages leap with each promotion, of which the timeline of PostgreSQL's log tells. 'token_timeline' is the one from which
-- promotions are counted, and 2^32 more; 0: not settled yet, -1: this server does not tell. Versions that don't leap would commit behind
-- readers' backs: with the first promotion `min_version` becomes 12.
-- The names of the log's files begin with it. In PL/pgSQL, so that a server which has no such function, or lets nobody ask, is in the
-- way of nothing but this.
CREATE FUNCTION callboard_timeline() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint;
END
$$;

INSERT INTO callboard_meta (name, value) VALUES ('token_timeline', 0);
