-- Reads what a query must not leave behind in its session, as one text that is the same as before. No binds.
SELECT concat_ws(' ', session_user, current_user, current_setting('role'), current_setting('search_path'), current_setting('TimeZone'),
                 current_setting('default_transaction_read_only'), current_setting('statement_timeout'),
                 current_setting('standard_conforming_strings'), current_setting('session_replication_role'),
                 (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_listening_channels()), pg_is_in_recovery())
