-- How often the registry was changed, and the epoch in which that is so. No binds.
SELECT (SELECT max(epoch) FROM epochs), generation FROM registry
