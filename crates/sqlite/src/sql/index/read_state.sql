-- Reads the state. No binds. Result: generation and watermark, or no row before the first flush.
SELECT generation, watermark FROM index_state WHERE only = 1
