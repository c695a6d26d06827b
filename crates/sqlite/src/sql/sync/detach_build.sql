-- Detaches the file of a build. Binds: ?1 schema.
DETACH ?1
