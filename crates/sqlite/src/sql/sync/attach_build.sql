-- Attaches the file of a build to the writer's connection. Binds: ?1 file, ?2 schema.
ATTACH ?1 AS ?2
