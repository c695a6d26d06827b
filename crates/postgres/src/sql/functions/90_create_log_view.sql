-- The log for any SQL client.
CREATE OR REPLACE VIEW {schema}.log AS
SELECT part AS partition,
       position,
       stream,
       split_part(stream, '-', 1) AS category,
       CASE strpos(stream, '-') WHEN 0 THEN '' ELSE substr(stream, strpos(stream, '-') + 1) END AS key,
       version,
       type,
       schema_version,
       id,
       data::jsonb AS data,
       raw,
       metadata::jsonb AS metadata,
       tags,
       coalesce(occurred_at, recorded_at) AS occurred_at,
       recorded_at
  FROM {schema}.events;
