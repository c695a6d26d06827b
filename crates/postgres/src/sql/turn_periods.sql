-- Makes and forgets periods of ids and keys; a line for each. No binds.
SELECT turn_periods()
