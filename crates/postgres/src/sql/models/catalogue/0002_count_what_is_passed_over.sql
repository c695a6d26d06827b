-- How many events of each type a build passes over because it does not understand them. Its function counts them in the
-- transaction that moves it over them, each worker in rows of its own. No reference to the build: a first row would wait for
-- its row, which commands lock before the heads of the log. Placeholder: {catalogue}.
CREATE TABLE {catalogue}.passed_over (
    schema_name text COLLATE "C" NOT NULL,
    worker int NOT NULL,
    part int NOT NULL,
    type text COLLATE "C" NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (schema_name, worker, part, type)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
