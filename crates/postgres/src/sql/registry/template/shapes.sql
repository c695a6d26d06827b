-- The newest shape of events. Placeholders: {schema}, {version}, {types}: which of them are lifted.
CREATE OR REPLACE FUNCTION {schema}.shape_version(type text, version int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN {version};
CREATE OR REPLACE FUNCTION {schema}.shape_of(type text, version int, data json) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN type = ANY ({types}) THEN {schema}.shape_lift(type, version, {schema}.shape_version(type, version), data::jsonb)
            ELSE data::jsonb END;
CREATE OR REPLACE FUNCTION {schema}.shape_json(type text, version int, data json) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN type = ANY ({types})
            THEN {schema}.shape_lift(type, version, {schema}.shape_version(type, version), data::jsonb)::text::json
            ELSE data END
