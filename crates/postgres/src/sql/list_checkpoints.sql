-- Lists where consumers stand, and when each last moved. No binds.
SELECT name, checkpoint, updated_at FROM checkpoints ORDER BY name
