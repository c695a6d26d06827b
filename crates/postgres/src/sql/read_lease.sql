-- Reads a lease, and the database's clock. $1 text: its name.
SELECT clock_timestamp(), l.owner, l.token, l.expires_at FROM (SELECT) one LEFT JOIN leases l ON l.name = $1
