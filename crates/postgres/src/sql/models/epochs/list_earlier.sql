-- Lists the builds of another epoch than the log's, but for those that failed. $1 int: the log's. Placeholder: {catalogue}.
SELECT name, number FROM {catalogue}.builds WHERE epoch <> $1 AND state <> 'failed' ORDER BY name, number
