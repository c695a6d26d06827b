-- Makes a finished copy one file that stands alone. No binds.
PRAGMA journal_mode = DELETE;
