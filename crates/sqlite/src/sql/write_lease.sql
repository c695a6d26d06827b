-- Writes a lease. Binds: ?1 name, ?2 owner, ?3 token, ?4 expires_at.
INSERT INTO leases (name, owner, token, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, token = excluded.token, expires_at = excluded.expires_at
