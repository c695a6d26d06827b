-- Indexes the plain table by the events' ids. No binds.
CREATE UNIQUE INDEX ON copied (id)
