-- Indexes the plain table by stream and version. No binds.
CREATE UNIQUE INDEX ON copied (stream, version)
