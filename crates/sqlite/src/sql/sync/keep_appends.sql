-- Keeps what the projections did for some appends. No binds.
RELEASE some_appends
