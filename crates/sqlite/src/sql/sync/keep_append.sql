-- Keeps what the projections did for one append. No binds.
RELEASE one_append
