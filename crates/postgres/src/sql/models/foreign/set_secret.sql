-- Hands over who reads the log: by a bind, so that it stands in no statement. $1 text: the role, $2 text: its password, empty
-- for none.
SELECT set_config('pacioli.log_user', $1, true), set_config('pacioli.log_password', $2, true)
