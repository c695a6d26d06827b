-- Makes the chunks that are missing. $1 bigint: the position that is reached. $2 int: chunks ahead of it.
SELECT make_chunks($1, $2)
