-- Begins a new epoch where this is another database or timeline than the one the log was last written on.
-- $1 int: the newest epoch that is known here.
SELECT meet_database($1)
