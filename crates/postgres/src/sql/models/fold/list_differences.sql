-- Lists rows that one of two tables has and the other has not, and how many they are. $1 bigint: rows at most. Placeholders:
-- {has}, {has_not}, {table}.
SELECT d.row, count(*) OVER () FROM (SELECT t::text AS row FROM {has}."{table}" t EXCEPT ALL SELECT t::text FROM {has_not}."{table}" t) d
 ORDER BY d.row LIMIT $1
