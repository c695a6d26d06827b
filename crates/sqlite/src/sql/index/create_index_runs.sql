-- Creates the catalogue of sorted runs, one row a run. Run ids are never reused. No binds.
CREATE TABLE index_runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    level INTEGER NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0,
    generation_from INTEGER NOT NULL,
    generation_to INTEGER NOT NULL,
    complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1))
) STRICT;
