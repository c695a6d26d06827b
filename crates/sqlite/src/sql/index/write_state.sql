-- Replaces the state. Binds: ?1 generation, ?2 watermark.
INSERT INTO index_state (only, generation, watermark) VALUES (1, ?1, ?2)
ON CONFLICT (only) DO UPDATE SET generation = excluded.generation, watermark = excluded.watermark
