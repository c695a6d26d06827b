-- Whether a materialized view has an index by which it can be refreshed while it is queried. $1 text: the view.
SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE i.indrelid = $1::text::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND c.relispopulated)
