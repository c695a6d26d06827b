-- Says that the positions of a file are of this epoch. Binds: ?1 epoch.
UPDATE pacioli_build SET epoch = ?1
