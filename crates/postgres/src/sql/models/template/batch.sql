-- One of them. Placeholders: {line}, {statement}.
_pacioli_line := {line};
EXECUTE {statement} USING _pacioli_part, _pacioli_after, _pacioli_position, _pacioli_worker, _pacioli_workers, _pacioli_until, _pacioli_shapes;
