-- Reads which build a file is. No binds. Result: name, number, hash, epoch.
SELECT name, number, hash, epoch FROM pacioli_build
