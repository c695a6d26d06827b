-- Creates the guard that refuses to change or delete an event, whoever asks. No binds.
CREATE TRIGGER log_refuses_update BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: append a correcting event instead');
END;
CREATE TRIGGER log_refuses_delete BEFORE DELETE ON log
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: append a correcting event instead');
END;
