-- Reads where consumers stand, and keeps others from moving them. $1 text[]: their names.
SELECT name, checkpoint FROM checkpoints WHERE name = ANY ($1) ORDER BY name FOR UPDATE
