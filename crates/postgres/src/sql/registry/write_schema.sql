-- Registers a schema, or replaces the one of its type and version. $1 text: the type. $2 int: the version. $3 to $5 bigint: the
-- parts of its semantic version. $6 bigint: its id. $7 text: the format. $8 text: the schema. $9 text: what it refers to. $10
-- text: the upcaster. $11 bool: whether it is hidden. $12 timestamptz: when. $13 text: by whom. $14 text: its rules for SQL.
-- $15 text: why there are none.
INSERT INTO schemas (type, version, major, minor, patch, id, format, text, "references", upcaster, is_deleted, registered_at,
                     registered_by, rules, sql_door)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::jsonb, $15)
    ON CONFLICT (type, version) DO UPDATE
   SET major = excluded.major, minor = excluded.minor, patch = excluded.patch, id = excluded.id, format = excluded.format,
       text = excluded.text, "references" = excluded."references", upcaster = excluded.upcaster, is_deleted = excluded.is_deleted,
       registered_at = excluded.registered_at, registered_by = excluded.registered_by, rules = excluded.rules,
       sql_door = excluded.sql_door
