-- Writes a lease. $1 text: its name. $2 text: its owner. $3 bigint: its token. $4 timestamptz: until when.
INSERT INTO leases (name, owner, token, expires_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, token = excluded.token, expires_at = excluded.expires_at
