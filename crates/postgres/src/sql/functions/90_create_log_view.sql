-- The log for any SQL client, in the newest shape that is registered.
CREATE OR REPLACE VIEW {schema}.log AS
SELECT part AS partition,
       position,
       stream,
       split_part(stream, '-', 1) AS category,
       CASE strpos(stream, '-') WHEN 0 THEN '' ELSE substr(stream, strpos(stream, '-') + 1) END AS key,
       version,
       type,
       CASE WHEN data IS NULL THEN schema_version ELSE {schema}.shape_version(type, schema_version) END AS schema_version,
       id,
       {schema}.shape_of(type, schema_version, data) AS data,
       raw,
       metadata::jsonb AS metadata,
       tags,
       coalesce(occurred_at, recorded_at) AS occurred_at,
       recorded_at,
       schema_version AS stored_schema_version,
       data::jsonb AS stored_data
  FROM {schema}.events;

-- The same with the columns of `events`, for read models in another database, which call no function of this one.
CREATE OR REPLACE VIEW {schema}.shaped_events AS
SELECT part,
       CASE WHEN data IS NULL THEN schema_version ELSE {schema}.shape_version(type, schema_version) END AS schema_version,
       position, version, recorded_at, occurred_at, id, stream, type,
       {schema}.shape_json(type, schema_version, data) AS data,
       raw, metadata, tags
  FROM {schema}.events;
