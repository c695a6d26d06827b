-- Reads a block. Binds: ?1 id. Result: its entries, or no row.
SELECT entries FROM index_blocks WHERE id = ?1
