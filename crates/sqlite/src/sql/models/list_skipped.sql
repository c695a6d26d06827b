-- Lists the events that are passed over. No binds. Result: partition, position.
SELECT partition, position FROM pacioli_skipped
