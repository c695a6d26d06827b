-- Begins an epoch. Binds: ?1 epoch, ?2 began, ?3 recorded_at, ?4 reason.
INSERT INTO epochs (epoch, began, recorded_at, reason) VALUES (?1, ?2, ?3, ?4)
