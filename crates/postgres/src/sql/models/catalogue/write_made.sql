-- Notes what was made. $1 int: the migration. $2 text: the hash of the definitions. $3 int: their version. Placeholder:
-- {catalogue}.
INSERT INTO {catalogue}.made (migration, definitions, definitions_version) VALUES ($1, $2, $3)
    ON CONFLICT (only_row) DO UPDATE SET migration = excluded.migration, definitions = excluded.definitions,
                                         definitions_version = excluded.definitions_version
