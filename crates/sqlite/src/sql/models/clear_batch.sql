-- Empties the relation `batch`. No binds.
DELETE FROM temp.batch
