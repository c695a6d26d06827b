-- Begins a transaction that sees one moment. No binds.
BEGIN DEFERRED
