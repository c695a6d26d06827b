-- Reads where a consumer stands. $1 text: its name.
SELECT checkpoint FROM checkpoints WHERE name = $1
