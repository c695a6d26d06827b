-- Reads a lease. Binds: ?1 name. Result: owner, token, expires_at.
SELECT owner, token, expires_at FROM leases WHERE name = ?1
