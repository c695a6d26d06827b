-- Lists the copies, the newest first. No binds. Result: file, name, hash, checkpoint.
SELECT file, name, hash, checkpoint FROM copies ORDER BY made_at DESC, file
