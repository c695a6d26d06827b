-- Lets no projection have two builds that serve, or two that are kept. No binds.
CREATE UNIQUE INDEX builds_of_role ON builds (name, role) WHERE role <> 'filling'
