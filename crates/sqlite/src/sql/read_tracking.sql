-- Reads where a consumer stands. Binds: ?1 name. Result: checkpoint.
SELECT checkpoint FROM tracking WHERE name = ?1
