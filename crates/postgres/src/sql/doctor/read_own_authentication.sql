-- Whether this session was let in without being asked who it is; from 16 on. No binds.
SELECT system_user IS NULL
