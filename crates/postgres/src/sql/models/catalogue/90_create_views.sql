-- Makes the views that are there without any projection. Placeholders: {catalogue}, {read}, {log}, {schema};
-- {data} and {schema_version}, which are of the newest shape that is registered.
CREATE OR REPLACE VIEW {read}.events AS
SELECT e.part AS partition,
       e.position,
       e.stream,
       split_part(e.stream, '-', 1) AS category,
       CASE strpos(e.stream, '-') WHEN 0 THEN '' ELSE substr(e.stream, strpos(e.stream, '-') + 1) END AS key,
       e.version,
       e.type,
       {schema_version} AS schema_version,
       e.id,
       {data} AS data,
       e.metadata::jsonb AS metadata,
       e.tags,
       e.metadata ->> 'actor' AS actor,
       coalesce(e.occurred_at, e.recorded_at) AS occurred_at,
       e.recorded_at
  FROM {log} e;
COMMENT ON VIEW {read}.events IS 'The log: one row an event, in the newest shape that is registered';

CREATE OR REPLACE VIEW {read}.projections AS
SELECT b.name,
       b.number AS build,
       b.version,
       b.mode,
       b.role,
       b.state,
       CASE WHEN NOT b.in_appends THEN
           (SELECT string_agg(least.part || ':' || least.position, ',' ORDER BY least.part)
              FROM (SELECT p.part, min(p.position) AS position FROM {catalogue}.progress p
                     WHERE p.name = b.name AND p.number = b.number GROUP BY p.part) least) END AS checkpoint,
       b.failed_error AS error,
       b.began_at,
       b.served_at
  FROM {catalogue}.builds b;
COMMENT ON VIEW {read}.projections IS 'The builds of projections; the checkpoint is NULL where appends write it, which is at the head';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_reader') THEN
        GRANT USAGE ON SCHEMA {read} TO {schema}_reader;
        GRANT SELECT ON {read}.events, {read}.projections TO {schema}_reader;
    END IF;
END $$
