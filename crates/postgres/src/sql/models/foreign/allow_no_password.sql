-- Lets a role that is no superuser reach the log without a password, as a superuser may say. $1 is not bound; placeholders:
-- {schema}, {role}.
ALTER USER MAPPING FOR {role} SERVER {schema}_log OPTIONS (ADD password_required 'false')
