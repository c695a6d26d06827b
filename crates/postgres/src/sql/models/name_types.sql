-- Names types as a cast does. $1 oid[]: the types.
SELECT format_type(t.type, -1) FROM unnest($1::oid[]) WITH ORDINALITY t(type, n) ORDER BY t.n
