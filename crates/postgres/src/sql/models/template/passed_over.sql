-- Counts what the range passes over, once it is known where that ends. Placeholder: {statement}.
_pacioli_line := 0;
EXECUTE {statement} USING _pacioli_part, _pacioli_after, _pacioli_position, _pacioli_worker, _pacioli_workers, _pacioli_until, _pacioli_shapes;
