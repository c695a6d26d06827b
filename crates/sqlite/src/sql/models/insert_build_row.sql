-- Says which build a file is. Binds: ?1 name, ?2 number, ?3 hash, ?4 epoch.
INSERT INTO pacioli_build (name, number, hash, epoch) VALUES (?1, ?2, ?3, ?4)
